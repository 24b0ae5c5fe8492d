//! `fswake doctor`: a site that is well, and each of the eight known ways in which waking fails.

use std::time::Duration;

use fswake_test_support::freeswitch::*;
use fswake_test_support::http2::Fault;
use serde_json::Value;

use crate::harness::*;
use crate::outcomes::result_of;

/// Calls that a pattern takes.
const CALLS: usize = 3;
const PATTERNS: [&str; 9] = [
    "iphone-never-registers",
    "no-token-or-app",
    "credentials-refused",
    "stale-tokens",
    "invite-after-register-fails",
    "android-never-registers",
    "late-registers",
    "provider-unreachable",
    "provider-busy",
];

/// A stage whose FreeSWITCH is set up as fs-conf/ says, and a wait of one second.
pub async fn clinic() -> Stage {
    let mut stage = Stage::with_android().await;
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (one, other) = (free(), free());
    let port = one.local_addr().unwrap().port();
    stage.set("listen.addresses", vec![format!("127.0.0.1:{port}")]);
    stage.set("http.addresses", vec![other.local_addr().unwrap().to_string()]);
    drop((one, other));
    stage.set("wake.max-wait", "1s");
    stage.set("wake.push-retries", 0);
    let snippet = |name: &str| {
        let path = format!("{}/fs-conf/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    };
    let profile =
        "<profile>\n<name>internal</name>\n<type>profile</type>\n<state>RUNNING (0)STATE</state>\n</profile>\n";
    // FreeSWITCH lists a profile once for each transport.
    let profiles = ["", " (TLS)"].map(|state| profile.replace("STATE", state)).concat();
    stage
        .fs
        .answer("sofia xmlstatus", &format!("<profiles>\n{profiles}</profiles>\n"));
    stage.fs.answer(
        "sofia xmlstatus profile internal",
        "<profile>\n<context>public</context>\n</profile>\n",
    );
    let settings = snippet("sip_profiles/fswake.xml");
    let sofia =
        format!("<configuration><profiles><profile name=\"internal\">{settings}</profile></profiles></configuration>");
    stage
        .fs
        .answer("xml_locate configuration configuration name sofia.conf", &sofia);
    let context = snippet("dialplan/fswake.xml").replace("127.0.0.1:8084", &format!("127.0.0.1:{port}"));
    for name in ["fswake", "fswake-after"] {
        stage
            .fs
            .answer(&format!("xml_locate dialplan context name {name}"), &context);
    }
    for module in ["mod_sofia", "mod_loopback", "mod_commands", "mod_dptools"] {
        stage.fs.answer(&format!("module_exists {module}"), "true");
    }
    for user in 1001..1010 {
        let command = format!("user_data {user}@{DOMAIN} param dial-string");
        stage
            .fs
            .answer(&command, "loopback/${dialed_user}@${dialed_domain}/fswake");
    }
    private(&stage.apns.key_file());
    private(&stage.fcm.as_ref().unwrap().service_account_file());
    stage
}

fn private(file: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

pub struct Found {
    pub code: Option<i32>,
    pub report: Value,
    /// What `fswake trace` prints of the phones' users.
    trace: String,
}

impl Found {
    pub fn check(&self, name: &str) -> &Value {
        let checks = self.report["checks"].as_array().unwrap();
        let found = checks.iter().find(|c| c["name"] == name);
        found.unwrap_or_else(|| panic!("no check {name} in {:#}", self.report))
    }

    pub fn has(&self, name: &str) -> bool {
        let checks = self.report["checks"].as_array().unwrap();
        checks.iter().any(|c| c["name"] == name)
    }

    pub fn state(&self, name: &str) -> &str {
        self.check(name)["state"].as_str().unwrap()
    }

    /// docs/TROUBLESHOOTING.md shows nothing in its section on this pattern that was not printed now.
    pub fn is_as_the_page_has_it(&self, pattern: &str) {
        let number = PATTERNS.iter().position(|p| *p == pattern).unwrap() + 1;
        let page = include_str!("../../docs/TROUBLESHOOTING.md");
        let start = page.find(&format!("\n## {number}. ")).expect("its section");
        let section = page[start + 1..].split("\n## ").next().unwrap();
        let mut printed: Vec<String> = self.trace.lines().map(without_times).collect();
        for check in self.report["checks"].as_array().unwrap() {
            let word = |key: &str| check[key].as_str().unwrap_or_default();
            printed.push(without_times(&format!(
                "{:<8} {}: {}",
                word("state"),
                word("name"),
                word("seen")
            )));
            printed.push(without_times(&format!("-> {}", word("advice"))));
        }
        let shown: Vec<_> = section
            .split("```")
            .skip(1)
            .step_by(2)
            .flat_map(|block| block.lines().skip(1))
            .collect();
        assert!(shown.len() > 4, "section {number} shows nothing");
        for line in shown {
            let masked = without_times(line);
            // What depends on the machine's load is left out at the end of a line.
            let is_printed = match masked.strip_suffix(" ..") {
                Some(begin) => printed.iter().any(|line| line.starts_with(begin)),
                None => printed.contains(&masked),
            };
            assert!(is_printed, "not printed now: {line}\n{}\n{:#}", self.trace, self.report);
        }
    }

    /// Of the known patterns this one is named, with these words, and no other.
    pub fn names_only(&self, pattern: &str, words: &[&str]) {
        for other in PATTERNS {
            assert_eq!(
                self.state(other) == "ok",
                other != pattern,
                "{other} in {:#}",
                self.report
            );
        }
        let check = self.check(pattern);
        assert_eq!(check["pattern"], pattern);
        let text = format!("{} -> {}", check["seen"], check["advice"]);
        for word in words {
            assert!(text.contains(word), "{word} in {text}");
        }
    }
}

pub async fn doctor(stage: &Stage) -> Found {
    let (code, out, err) = stage.tool(&["doctor", "--json"]).await;
    let report = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}"));
    let mut trace = String::new();
    for user in 1001..1001 + CALLS {
        trace += &stage.tool(&["trace", &format!("{user}@{DOMAIN}")]).await.1;
    }
    Found { code, report, trace }
}

/// A line without what differs from run to run: ids, fingerprints, users, dates and times.
fn without_times(line: &str) -> String {
    let (mut read, mut rest) = (String::new(), line.trim());
    while let Some(first) = rest.chars().next() {
        let run = |is: fn(char) -> bool| rest.chars().take_while(|c| is(*c)).count();
        let (id, number) = (
            run(|c| c.is_ascii_hexdigit() || c == '-'),
            run(|c| c.is_ascii_digit() || matches!(c, '.' | ':')),
        );
        let after = rest[number..].trim_start();
        let unit = after.len() - after.trim_start_matches(['m', 's']).len();
        let is_time = unit > 0 && !after[unit..].starts_with(char::is_alphanumeric);
        let begins = !read.ends_with(|c: char| c.is_ascii_alphanumeric());
        let length = match () {
            // An id, a fingerprint, a date.
            () if begins && matches!(id, 36 | 8 | 10) && rest[..id].contains(|c: char| c.is_ascii_digit()) => id,
            () if begins && number > 0 && is_time => rest.len() - after.len() + unit,
            // A time of day, a user, the number of a message.
            () if begins && (number == 8 || number == 12 || read.ends_with('/') || after.starts_with('@')) => number,
            () => 0,
        };
        if length > 0 {
            read.push('#');
            rest = &rest[length..];
        } else {
            read.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    read
}

pub fn phones(make: impl Fn(&str) -> Phone) -> Vec<Phone> {
    (0..CALLS).map(|n| make(&(1001 + n).to_string())).collect()
}

/// Calls each phone's user, all at once, and waits until the calls are back in the dialplan.
pub async fn all_missed(stage: &Stage, daemon: &Daemon, phones: &[Phone]) {
    let held: Vec<_> = phones.iter().map(|p| stage.call(daemon, &p.spec().user)).collect();
    for held in &held {
        assert_eq!(result_of(held).await, "unreachable");
    }
    stage.journal("call-over", i64::try_from(phones.len()).unwrap()).await;
}

pub async fn asleep(daemon: &Daemon, phones: &[Phone]) {
    for phone in phones {
        daemon.asleep(phone).await;
    }
}

#[tokio::test]
async fn site_that_is_well_has_no_finding_with_the_daemon_and_is_told_when_it_does_not_run() {
    let stage = clinic().await;
    let daemon = stage.start().await;
    let (iphones, androids) = (
        phones(|user| stage.iphone(user)),
        vec![stage.android("1004"), stage.android("1005"), stage.android("1006")],
    );
    asleep(&daemon, &iphones).await;
    asleep(&daemon, &androids).await;
    for phone in iphones.iter().chain(&androids) {
        phone.set_behaviour(Behaviour::Rings(Duration::ZERO, Some(Duration::from_millis(10))));
        let held = stage.call(&daemon, &phone.spec().user);
        daemon
            .log
            .wait(&["event=\"push-sent\"", &format!("aor={}@", phone.spec().user)])
            .await;
        phone.wake();
        held.wait_bridged().await;
    }
    stage.journal("call-over", 6).await;
    stage.stored(6).await;
    let found = doctor(&stage).await;
    for check in found.report["checks"].as_array().unwrap() {
        assert_eq!(check["state"], "ok", "{check:#}");
    }
    let text = found.report.to_string();
    assert_eq!(text.matches(r#""profile internal""#).count(), 1, "{text}");
    assert_eq!((found.code, &found.report["errors"]), (Some(0), &Value::from(0)));
    for pattern in PATTERNS {
        assert_eq!(found.state(pattern), "ok");
    }
    // The calls that are up are not disturbed, and no other has come up.
    assert_eq!(stage.fs.legs().len(), 6);
    daemon.kill().await;
    let found = doctor(&stage).await;
    assert_eq!(
        (found.code, found.state("outbound port")),
        (Some(0), "warning"),
        "{:#}",
        found.report
    );
    assert!(
        found.check("outbound port")["seen"]
            .as_str()
            .unwrap()
            .contains("no daemon is running")
    );
}

#[tokio::test]
async fn what_is_wrong_with_freeswitch_is_said_with_what_to_do() {
    let mut stage = clinic().await;
    stage.set("store.journal-keep", "1d");
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    stage.stored(1).await;
    stage
        .fs
        .answer("xml_locate dialplan context name fswake", "can't find anything\n");
    stage.fs.answer("module_exists mod_loopback", "false");
    stage
        .fs
        .answer("version", "FreeSWITCH Version 1.10.9-release~64bit ( 64bit)\n");
    stage.fs.answer(
        "xml_locate configuration configuration name sofia.conf",
        "<profile name=\"internal\"/>",
    );
    stage.fs.expand_no_commands();
    let found = doctor(&stage).await;
    assert_eq!(found.code, Some(1));
    for (name, state) in [
        ("api-expansion", "warning"),
        ("calls", "error"),
        ("modules", "error"),
        ("version", "warning"),
        ("profile internal", "warning"),
        ("login", "ok"),
    ] {
        assert_eq!(found.state(name), state, "{:#}", found.report);
    }
    assert!(
        found.check("profile internal")["seen"]
            .as_str()
            .unwrap()
            .contains("multiple-registrations")
    );
    let (code, out, err) = stage.tool(&["doctor"]).await;
    assert_eq!(
        (code, err.as_str()),
        (Some(1), "fswake: 2 errors; fix this one first: freeswitch, modules\n"),
        "{out}"
    );
    assert!(
        out.contains("leads to context fswake, which is not in FreeSWITCH's files: calls to it fail")
            && out.contains("           -> install fs-conf/dialplan/fswake.xml")
            && out.contains("fs-conf/ is in /usr/share/fswake"),
        "{out}"
    );
}

#[tokio::test]
async fn port_that_the_dialplan_has_wrong_and_password_that_is_wrong_are_errors() {
    let mut stage = clinic().await;
    let context = r#"<context><action application="set" data="socket_resume=true"/><action application="socket" data="127.0.0.1:1 async full"/></context>"#;
    stage.fs.answer("xml_locate dialplan context name fswake", context);
    let daemon = stage.start().await;
    let found = doctor(&stage).await;
    assert_eq!(
        (found.code, found.state("outbound port")),
        (Some(1), "error"),
        "{:#}",
        found.report
    );
    drop(daemon);
    std::fs::write(stage.dir.path().join("password"), "open-sesame\n").unwrap();
    stage.secret("open-sesame");
    stage.set("freeswitch.password-file", "password");
    let _config = stage.command();
    let found = doctor(&stage).await;
    assert_eq!(
        (found.code, found.state("login")),
        (Some(1), "error"),
        "{:#}",
        found.report
    );
}

/// Takes connections and says `greeting` to each, one line for every line that it hears, and nothing after that.
async fn falls_silent(greeting: &'static [&'static str]) -> u16 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut heard = [0; 1024];
                for words in greeting {
                    let _ = stream.write_all(words.as_bytes()).await;
                    let _ = stream.read(&mut heard).await;
                }
                while stream.read(&mut heard).await.is_ok_and(|n| n > 0) {}
            });
        }
    });
    port
}

