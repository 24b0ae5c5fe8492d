//! Several FreeSWITCHes, on stand-ins: legs between them, and what happens when one is gone. tests/cluster does the
//! same with real ones.

use std::time::Duration;

use fswake_test_support::freeswitch::*;

use crate::harness::*;
use crate::outcomes::result_of;

const ANSWERS: Behaviour = Behaviour::Rings(Duration::ZERO, Some(Duration::from_millis(50)));
/// Where FreeSWITCH A sends INVITEs for phones of B.
const SIP_OF_B: &str = "192.0.2.2:5080";
const KEY: &str = "0123456789abcdef0123456789abcdef";

/// A stage with a second FreeSWITCH; the first is A.
pub async fn stage() -> (Stage, FakeFreeSwitch) {
    let mut stage = Stage::new().await;
    let b = FakeFreeSwitch::start(Config::default()).await;
    let node = |name: &str, fs: &FakeFreeSwitch, sip: &str| {
        format!("name = '{name}'\nport = {}\nsip = '{sip}'", fs.address().port())
    };
    let nodes = [node("a", &stage.fs, "192.0.2.1:5080"), node("b", &b, SIP_OF_B)];
    let nodes = nodes.map(|node| toml::Value::Table(node.parse().unwrap()));
    stage.settings.insert("freeswitch".into(), nodes.to_vec().into());
    let key = stage.dir.path().join("cluster.key");
    std::fs::write(&key, KEY).unwrap();
    stage.secret(KEY);
    stage.set("cluster.key-file", key.display().to_string());
    (stage, b)
}

async fn start(stage: &Stage) -> Daemon {
    let daemon = stage.start_alone().await;
    daemon.log.wait_times(2, &["connected to FreeSWITCH"]).await;
    daemon
}

/// An iPhone of B.
fn iphone(stage: &Stage, b: &FakeFreeSwitch, user: &str) -> Phone {
    let spec = stage.iphone(user).spec();
    b.phone(PhoneSpec::new(user, DOMAIN).params(&spec.params))
}

/// B, as A sees it: whatever is sent there answers.
fn b_at_a(stage: &Stage) -> Phone {
    let b = stage.fs.phone(PhoneSpec::new("fswake-leg", DOMAIN).at(SIP_OF_B));
    b.set_behaviour(ANSWERS);
    b.wake();
    b
}

/// An INVITE with this header, as B's dialplan hands it over.
fn leg(daemon: &Daemon, header: &str) -> Call {
    Call::to(daemon.address, "fswake-leg", DOMAIN)
        .variable("fswake_bridge", "error/NORMAL_TEMPORARY_FAILURE")
        .variable("sip_h_X-Fswake-Leg", header)
}

#[tokio::test]
async fn phone_of_another_freeswitch_is_rung_through_it_and_there_by_the_dialplans_bridge() {
    let (stage, b) = stage().await;
    let daemon = start(&stage).await;
    let (phone, through) = (iphone(&stage, &b, "1001"), b_at_a(&stage));
    phone.register();
    daemon.log.wait(&["event=Registered ", "aor=1001"]).await;
    let held = stage.call(&daemon, "1001");
    soon("push", stage.apns.next_push()).await;
    phone.register();
    // A's part: an INVITE to B with a signed header.
    let invite = soon("INVITE to B", through.invite(1)).await;
    let header = invite.variable("sip_h_X-Fswake-Leg").expect("the header").to_owned();
    soon("bridge", held.wait_bridged()).await;
    daemon.log.wait(&["call over", "connected"]).await;
    // B's part: the dialplan gets the phone's address, once.
    let first = b.call(&leg(&daemon, &header));
    soon("channel handed back", first.outcome()).await;
    let dialled = first.variable("fswake_bridge").expect("a target");
    assert!(dialled.contains("]sofia/internal/sip:1001@"), "{dialled}");
    assert!(dialled.starts_with("[sip_invite_call_id="), "{dialled}");
    assert_eq!(
        first.variable("sip_h_X-Fswake-Leg").unwrap_or_default(),
        "",
        "the phone does not get it"
    );
    for (what, header) in [
        ("used before", header.clone()),
        ("changed", header.replacen('e', "f", 1)),
    ] {
        let again = b.call(&leg(&daemon, &header));
        soon("channel handed back", again.outcome()).await;
        assert_eq!(
            again.variable("fswake_bridge").as_deref(),
            Some("error/NORMAL_TEMPORARY_FAILURE"),
            "{what}"
        );
    }
    // Meant for B.
    let at_a = stage.fs.call(&leg(&daemon, &header));
    soon("channel handed back", at_a.outcome()).await;
    assert_eq!(
        at_a.variable("fswake_bridge").as_deref(),
        Some("error/NORMAL_TEMPORARY_FAILURE")
    );
}

