//! Data imported from mod_apn: tokens, push server, phones.

use std::process::Command;
use std::time::Duration;

use fswake_test_support::apns::BUNDLE_ID;
use fswake_test_support::freeswitch::*;
use fswake_test_support::gateway::{Gateway, Over, PASSWORD, USER, Wants};
use rusqlite::Connection;

use crate::harness::*;

const ANSWERS: Behaviour = Behaviour::Rings(Duration::ZERO, Some(Duration::from_millis(50)));

/// A database as mod_apn leaves it, with one iPhone.
fn push_tokens(stage: &Stage, user: &str, token: &str) -> String {
    let file = stage.dir.path().join("carusto.db");
    Connection::open(&file)
        .unwrap()
        .execute_batch(&format!(
            "CREATE TABLE push_tokens (id INTEGER PRIMARY KEY, token TEXT, extension TEXT, realm TEXT, app_id TEXT,
                                       type TEXT, platform TEXT, last_update timestamp DEFAULT CURRENT_TIMESTAMP);
             INSERT INTO push_tokens (token, extension, realm, app_id, type, platform)
                  VALUES ('{token}', '{user}', '{DOMAIN}', '{BUNDLE_ID}', 'voip', 'iOS');"
        ))
        .unwrap();
    file.display().to_string()
}

fn import(args: &[&str]) {
    let run = Command::new(env!("CARGO_BIN_EXE_fswake-import-mod-apn"))
        .args(args)
        .env_clear()
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

fn phone(stage: &Stage, user: &str, token: &str) -> Phone {
    let params = format!("app-id={BUNDLE_ID};pn-voip-tok={token};pn-platform=iOS");
    let phone = stage.fs.phone(PhoneSpec::new(user, DOMAIN).params(&params));
    phone.set_behaviour(ANSWERS);
    phone
}

#[tokio::test]
async fn imported_phone_is_woken_through_the_old_push_server() {
    let mut stage = Stage::new().await;
    let gateway = Gateway::start(Over::Plain, Wants::Digest("MD5", true)).await;
    let token = hex_token();
    stage.secret(&token);
    let secret = format!("{USER}:{PASSWORD}").replace('"', "&quot;");
    let conf = stage.dir.path().join("apn.conf.xml");
    std::fs::write(
        &conf,
        format!(
            r#"<configuration name="apn.conf"><settings>
                 <param name="contact_voip_token_param" value="pn-voip-tok"/>
                 <param name="contact_app_id_param" value="app-id"/>
                 <param name="contact_platform_param" value="pn-platform"/></settings>
               <profiles><profile name="voip">
                 <param name="url" value="{}/${{type}}/${{realm}}/${{user}}"/><param name="method" value="post"/>
                 <param name="auth_type" value="digest"/><param name="auth_data" value="{secret}"/>
                 <param name="post_data_template" value="token=${{token}}&app_id=${{app_id}}&platform=${{platform}}"/>
               </profile></profiles></configuration>"#,
            gateway.url()
        ),
    )
    .unwrap();
    let db = push_tokens(&stage, "1001", &token);
    let (made, store) = (stage.dir.path().join("made.toml"), stage.dir.path().join("fswake.db"));
    let path = |path: &std::path::Path| path.display().to_string();
    import(&[
        "--conf",
        &path(&conf),
        "--db",
        &db,
        "--output",
        &path(&made),
        "--store",
        &path(&store),
    ]);
    let made: toml::Table = std::fs::read_to_string(made).unwrap().parse().unwrap();
    stage.take_app();
    stage.put_app(made["app"][0].clone());
    let daemon = stage.start().await;

    let held = stage.call(&daemon, "1001");
    let unsigned = soon("push", gateway.next()).await;
    assert_eq!(unsigned.status, 401);
    let asked = soon("push", gateway.next()).await;
    assert_eq!((asked.status, asked.request.path.as_str()), (200, "/voip/fs.test/1001"));
    assert_eq!(asked.body(), format!("token={token}&app_id={BUNDLE_ID}&platform=iOS"));
    let phone = phone(&stage, "1001", &token);
    phone.wake();
    phone.invite(1).await;
    held.wait_bridged().await;
    stage.stored(1).await;
}

#[tokio::test]
async fn imported_phone_is_woken_through_apple_after_a_restart_and_not_before() {
    let stage = Stage::new().await;
    let token = hex_token();
    stage.secret(&token);
    let daemon = stage.start().await;
    let db = push_tokens(&stage, "1001", &token);
    let store = stage.dir.path().join("fswake.db").display().to_string();
    import(&["--db", &db, "--store", &store]);
    stage.call(&daemon, "1001");
    assert_eq!(field(&daemon.summary().await, "outcome"), "no-device");
    daemon.kill().await;

    let daemon = stage.start().await;
    let held = stage.call(&daemon, "1001");
    assert_eq!(stage.push().await.token, token);
    let phone = phone(&stage, "1001", &token);
    phone.wake();
    phone.invite(1).await;
    held.wait_bridged().await;
}
