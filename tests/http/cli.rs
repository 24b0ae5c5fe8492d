//! `fswake devices`, `calls` and `apps`, which ask the running daemon.

use std::process::Output;

use fswake_test_support::apns;
use fswake_test_support::freeswitch::*;
use serde_json::Value;

use crate::harness::*;
use crate::site::Site;

/// Runs a subcommand with the daemon's address.
pub async fn fswake(stage: &Stage, site: &Site, args: &[&str]) -> Output {
    let file = stage.dir.path().join("client.toml");
    let token = stage.dir.path().join("token");
    let token = if token.exists() { "token-file = 'token'" } else { "" };
    std::fs::write(&file, format!("[http]\naddresses = ['{}']\n{token}\n", site.address)).unwrap();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_fswake"));
    command
        .arg("--config")
        .arg(file)
        .args(args)
        .env_clear()
        .kill_on_drop(true);
    soon("end of the command", command.output()).await.unwrap()
}

fn out(output: &Output) -> String {
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[tokio::test]
async fn devices_calls_and_apps_are_shown_as_tables_and_as_json() {
    let mut stage = Stage::new().await;
    std::fs::write(stage.dir.path().join("token"), "correct-horse-battery-staple\n").unwrap();
    stage.set("http.token-file", "token");
    stage.set("wake.max-wait", "60s");
    let daemon = stage.start().await;
    let site = Site::of(&daemon).await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    stage.stored(1).await;

    let list = out(&fswake(&stage, &site, &["devices"]).await);
    let line = list.lines().nth(1).unwrap();
    assert!(
        line.contains("1001@fs.test") && line.contains("ios") && line.ends_with("ok"),
        "{list}"
    );
    let id = line.split(' ').next().unwrap();
    assert_eq!(
        out(&fswake(&stage, &site, &["devices", "list", "1001@fs.test"]).await),
        list
    );
    let json = out(&fswake(&stage, &site, &["devices", "list", "--json"]).await);
    let device: serde_json::Value = serde_json::from_str(json.trim()).unwrap();
    assert_eq!(device["id"], id);
    let shown = out(&fswake(&stage, &site, &["devices", "show", id]).await);
    assert!(shown.contains("call token"), "{shown}");

    let apps = out(&fswake(&stage, &site, &["apps"]).await);
    assert!(apps.lines().nth(1).is_some_and(|l| l.contains("signing-key")), "{apps}");

    assert_eq!(out(&fswake(&stage, &site, &["calls"]).await).lines().count(), 1);
    let call = Call::to(daemon.address, "1001", DOMAIN).from("+15550100", "\u{1b}[2Jclear");
    let _held = stage.fs.call(&call);
    stage.push().await;
    let calls = out(&fswake(&stage, &site, &["calls"]).await);
    assert!(calls.contains("+15550100") && calls.contains("pushed"), "{calls}");
    let json: serde_json::Value =
        serde_json::from_str(&out(&fswake(&stage, &site, &["calls", "--json"]).await)).unwrap();
    assert_eq!(json["calls"][0]["aor"], "1001@fs.test");

    let gone = out(&fswake(&stage, &site, &["devices", "forget", id]).await);
    assert_eq!(gone, format!("forgotten: {id}\n"));
    stage.stored(0).await;
    let again = fswake(&stage, &site, &["devices", "forget", id]).await;
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&again.stderr), "fswake: no such device\n");
}

#[tokio::test]
async fn following_prints_each_change_and_the_end() {
    use tokio::io::{AsyncBufReadExt, BufReader};

    let mut stage = Stage::new().await;
    stage.set("wake.max-wait", "60s");
    let daemon = stage.start().await;
    let site = Site::of(&daemon).await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    let file = stage.dir.path().join("client.toml");
    std::fs::write(&file, format!("[http]\naddresses = ['{}']\n", site.address)).unwrap();
    let mut follow = tokio::process::Command::new(env!("CARGO_BIN_EXE_fswake"))
        .arg("--config")
        .arg(file)
        .args(["calls", "--follow"])
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    let held = stage.call(&daemon, "1001");
    let line = soon("line", lines.next_line()).await.unwrap().unwrap();
    assert!(line.contains("1001@fs.test") && line.contains("held"), "{line}");
    held.caller_hangs_up();
    soon("the end", async {
        while !lines.next_line().await.unwrap().unwrap().ends_with("over") {}
    })
    .await;
}

#[tokio::test]
async fn stopped_daemon_is_reported_with_a_hint() {
    let stage = Stage::new().await;
    let address = {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        taken.local_addr().unwrap()
    };
    let site = Site {
        address,
        http: reqwest::Client::new(),
    };
    let output = fswake(&stage, &site, &["calls"]).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr.contains(&format!("no daemon at {address}")) && stderr.contains("hint: "),
        "{stderr}"
    );
}

/// The commands with curl in a document.
fn curls(document: &str) -> Vec<String> {
    let whole = document.replace("\\\n", " ");
    let lines = whole
        .lines()
        .filter(|line| line.starts_with("curl ") && line.contains("127.0.0.1:8085"));
    lines.map(str::to_owned).collect()
}

#[tokio::test]
async fn curl_commands_in_the_documents_work() {
    if std::process::Command::new("curl").arg("--version").output().is_err() {
        fswake_test_support::skipped::note("curl is not installed (Debian: curl)");
        return;
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_dir(root.join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files = docs
        .filter(|file| file.extension().is_some_and(|e| e == "md"))
        .chain([root.join("README.md")]);
    let commands: Vec<_> = files
        .flat_map(|file| curls(&std::fs::read_to_string(file).unwrap()))
        .collect();
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let site = Site::of(&daemon).await;
    let (call, message) = (hex_token(), hex_token());
    let (team, app) = (apns::TEAM_ID, apns::BUNDLE_ID);
    let params = format!("pn-provider=apns;pn-param={team}.{app}.voip&remote;pn-prid={call}:voip&{message}:remote");
    daemon
        .asleep(&stage.fs.phone(PhoneSpec::new("1001", DOMAIN).params(&params)))
        .await;
    let mut pushed = 0;
    for command in &commands {
        // curl has this option since 7.82 only; Debian 11 and RHEL 9 have older versions.
        assert!(!command.contains("--json"), "{command}");
        let here = command
            .replace("127.0.0.1:8085", &site.address.to_string())
            .replace("example.org", DOMAIN);
        let mut curl = tokio::process::Command::new("sh");
        curl.args(["-c", &here])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap());
        let output = soon("end of curl", curl.output()).await.unwrap();
        let answer: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{here}: {e}: {output:?}"));
        // This phone does not wake up, and this daemon has a FreeSWITCH.
        let (is_wake, is_registration) = (command.contains("/v1/wake "), command.contains("/v1/registrations "));
        if is_wake || is_registration {
            let status = if is_wake { 504 } else { 409 };
            assert_eq!(answer["status"], status, "{here}: {answer}");
            if is_wake {
                stage.push().await;
            }
            continue;
        }
        assert!(answer["detail"].is_null(), "{here}: {answer}");
        if command.contains("/v1/push") {
            assert_eq!(answer["sent"], 1, "{here}: {answer}");
            let push = stage.push().await;
            let alert = &push.body["aps"]["alert"];
            assert!(alert["body"].is_string(), "the phone would show nothing: {}", push.body);
            pushed += 1;
        }
    }
    assert!(pushed >= 1 && commands.len() >= 2, "{commands:?}");
}
