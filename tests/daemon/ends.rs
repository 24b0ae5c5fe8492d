//! What the dialplan's own `bridge` learns of the phones: `fswake_bridge`, `fswake_cause`, and what the caller gets.

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

/// The channel's variables when it went back to the dialplan.
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

/// The job of the `originate` knows the cause only.
#[tokio::test]
async fn caller_gets_the_phones_status_also_when_freeswitch_tells_of_the_job_first() {
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
async fn dialplan_that_goes_on_after_a_failure_has_its_next_action() {
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
async fn phone_that_rings_for_the_calls_whole_time_is_not_rung_again() {
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
async fn plain_bridge_rings_where_nobody_has_been_rung_for_the_time_that_is_left() {
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
        assert_eq!(variable("call_timeout").as_deref(), Some("8"), "what is left");
        assert_eq!(held.outcomes().len(), 1);
        held.caller_hangs_up();
    }
    let nobody = stage.call(&daemon, "9999");
    let variable = back(&nobody).await;
    assert_eq!(variable("fswake_bridge").as_deref(), Some("user/9999@fs.test"));
}

#[tokio::test]
async fn contact_that_cannot_be_reached_says_why_and_is_not_rung_a_second_time() {
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

/// FreeSWITCH's rule: the first leg in order that has a cause.
#[tokio::test]
async fn of_several_phones_the_first_says_why() {
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
async fn call_that_only_wakes_goes_back_to_the_dialplan_as_soon_as_its_phone_is_there() {
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
            assert!(held.outcomes().is_empty(), "the other is waited for");
            android.wake();
        }
        let variable = back(&held).await;
        assert_eq!(variable("fswake_result").as_deref(), Some("woken"));
        assert_eq!(variable("fswake_bridge").as_deref(), Some("user/1001@fs.test"));
        assert_eq!(variable("fswake_cause"), None);
        assert_eq!((iphone.invites().len(), android.invites().len()), (0, 0));
        assert!(
            held.timeline().is_empty(),
            "the site's own bridge tells the caller: {:?}",
            held.timeline()
        );
        held.caller_hangs_up();
    }
}
