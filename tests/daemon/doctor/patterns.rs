//! The known patterns of missed calls: each is reported, with advice.

use super::*;

#[tokio::test]
async fn iphones_that_never_register_are_reported() {
    let stage = clinic().await;
    let daemon = stage.start().await;
    let phones = phones(|user| stage.iphone(user));
    asleep(&daemon, &phones).await;
    all_missed(&stage, &daemon, &phones).await;
    let found = doctor(&stage).await;
    found.names_only(
        "iphone-never-registers",
        &["apns com.example.phone: 3 of 3", "PushKit", "CallKit"],
    );
    let (_, out, _) = stage.tool(&["trace", "1001@fs.test"]).await;
    assert!(
        out.contains("=> Apple took the push to apns:com.example.phone:"),
        "{out}"
    );
    found.is_as_the_page_has_it("iphone-never-registers");
}

#[tokio::test]
async fn android_phones_that_never_register_are_reported_by_user_agent() {
    let stage = clinic().await;
    let daemon = stage.start().await;
    let phones = phones(|user| stage.android(user));
    for phone in &phones {
        phone.change(|spec| spec.agent = "Acme/3 (Brand X)".into());
    }
    asleep(&daemon, &phones).await;
    all_missed(&stage, &daemon, &phones).await;
    let found = doctor(&stage).await;
    found.names_only("android-never-registers", &["on Acme/3 (Brand X): 3 of 3", "battery"]);
    found.is_as_the_page_has_it("android-never-registers");
}

#[tokio::test]
async fn phones_without_a_token_or_an_app_are_reported() {
    let stage = clinic().await;
    let daemon = stage.start().await;
    let phones = phones(|user| stage.fs.phone(PhoneSpec::new(user, DOMAIN)));
    for phone in &phones {
        phone.set_behaviour(Behaviour::Unreachable);
        daemon.dozing(phone).await;
    }
    all_missed(&stage, &daemon, &phones).await;
    let found = doctor(&stage).await;
    found.names_only(
        "no-token-or-app",
        &["registers without a push token: example-phone (3 calls missed)"],
    );

    let token = hex_token();
    stage.secret(&token);
    let params = format!("pn-provider=apns;pn-param=DEF123GHIJ.com.example.other.voip;pn-prid={token}");
    daemon
        .asleep(&stage.fs.phone(PhoneSpec::new("1008", DOMAIN).params(&params)))
        .await;
    stage.stored(1).await;
    let found = doctor(&stage).await;
    assert_eq!(found.state("apps"), "error");
    found.names_only("no-token-or-app", &["apns com.example.other (1)"]);
    found.is_as_the_page_has_it("no-token-or-app");
}

#[tokio::test]
async fn credentials_that_the_provider_refuses_are_reported() {
    let stage = clinic().await;
    let daemon = stage.start().await;
    let phones = phones(|user| stage.iphone(user));
    asleep(&daemon, &phones).await;
    stage
        .apns
        .faults
        .token(&"0".repeat(64), Fault::apns(403, "InvalidProviderToken"));
    for _ in &phones {
        stage.apns.faults.next(Fault::apns(403, "InvalidProviderToken"));
    }
    all_missed(&stage, &daemon, &phones).await;
    let found = doctor(&stage).await;
    assert_eq!((found.state("ios"), found.code), ("error", Some(1)));
    found.names_only("credentials-refused", &["InvalidProviderToken (3 pushes)"]);
    found.is_as_the_page_has_it("credentials-refused");
}

#[tokio::test]
async fn stale_tokens_and_tokens_of_the_other_environment_are_reported() {
    let stage = clinic().await;
    let daemon = stage.start().await;
    let phones = phones(|user| stage.iphone(user));
    asleep(&daemon, &phones).await;
    stage.apns.faults.next(Fault::apns(400, "BadDeviceToken"));
    stage.apns.faults.next(Fault::gone("Unregistered", 4_000_000_000_000));
    stage.apns.faults.next(Fault::gone("Unregistered", 4_000_000_000_000));
    all_missed(&stage, &daemon, &phones).await;
    let found = doctor(&stage).await;
    found.names_only("stale-tokens", &["gone (2)", "refused (1)", "apns.dev"]);
    assert_eq!(found.state("tokens set aside"), "warning");
    found.is_as_the_page_has_it("stale-tokens");
}

