//! `fswake doctor`, routing: where each dial-string leads, and sites where FusionPBX or another script answers in place
//! of the files.

use fswake_test_support::freeswitch::*;

use crate::doctor::{all_missed, clinic, doctor};
use crate::harness::*;

const FUSIONPBX_LUA: &str = r#"<configuration name="lua.conf"><settings><param name="xml-handler-script" value="app.lua xml_handler"/>
    <param name="xml-handler-bindings" value="configuration,dialplan,directory,languages"/></settings></configuration>"#;

/// A FreeSWITCH that uses FusionPBX's script, with one known phone of user 1001.
async fn under_fusionpbx(stage: &Stage) -> (Daemon, Phone) {
    stage.fs.answer("module_exists mod_lua", "true");
    let lua = "xml_locate configuration configuration name lua.conf";
    stage.fs.answer(lua, FUSIONPBX_LUA);
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    stage.stored(1).await;
    (daemon, phone)
}

/// The port that fswake listens on.
fn port(stage: &Stage) -> u16 {
    let settings: toml::Table = std::fs::read_to_string(stage.write()).unwrap().parse().unwrap();
    let address = settings["listen"]["addresses"][0].as_str().unwrap();
    address.rsplit_once(':').unwrap().1.parse().unwrap()
}

/// A context with the `socket` application, as `xml_locate` prints it.
fn context(stage: &Stage, name: &str) -> String {
    let port = port(stage);
    format!(
        r#"<context name="{name}"><extension name="fswake"><condition><action application="set" data="socket_resume=true"/>
           <action application="socket" data="127.0.0.1:{port} async full"/>
           <action application="bridge" data="${{sofia_contact(*/${{dialed_user}}@${{dialed_domain}})}}"/></condition></extension></context>"#
    )
}

fn dial_string(stage: &Stage, user: &str, value: &str) {
    stage
        .fs
        .answer(&format!("user_data {user}@{DOMAIN} param dial-string"), value);
}

#[tokio::test]
async fn fusionpbx_with_the_recipe_is_healthy_and_with_the_readmes_lines_every_call_is_lost() {
    let stage = clinic().await;
    let (_daemon, _phone) = under_fusionpbx(&stage).await;
    let found = doctor(&stage).await;
    assert_eq!((found.code, found.state("calls")), (Some(1), "error"));
    let check = found.check("calls").to_string();
    assert!(
        check.contains("FusionPBX's own dialplan answers") && check.contains("docs/FUSIONPBX.md"),
        "{check}"
    );

    let renamed = context(&stage, "fswake@static");
    stage
        .fs
        .answer("xml_locate dialplan context name fswake@static", &renamed);
    dial_string(
        &stage,
        "1001",
        "[leg_timeout=${call_timeout}]loopback/${dialed_user}@${dialed_domain}/fswake@static",
    );
    let found = doctor(&stage).await;
    assert_eq!(found.state("calls"), "ok", "{:#}", found.report);
    assert_eq!(found.check("calls")["seen"], format!("by the dial-string of {DOMAIN}"));
    assert_eq!(found.state("outbound port"), "ok", "{:#}", found.report);
}

#[tokio::test]
async fn fusionpbx_that_calls_fswake_from_its_dialplan_is_healthy_after_a_call() {
    let stage = clinic().await;
    let (daemon, phone) = under_fusionpbx(&stage).await;
    dial_string(&stage, "1001", "${sofia_contact(*/${dialed_user}@${dialed_domain})}");
    let found = doctor(&stage).await;
    assert_eq!(found.state("calls"), "error", "{:#}", found.report);
    let seen = found.check("calls")["seen"].as_str().unwrap().to_owned();
    assert!(
        seen.contains("FusionPBX answers for the dialplan, so the doctor cannot read it"),
        "{seen}"
    );
    all_missed(&stage, &daemon, &[phone]).await;
    let found = doctor(&stage).await;
    assert_eq!(found.state("calls"), "ok", "{:#}", found.report);
    assert_eq!(
        found.check("calls")["seen"],
        format!("by a dialplan, as calls of the last days show, for {DOMAIN}")
    );
}

#[tokio::test]
async fn advice_for_fusionpbx_names_its_own_menus() {
    let stage = clinic().await;
    let (_daemon, _phone) = under_fusionpbx(&stage).await;
    let sofia = r#"<configuration><profiles><profile name="internal"><settings><param name="manage-shared-appearance" value="true"/>
        <param name="inbound-reg-force-matching-username" value="true"/></settings></profile></profiles></configuration>"#;
    stage
        .fs
        .answer("xml_locate configuration configuration name sofia.conf", sofia);
    let found = doctor(&stage).await;
    let check = found.check("profile internal");
    let (seen, advice) = (check["seen"].as_str().unwrap(), check["advice"].as_str().unwrap());
    assert!(!seen.contains("multiple-registrations"), "{seen}");
    assert!(seen.contains("tcp-unreg-on-socket-close should be true"), "{seen}");
    assert!(
        advice.contains("Advanced > SIP Profiles") && !advice.contains("fs-conf"),
        "{advice}"
    );
}

