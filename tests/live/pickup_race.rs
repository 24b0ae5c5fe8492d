//! Pick-ups at the moment when the callee's phone answers, and legs that are left over
//! (`src/esl/outbound/pickup_race.rs`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use fswake::esl::encode;
use fswake::types::{CallId, LegId};
use fswake_test_support::realfs::{DOMAIN, RealFs, WAKE_DOMAIN};
use fswake_test_support::sip::{Leg, Noise, Phone, Reaction, Script};
use fswake_test_support::site::{Settings, Site, Wakes};
use uuid::Uuid;

use crate::site;
use crate::steps::new_sleeper;

crate::trials![
    pick_up_around_the_answer_leaves_the_caller_with_one_phone,
    leg_that_was_never_bridged_is_ended_and_a_bridged_one_is_not,
];

/// When the pick-ups start, in milliseconds after the phone's answer. The thread of the channel that picks up takes up
/// to 20 ms more.
const OFFSETS: std::ops::Range<i64> = -20..52;
const STEP: usize = 3;
/// The longest silence allowed after an answer.
const SETTLED: Duration = Duration::from_secs(2);
const THREADS: Duration = Duration::from_millis(250);

const CUT: &str = "nobody has him";
/// The recorded outcome is not what happened.
const BUT: &str = ", but ";

/// A phone that sends this tone.
fn speaks(voice: u8, on_invite: Reaction) -> Script {
    let voice = Some(voice);
    Script {
        on_invite,
        voice,
        ..Script::default()
    }
}

/// Has FreeSWITCH call the phone, and park it once it has answered.
async fn parked(fs: &RealFs, phone: &Phone, channel: Uuid) {
    let (user, address) = (&phone.account().user, phone.address());
    let originate = format!("originate {{origination_uuid={channel}}}sofia/internal/sip:{user}@{address} &park()");
    let answer = fs.api(&originate).await;
    assert!(answer.starts_with("+OK"), "{answer}");
}