#[tokio::test]
async fn phone_of_a_freeswitch_that_is_gone_is_pushed_and_rung_where_it_registers() {
    let (stage, b) = stage().await;
    let daemon = start(&stage).await;
    let through = b_at_a(&stage);
    let phone = iphone(&stage, &b, "1001");
    phone.register();
    daemon.log.wait(&["event=Registered ", "aor=1001"]).await;
    b.listen(false);
    b.drop_inbound();
    daemon.log.wait(&["no connection to FreeSWITCH", "name=\"b\""]).await;
    daemon.log.wait(&["event=NodeLost "]).await;
    let held = stage.call(&daemon, "1001");
    soon("push", stage.apns.next_push()).await;
    stage.journal("node-out-of-reach", 1).await;
    // It registers at A.
    let at_a = stage
        .fs
        .phone(PhoneSpec::new("1001", DOMAIN).params(&phone.spec().params));
    at_a.set_behaviour(ANSWERS);
    at_a.wake();
    soon("bridge", held.wait_bridged()).await;
    assert!(through.invites().is_empty());
    let (_, health) = (held, reqwest::get(url(&daemon, "/readyz").await).await.unwrap());
    assert_eq!(health.status(), 200, "the other FreeSWITCH's calls are woken");
    assert!(health.text().await.unwrap().contains("esl b"));
}

#[tokio::test]
async fn legs_through_a_freeswitch_end_when_it_is_gone() {
    let (stage, b) = stage().await;
    let daemon = start(&stage).await;
    let through = b_at_a(&stage);
    through.set_behaviour(Behaviour::Rings(Duration::ZERO, None));
    let phone = iphone(&stage, &b, "1001");
    phone.register();
    daemon.log.wait(&["event=Registered ", "aor=1001"]).await;
    let held = stage.call(&daemon, "1001");
    soon("push", stage.apns.next_push()).await;
    phone.register();
    soon("INVITE to B", through.invite(1)).await;
    b.listen(false);
    b.drop_inbound();
    soon("CANCEL to B", through.cancelled()).await;
    // The phone is pushed again.
    soon("push", stage.apns.next_push()).await;
    held.caller_hangs_up();
}

#[tokio::test]
async fn call_of_a_freeswitch_that_is_not_configured_is_not_held() {
    let (stage, _b) = stage().await;
    let daemon = start(&stage).await;
    let stranger = FakeFreeSwitch::start(Config::default()).await;
    // On loopback the address is that of both.
    let held = stranger.call(&Call::to(daemon.address, "1001", DOMAIN));
    soon("channel handed back", held.outcome()).await;
    daemon
        .log
        .wait(&["outbound connection refused", "of no [[freeswitch]]"])
        .await;
    assert_eq!(result_of(&held).await, "");
}

/// B's own 404 and a phone's 404 through B are the same to A. B knows which legs it has taken.
#[tokio::test]
async fn answer_of_a_freeswitch_that_has_not_taken_the_leg_is_not_the_phones() {
    let (stage, b) = stage().await;
    let daemon = start(&stage).await;
    for (user, is_taken) in [("1001", true), ("1002", false)] {
        let (phone, through) = (iphone(&stage, &b, user), b_at_a(&stage));
        through.set_behaviour(Behaviour::Manual);
        phone.register();
        daemon.log.wait(&["event=Registered ", &format!("aor={user}")]).await;
        let held = stage.call(&daemon, user);
        soon("push", stage.apns.next_push()).await;
        phone.register();
        let invite = soon("INVITE to B", through.invite(1)).await;
        if is_taken {
            let at_b = b.call(&leg(&daemon, invite.variable("sip_h_X-Fswake-Leg").unwrap()));
            soon("channel handed back", at_b.outcome()).await;
        }
        through.refuse(404);
        let (cause, sip) = if is_taken {
            ("UNALLOCATED_NUMBER", "404")
        } else {
            ("not taken by the phone's FreeSWITCH", "0")
        };
        let aor = format!("aor={user}@");
        let (cause, sip) = (format!("\"cause\\\":\\\"{cause}"), format!("\"sip\\\":{sip}"));
        daemon.log.wait(&["event=\"leg-ended\"", &aor, &cause, &sip]).await;
        held.caller_hangs_up();
    }
    let warned = ["WARN", "does not take legs from the others", "node=\"b\"", "status=404"];
    daemon.log.wait(&warned).await;
    assert_eq!(daemon.log.count(&warned), 1);
}
