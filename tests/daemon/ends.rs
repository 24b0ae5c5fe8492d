//! What the dialplan's own `bridge` gets from the phones (`fswake_bridge`, `fswake_cause`), and what the caller gets.

use std::time::Duration;

use fswake_test_support::freeswitch::*;

use crate::harness::*;

fn refuses(status: u16) -> Behaviour {
    Behaviour::Refuses {
        status,
        after: Duration::from_millis(20),
        rings: true,
    }
}

/// The channel's variables when it returned to the dialplan.
async fn back(held: &Held) -> impl Fn(&str) -> Option<String> + use<> {
    let outcome = soon("outcome", held.outcome()).await;
    let Outcome::Resumed { variables } = outcome else {
        panic!("{outcome:?}");
    };
    move |name: &str| {
        let found = variables.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.clone())
    }
}

#[tokio::test]
async fn bridge_fails_as_the_phone_did_and_the_caller_gets_its_status() {
    let mut stage = Stage::new().await;
    stage.set("wake.device-pushes-per-minute", 0);
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    for (status, cause) in [(486, "USER_BUSY"), (603, "CALL_REJECTED"), (600, "USER_BUSY")] {
        for call in both_ways(&daemon, "1001") {
            phone.set_behaviour(refuses(status));
            daemon.asleep(&phone).await;
            let held = stage.fs.call(&call);
            stage.push().await;
            phone.wake();
            let variable = back(&held).await;
            assert_eq!(variable("fswake_result").as_deref(), Some("declined"));
            assert_eq!(variable("fswake_cause").as_deref(), Some(cause));
            assert_eq!(variable("fswake_bridge"), Some(format!("error/{cause}")));
            assert_eq!(held.nth_outcome(1).await, Outcome::HungUp(cause.into()));
            assert_eq!(held.timeline().last().unwrap().1, CallerSaw::Final(status));
            assert_eq!(stage.fs.legs().len(), 0);
        }
    }
}

/// The `originate`'s job has only the cause.
#[tokio::test]
async fn caller_gets_the_phones_status_also_if_freeswitch_reports_the_job_first() {
    let config = Config {
        originate_ahead: Duration::from_millis(4),
        ..Config::default().instant_events()
    };
    let stage = Stage::with_freeswitch(config).await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.set_behaviour(refuses(600));
    daemon.asleep(&phone).await;
    let held = stage.call(&daemon, "1001");
    stage.push().await;
    phone.wake();
    let variable = back(&held).await;
    assert_eq!(variable("fswake_cause").as_deref(), Some("USER_BUSY"));
    soon("outcome", held.nth_outcome(1)).await;
    assert_eq!(held.timeline().last().unwrap().1, CallerSaw::Final(600));
}

#[tokio::test]
async fn dialplan_with_continue_on_fail_runs_its_next_action() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    for (list, goes_on) in [("true", true), ("user_busy,no_answer", true), ("no_answer", false)] {
        let [by_dialplan, by_loopback] = both_ways(&daemon, "1001");
        let calls = [
            by_dialplan.variable("continue_on_fail", list),
            by_loopback.behind("continue_on_fail", list),
        ];
        for call in calls {
            phone.set_behaviour(refuses(486));
            daemon.asleep(&phone).await;
            let held = stage.fs.call(&call);
            stage.push().await;
            phone.wake();
            drop(back(&held).await);
            match soon("dialplan", held.nth_outcome(1)).await {
                Outcome::WentOn { cause, .. } => assert!(goes_on && cause == "USER_BUSY"),
                other => assert!(!goes_on, "{list}: {other:?}"),
            }
            held.caller_hangs_up();
        }
    }
}

#[tokio::test]
async fn phone_that_rang_until_the_calls_limit_is_not_rung_again() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    let [call, _] = both_ways(&daemon, "1001");
    daemon.asleep(&phone).await;
    let held = stage.fs.call(&call.variable("call_timeout", "1"));
    stage.push().await;
    phone.wake();
    let variable = back(&held).await;
    assert_eq!(variable("fswake_result").as_deref(), Some("timeout"));
    assert_eq!(variable("fswake_cause").as_deref(), Some("NO_ANSWER"));
    assert_eq!(held.nth_outcome(1).await, Outcome::HungUp("NO_ANSWER".into()));
    assert_eq!(phone.invites().len(), 1);
}