#[tokio::test]
async fn freeswitch_and_providers_that_fall_silent_do_not_keep_the_doctor() {
    let mut stage = clinic().await;
    let freeswitch = falls_silent(&[
        "Content-Type: auth/request\n\n",
        "Content-Type: command/reply\nReply-Text: +OK accepted\n\n",
    ])
    .await;
    stage.set("freeswitch.port", i64::from(freeswitch));
    let provider = falls_silent(&[]).await;
    let key = stage.apns.key_file().display().to_string();
    for name in ["a", "b", "c", "d"] {
        stage.app(&format!(
            "name = '{name}'\nprovider = 'apns'\napp-ids = ['com.example.{name}']\nkey-file = '{key}'\nkey-id = 'ABCDE12345'\nteam-id = 'ABCDE12345'\n\
             base-url = 'https://127.0.0.1:{provider}'"
        ));
    }
    let _config = stage.command();
    let began = std::time::Instant::now();
    let found = doctor(&stage).await;
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    assert_eq!((found.code, found.state("login")), (Some(1), "ok"));
    assert_eq!(found.state("version"), "error");
    let advice = found.check("events")["advice"].as_str().unwrap();
    assert!(advice.contains("fs_cli -x status"), "not its rights: {advice}");
    for (name, state) in [("version", "error"), ("modules", "warning"), ("calls", "warning")] {
        let check = found.check(name);
        assert_eq!(check["state"], state, "{check}");
        let says = "FreeSWITCH takes commands and does not answer them";
        assert!(check["seen"].as_str().unwrap().contains(says), "{check}");
        assert!(
            check["advice"].as_str().unwrap().contains("fs_cli -x status"),
            "{check}"
        );
    }
    for name in ["a", "b", "c", "d"] {
        assert_eq!(found.check(name)["pattern"], "provider-unreachable");
    }
    assert_eq!(found.state("ios"), "ok");

    // One that hangs takes connections and says nothing at all: neither its password nor its ACL is at fault.
    stage.set("freeswitch.port", i64::from(falls_silent(&[]).await));
    let _config = stage.command();
    let found = doctor(&stage).await;
    let login = found.check("login");
    assert_eq!(login["state"], "error");
    let advice = login["advice"].as_str().unwrap();
    assert!(
        advice.contains("fs_cli -x status") && !advice.contains("acl"),
        "{advice}"
    );
}

