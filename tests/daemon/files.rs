//! Files as editors save them. `check` and `run` parse them in the same way.

use std::path::{Path, PathBuf};

use fswake_test_support::freeswitch::*;

use crate::harness::*;

/// A change to a file that does not change its meaning.
type Change = fn(&str) -> Vec<u8>;

const HARMLESS: [(&str, Change); 6] = [
    ("with a byte order mark", |text| format!("\u{feff}{text}").into_bytes()),
    ("with line ends of Windows", |text| {
        text.replace('\n', "\r\n").into_bytes()
    }),
    ("without a last line end", |text| text.trim_end().as_bytes().to_vec()),
    ("in UTF-16", |text| utf_16(text, u16::to_le_bytes)),
    ("in UTF-16, high byte first", |text| utf_16(text, u16::to_be_bytes)),
    ("with \\n for line ends", |text| {
        if text.starts_with('{') {
            // A service account that was stored in an environment variable.
            text.replace("\\n", "\\\\n").into_bytes()
        } else {
            text.replace('\n', "\\n").into_bytes()
        }
    }),
];

fn utf_16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    format!("\u{feff}{text}").encode_utf16().flat_map(unit).collect()
}

/// Writes a changed copy of a file next to the configuration, and returns its name.
fn changed(stage: &Stage, file: &Path, change: Change) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let copy = stage.dir.path().join(file.file_name().unwrap());
    std::fs::write(copy, change(&text)).unwrap();
    file.file_name().unwrap().to_str().unwrap().to_owned()
}

fn write(stage: &Stage, name: &str, content: &[u8]) -> PathBuf {
    let file = stage.dir.path().join(name);
    std::fs::write(&file, content).unwrap();
    file
}

#[tokio::test]
async fn keys_accounts_and_cas_saved_by_editors_still_work() {
    for (how, change) in HARMLESS {
        let mut stage = Stage::with_android().await;
        let account = stage.fcm.as_ref().unwrap().service_account_file();
        let ca = stage.fcm.as_ref().unwrap().ca_file();
        let (account, ca) = (changed(&stage, &account, change), changed(&stage, &ca, change));
        stage.set_app("service-account-file", account.as_str());
        stage.set_app("ca-file", ca.as_str());
        let android = stage.take_app();
        let key = changed(&stage, &stage.apns.key_file(), change);
        stage.set_app("key-file", key.as_str());
        stage.put_app(android);
        stage.write();
        let (code, stdout, stderr) = stage.tool(&["check"]).await;
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{how}: {stdout}");

        let daemon = stage.start().await;
        let (iphone, android) = (stage.iphone("1001"), stage.android("1002"));
        daemon.asleep(&iphone).await;
        daemon.asleep(&android).await;
        let calls = [stage.call(&daemon, "1001"), stage.call(&daemon, "1002")];
        assert_eq!(stage.push().await.status, 200, "{how}");
        assert_eq!(stage.android_push().await.status, 200, "{how}");
        calls.iter().for_each(Held::caller_hangs_up);
    }
}

#[tokio::test]
async fn password_is_exactly_its_line() {
    for (content, code, said) in [
        (&b"ClueCon"[..], 0, ""),
        (b"\xef\xbb\xbfClueCon\r\n", 0, ""),
        (b"\xff\xfeC\0l\0u\0e\0C\0o\0n\0", 0, ""),
        (
            b"ClueCon \n",
            0,
            "password: its line begins or ends with a blank, which is part of the secret",
        ),
        (
            b"ClueCon\nClueCon\n",
            78,
            "must hold one line of text: line 2 is a second one",
        ),
        (b"\n", 78, "must hold one line of text: it is empty"),
        (
            b"ClueC\xf6n\n",
            78,
            "line 1 is not UTF-8 text (Latin-1, perhaps): save the file as UTF-8",
        ),
    ] {
        let mut stage = Stage::new().await;
        stage.set("freeswitch.password-file", "password");
        write(&stage, "password", content);
        stage.write();
        let (checked, _, stderr) = stage.tool(&["check"]).await;
        assert_eq!(checked, Some(code), "{content:?}: {stderr}");
        assert!(
            stderr.contains(said) && (!said.is_empty() || stderr.is_empty()),
            "{stderr}"
        );
        match (code, said) {
            (0, "") => drop(stage.start().await),
            // The blank is part of the password here, so FreeSWITCH rejects it.
            (0, _) => {
                let daemon = stage.start_alone().await;
                daemon.log.wait(&["no connection to FreeSWITCH"]).await;
                assert_eq!(daemon.log.count(&[said]), 1, "`run` does not print what `check` prints");
            }
            _ => {
                let ran = soon("exit", stage.command().output()).await.unwrap();
                let ran_said = String::from_utf8(ran.stderr).unwrap();
                assert_eq!((ran.status.code(), ran_said), (checked, stderr));
            }
        }
    }
}