#[tokio::test]
async fn plain_bridge_rings_for_the_remaining_time_where_no_phone_was_rung() {
    let mut stage = Stage::new().await;
    stage.set("wake.max-wait", "1s");
    stage.set("wake.push-retries", 0);
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    for (call, plain) in both_ways(&daemon, "1001")
        .into_iter()
        .zip(["user/1001@fs.test", "plain"])
    {
        let held = stage.fs.call(&call.variable("call_timeout", "9"));
        stage.push().await;
        let variable = back(&held).await;
        assert_eq!(variable("fswake_result").as_deref(), Some("unreachable"));
        assert_eq!(variable("fswake_bridge").as_deref(), Some(plain), "untouched");
        assert_eq!(variable("fswake_cause"), None);
        assert_eq!(variable("call_timeout").as_deref(), Some("8"), "not the remaining time");
        assert_eq!(held.outcomes().len(), 1);
        held.caller_hangs_up();
    }
    let nobody = stage.call(&daemon, "9999");
    let variable = back(&nobody).await;
    assert_eq!(variable("fswake_bridge").as_deref(), Some("user/9999@fs.test"));
}

#[tokio::test]
async fn unreachable_contact_gives_its_cause_and_is_not_rung_again() {
    let mut stage = Stage::new().await;
    stage.set("wake.max-wait", "2s");
    let daemon = stage.start().await;
    for (status, cause) in [
        (404, "UNALLOCATED_NUMBER"),
        (480, "NO_USER_RESPONSE"),
        (503, "NORMAL_TEMPORARY_FAILURE"),
    ] {
        let user = format!("1{status}");
        let phone = stage.fs.phone(PhoneSpec::new(&user, DOMAIN));
        phone.set_behaviour(Behaviour::Refuses {
            status,
            after: Duration::ZERO,
            rings: false,
        });
        daemon.registered(&phone).await;
        let held = stage.call(&daemon, &user);
        let variable = back(&held).await;
        assert_eq!(variable("fswake_cause").as_deref(), Some(cause));
        assert_eq!(held.nth_outcome(1).await, Outcome::HungUp(cause.into()));
        assert_eq!(held.timeline().last().unwrap().1, CallerSaw::Final(status));
        assert_eq!(phone.invites().len(), 1);
    }
}

/// FreeSWITCH's rule: the cause of the first leg in order that has one.
#[tokio::test]
async fn cause_of_several_phones_is_the_first_ones() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phones = [
        stage.fs.phone(PhoneSpec::new("1001", DOMAIN)),
        stage.fs.phone(PhoneSpec::new("1001", DOMAIN)),
    ];
    for (phone, (status, after)) in phones.iter().zip([(603, 300), (486, 20)]) {
        phone.set_behaviour(Behaviour::Refuses {
            status,
            after: Duration::from_millis(after),
            rings: true,
        });
        daemon.registered(phone).await;
    }
    let held = stage.call(&daemon, "1001");
    let variable = back(&held).await;
    assert_eq!(variable("fswake_cause").as_deref(), Some("CALL_REJECTED"));
}

#[tokio::test]
async fn wake_only_call_goes_back_to_the_dialplan_once_its_phone_has_registered() {
    let stage = Stage::with_android().await;
    let daemon = stage.start().await;
    let (iphone, android) = (stage.iphone("1001"), stage.android("1001"));
    for wait in ["first", "all"] {
        daemon.asleep(&iphone).await;
        daemon.asleep(&android).await;
        let [call, _] = both_ways(&daemon, "1001");
        let call = call.variable("fswake_mode", "wake").variable("fswake_wait", wait);
        let held = stage.fs.call(&call);
        tokio::join!(stage.push(), stage.android_push());
        let from = daemon.log.len();
        iphone.wake();
        daemon.log.wait_from(from, &["device-registered"]).await;
        if wait == "all" {
            assert!(held.outcomes().is_empty(), "the call did not wait for the other phone");
            android.wake();
        }
        let variable = back(&held).await;
        assert_eq!(variable("fswake_result").as_deref(), Some("woken"));
        assert_eq!(variable("fswake_bridge").as_deref(), Some("user/1001@fs.test"));
        assert_eq!(variable("fswake_cause"), None);
        assert_eq!((iphone.invites().len(), android.invites().len()), (0, 0));
        assert!(
            held.timeline().is_empty(),
            "fswake signalled to the caller instead of the site's own bridge: {:?}",
            held.timeline()
        );
        held.caller_hangs_up();
    }
}
