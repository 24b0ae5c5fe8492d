//! `fswake doctor`: a healthy site, and each of the eight known patterns of missed calls.

mod freeswitch;
mod legs;
mod patterns;

use std::time::Duration;

use fswake_test_support::freeswitch::*;
use fswake_test_support::http2::Fault;
use serde_json::Value;

use crate::harness::*;
use crate::outcomes::result_of;

/// The number of calls that make a pattern.
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

/// A setup whose FreeSWITCH is configured as in fs-conf/, with a wait of one second.
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
    /// What `fswake trace` prints for the phones' users.
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

    /// The section on this pattern in docs/TROUBLESHOOTING.md shows only lines that were printed now.
    pub fn is_as_the_page_has_it(&self, pattern: &str) {
        let number = PATTERNS.iter().position(|p| *p == pattern).unwrap() + 1;
        let page = include_str!("../../../docs/TROUBLESHOOTING.md");
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
            // What depends on the machine's load is removed from the end of a line.
            let is_printed = match masked.strip_suffix(" ..") {
                Some(begin) => printed.iter().any(|line| line.starts_with(begin)),
                None => printed.contains(&masked),
            };
            assert!(is_printed, "not printed now: {line}\n{}\n{:#}", self.trace, self.report);
        }
    }

    /// Of the known patterns only this one is reported, with these words.
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

/// A line without what changes between runs: ids, fingerprints, users, dates and times.
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
            // An id, a fingerprint or a date.
            () if begins && matches!(id, 36 | 8 | 10) && rest[..id].contains(|c: char| c.is_ascii_digit()) => id,
            () if begins && number > 0 && is_time => rest.len() - after.len() + unit,
            // A time of day, a user, or the number of a message.
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

/// Calls each phone's user at the same time, and waits until the calls are back in the dialplan.
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
async fn healthy_site_has_no_finding_except_a_stopped_daemon() {
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
    // Existing calls are not disturbed, and the doctor has made no other.
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
async fn world_readable_key_is_a_warning_and_a_wrong_clock_an_error() {
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
async fn devices_of_an_app_that_only_logs_are_not_reported_as_served() {
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
async fn doctors_own_probe_does_not_count_as_a_call() {
    let stage = clinic().await;
    let daemon = stage.start().await;
    let found = doctor(&stage).await;
    // fswake has handled the probe.
    assert_eq!(found.state("outbound port"), "ok", "{:#}", found.report);
    daemon.log.wait(&["call over", "aor=doctor@fswake.invalid"]).await;
    // A real call is listed after it.
    let held = stage.call(&daemon, "1009");
    assert_eq!(result_of(&held).await, "no-device");
    stage.journal("call-over", 1).await;
    // Only that call is counted.
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
async fn damaged_store_is_not_reported_as_empty() {
    let stage = clinic().await;
    std::fs::write(stage.dir.path().join("fswake.db"), b"not a database, ".repeat(1000)).unwrap();
    let _config = stage.command();
    let found = doctor(&stage).await;
    assert_eq!((found.code, found.state("known")), (Some(1), "error"));
    assert!(found.check("known")["advice"].as_str().unwrap().contains("restore"));
}