#[tokio::test]
async fn other_dialplan_scripts_are_a_warning_where_the_name_has_no_at() {
    let stage = clinic().await;
    stage.fs.answer("module_exists mod_xml_curl", "true");
    let curl = r#"<configuration><bindings><binding><param name="gateway-url" value="http://127.0.0.1/" bindings="dialplan"/></binding></bindings></configuration>"#;
    stage
        .fs
        .answer("xml_locate configuration configuration name xml_curl.conf", curl);
    let daemon = stage.start().await;
    daemon.asleep(&stage.iphone("1001")).await;
    stage.stored(1).await;
    let found = doctor(&stage).await;
    assert_eq!((found.state("calls"), found.state("context fswake")), ("ok", "warning"));
    let renamed = context(&stage, "fswake@static");
    stage
        .fs
        .answer("xml_locate dialplan context name fswake@static", &renamed);
    dial_string(&stage, "1001", "loopback/${dialed_user}@${dialed_domain}/fswake@static");
    stage
        .fs
        .answer("xml_locate dialplan context name fswake", "can't find anything\n");
    let found = doctor(&stage).await;
    assert_eq!(found.state("calls"), "ok", "{:#}", found.report);
    assert!(
        !found.has("context fswake") && !found.has("context fswake@static"),
        "{:#}",
        found.report
    );
}

#[tokio::test]
async fn missing_context_of_the_dial_string_is_an_error_whatever_others_exist() {
    let stage = clinic().await;
    let daemon = stage.start().await;
    daemon.asleep(&stage.iphone("1001")).await;
    stage.stored(1).await;
    let named = context(&stage, "wake-up");
    stage.fs.answer("xml_locate dialplan context name wake-up", &named);
    stage
        .fs
        .answer("xml_locate dialplan context name fswake", "can't find anything\n");
    dial_string(
        &stage,
        "1001",
        "[a=b]loopback/${dialed_user}@${dialed_domain}/wake-up/XML",
    );
    let found = doctor(&stage).await;
    assert_eq!(found.state("calls"), "ok", "{:#}", found.report);

    stage
        .fs
        .answer("xml_locate dialplan context name wake-up", "can't find anything\n");
    let default = context(&stage, "default");
    stage.fs.answer("xml_locate dialplan context name default", &default);
    let found = doctor(&stage).await;
    assert_eq!(
        (found.code, found.state("calls")),
        (Some(1), "error"),
        "{:#}",
        found.report
    );
    let seen = found.check("calls")["seen"].as_str().unwrap();
    assert!(
        seen.contains("leads to context wake-up, which is not in FreeSWITCH's files"),
        "{seen}"
    );
}

#[tokio::test]
async fn user_with_its_own_dial_string_does_not_represent_its_domain() {
    let stage = clinic().await;
    let daemon = stage.start().await;
    daemon.asleep(&stage.iphone("1001")).await;
    stage.stored(1).await;
    dial_string(&stage, "1001", "sofia/gateway/carrier/0049123");
    let whole = format!("domain_data {DOMAIN} param dial-string");
    stage
        .fs
        .answer(&whole, "loopback/${dialed_user}@${dialed_domain}/fswake");
    let found = doctor(&stage).await;
    assert_eq!(found.state("calls"), "warning", "{:#}", found.report);
    let seen = found.check("calls")["seen"].as_str().unwrap().to_owned();
    assert_eq!(
        seen,
        format!("by the dial-string of {DOMAIN}; the dial-string of 1001@{DOMAIN} does not lead to fswake")
    );
    daemon.asleep(&stage.iphone("1002")).await;
    stage.stored(2).await;
    // Do not disturb: at the moment it leads nowhere.
    dial_string(&stage, "1001", "error/user_busy");
    assert_eq!(doctor(&stage).await.state("calls"), "ok");
}

#[tokio::test]
async fn dial_string_timeouts_shorter_than_the_wait_are_reported_with_their_owner() {
    let mut stage = clinic().await;
    stage.set("wake.max-wait", "25s");
    let daemon = stage.start().await;
    for user in ["1001", "1002"] {
        daemon.asleep(&stage.iphone(user)).await;
    }
    stage.stored(2).await;
    let leg = "loopback/${dialed_user}@${dialed_domain}/fswake";
    for (brackets, says) in [
        ("[leg_timeout=10]", Some("leg_timeout=10")),
        ("{originate_timeout=11}", Some("originate_timeout=11")),
        ("<call_timeout=12>", Some("call_timeout=12")),
        ("[leg_timeout=25]", None),
        ("[leg_timeout=${call_timeout}]", None),
        ("", None),
    ] {
        dial_string(&stage, "1001", &format!("{brackets}{leg}"));
        let found = doctor(&stage).await;
        assert_eq!(
            found.has("dial-string"),
            says.is_some(),
            "{brackets}: {:#}",
            found.report
        );
        if let Some(limit) = says {
            let check = found.check("dial-string");
            assert_eq!((&check["state"], found.code), (&"warning".into(), Some(0)));
            let seen = check["seen"].as_str().unwrap();
            let seconds = limit.rsplit('=').next().unwrap();
            assert!(
                seen.contains(&format!(
                    "{limit} in the dial-string of 1001@{DOMAIN} ends the call after {seconds} s"
                )) && seen.contains("not wake.max-wait (25 s)"),
                "{seen}"
            );
        }
    }
    let default = format!(
        r#"<context name="default"><extension><action application="set" data="call_timeout=15"/>
           <action application="bridge" data="user/${{destination_number}}@{DOMAIN}"/></extension></context>"#
    );
    stage.fs.answer("xml_locate dialplan context name default", &default);
    let found = doctor(&stage).await;
    let seen = found.check("context default")["seen"].as_str().unwrap();
    assert!(seen.starts_with("call_timeout=15 ends the call after 15 s"), "{seen}");
}