/// The channel that called this number. FreeSWITCH updates its list with a delay.
async fn channel_of(fs: &RealFs, number: &str) -> String {
    for _ in 0..100 {
        if let Some(channel) = fs.caller_channel(number).await {
            return channel;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("nobody has called {number}: {:#?}", fs.channels().await)
}

/// The phone's call that is up.
fn up(phone: &Phone) -> Option<Leg> {
    phone.legs().into_iter().rfind(Leg::is_up)
}

async fn hears(leg: &Leg, voice: u8) -> bool {
    // Slow on a busy machine.
    for _ in 0..5 {
        if leg
            .listen(Duration::from_millis(200))
            .await
            .contains(&Noise::Voice(voice))
        {
            return true;
        }
    }
    false
}

/// At any moment and with both routings: either the phone or whoever picks up has the caller, with audio both ways;
/// nobody is left in silence, and the recorded outcome agrees.
async fn pick_up_around_the_answer_leaves_the_caller_with_one_phone(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let (dialplan, dial_string) = tokio::join!(sweep(&site, "7", DOMAIN), sweep(&site, "5", WAKE_DOMAIN));
    for (way, results) in [("dialplan", dialplan), ("dial-string", dial_string)] {
        let of = |what: &str| {
            results
                .iter()
                .filter(|(_, result)| result == what)
                .map(|(at, _)| *at)
                .collect::<Vec<_>>()
        };
        println!(
            "{way}: the phone has him {:?}, picked up {:?}",
            of("phone"),
            of("picker")
        );
        let (cut, wrong): (Vec<_>, Vec<_>) = results
            .iter()
            .filter(|(_, result)| result != "phone" && result != "picker")
            .partition(|(_, result)| result.starts_with(CUT) && !result.contains(BUT));
        println!("{way}: cut {cut:?}");
        assert!(wrong.is_empty(), "{way}, ms after the answer: {wrong:?}");
        // docs/ARCHITECTURE.md, "Limits": while FreeSWITCH carries out the command, longer on a busy machine.
        assert!(cut.len() <= 1, "{way}, ms after the answer: {cut:?}");
    }
}

/// How each call went.
async fn sweep(site: &Site, number: &str, domain: &str) -> Vec<(i64, String)> {
    let mut results = Vec::new();
    for offset in OFFSETS.step_by(STEP) {
        results.push((offset, cross(site, number, domain, offset).await));
    }
    results
}

async fn cross(site: &Site, number: &str, domain: &str, offset: i64) -> String {
    let (user, phone) = new_sleeper(site, domain, Wakes::Elsewhere, speaks(2, Reaction::Ring)).await;
    let caller = site.caller().await;
    caller.behave(speaks(1, Reaction::Ring));
    let picker = site.caller().await;
    picker.behave(speaks(3, Reaction::Answer(Duration::ZERO)));
    let channel = Uuid::new_v4();
    parked(&site.fs, &picker, channel).await;
    let mut console = site.fs.console().await;
    let call = caller.call(&format!("{number}{user}"));
    phone.rang().await;
    let a_leg = channel_of(&site.fs, &format!("{number}{user}")).await;
    let picks = format!("uuid_transfer {channel} intercept:{a_leg} inline");
    let apart = Duration::from_millis(offset.unsigned_abs());
    if offset < 0 {
        console.api(&picks).await.expect("an answer");
        tokio::time::sleep(apart).await;
        phone.answer_soon();
    } else {
        phone.answer_soon();
        tokio::time::sleep(apart).await;
        console.api(&picks).await.expect("an answer");
    }
    // The result is visible after both threads have carried out their commands.
    let crossed = Instant::now();
    tokio::time::sleep(THREADS).await;
    while up(&phone).is_some() == up(&picker).is_some() && crossed.elapsed() < SETTLED {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let result = match (up(&phone), up(&picker)) {
        (Some(leg), None) => has_him(&leg, 2, &call.leg(), "phone").await,
        (None, Some(leg)) => has_him(&leg, 3, &call.leg(), "picker").await,
        (Some(_), Some(_)) => "both are up".to_owned(),
        (None, None) => format!("{CUT}, and he has heard {:?}", call.leg().end()),
    };
    site.daemon().log.wait(&["call over", &format!("aor={user}@")]).await;
    let booked = site.daemon().log.with(&["call over", &format!("aor={user}@")]).join("");
    let is = |outcome: &str| booked.contains(&format!("outcome=\"{outcome}\""));
    let agrees = match &*result {
        "phone" => is("connected"),
        // A pick-up of a connected call takes it from the phone.
        "picker" => is("connected") || is("taken"),
        // FreeSWITCH hung up, because the caller never does here.
        _ => is("connected") || is("taken") || is("error"),
    };
    for leg in [up(&phone), up(&picker)].into_iter().flatten() {
        leg.hang_up().await;
    }
    call.hang_up().await;
    if agrees {
        result
    } else {
        format!("{result}{BUT}{booked}")
    }
}

async fn has_him(leg: &Leg, voice: u8, caller: &Leg, who: &str) -> String {
    match (hears(leg, 1).await, hears(caller, voice).await) {
        (true, true) => who.to_owned(),
        heard => format!("{who} is up; it hears the caller, he hears it: {heard:?}"),
    }
}

/// If the caller is parked between the command to bridge and the bridge, FreeSWITCH either ends the leg itself or leaves
/// it up.
async fn leg_that_was_never_bridged_is_ended_and_a_bridged_one_is_not(fs: Arc<RealFs>) {
    let one_second = Duration::from_secs(1);
    let site = site(fs, &Settings::default()).await;
    let mut left = 0;
    for _ in 0..12 {
        let phones = [site.caller().await, site.caller().await];
        let (call, n) = (CallId(Uuid::new_v4()), 0);
        let (caller, leg) = (Uuid::new_v4(), LegId { call, n });
        let a_leg = caller.to_string();
        parked(&site.fs, &phones[0], caller).await;
        parked(&site.fs, &phones[1], leg.channel()).await;
        let mut console = site.fs.console().await;
        for command in [
            encode::bridge(&a_leg, leg, &a_leg, None),
            encode::end_alone(&a_leg, leg, one_second),
            format!("uuid_transfer {a_leg} park inline"),
        ] {
            console.api(&command).await.expect("an answer");
        }
        tokio::time::sleep(Duration::from_millis(600)).await;
        left += usize::from(up(&phones[1]).is_some());
        tokio::time::sleep(Duration::from_millis(900)).await;
        assert!(up(&phones[1]).is_none(), "a leg is left");
        assert!(up(&phones[0]).is_some(), "its caller is parked");
        console.api(&format!("uuid_kill {a_leg}")).await.expect("an answer");
    }
    println!("{left} of 12 legs were left by FreeSWITCH");
    assert!(
        left > 0,
        "FreeSWITCH has ended all of them itself: this is not needed any more"
    );

    for (way, variable, script) in [
        ("7", "", speaks(2, Reaction::Answer(Duration::ZERO))),
        ("5", "", speaks(2, Reaction::Answer(Duration::ZERO))),
        ("7", "-bypass_media=true", speaks(2, Reaction::Answer(Duration::ZERO))),
        (
            "7",
            "",
            Script {
                early_media: true,
                ..speaks(2, Reaction::Ring)
            },
        ),
    ] {
        let is_early = script.early_media;
        let user = site.fs.new_user();
        let domain = if way == "5" { WAKE_DOMAIN } else { DOMAIN };
        let phone = site.sleeper(&user, domain, Wakes::Elsewhere, script).await;
        let caller = site.caller().await;
        caller.behave(speaks(1, Reaction::Ring));
        let number = format!("{way}{user}");
        let call = caller.call(&format!("{number}{variable}"));
        let event = if is_early {
            "event=EarlyBridged"
        } else {
            "event=Bridged"
        };
        let about = format!("aor={user}@");
        site.daemon().log.wait(&["event=CallHeld ", &about]).await;
        let held = site.daemon().log.with(&["event=CallHeld ", &about]).join("");
        let id = held.split("call.id=").nth(1).and_then(|rest| rest.split(' ').next());
        let id = id.and_then(|id| id.parse().ok()).expect("a call's id");
        let leg = LegId { call: CallId(id), n: 0 };
        site.daemon().log.wait(&[event, &id.to_string()]).await;
        let a_leg = site
            .fs
            .api(&format!("uuid_getvar {} last_bridge_to", leg.channel()))
            .await;
        let a_leg = a_leg.trim().to_owned();
        assert!(
            Uuid::parse_str(&a_leg).is_ok(),
            "{number}{variable}: bridged with {a_leg}"
        );
        tokio::time::sleep(Duration::from_millis(300)).await;
        site.fs.api(&encode::end_alone(&a_leg, leg, one_second)).await;
        tokio::time::sleep(Duration::from_millis(1600)).await;
        assert_eq!(
            site.fs.api(&format!("uuid_exists {}", leg.channel())).await,
            "true",
            "{number}{variable}"
        );
        if is_early {
            call.cancel().await;
        } else {
            assert!(hears(&call.leg(), 2).await, "{number}{variable}: {}", phone.story());
            call.hang_up().await;
        }
    }
}