#[tokio::test]
async fn host_that_the_acl_does_not_allow_is_told_so() {
    use tokio::io::AsyncWriteExt;
    let mut stage = clinic().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    stage.set("freeswitch.port", i64::from(listener.local_addr().unwrap().port()));
    let _config = stage.command();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // As FreeSWITCH 1.11.2 says it.
            let said = "Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n";
            let _ = stream.write_all(said.as_bytes()).await;
        }
    });
    let found = doctor(&stage).await;
    let login = found.check("login");
    assert!(
        login["seen"]
            .as_str()
            .unwrap()
            .ends_with("apply-inbound-acl does not allow this host"),
        "{login}"
    );
    assert!(login["advice"].as_str().unwrap().contains("acl.conf.xml"), "{login}");
}

#[tokio::test]
async fn daemon_that_hangs_is_told_where_its_port_is_tried() {
    let stage = clinic().await;
    let daemon = stage.start().await;
    daemon.signal("STOP");
    let found = doctor(&stage).await;
    daemon.signal("CONT");
    let port = found.check("outbound port");
    assert_eq!(port["state"], "error", "{:#}", found.report);
    assert!(port["advice"].as_str().unwrap().contains("fswake hangs"), "{port}");
}

#[tokio::test]
async fn key_that_others_can_read_is_a_warning_and_clock_that_is_off_an_error() {
    use std::os::unix::fs::PermissionsExt;
    let stage = clinic().await;
    std::fs::set_permissions(stage.apns.key_file(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let hour_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
    let mut reply = Fault::apns(400, "BadDeviceToken");
    if let Fault::Reply(reply) = &mut reply {
        reply.headers.push(("date", httpdate::fmt_http_date(hour_ago)));
    }
    stage.apns.faults.token(&"0".repeat(64), reply);
    let _config = stage.command();
    let found = doctor(&stage).await;
    assert_eq!(found.state("ios key file"), "warning");
    assert_eq!(found.state("ios"), "ok");
    assert_eq!((found.state("clock"), found.code), ("error", Some(1)));
}

#[tokio::test]
async fn way_that_leads_nowhere_is_not_called_good() {
    let stage = clinic().await;
    let daemon = stage.start().await;
    daemon.asleep(&stage.iphone("1001")).await;
    stage.stored(1).await;
    assert_eq!(doctor(&stage).await.code, Some(0));
    let port = stage.settings["listen"]["addresses"][0].as_str().unwrap().to_owned();
    let context = |socket: &str, after: &str| {
        format!(
            "<context name=\"x\"><action application=\"set\" data=\"socket_resume=true\"/>\
             <action application=\"socket\" data=\"{socket} async full\"/>{after}</context>"
        )
    };
    let fswake = "xml_locate dialplan context name fswake";
    for (after, says) in [
        ("", "nothing after the socket application goes on"),
        (
            "<action application=\"hangup\"/>",
            "nothing after the socket application goes on",
        ),
        (
            "<action application=\"bridge\" data=\"user/${dialed_user}@${dialed_domain}\"/>",
            "call loops",
        ),
        (
            "<action application=\"transfer\" data=\"1 XML nowhere\"/>",
            "context nowhere, which is not in FreeSWITCH's files",
        ),
    ] {
        stage.fs.answer(fswake, &context(&port, after));
        stage
            .fs
            .answer("xml_locate dialplan context name nowhere", "can't find anything\n");
        let found = doctor(&stage).await;
        assert_eq!(
            (found.code, found.state("context fswake")),
            (Some(1), "error"),
            "{:#}",
            found.report
        );
        assert!(
            found.check("context fswake")["seen"].as_str().unwrap().contains(says),
            "{:#}",
            found.report
        );
    }
    // Two sockets, one of them wrong.
    let bridge = "<action application=\"bridge\" data=\"sofia/internal/1\"/>";
    stage.fs.answer(fswake, &context(&port, bridge));
    stage.fs.answer(
        "xml_locate dialplan context name public",
        &context("127.0.0.1:1", bridge),
    );
    let found = doctor(&stage).await;
    assert_eq!(found.state("outbound port"), "ok", "{:#}", found.report);
    assert_eq!(
        found.state("outbound port of context public"),
        "error",
        "{:#}",
        found.report
    );
}

#[tokio::test]
async fn way_by_a_dialplan_is_found_in_the_users_own_context_and_wherever_calls_are_sent_on_to() {
    let stage = clinic().await;
    let daemon = stage.start().await;
    daemon.asleep(&stage.iphone("1001")).await;
    stage.stored(1).await;
    let (fs, port) = (&stage.fs, stage.settings["listen"]["addresses"][0].as_str().unwrap());
    let contacts = "${sofia_contact(*/${dialed_user}@${dialed_domain})}";
    fs.answer(&format!("user_data 1001@{DOMAIN} param dial-string"), contacts);
    fs.answer("xml_locate dialplan context name fswake", "can't find anything\n");
    let found = doctor(&stage).await;
    assert_eq!((found.code, found.state("calls")), (Some(1), "error"));
    let context = |name: &str, actions: &str| {
        let xml = format!("<context name=\"{name}\"><extension>{actions}</extension></context>");
        fs.answer(&format!("xml_locate dialplan context name {name}"), &xml);
    };
    let action = |application: &str, data: &str| format!(r#"<action application="{application}" data="{data}"/>"#);
    let socket = [
        action("set", "socket_resume=true"),
        action("socket", &format!("{port} async full")),
        action("bridge", "${fswake_bridge}"),
    ]
    .concat();
    // A tenant's users call from a context of their own.
    fs.answer(&format!("user_data 1001@{DOMAIN} var user_context"), "tenant");
    context("tenant", &action("transfer", "$1 XML wake"));
    context("wake", &socket);
    let found = doctor(&stage).await;
    assert_eq!(
        (found.code, found.state("calls")),
        (Some(0), "ok"),
        "{:#}",
        found.report
    );
    assert_eq!(found.check("calls")["seen"], "by the dialplan, context wake");
    assert_eq!(found.state("outbound port"), "ok", "{:#}", found.report);
    // The same into the context of the dial-string.
    context("tenant", &action("transfer", "$1@$2 XML fswake"));
    context("fswake", &socket);
    let found = doctor(&stage).await;
    assert_eq!(found.check("calls")["seen"], "by the dialplan, context fswake");
    assert_eq!(found.code, Some(0), "{:#}", found.report);
    // One that nobody has.
    context("tenant", &[socket, action("transfer", "$1 XML missing")].concat());
    context("public", &action("transfer", "$1 XML elsewhere"));
    let found = doctor(&stage).await;
    let seen = |name: &str| found.check(name)["seen"].as_str().unwrap();
    assert_eq!(found.state("context public"), "warning", "{:#}", found.report);
    assert!(
        seen("context public").starts_with("it sends calls to context elsewhere, which FreeSWITCH's files do not have")
    );
    assert!(seen("context tenant").starts_with("after fswake the call goes to context missing"));
}

#[tokio::test]
async fn devices_of_an_app_that_only_logs_are_not_called_served() {
    let mut stage = clinic().await;
    stage.app("name = 'later'\nprovider = 'log'\nproviders = ['acme']");
    let daemon = stage.start().await;
    let token = hex_token();
    stage.secret(&token);
    let params = format!("pn-provider=acme;pn-param=x;pn-prid={token}");
    daemon
        .asleep(&stage.fs.phone(PhoneSpec::new("1008", DOMAIN).params(&params)))
        .await;
    stage.stored(1).await;
    let found = doctor(&stage).await;
    assert_eq!(found.state("apps"), "warning", "{:#}", found.report);
    assert!(
        found.check("apps")["seen"]
            .as_str()
            .unwrap()
            .contains("only writes to the log")
    );
}

#[tokio::test]
async fn doctors_own_probe_is_nobodys_call() {
    let stage = clinic().await;
    let daemon = stage.start().await;
    let found = doctor(&stage).await;
    // fswake has answered it.
    assert_eq!(found.state("outbound port"), "ok", "{:#}", found.report);
    daemon.log.wait(&["call over", "aor=doctor@fswake.invalid"]).await;
    // A call of somebody's is told after it.
    let held = stage.call(&daemon, "1009");
    assert_eq!(result_of(&held).await, "no-device");
    stage.journal("call-over", 1).await;
    // Counted is that call only.
    let line = daemon.log.wait(&["HTTP: metrics"]).await;
    let url = format!("http://{}", field(&line, "address"));
    let metrics = reqwest::get(format!("{url}/metrics"))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let counted: Vec<_> = metrics
        .lines()
        .filter(|line| line.starts_with("fswake_calls_total") && !line.ends_with(" 0"))
        .collect();
    assert_eq!(
        counted,
        [r#"fswake_calls_total{callee="nobody",result="no-device"} 1"#],
        "{metrics}"
    );
    let summary = reqwest::get(format!("{url}/v1/summary"))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let wakes = reqwest::get(format!("{url}/v1/wakes"))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        wakes.contains("1009@") && !wakes.contains("doctor@") && !summary.contains("doctor@"),
        "{wakes} {summary}"
    );
    let (_, out, err) = stage.tool(&["trace", "doctor@fswake.invalid"]).await;
    assert!(
        err.contains("the journal has no call to doctor@fswake.invalid"),
        "{out}{err}"
    );
}

#[tokio::test]
async fn store_that_is_damaged_is_not_one_without_devices() {
    let stage = clinic().await;
    std::fs::write(stage.dir.path().join("fswake.db"), b"not a database, ".repeat(1000)).unwrap();
    let _config = stage.command();
    let found = doctor(&stage).await;
    assert_eq!((found.code, found.state("known")), (Some(1), "error"));
    assert!(found.check("known")["advice"].as_str().unwrap().contains("restore"));
}

#[tokio::test]
async fn iphones_that_never_register_are_named() {
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
async fn android_phones_that_never_register_are_named_by_their_user_agent() {
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
async fn phones_without_a_token_or_an_app_are_named() {
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
async fn credentials_that_the_provider_refuses_are_named() {
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
async fn tokens_that_are_stale_or_of_the_other_environment_are_named() {
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
async fn invites_that_fail_right_after_the_register_are_named_with_the_setting() {
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
async fn registers_that_come_too_late_are_named_with_the_wait_that_they_need() {
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
async fn phones_that_refresh_by_their_own_timer_get_no_advice_to_wait_longer() {
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
async fn provider_that_cannot_be_reached_is_named() {
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
