//! Headers of legs that are not what they say, and FreeSWITCHes that are not whom they say.

use std::time::{Duration, SystemTime};

use fswake::esl::leg_token::{ClusterKey, HEADER, LegClaims};
use fswake::types::{NodeId, Secret, Target};
use fswake_test_support::realfs::{DOMAIN, RealFs};
use fswake_test_support::sip::{Phone, Script};
use fswake_test_support::site::{Settings, Site};
use uuid::Uuid;

use crate::steps::{answers, awake, call, hang_up, is_connected, sleeper};
use crate::{Pair, site, two_daemons};

crate::trials![
    header_without_a_valid_signature_rings_nothing,
    header_is_used_once_whichever_fswake_gets_it,
    header_of_a_caller_to_somebody_else_changes_nothing,
    one_freeswitch_under_two_names_is_served_once,
];

/// What the header of a leg from A for this phone at B says.
fn claims(phone: &Phone) -> LegClaims {
    let account = phone.account();
    let target = format!("sofia/internal/sip:{}@{}", account.user, phone.address());
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("a clock");
    LegClaims {
        leg: Uuid::new_v4(),
        from: "fs1".into(),
        to: "fs2".into(),
        user: account.user.clone(),
        domain: account.domain.clone(),
        binding: Target::new(target).at(NodeId(1)).digest(),
        call_id: "leg@test".into(),
        context: "default".into(),
        variables: Vec::new(),
        bypasses_media: false,
        ring: 20,
        until: LegClaims::until(i64::try_from(now.as_secs()).expect("this century")),
    }
}

fn signed(claims: &LegClaims, key: &str) -> String {
    ClusterKey::new(&Secret::new(key)).header(claims)
}

/// The status that B gives to an INVITE with this header.
async fn answer(fs: &RealFs, site: &Site, header: &str) -> u16 {
    let script = Script {
        headers: vec![(HEADER.to_owned(), header.to_owned())],
        ..Script::default()
    };
    let caller = Phone::new(fs.account(&site.fs.new_user(), DOMAIN), script).await;
    let call = caller.call("fswake-leg");
    let (_, status) = call.outcome_within(Duration::from_secs(8)).await;
    if status == 200 {
        call.hang_up().await;
    }
    status
}

async fn header_without_a_valid_signature_rings_nothing(pair: Pair) {
    let settings = Settings::default();
    let key = settings.key.clone();
    let site = site(&pair, settings).await;
    let phone = awake(&site, &pair.b, answers(50)).await;
    let good = claims(&phone);
    let other = |change: fn(&mut LegClaims)| {
        let mut claims = good.clone();
        claims.leg = Uuid::new_v4();
        change(&mut claims);
        signed(&claims, &key)
    };
    let forged = signed(&good, "ffffffffffffffffffffffffffffffff");
    let signed_twice = format!("{}.{}", other(|_| {}), "x");
    for (what, header) in [
        ("another key", forged),
        ("no signature", "abc".to_owned()),
        ("too much", signed_twice),
        ("too late", other(|claims| claims.until -= 60)),
        ("too early", other(|claims| claims.until += 3600)),
        ("for another FreeSWITCH", other(|claims| claims.to = "fs1".into())),
        ("of a phone that is not there", other(|claims| claims.binding = [0; 16])),
        ("of another user", other(|claims| claims.user = "nobody".into())),
    ] {
        assert_eq!(answer(&pair.b, &site, &header).await, 503, "{what}");
        assert_eq!(phone.invites(), 0, "{what}: {}", phone.story());
    }
    site.daemon()
        .log
        .wait(&["refused a leg", "signature does not fit"])
        .await;
    // The same text with the right key and content rings the phone: the rest of the test has tried the right thing.
    assert_eq!(answer(&pair.b, &site, &signed(&good, &key)).await, 200);
    assert_eq!(phone.invites(), 1);
}

async fn header_is_used_once_whichever_fswake_gets_it(pair: Pair) {
    let settings = Settings::default();
    let key = settings.key.clone();
    let (mut site, joined) = two_daemons(&pair, settings.clone()).await;
    let phone = awake(&site, &pair.b, answers(50)).await;
    joined.daemon().heard(&phone).await;
    let header = signed(&claims(&phone), &key);
    assert_eq!(answer(&pair.b, &site, &header).await, 200);
    assert_eq!(answer(&pair.b, &site, &header).await, 503);
    // The second fswake, which has taken it, is gone; another takes its place and knows nothing of it.
    drop(joined);
    site.kill_daemon().await;
    let mut third = settings;
    third.others = vec![pair.b.ports];
    third.listen = Some(pair.b.ports.fswake);
    let third = site.join(&third).await;
    third.daemon().heard(&phone).await;
    assert_eq!(answer(&pair.b, &site, &header).await, 503);
    third.daemon().log.wait(&["refused a leg", "it was used before"]).await;
    assert_eq!(phone.invites(), 1, "{}", phone.story());
}

/// Whatever header a caller sends: the call is held, and its phone woken.
async fn header_of_a_caller_to_somebody_else_changes_nothing(pair: Pair) {
    let site = site(&pair, Settings::default()).await;
    let user = site.fs.new_user();
    let phone = sleeper(&site, &pair.a, &user, answers(50)).await;
    let script = Script {
        headers: vec![(HEADER.to_owned(), "x.y".to_owned())],
        ..Script::default()
    };
    let caller = Phone::new(pair.a.account(&site.fs.new_user(), DOMAIN), script).await;
    let call = caller.call(&format!("7{user}"));
    is_connected(&call, &phone).await;
    hang_up(&call, &phone).await;
}

/// Its registrations would be known twice, and its phones rung through itself.
async fn one_freeswitch_under_two_names_is_served_once(pair: Pair) {
    let twin = format!(
        "[[freeswitch]]\nname = \"twin\"\nhost = \"localhost\"\nport = {}\nsip = \"{}\"\n",
        pair.b.ports.esl.port(),
        pair.b.ports.sip
    );
    let settings = Settings {
        more: twin,
        ..Settings::default()
    };
    let site = site(&pair, settings).await;
    let daemon = site.daemon();
    daemon.log.wait(&["it is the same FreeSWITCH as "]).await;
    let user = site.fs.new_user();
    let phone = sleeper(&site, &pair.b, &user, answers(50)).await;
    let call = call(&site, &pair.a, &user).await;
    is_connected(&call, &phone).await;
    assert_eq!(phone.invites(), 1);
    hang_up(&call, &phone).await;
}
