//! The findings of `fswake doctor` are true: it names one cause, and leaves the site unchanged.

use std::time::Duration;

use fswake_test_support::fcm;
use fswake_test_support::http2::Fault;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::doctor::{Found, all_missed, asleep, clinic, doctor, phones};
use crate::harness::*;

/// All findings, as text.
fn text(found: &Found) -> String {
    found.report["checks"].to_string()
}

fn seen<'a>(found: &'a Found, name: &str) -> &'a str {
    found.check(name)["seen"].as_str().unwrap()
}

fn advice<'a>(found: &'a Found, name: &str) -> &'a str {
    found.check(name)["advice"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn forbidden_command_is_reported_and_nothing_is_reported_as_missing() {
    let stage = clinic().await;
    let daemon = stage.start().await;
    daemon.asleep(&stage.iphone("1001")).await;
    stage.stored(1).await;
    for command in ["module_exists", "xml_locate", "version", "originate"] {
        stage.fs.forbid(command);
    }
    let found = doctor(&stage).await;
    for (name, command) in [
        ("modules", "module_exists"),
        ("version", "version"),
        ("profiles", "xml_locate"),
        ("calls", "xml_locate"),
    ] {
        assert_eq!(found.state(name), "warning", "{name}: {:#}", found.report);
        let says = format!("`{command}`");
        assert!(
            seen(&found, name).contains(&says) && seen(&found, name).contains("esl-allowed-api"),
            "{name}: {}",
            seen(&found, name)
        );
        assert!(advice(&found, name).contains("esl-allowed-api"), "{name}");
    }
    // Only the doctor needs these commands.
    assert_eq!(
        (found.code, found.has("commands")),
        (Some(0), false),
        "{:#}",
        found.report
    );
    for untrue in [
        "not loaded",
        "not in FreeSWITCH's files",
        "no checked context",
        "no profile",
    ] {
        assert!(!text(&found).contains(untrue), "{untrue}: {:#}", found.report);
    }
    stage.fs.forbid("user_data");
    stage.fs.forbid("sched_api");
    let found = doctor(&stage).await;
    assert_eq!((found.code, found.state("commands")), (Some(1), "error"));
    assert!(
        seen(&found, "commands").contains("may not run `user_data`, `sched_api`"),
        "{}",
        seen(&found, "commands")
    );
}

#[tokio::test]
async fn profile_without_phones_is_not_a_warning_where_another_has_them() {
    let stage = clinic().await;
    let _config = stage.command();
    let profile = |name: &str| {
        format!("<profile>\n<name>{name}</name>\n<type>profile</type>\n<state>RUNNING (0)</state>\n</profile>\n")
    };
    let both = [profile("internal"), profile("external")].concat();
    stage
        .fs
        .answer("sofia xmlstatus", &format!("<profiles>\n{both}</profiles>\n"));
    let sofia =
        "<configuration><profiles><profile name=\"internal\"/><profile name=\"external\"/></profiles></configuration>";
    stage
        .fs
        .answer("xml_locate configuration configuration name sofia.conf", sofia);
    let phones = |internal: u32, external: u32| {
        for (name, phones) in [("internal", internal), ("external", external)] {
            let about =
                format!("<profile>\n<context>public</context>\n<registrations>{phones}</registrations>\n</profile>\n");
            stage.fs.answer(&format!("sofia xmlstatus profile {name}"), &about);
        }
    };
    for (internal, external, expected) in [
        (2, 0, ["warning", "ok"]),
        (2, 1, ["warning", "warning"]),
        // No phone is registered yet, so either profile may get them.
        (0, 0, ["warning", "warning"]),
    ] {
        phones(internal, external);
        let found = doctor(&stage).await;
        let states = ["profile internal", "profile external"].map(|name| found.state(name).to_owned());
        assert_eq!(states, expected, "{internal} {external}: {:#}", found.report);
    }
}

#[tokio::test]
async fn module_is_reported_missing_where_freeswitch_knows_none_of_its_commands() {
    let stage = clinic().await;
    let _daemon = stage.start().await;
    for module in ["mod_sofia", "mod_loopback", "mod_commands", "mod_dptools"] {
        let command = format!("module_exists {module}");
        stage.fs.answer(&command, "-ERR module_exists Command not found!\n");
    }
    let found = doctor(&stage).await;
    assert_eq!(
        (found.state("modules"), seen(&found, "modules")),
        ("error", "not loaded: mod_commands")
    );
}

#[tokio::test]
async fn doctor_costs_apple_no_token_besides_that_of_the_daemon() {
    let mut stage = clinic().await;
    let daemon = stage.start().await;
    daemon.log.wait(&["takes this app's credentials", "app=ios"]).await;
    let before = stage.apns.tokens_taken();
    let found = doctor(&stage).await;
    assert_eq!((found.code, found.state("ios")), (Some(0), "ok"), "{:#}", found.report);
    assert!(
        seen(&found, "ios").contains("what the running daemon sends"),
        "{}",
        seen(&found, "ios")
    );
    assert_eq!(stage.apns.tokens_taken(), before, "Apple got another provider token");

    // The daemon runs, but not at the configured address: the doctor asks Apple itself.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    stage.set("http.addresses", vec![free.to_string()]);
    let _config = stage.command();
    let found = doctor(&stage).await;
    assert_eq!(found.state("ios"), "ok", "{:#}", found.report);
    assert!(
        seen(&found, "ios").starts_with("the provider answers as it should"),
        "{}",
        seen(&found, "ios")
    );
    assert_eq!(stage.apns.tokens_taken(), before, "Apple got another provider token");

    daemon.kill().await;
    let found = doctor(&stage).await;
    assert_eq!((found.code, found.state("ios")), (Some(0), "ok"), "{:#}", found.report);
    assert_eq!(stage.apns.tokens_taken(), before);
    let busy = Fault::apns(429, "TooManyProviderTokenUpdates");
    stage.apns.faults.token(fswake_test_support::apns::PROBE, busy);
    let found = doctor(&stage).await;
    assert_eq!(
        (found.code, found.state("ios")),
        (Some(0), "warning"),
        "{:#}",
        found.report
    );
    assert!(
        seen(&found, "ios").contains("TooManyProviderTokenUpdates")
            && advice(&found, "ios").contains("wait 20 minutes"),
        "{}",
        seen(&found, "ios")
    );
}

/// The stand-in limits new tokens of a key as Apple documents it: one in 20 minutes.
#[tokio::test]
async fn apple_gets_one_token_for_a_key_despite_doctor_and_restarts() {
    let stage = clinic().await;
    let _config = stage.command();
    // As in `fswake setup`, when no daemon is running yet.
    let found = doctor(&stage).await;
    assert_eq!(found.state("ios"), "ok", "{:#}", found.report);
    for user in ["1001", "1002"] {
        let daemon = stage.start().await;
        daemon.log.wait(&["takes this app's credentials", "app=ios"]).await;
        daemon.asleep(&stage.iphone(user)).await;
        let _call = stage.call(&daemon, user);
        assert_eq!(stage.push().await.status, 200);
        daemon.kill().await;
    }
    assert_eq!(stage.apns.tokens_taken(), 1);
}

#[tokio::test]
async fn two_apps_of_one_key_cost_the_doctor_one_token() {
    let mut stage = clinic().await;
    let mut brand = stage.settings["app"].as_array().unwrap().last().unwrap().clone();
    brand.as_table_mut().unwrap().insert("name".into(), "brand".into());
    let domains = vec![toml::Value::from("other.test")];
    brand.as_table_mut().unwrap().insert("domains".into(), domains.into());
    stage.app(&toml::to_string(&brand).unwrap());
    let _config = stage.command();
    let found = doctor(&stage).await;
    assert_eq!(
        (found.state("ios"), found.state("brand")),
        ("ok", "ok"),
        "{:#}",
        found.report
    );
    assert_eq!(stage.apns.tokens_taken(), 1);
}

#[tokio::test]
async fn doctor_gets_no_calls_while_the_daemon_is_down() {
    let stage = clinic().await;
    stage.start().await.kill().await;
    let port = stage.settings["listen"]["addresses"][0].as_str().unwrap().to_owned();
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let calling = tokio::spawn(async move {
        let (mut refused, mut taken) = (0, 0);
        while !stopped.is_cancelled() {
            match tokio::net::TcpStream::connect(&port).await {
                Ok(_taken) => taken += 1,
                Err(_) => refused += 1,
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        (refused, taken)
    });
    let found = doctor(&stage).await;
    stop.cancel();
    let (refused, taken) = calling.await.unwrap();
    assert!(refused > 20, "{refused} tries");
    assert_eq!(taken, 0, "of {refused}");
    assert_eq!(found.state("outbound port"), "warning", "{:#}", found.report);
    assert!(
        seen(&found, "outbound port").contains("FreeSWITCH reaches this host"),
        "{}",
        seen(&found, "outbound port")
    );
}

#[tokio::test]
async fn fault_found_by_several_checks_is_counted_once() {
    let stage = clinic().await;
    let daemon = stage.start().await;
    let token = hex_token();
    stage.secret(&token);
    let params = format!("pn-provider=apns;pn-param=DEF123GHIJ.com.example.other.voip;pn-prid={token}");
    let spec = fswake_test_support::freeswitch::PhoneSpec::new("1008", DOMAIN);
    daemon.asleep(&stage.fs.phone(spec.params(&params))).await;
    stage.stored(1).await;
    let found = doctor(&stage).await;
    assert_eq!(
        (found.state("apps"), found.state("no-token-or-app")),
        ("error", "error"),
        "{:#}",
        found.report
    );
    assert_eq!(found.report["errors"], Value::from(1));
    assert_eq!(found.check("no-token-or-app")["follows_from"], "devices, apps");
    let (code, out, err) = stage.tool(&["doctor"]).await;
    assert_eq!((code, err.as_str()), (Some(1), "fswake: 1 error: devices, apps\n"));
    assert!(
        out.contains("(the same fault as devices, apps: counted there)"),
        "{out}"
    );
}

#[tokio::test]
async fn busy_provider_is_reported_without_advice_on_firewalls() {
    let stage = clinic().await;
    let daemon = stage.start().await;
    daemon.log.wait(&["takes this app's credentials", "app=android"]).await;
    let phones = phones(|user| stage.android(user));
    asleep(&daemon, &phones).await;
    let faults = &stage.fcm.as_ref().unwrap().faults;
    let busy = || Fault::fcm(503, "UNAVAILABLE", "UNAVAILABLE");
    faults.token(fcm::PROBE, busy());
    for _ in 0..200 {
        faults.next(busy());
    }
    all_missed(&stage, &daemon, &phones).await;
    let found = doctor(&stage).await;
    found.names_only(
        "provider-busy",
        &["503 UNAVAILABLE (3 pushes)", "Google is reachable but out of order"],
    );
    assert_eq!(
        (found.code, found.state("android")),
        (Some(0), "warning"),
        "{:#}",
        found.report
    );
    for untrue in ["firewall", "cannot be reached", "could not be reached"] {
        assert!(!text(&found).contains(untrue), "{untrue}: {:#}", found.report);
    }
    found.is_as_the_page_has_it("provider-busy");
    let metrics = reqwest::get(url(&daemon, "/metrics").await)
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let says = |line: &str| assert!(metrics.contains(line), "{line}: {metrics}");
    says(r#"fswake_app_problem{app="android",provider="fcm",problem="busy"} 1"#);
    says(r#"fswake_app_problem{app="android",provider="fcm",problem="unreachable"} 0"#);
}

#[tokio::test]
async fn push_that_was_only_logged_is_not_reported_as_accepted() {
    let mut stage = clinic().await;
    stage.app("name = 'nobody'\nprovider = 'log'\nproviders = ['apns']\napp-ids = ['com.example.later']");
    let daemon = stage.start().await;
    let made = |user: &str| {
        let params = "pn-provider=apns;pn-param=DEF123GHIJ.com.example.later.voip;pn-prid=";
        let spec = fswake_test_support::freeswitch::PhoneSpec::new(user, DOMAIN);
        stage.fs.phone(spec.params(&format!("{params}{}", hex_token())))
    };
    let phones = phones(made);
    asleep(&daemon, &phones).await;
    all_missed(&stage, &daemon, &phones).await;
    let (_, trace, _) = stage.tool(&["trace", &format!("1001@{DOMAIN}")]).await;
    assert!(
        trace.contains("only written to the log") && trace.contains("=> nothing was sent to apns:com.example.later"),
        "{trace}"
    );
    assert!(
        !trace.contains("took the push") && !trace.contains("push written, try"),
        "{trace}"
    );
    let found = doctor(&stage).await;
    assert_eq!(found.state("iphone-never-registers"), "ok", "{:#}", found.report);
    assert_eq!(found.state("no-token-or-app"), "warning");
    let push = ["push", "--type", "voip", "--user", "1001", "--realm", DOMAIN];
    let (code, out, err) = stage.tool(&push).await;
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(out.contains("not sent: its app only writes to the log"), "{out}");
}