#[tokio::test]
async fn templates_bodies_tokens_and_the_configuration_are_parsed_alike() {
    let mark = |text: &str| format!("\u{feff}{text}").into_bytes();
    let mut stage = Stage::new().await;
    write(
        &stage,
        "payload.json",
        &utf_16("{\"a\":\"${caller-number}\"}\r\n", u16::to_le_bytes),
    );
    write(&stage, "body.json", &mark("{\"t\":\"${token}\"}"));
    write(&stage, "auth", &mark("Zoë:secret\r\n"));
    write(&stage, "http-token", &mark("0123456789abcdef\r\n"));
    stage.set_app("payload", "template");
    stage.set_app("payload-file", "payload.json");
    stage.set("http.token-file", "http-token");
    stage.app(
        "name = 'gateway'\nprovider = 'http'\nproviders = ['huawei']\n\
         [voip]\nurl = 'https://push.example.org/'\nbody-file = 'body.json'\nauth-type = 'basic'\nauth-file = 'auth'",
    );
    let file = stage.write();
    let configuration = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, mark(&configuration.replace('\n', "\r\n"))).unwrap();
    let (code, stdout, stderr) = stage.tool(&["check"]).await;
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    for (name, bad, said) in [
        (
            "payload.json",
            &b"{\"a\":\n\"\xe9\"}"[..],
            "payload.json: line 2 is not UTF-8 text",
        ),
        ("payload.json", b"{\"a\":\n}", "line 2 column 1"),
        ("body.json", b"\xff\xfe{", "body.json: line 1 is broken UTF-16"),
        (
            "auth",
            b"a:b\nc:d",
            "auth: must hold one line of text: line 2 is a second one",
        ),
        ("http-token", b"0123\xe9\n", "http-token: line 1 is not UTF-8 text"),
        (
            "fswake.toml",
            b"[wake]\nmax-wait = \"\xe9\"",
            "fswake.toml: line 2 is not UTF-8 text",
        ),
    ] {
        let good = std::fs::read(stage.dir.path().join(name)).unwrap();
        write(&stage, name, bad);
        let (code, _, stderr) = stage.tool(&["check"]).await;
        assert_eq!(code, Some(78), "{name}: {stderr}");
        assert!(stderr.contains(said), "{name}: {stderr}");
        let (code, _, ran) = stage.tool(&["run"]).await;
        assert_eq!((code, ran), (Some(78), stderr), "{name}");
        write(&stage, name, &good);
    }
}

#[tokio::test]
async fn app_without_a_configured_topic_is_reported_by_check_and_run() {
    let mut stage = Stage::new().await;
    let mut app = stage.take_app();
    app.as_table_mut().unwrap().remove("app-ids");
    stage.put_app(app);
    stage.write();
    let said = "app.ios: neither app-ids nor topic";
    let (code, _, stderr) = stage.tool(&["check"]).await;
    assert_eq!(code, Some(0));
    assert!(stderr.contains(said), "{stderr}");
    let daemon = stage.start().await;
    assert_eq!(daemon.log.count(&[said]), 1);
}
