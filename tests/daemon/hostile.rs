//! Text from the network that tries to inject commands.

use std::time::Duration;

use fswake_test_support::freeswitch::*;

use crate::harness::*;

const ANSWERS: Behaviour = Behaviour::Rings(Duration::ZERO, Some(Duration::ZERO));

/// Users and parameters of Contacts with a meaning for FreeSWITCH, a shell or a terminal.
const HOSTILE: [&str; 12] = [
    "a,sofia/gateway/gw/123",
    "a|sofia/gateway/gw/123",
    "a:_:sofia/gateway/gw/123",
    "{origination_uuid=x}a",
    "[leg_timeout=1]a",
    "${system touch x}",
    "$${domain}",
    "a'b\"c",
    "a\\b^^c",
    "a\nbgapi shutdown",
    "a\r\n\u{1b}[31mred",
    "a b &park()",
];

/// Calls a user with one phone, and returns how many INVITEs reached it. The call must go on in any case.
async fn invites_of(stage: &Stage, daemon: &Daemon, phone: &Phone) -> usize {
    let held = stage.fs.call(&Call::to(daemon.address, &phone.spec().user, DOMAIN));
    match soon("outcome", held.outcome()).await {
        Outcome::Connected { phone: at, .. } => {
            assert_eq!(at, phone.spec().address);
            held.caller_hangs_up();
        }
        Outcome::Resumed { .. } => assert_eq!(phone.invites().len(), 0),
        other => panic!("{other:?}"),
    }
    phone.invites().len()
}

#[tokio::test]
async fn hostile_user_parts_reach_only_their_own_phone() {
    let mut stage = Stage::new().await;
    stage.set("wake.max-wait", "1s");
    let daemon = stage.start().await;
    for user in HOSTILE {
        let phone = stage.iphone(user);
        phone.set_behaviour(ANSWERS);
        phone.register();
        let from = daemon.log.len();
        phone.ping(true);
        daemon.log.wait_from(from, &["event=Pinged "]).await;
        let refused = daemon.log.count(&[" WARN ", "Contact refused"]);
        let invites = invites_of(&stage, &daemon, &phone).await;
        assert!(invites <= 1, "{invites} INVITEs for {user:?}");
        // The same Contact must not be logged a second time.
        let from = daemon.log.len();
        phone.refresh();
        phone.ping(true);
        daemon.log.wait_from(from, &["event=Pinged "]).await;
        assert_eq!(daemon.log.count(&[" WARN ", "Contact refused"]), refused, "{user:?}");
        assert!(stage.fs.legs().len() <= 1);
    }
}

#[tokio::test]
async fn hostile_parameters_reach_only_their_own_phone() {
    let mut stage = Stage::new().await;
    stage.set("wake.max-wait", "1s");
    let daemon = stage.start().await;
    for (n, text) in HOSTILE.into_iter().enumerate() {
        let user = format!("20{n:02}");
        let phone = stage
            .fs
            .phone(PhoneSpec::new(&user, DOMAIN).params(&format!("x={text}")));
        phone.set_behaviour(ANSWERS);
        daemon.registered(&phone).await;
        let invites = invites_of(&stage, &daemon, &phone).await;
        assert!(invites <= 1, "{invites} INVITEs for {text:?}");
    }
}

#[tokio::test]
async fn refused_contact_is_logged_once_with_its_aor_and_the_reason() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.change(|spec| spec.address = "no{host}:5060".into());
    for _ in 0..3 {
        daemon.registered(&phone).await;
    }
    let warnings = &[" WARN ", "Contact refused: the Contact's host is neither"];
    assert!(daemon.log.wait(warnings).await.contains("aor=1001@fs.test"));
    assert_eq!(daemon.log.count(warnings), 1);
}

#[tokio::test]
async fn hostile_callers_are_connected_under_a_harmless_name() {
    let mut stage = Stage::new().await;
    stage.set("wake.device-pushes-per-minute", 0);
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.change(|spec| spec.params.insert_str(0, "transport=tcp;"));
    phone.set_behaviour(ANSWERS);
    daemon.registered(&phone).await;
    let names = [
        "x'},{y",
        "\",sofia/gateway/gw/123",
        "a\n\nbgapi shutdown\r\n\r\n",
        "\u{1b}[2J\u{7}\u{0}",
        "${system x}",
        "]",
        "\\",
    ];
    for (n, hostile) in HOSTILE.into_iter().chain(names).enumerate() {
        let mut call = Call::to(daemon.address, "1001", DOMAIN).from(hostile, hostile);
        call.sip_call_id = format!("{hostile}]@{{x}}");
        let held = stage.fs.call(&call);
        held.wait_bridged().await;
        held.caller_hangs_up();
        let invite = phone.invite(n + 1).await;
        assert_eq!(invite.headers.len(), 1, "{invite:?}");
        assert!(
            !invite
                .caller
                .1
                .contains(['{', '}', '[', ']', '$', '\n', '\r', '"', '\u{1b}']),
            "{invite:?}"
        );
        let push = stage.push().await;
        assert_eq!(
            (push.status, &push.body["caller-name"]),
            (200, &serde_json::Value::from(hostile.trim()))
        );
    }
}

#[tokio::test]
async fn hostile_call_id_of_a_registration_does_no_harm() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    for call_id in ["x]y}z", "a b", "'\"", "\u{1b}[31m\r\n\r\n"] {
        let phone = stage.iphone("1001");
        phone.set_behaviour(ANSWERS);
        phone.change(|spec| spec.call_id = call_id.into());
        daemon.asleep(&phone).await;
        let held = stage.call(&daemon, "1001");
        stage.push().await;
        phone.wake();
        held.wait_bridged().await;
        held.caller_hangs_up();
        let from = daemon.log.len();
        phone.unregister();
        daemon.log.wait_from(from, &["device forgotten", "unregistered"]).await;
    }
}

/// The caller chooses the names: INVITE headers become variables.
#[tokio::test]
async fn many_refused_variables_do_not_fill_the_log() {
    let (stage, daemon, _phone) = one_sleeper().await;
    let mut call = Call::to(daemon.address, "1001", DOMAIN);
    for n in 0..60 {
        call = call.variable(&format!("sip_h_X-{n}"), "${x}");
    }
    let held = stage.fs.call(&call);
    stage.push().await;
    daemon.log.wait(&["is not passed on"]).await;
    held.caller_hangs_up();
    daemon.summary().await;
    assert_eq!(daemon.log.count(&["is not passed on"]), 8);
}