#[tokio::test]
async fn invites_that_fail_right_after_the_register_are_reported_with_the_setting() {
    let stage = clinic().await;
    let daemon = stage.start().await;
    let phones = phones(|user| stage.iphone(user));
    asleep(&daemon, &phones).await;
    let held: Vec<_> = phones.iter().map(|p| stage.call(&daemon, &p.spec().user)).collect();
    stage.journal("push-sent", 3).await;
    for phone in &phones {
        phone.set_behaviour(Behaviour::Refuses {
            status: 503,
            after: Duration::ZERO,
            rings: false,
        });
        phone.wake();
    }
    for held in &held {
        assert_eq!(result_of(held).await, "unreachable");
    }
    stage.journal("call-over", 3).await;
    let found = doctor(&stage).await;
    found.names_only("invite-after-register-fails", &["3 of 3", "wake.settle-delay"]);
    found.is_as_the_page_has_it("invite-after-register-fails");
}

#[tokio::test]
async fn late_registers_are_reported_with_the_wait_that_they_need() {
    let stage = clinic().await;
    let daemon = stage.start().await;
    let phones = phones(|user| stage.iphone(user));
    asleep(&daemon, &phones).await;
    all_missed(&stage, &daemon, &phones).await;
    for phone in &phones {
        phone.wake();
    }
    stage.journal("late-register", 3).await;
    let found = doctor(&stage).await;
    found.names_only("late-registers", &["3 of 3", "wake.max-wait (now 1 s)"]);
    found.is_as_the_page_has_it("late-registers");
}

#[tokio::test]
async fn phones_that_refresh_by_their_own_timer_cause_no_advice_to_wait_longer() {
    let stage = clinic().await;
    stage.start().await.kill().await;
    let store = rusqlite::Connection::open(stage.dir.path().join("fswake.db")).unwrap();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let held = i64::try_from(now.as_millis()).unwrap() - 600_000;
    for n in 1..=4 {
        let device = format!("apns:com.example.phone:0000000{n}");
        let call = uuid::Uuid::from_u128(n);
        for (after, step, detail) in [
            (0, "call-held", serde_json::json!({"caller": "1", "devices": 1})),
            (1, "push-sent", serde_json::json!({"device": device})),
            (9, "push-accepted", serde_json::json!({"device": device})),
            (25_000, "call-over", serde_json::json!({"result": "unreachable"})),
            (
                71_000,
                "late-register",
                serde_json::json!({"device": device, "late-ms": 46_000, "ms": 70_999}),
            ),
        ] {
            let line = "INSERT INTO journal (at_ms, call, aor_user, aor_domain, event, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let values = rusqlite::params![
                held + after,
                call.to_string(),
                format!("100{n}"),
                DOMAIN,
                step,
                detail.to_string()
            ];
            store.execute(line, values).unwrap();
        }
    }
    let found = doctor(&stage).await;
    found.names_only("iphone-never-registers", &["apns com.example.phone: 4 of 4"]);
    let late = found.check("late-registers");
    assert!(
        late["seen"].as_str().unwrap().contains("a longer wait will not help"),
        "{late}"
    );
    assert!(late["advice"].is_null(), "{late}");
}

#[tokio::test]
async fn unreachable_provider_is_reported() {
    let mut stage = clinic().await;
    // The app that was added last is the Android one.
    stage.set_app("base-url", "https://127.0.0.1:1");
    let daemon = stage.start().await;
    let phones = phones(|user| stage.android(user));
    asleep(&daemon, &phones).await;
    all_missed(&stage, &daemon, &phones).await;
    let found = doctor(&stage).await;
    assert_eq!((found.state("android"), found.code), ("error", Some(1)));
    found.names_only("provider-unreachable", &["firewall"]);
    found.is_as_the_page_has_it("provider-unreachable");
}
