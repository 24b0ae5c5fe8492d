//! The configuration: what ships is what is built in, and every mistake is named.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fswake::config::{Config, EXAMPLE, Environment, LogFormat};
use fswake::contact::{ParamSet, Pattern};
use fswake::engine::Mode;
use fswake::engine::policy::{Alert, AppPolicy, Decline, OnUnregister, Policy};
use fswake::push::app::{App, Credentials, PayloadStyle};
use fswake::push::template::BodyTemplate;
use fswake::types::{Aor, DeviceKey, Provider, PushToken, Secret};
use tempfile::TempDir;

/// A directory with `fswake.toml` and the files that it names.
struct Place {
    dir: TempDir,
    env: Environment,
}

impl Place {
    fn with(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let env = Environment {
            default_file: dir.path().join("none.toml"),
            ..Environment::default()
        };
        let place = Self { dir, env };
        place.write("fswake.toml", config);
        place
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn load(&self) -> Config {
        Config::load(Some(&self.path("fswake.toml")), &self.env).unwrap()
    }

    /// The error without the directory's name.
    fn error(&self) -> String {
        let error = Config::load(Some(&self.path("fswake.toml")), &self.env).unwrap_err();
        error
            .to_string()
            .replace(&format!("{}/", self.dir.path().display()), "")
    }
}

fn built_in() -> Config {
    let env = Environment {
        default_file: "/nonexistent/fswake.toml".into(),
        ..Environment::default()
    };
    Config::load(None, &env).unwrap()
}

/// The example with the lines in force that begin with `mark` and a key or a table.
fn example(mark: &str) -> String {
    let line = |line: &'static str| match line.strip_prefix(mark) {
        Some(l) if l.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') && !l.starts_with("e.g.") => l,
        _ => line,
    };
    EXAMPLE.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn example_is_what_is_built_in_as_it_ships_and_with_its_defaults_put_in_force() {
    for text in [EXAMPLE.to_owned(), example("#")] {
        let place = Place::with(&text);
        let expected = Config {
            file: Some(place.path("fswake.toml")),
            ..built_in()
        };
        assert_eq!(place.load(), expected);
    }
}

#[test]
fn examples_in_the_example_are_good() {
    let place = Place::with(&example("#e.g. "));
    for file in [
        "AuthKey_ABC123DEFG.p8",
        "voip.pem",
        "voip.key",
        "ca.pem",
        "acme-1234.json",
        "huawei-secret",
        "vapid.pem",
        "push-server-token",
        "push-server-user",
    ] {
        place.write(file, "-");
    }
    place.write("acme-payload.json", r#"{"from-number": "${caller-number}"}"#);
    place.write("message.form", "to=${token}&say=${payload}");
    place.write("esl-password", "secret\n");
    place.write("http-token", "0123456789abcdef\n");
    let config = place.load();
    assert_eq!(config.freeswitch.password, Secret::new("secret"));
    assert_eq!(config.http.token, Some(Secret::new("0123456789abcdef")));
    let aliases = [("192.0.2.10", "example.org"), ("sip.example.org", "example.org")];
    let aliases = aliases.map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(config.policy.domain_aliases, aliases);
    let names: Vec<_> = config.apps.iter().map(|a| a.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "acme-ios",
            "acme-ios-sandbox",
            "acme-android",
            "acme-huawei",
            "acme-web",
            "push-server"
        ]
    );
    assert_eq!(
        config.apps[2].payload,
        PayloadStyle::Template(r#"{"from-number": "${caller-number}"}"#.into())
    );
}

#[test]
fn example_names_every_key() {
    let tables = ["freeswitch", "listen", "wake", "aor", "contact", "store", "log", "run"];
    let tables = tables.map(|t| format!("[{t}]")).into_iter();
    let more = [
        "[[contact.params]]",
        "[[app]]",
        "[[app]]\n[app.voip]",
        "[[app]]\n[app.im]",
    ];
    for table in tables.chain(more.map(str::to_owned)) {
        let error = Place::with(&format!("{table}\nnope = 1")).error();
        let (_, keys) = error.split_once("allowed here: ").unwrap();
        for key in keys.split(", ") {
            let named = [
                format!("#{key} = "),
                format!("#e.g. {key} = "),
                format!("#[[{}.{key}]]", table.trim_matches(['[', ']'])),
                format!("#e.g. [{}.{key}]", table.trim_matches(['[', ']'])),
                // Named beside the key that it stands for.
                format!("(`{key}`)"),
            ];
            assert!(named.iter().any(|n| EXAMPLE.contains(n)), "{table} {key}");
        }
    }
}

#[test]
fn without_any_configuration_it_runs_beside_freeswitch_and_logs_its_pushes() {
    let config = built_in();
    assert_eq!(
        (config.freeswitch.host.as_str(), config.freeswitch.port),
        ("127.0.0.1", 8021)
    );
    assert_eq!(config.freeswitch.password, Secret::new("ClueCon"));
    assert_eq!(config.listen.addresses, ["127.0.0.1:8084".parse().unwrap()]);
    assert!(config.listen.allow.iter().any(|n| n.contains("::1".parse().unwrap())));
    assert_eq!(config.store.path, Path::new("/var/lib/fswake/fswake.db"));
    assert_eq!(config.log.format, LogFormat::Pretty);
    assert_eq!(config.drain_timeout, Duration::from_secs(30));
    let log = App {
        name: "log".into(),
        provider: Provider::Other("log".into()),
        providers: Vec::new(),
        app_ids: vec![],
        domains: vec![],
        tenant: None,
        credentials: Credentials::Log,
        base_url: None,
        ca_file: None,
        proxy: None,
        topic: None,
        payload: PayloadStyle::Default,
    };
    assert_eq!(config.apps, [log]);
    let policy = Policy {
        apps: vec![],
        ..config.policy
    };
    assert_eq!(policy, Policy::default());
}

#[test]
fn how_phones_are_reached_and_when_the_caller_hears_it_can_be_set() {
    let policy = |lines: &str| Place::with(&format!("[wake]\n{lines}")).load().policy;
    assert_eq!(policy("alert = 'phone'").alert, Alert::Phone);
    assert_eq!(policy("alert = 'push'").alert, Alert::Push);
    for (lines, mode) in [
        ("mode = 'connect'", Mode::Connect),
        ("mode = 'connect'\nwait-for = 'first'", Mode::Connect),
        ("mode = 'wake'", Mode::WakeFirst),
        ("mode = 'wake'\nwait-for = 'first'", Mode::WakeFirst),
        ("mode = 'wake'\nwait-for = 'all'", Mode::WakeAll),
    ] {
        assert_eq!(policy(lines).mode, mode, "{lines}");
    }
}

#[test]
fn settings_reach_the_policy() {
    let config = Place::with(
        "[wake]\nmax-wait = '40s'\ndecline = 'all'\non-unregister = 'keep'\n[store]\ntoken-ttl = '7d'\n\
         [[app]]\nname = 'a'\nprovider = 'log'\napp-ids = ['x', 'y']\non-unregister = 'forget'\nmissed-call-push = true",
    )
    .load();
    assert_eq!(config.policy.max_wait, Duration::from_secs(40));
    assert_eq!(config.policy.decline, Decline::All);
    assert_eq!(config.policy.token_ttl, Duration::from_secs(7 * 24 * 3600));
    let configured = AppPolicy {
        provider: None,
        app: Some("y".into()),
        domains: Vec::new(),
        on_unregister: OnUnregister::Forget,
        missed_call_push: true,
        cancel_push: true,
    };
    let device = |provider: Provider, app: &str| DeviceKey {
        aor: Aor::new("1001", "example.org"),
        provider,
        app: app.into(),
        token: PushToken::new("t"),
    };
    assert_eq!(config.policy.app(&device(Provider::Fcm, "y")), Some(&configured));
    let other = config.policy.app(&device(Provider::Apns, "unknown")).unwrap();
    assert_eq!(other.on_unregister, OnUnregister::Keep);
}

#[test]
fn files_are_found_by_argument_then_environment_then_place() {
    let mut place = Place::with("[freeswitch]\nport = 1");
    place.write("env.toml", "[freeswitch]\nport = 2");
    place.write("etc.toml", "[freeswitch]\nport = 3");
    place.env.default_file = place.path("etc.toml");
    let port = |file: Option<&Path>, env: &Environment| Config::load(file, env).unwrap().freeswitch.port;
    assert_eq!(port(None, &place.env), 3);
    place.env.config = Some(place.path("env.toml"));
    assert_eq!(port(None, &place.env), 2);
    assert_eq!(port(Some(&place.path("fswake.toml")), &place.env), 1);
}

#[test]
fn secrets_are_found_among_credentials_then_beside_the_file() {
    let mut place = Place::with("[freeswitch]\npassword-file = 'esl'");
    place.write("esl", "beside");
    let credentials = tempfile::tempdir().unwrap();
    place.env.credentials_directory = Some(credentials.path().into());
    assert_eq!(place.load().freeswitch.password, Secret::new("beside"));
    std::fs::write(credentials.path().join("esl"), "credential\n").unwrap();
    assert_eq!(place.load().freeswitch.password, Secret::new("credential"));
}

#[test]
fn store_is_in_the_state_directory_and_the_environment_sets_the_log() {
    let mut place = Place::with("[store]\npath = 'calls.db'\n[log]\nfilter = 'warn'");
    place.env.state_directory = Some("/run/state".into());
    assert_eq!(place.load().store.path, Path::new("/run/state/calls.db"));
    assert_eq!(place.load().log.filter, "warn");
    place.env.log = Some("debug".into());
    assert_eq!(place.load().log.filter, "debug");
    place.env.log = Some("debug,=".into());
    assert_eq!(
        place.error(),
        r#"environment: FSWAKE_LOG: "debug,=": levels and modules, as in "info" or "info,fswake::engine=debug""#
    );
}

#[test]
fn missing_file_is_named() {
    let error = Config::load(Some(Path::new("/nonexistent/f.toml")), &Environment::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/nonexistent/f.toml: cannot be read: no such file or directory"
    );
}

const DURATION: &str = r#"as in "500ms", "30s", "5m", "2h" or "60d""#;

#[test]
fn every_mistake_is_shown_with_file_key_value_and_what_is_allowed() {
    let cases = [
        (
            "[freeswitch]\nhots = 'x'",
            "freeswitch.hots: unknown key; allowed here: host, port, password-file, user",
        ),
        (
            "[wakes]",
            "wakes: unknown key; did you mean `wake`? allowed here: freeswitch, listen, wake, aor, contact, notifications, store, http, log, run, app",
        ),
        (
            "[freeswitch]\nport = 'x'",
            "freeswitch.port: 'x': a number from 0 to 65535",
        ),
        (
            "[freeswitch]\nport = 70000",
            "freeswitch.port: 70000: a number from 0 to 65535",
        ),
        ("[freeswitch]\nport = 0", "freeswitch.port: 0: a port from 1 to 65535"),
        (
            "[freeswitch]\nhost = ''",
            r#"freeswitch.host: "": a host name or an address"#,
        ),
        (
            "[freeswitch]\nuser = 'fswake'",
            r#"freeswitch.user: "fswake": "user@domain""#,
        ),
        (
            "[freeswitch]\nuser = \"a@b\\nc\"",
            r#"freeswitch.user: "a@b\nc": "user@domain""#,
        ),
        (
            "[freeswitch]\npassword-file = 'nope'",
            "freeswitch.password-file: nope: cannot be read: no such file or directory",
        ),
        (
            "[freeswitch]\npassword-file = 'two-lines'",
            "freeswitch.password-file: two-lines: must hold one line of text: line 2 is a second one",
        ),
        (
            "[freeswitch]\nport = ",
            "line 2: string values must be quoted, expected literal string",
        ),
        (
            "[listen]\naddresses = ['127.0.0.1']",
            r#"listen.addresses: "127.0.0.1": at least one "address:port", as in "127.0.0.1:8084" or "[::1]:8084""#,
        ),
        (
            "[listen]\nallow = []",
            r#"listen.allow: []: at least one network, as in "127.0.0.1/32", "10.0.0.0/8" or "fd00::/8""#,
        ),
        (
            "[listen]\nallow = ['10.0.0.0/33']",
            r#"listen.allow: "10.0.0.0/33": at least one network, as in "127.0.0.1/32", "10.0.0.0/8" or "fd00::/8""#,
        ),
        (
            "[wake]\nmax-wait = 25",
            r#"wake.max-wait: 25: no unit: write it as a duration in quotes, such as "25s""#,
        ),
        ("[wake]\nalert = 'both'", r#"wake.alert: "both": "push" or "phone""#),
        ("[wake]\nmode = 'push'", r#"wake.mode: "push": "connect" or "wake""#),
        (
            "[wake]\nmode = 'wake'\nwait-for = 'none'",
            r#"wake.wait-for: "none": "first" or "all""#,
        ),
        (
            "[wake]\nwait-for = 'all'",
            r#"wake.wait-for: "all": "first", unless wake.mode is "wake""#,
        ),
        (
            "[wake]\ndecline = 'both'",
            r#"wake.decline: "both": "this-device" or "all""#,
        ),
        (
            "[wake]\non-unregister = 'x'",
            r#"wake.on-unregister: "x": "forget" or "keep""#,
        ),
        (
            "[wake]\npush-retries = 11",
            "wake.push-retries: 11: a number from 0 to 10",
        ),
        (
            "[aor]\nignore-domain = 'yes'",
            "aor.ignore-domain: 'yes': true or false",
        ),
        (
            "[aor.domain-aliases]\na = 'b'\nb = 'c'",
            r#"aor.domain-aliases."a": "b": the domain that phones register with, not another alias"#,
        ),
        (
            "[[contact.params]]\nvoip-token = 'a;b'",
            r#"contact.params[1].voip-token: "a;b": the name of a URI parameter: letters, digits and - _ . ! ~ * ' +"#,
        ),
        (
            "[[contact.params]]\nvoip-token = ''",
            r#"contact.params[1].voip-token: "": the name of a URI parameter: letters, digits and - _ . ! ~ * ' +"#,
        ),
        (
            "[[contact.params]]\nuser-agent-regex = 'a(b'",
            r#"contact.params[1].user-agent-regex: "a(b": a regular expression: error: unclosed group"#,
        ),
        (
            "[[contact.params]]\nprovider = ''",
            r#"contact.params[1].provider: "": "apns", "apns.dev", "fcm", or another provider's name"#,
        ),
        (
            "[[contact.params]]\n[[contact.params]]\nplatforms = { x = 'a b' }",
            r#"contact.params[2].platforms."x": "a b": "apns", "apns.dev", "fcm", or another provider's name"#,
        ),
        ("[store]\npath = ''", r#"store.path: "": the name of a file"#),
        (
            "[http]\naddresses = ['example.org:80']",
            r#"http.addresses: "example.org:80": addresses with port, as in "127.0.0.1:8085" or "[::1]:8085"; [] switches it off"#,
        ),
        (
            "[http]\naddresses = ['127.0.0.1:8085', '0.0.0.0:8085']",
            "http.addresses: 0.0.0.0:8085: only 127.0.0.1 or [::1] without http.token-file",
        ),
        (
            "[http]\naddresses = ['[::ffff:192.0.2.1]:80']",
            "http.addresses: [::ffff:192.0.2.1]:80: only 127.0.0.1 or [::1] without http.token-file",
        ),
        (
            "[http]\ntoken-file = 'two-lines'",
            "http.token-file: two-lines: must hold one line of text: line 2 is a second one",
        ),
        (
            "[log]\nformat = 'xml'",
            r#"log.format: "xml": "pretty", "json" or "journald""#,
        ),
        (
            "[log]\nfilter = 'a=b=c'",
            r#"log.filter: "a=b=c": levels and modules, as in "info" or "info,fswake::engine=debug""#,
        ),
    ];
    for (config, error) in cases {
        let place = Place::with(config);
        place.write("two-lines", "a\nb\n");
        assert_eq!(
            place
                .error()
                .replace(&format!("{:?}", place.path("two-lines")), "\"two-lines\""),
            format!("fswake.toml: {error}")
        );
    }
    for (key, written, limits) in [
        ("wake.max-wait", "25", "1s to 10m"),
        ("wake.max-wait", "0s", "1s to 10m"),
        ("wake.push-retry", "1ms", "500ms to 5m"),
        ("store.token-ttl", "1 week", "1h to 3650d"),
        ("store.journal-keep", "-1d", "0s to 3650d"),
        ("run.drain-timeout", "2h", "0s to 1h"),
    ] {
        let (section, name) = key.split_once('.').unwrap();
        assert_eq!(
            Place::with(&format!("[{section}]\n{name} = '{written}'")).error(),
            format!("fswake.toml: {key}: {written:?}: a duration from {limits}, {DURATION}")
        );
    }
}

#[test]
fn journal_has_a_most_of_lines_within_limits() {
    for lines in [999, 1_000_000_001] {
        assert_eq!(
            Place::with(&format!("[store]\njournal-max-lines = {lines}")).error(),
            format!("fswake.toml: store.journal-max-lines: {lines}: a number from 1000 to 1000000000")
        );
    }
}

#[test]
fn every_mistake_in_an_app_is_shown_with_the_app() {
    let providers = r#""apns", "apns.dev", "fcm", "hms", "webpush", "http" or "log""#;
    let key = "key-file = 'k'\nkey-id = 'ABCDE12345'\nteam-id = 'ABCDE12345'";
    let origin = r#""https://host:port""#;
    let never_used = |first: &str, second: &str| {
        format!(
            "app.{second}: never used: app \"{first}\" before it takes all its phones; write \"{second}\" before it, or give \"{first}\" \
             app-ids, domains or providers of its own"
        )
    };
    let cases = [
        ("provider = 'log'", "app[1].name: missing: a unique name".into()),
        ("name = 'a b'", r#"app[1].name: "a b": one word, unique among apps"#.into()),
        ("name = 'a'\nprovider = 'log'\n[[app]]\nname = 'a'", r#"app[2].name: "a": one word, unique among apps"#.into()),
        ("name = 'a'", format!("app.a.provider: missing: {providers}")),
        ("name = 'a'\nprovider = 'gcm'", format!(r#"app.a.provider: "gcm": {providers}"#)),
        ("name = 'a'\nprovider = 'fcm'\nkey = 1", "app[1].key: unknown key; allowed here: name, provider, providers, app-ids, domains, tenant, key-file, key-id, team-id, cert-file, cert-key-file, service-account-file, client-id, client-secret-file, token-url, vapid-key-file, vapid-subject, allow-hosts, deny-hosts, allow-networks, deny-networks, base-url, ca-file, proxy, topic, payload, payload-file, on-unregister, cancel-push, missed-call-push, platforms, voip, im".into()),
        ("name = 'a'\nprovider = 'apns'", "app.a.key-file: missing: a .p8 file with key-id and team-id, or else cert-file".into()),
        ("name = 'a'\nprovider = 'apns'\nkey-file = 'k'", "app.a.key-id: missing: 10 letters and digits".into()),
        ("name = 'a'\nprovider = 'apns'\nkey-file = 'k'\nkey-id = 'ABCDE12345'", "app.a.team-id: missing: 10 letters and digits".into()),
        ("name = 'a'\nprovider = 'apns'\nkey-file = 'k'\nkey-id = 'short'", r#"app.a.key-id: "short": 10 letters and digits"#.into()),
        ("name = 'a'\nprovider = 'apns'\nkey-file = 'nope'", "app.a.key-file: nope: cannot be read: no such file or directory".into()),
        ("name = 'a'\nprovider = 'apns'\ncert-file = 'k'\nkey-id = 'x'", r#"app.a.key-id: "x": cert-file and cert-key-file without other credentials"#.into()),
        ("name = 'a'\nprovider = 'apns'\ncert-file = 'k'\nKEY", r#"app.a.cert-file: "k": key-file, key-id and team-id without other credentials"#.into()),
        ("name = 'a'\nprovider = 'hms'", "app.a.client-id: missing: the app's OAuth 2.0 client id, digits only (AppGallery Connect, project settings)".into()),
        ("name = 'a'\nprovider = 'hms'\nclient-id = 'com.acme'", r#"app.a.client-id: "com.acme": the app's OAuth 2.0 client id, digits only (AppGallery Connect, project settings)"#.into()),
        ("name = 'a'\nprovider = 'hms'\nclient-id = '1'", "app.a.client-secret-file: missing: a file with the client secret on one line".into()),
        ("name = 'a'\nprovider = 'hms'\nclient-id = '1'\nclient-secret-file = 'fswake.toml'\ntoken-url = 'http://a/b'", r#"app.a.token-url: "http://a/b": an https URL, as in "https://host/oauth2/v3/token""#.into()),
        ("name = 'a'\nprovider = 'webpush'", "app.a.vapid-key-file: missing: a file with the VAPID key (`openssl ecparam -name prime256v1 -genkey -noout`)".into()),
        ("name = 'a'\nprovider = 'webpush'\nvapid-key-file = 'fswake.toml'", r#"app.a.vapid-subject: missing: whom push services may write to, as in "mailto:push@example.org" or "https://example.org/""#.into()),
        ("name = 'a'\nprovider = 'webpush'\nvapid-key-file = 'fswake.toml'\nvapid-subject = 'push@example.org'", r#"app.a.vapid-subject: "push@example.org": whom push services may write to, as in "mailto:push@example.org" or "https://example.org/""#.into()),
        ("name = 'a'\nprovider = 'webpush'\nvapid-key-file = 'fswake.toml'\nvapid-subject = 'mailto:a@b'\nallow-hosts = ['https://a']", r#"app.a.allow-hosts: "https://a": hosts, as in "push.example.org" or "*.push.example.org""#.into()),
        ("name = 'a'\nprovider = 'webpush'\nvapid-key-file = 'fswake.toml'\nvapid-subject = 'mailto:a@b'\ndeny-networks = ['10.0.0.0/33']", r#"app.a.deny-networks: "10.0.0.0/33": networks, as in "10.0.0.0/8" or "fd00::/8""#.into()),
        ("name = 'a'\nprovider = 'webpush'\nvapid-key-file = 'fswake.toml'\nvapid-subject = 'mailto:a@b'\nproxy = 'http://p:1'", "app.a.allow-hosts: missing: the hosts of push services: with proxy, fswake cannot see where a name leads".into()),
        ("name = 'a'\nprovider = 'webpush'\nvapid-key-file = 'fswake.toml'\nvapid-subject = 'mailto:a@b'\nbase-url = 'https://a'", r#"app.a.base-url: "https://a": no base-url: phones name their push services"#.into()),
        ("name = 'a'\nprovider = 'log'\nallow-hosts = ['a']", r#"app.a.allow-hosts: only with provider = "webpush""#.into()),
        ("name = 'a'\nprovider = 'log'\nvapid-key-file = 'x'", r#"app.a.vapid-key-file: "x": no credentials with provider log"#.into()),
        ("name = 'a'\nprovider = 'fcm'", "app.a.service-account-file: missing: the service account's JSON file".into()),
        ("name = 'a'\nprovider = 'fcm'\nservice-account-file = 'nope'", "app.a.service-account-file: nope: cannot be read: no such file or directory".into()),
        ("name = 'a'\nprovider = 'log'\nkey-file = 'k'", r#"app.a.key-file: "k": no credentials with provider log"#.into()),
        ("name = 'a'\nprovider = 'apns'\nKEY\napp-ids = ['x.voip']", r#"app.a.app-ids: "x.voip": bundle ids without ".voip" and ".remote""#.into()),
        ("name = 'a'\nprovider = 'log'\napp-ids = ['']", r#"app.a.app-ids: "": app ids without spaces, as phones send them"#.into()),
        ("name = 'a'\nprovider = 'log'\ndomains = ['']", r#"app.a.domains: "": domains of callees, without spaces"#.into()),
        ("name = 'a'\nprovider = 'log'\ntopic = 'x'", r#"app.a.topic: "x": an APNs topic, with provider apns or apns.dev only"#.into()),
        ("name = 'a'\nprovider = 'log'\nbase-url = 'https://h/path'", format!(r#"app.a.base-url: "https://h/path": {origin}"#)),
        ("name = 'a'\nprovider = 'log'\nbase-url = 'http://example.org'", format!(r#"app.a.base-url: "http://example.org": {origin}"#)),
        ("name = 'a'\nprovider = 'log'\nproxy = 'socks5://h:1'", r#"app.a.proxy: "socks5://h:1": "http://host:port""#.into()),
        // What is said goes into logs.
        ("name = 'a'\nprovider = 'log'\nproxy = 'http://me:sesame@h:1'", r#"app.a.proxy: a URL with an @: "http://host:port", without a user and a password"#.into()),
        ("name = 'a'\nprovider = 'log'\nbase-url = 'https://me:sesame@h'", format!("app.a.base-url: a URL with an @: {origin}, without a user and a password")),
        ("name = 'a'\nprovider = 'log'\nca-file = 'nope'", "app.a.ca-file: nope: cannot be read: no such file or directory".into()),
        ("name = 'a'\nprovider = 'log'\npayload = 'x'", r#"app.a.payload: "x": "default", "linphone", "mod_apn" or "template""#.into()),
        ("name = 'a'\nprovider = 'log'\npayload = 'template'", "app.a.payload-file: missing: a file with one JSON object".into()),
        ("name = 'a'\nprovider = 'log'\npayload-file = 'k'", r#"app.a.payload-file: "k": only with payload = "template""#.into()),
        ("name = 'a'\nprovider = 'log'\npayload = 'template'\npayload-file = 'k'", r#"app.a.payload-file: "k": a file with one JSON object: invalid number at line 1 column 2"#.into()),
        ("name = 'a'\nprovider = 'log'\non-unregister = 'x'", r#"app.a.on-unregister: "x": "forget" or "keep""#.into()),
        ("name = 'a'\nprovider = 'log'\n[[app]]\nname = 'b'\nprovider = 'log'\napp-ids = ['x']", never_used("a", "b")),
        ("name = 'a'\nprovider = 'log'\n[[app]]\nname = 'b'\nprovider = 'apns'\nKEY\ndomains = ['x']", never_used("a", "b")),
        ("name = 'a'\nprovider = 'apns'\nKEY\napp-ids = ['x', 'y']\n[[app]]\nname = 'b'\nprovider = 'apns'\nKEY\napp-ids = ['y']\ndomains = ['d']", never_used("a", "b")),
        ("name = 'a'\nprovider = 'log'\n[[app]]\nname = 'b'\nprovider = 'log'", r#"app.b.app-ids: []: apps "a" and "b" both serve every phone of log: give one of them other app-ids, domains or providers"#.into()),
    ];
    for (config, error) in cases {
        let place = Place::with(&format!("[[app]]\n{}", config.replace("KEY", key)));
        place.write("k", "-----BEGIN");
        let found = place.error().replace(&format!("{:?}", place.path("k")), "\"k\"");
        assert_eq!(found, format!("fswake.toml: {error}"));
    }
}

/// An app of provider http with one profile.
fn gateway(app: &str, profile: &str) -> String {
    format!("[[app]]\nname = 'a'\nprovider = 'http'\n{app}\n[app.voip]\n{profile}")
}

#[test]
fn profiles_of_a_gateway_have_mod_apns_meaning_and_defaults() {
    let place = Place::with(&gateway(
        "platforms = { apns = 'ios' }\nproviders = ['fcm', 'HMS']",
        "url = 'http://push.example.org/${type}'\n[app.im]\nurl = 'https://push.example.org/?t=${token}'\n\
         method = 'get'\nauth-type = 'jwt'\nauth-file = 'secret'\ntimeout = '10s'\ninsecure = true",
    ));
    place.write("secret", "s3cret\n");
    let config = place.load();
    let app = &config.apps[0];
    assert_eq!(app.providers, [Provider::Fcm, Provider::Other("hms".into())]);
    let Credentials::Http(profiles) = &app.credentials else {
        panic!("{app:?}")
    };
    let (voip, im) = (profiles.voip.as_ref().unwrap(), profiles.im.as_ref().unwrap());
    assert_eq!(profiles.platforms, [(Provider::Apns, "ios".to_owned())]);
    let body = BodyTemplate::parse("application/json", None).unwrap();
    assert_eq!(
        (voip.body.as_ref(), voip.content_type.as_str()),
        (Some(&body), "application/json")
    );
    assert_eq!((voip.auth.kind(), voip.insecure), ("none", false));
    assert_eq!(
        (voip.timeout, voip.connect_timeout),
        (Duration::from_secs(3), Duration::from_secs(3))
    );
    assert_eq!((im.body.as_ref(), im.auth.kind(), im.insecure), (None, "bearer", true));
    assert_eq!(
        (im.timeout, im.auth.file()),
        (Duration::from_secs(10), Some(place.path("secret").as_path()))
    );
    // What a gateway cannot tell from a call it is not told, and every provider that is served has its policy.
    let hms = DeviceKey {
        aor: Aor::new("1001", "example.org"),
        provider: Provider::Other("hms".into()),
        app: "x".into(),
        token: PushToken::new("t"),
    };
    assert!(!config.policy.app(&hms).unwrap().cancel_push);
    assert!(!format!("{config:?}").contains("?t="), "a URL may hold a key");
}

#[test]
fn every_mistake_in_a_profile_is_shown_with_app_profile_and_key() {
    let url = "url = 'https://h'";
    let fixed_host = "must have a fixed host: ${..} may stand in its path and in values of its query";
    let cases = [
        (
            "",
            "",
            "voip.url: missing: a URL, as in \"https://push.example.org/${type}/${token}\"",
        ),
        ("", "url = 'ftp://h/'", "voip.url: must begin with https:// or http://"),
        ("", "url = 'h'", "voip.url: must begin with https:// or http://"),
        (
            "",
            "url = 'https:///x'",
            "voip.url: must have a host, as in https://push.example.org/wake",
        ),
        (
            "",
            "url = 'https://h:99999/x'",
            "voip.url: must have a host, as in https://push.example.org/wake",
        ),
        ("", "url = 'https://${realm}/x'", &format!("voip.url: {fixed_host}")),
        ("", "url = 'https://h:${ttl}/x'", &format!("voip.url: {fixed_host}")),
        (
            "",
            "url = 'https://u:s3cret@h/x'",
            "voip.url: must have no user and password: use auth-type = \"basic\" and auth-file",
        ),
        (
            "",
            "url = 'https://h/a b'",
            "voip.url: must have no blanks, no backslash and no #: write %20, %5C, %23",
        ),
        (
            "",
            "url = 'https://h/a#${user}'",
            "voip.url: must have no blanks, no backslash and no #: write %20, %5C, %23",
        ),
        (
            "",
            "url = 'https://h/../x'",
            "voip.url: must have no . and .. in its path",
        ),
        (
            "",
            "url = 'https://h/?${type}=1'",
            "voip.url: must have fixed keys: ${..} may stand in values, key=${..}, only",
        ),
        (
            "",
            "url = 'https://h/?${token}'",
            "voip.url: must have fixed keys: ${..} may stand in values, key=${..}, only",
        ),
        ("", "url = 'https://h/${user'", "voip.url: has `${` without `}`"),
        (
            "",
            "url = 'https://h/${nothing}'",
            "voip.url: has the unknown ${nothing}; known are: type, user, realm, token",
        ),
        ("", "URL\nmethod = 'put'", "voip.method: \"put\": \"post\" or \"get\""),
        (
            "",
            "URL\nmethod = 'get'\nbody = ''",
            "voip.body: only with method = \"post\"",
        ),
        (
            "",
            "URL\nmethod = 'get'\nbody-file = 'k'",
            "voip.body-file: only with method = \"post\"",
        ),
        (
            "",
            "URL\nbody = 'x'\nbody-file = 'k'",
            "voip.body-file: \"k\": not beside body",
        ),
        (
            "",
            "URL\nbody-file = 'nope'",
            "voip.body-file: nope: cannot be read: no such file or directory",
        ),
        (
            "",
            "URL\nbody = 'x'",
            "voip.body: is not JSON with ${..} in place of values: expected value at line 1 column 1",
        ),
        (
            "",
            "URL\nbody = '{\"a\":1,}'",
            "voip.body: is not JSON with ${..} in place of values: trailing comma",
        ),
        (
            "",
            "URL\nbody = '{\"${user}\":1}'",
            "voip.body: must have fixed JSON keys: ${..} may stand in values only",
        ),
        (
            "",
            "URL\nbody = '{${user}:1}'",
            "voip.body: must have fixed JSON keys: ${..} may stand in values only",
        ),
        ("", "URL\nbody = '${payload}'", "voip.body: must be a JSON object"),
        (
            "",
            "URL\nbody = '{\"a\":${nothing}}'",
            "voip.body: has the unknown ${nothing}; known are: ",
        ),
        (
            "",
            "URL\nbody = '{\"a\":\"${=user}\"}'",
            "voip.body: has the unknown ${=}; known are: ",
        ),
        ("", "URL\nbody = '{\"a\":${user'", "voip.body: has `${` without `}`"),
        (
            "",
            "URL\ncontent-type = 'text'",
            "voip.content-type: \"text\": a media type, as in \"application/json\"",
        ),
        (
            "",
            "URL\ncontent-type = 'text/${type}'",
            "voip.content-type: \"text/${type}\": a media type, as in \"application/json\"",
        ),
        (
            "",
            "URL\ncontent-type = \"text/x\\r\\nA: b\"",
            "voip.content-type: \"text/x\\r\\nA: b\": a media type, as in \"application/json\"",
        ),
        (
            "",
            "URL\ncontent-type = 'text/plain'",
            "voip.body: is needed with a content type other than application/json and application/x-www-form-urlencoded",
        ),
        (
            "",
            "URL\ncontent-type = 'multipart/form-data; boundary=x'\nbody = 'x'",
            "voip.body: cannot be multipart: a value could hold the boundary between the parts",
        ),
        (
            "",
            "URL\ncontent-type = 'application/x-www-form-urlencoded'\nbody = '${user}=1'",
            "voip.body: must have fixed keys: ${..} may stand in values, key=${..}, only",
        ),
        (
            "",
            "URL\nauth-type = 'ntlm'",
            "voip.auth-type: \"ntlm\": \"none\", \"jwt\" or \"bearer\", \"basic\", \"digest\" or \"header\"",
        ),
        (
            "",
            "URL\nauth-type = 'basic'",
            "voip.auth-file: missing: a file with user:password on one line",
        ),
        (
            "",
            "URL\nauth-type = 'jwt'",
            "voip.auth-file: missing: a file with the token on one line",
        ),
        (
            "",
            "URL\nauth-type = 'digest'\nauth-file = 'nope'",
            "voip.auth-file: nope: cannot be read: no such file or directory",
        ),
        (
            "",
            "URL\nauth-file = 'k'",
            "voip.auth-file: \"k\": only with an auth-type",
        ),
        (
            "",
            "URL\ntimeout = '0s'",
            "voip.timeout: \"0s\": a duration from 100ms to 60s, as in ",
        ),
        (
            "",
            "URL\nconnect-timeout = '300'",
            "voip.connect-timeout: \"300\": a duration from 100ms to 60s, as in ",
        ),
        ("", "URL\ninsecure = 'yes'", "voip.insecure: 'yes': true or false"),
        (
            "key-file = 'k'",
            "URL",
            "key-file: \"k\": auth-file in a profile, and no other credentials",
        ),
        (
            "base-url = 'https://h'",
            "URL",
            "base-url: \"https://h\": url in a profile instead",
        ),
        (
            "platforms = { apns = '' }",
            "URL",
            "platforms.apns: \"\": what ${platform} is for it",
        ),
        (
            "providers = ['']",
            "URL",
            "providers: [\"\"]: with provider \"http\" or \"log\" only",
        ),
        (
            "cancel-push = true",
            "URL\nbody = '{\"t\":\"${token}\"}'",
            "cancel-push: true: false, or ${kind} or ${payload} in url or body of the profile voip",
        ),
        (
            "missed-call-push = true",
            "URL\nmethod = 'get'",
            "missed-call-push: true: false, or ${kind} or ${payload} in url or body of the profile voip",
        ),
    ];
    for (app, profile, error) in cases {
        let place = Place::with(&gateway(app, &profile.replace("URL", url)));
        place.write("k", "k");
        let found = place.error();
        // A value of another type is found before the app's name is known.
        let found = found.replace("app[1].", "app.a.");
        let at = found.strip_prefix("fswake.toml: app.").unwrap_or(&found);
        let at = at.strip_prefix("a.").unwrap_or(at);
        assert!(at.starts_with(error), "{found}\nexpected: {error}");
        assert!(!found.contains("s3cret"), "{found}");
    }
    let none = Place::with("[[app]]\nname = 'a'\nprovider = 'http'").error();
    assert!(
        none.ends_with("app.a.voip: missing: a table [app.voip] for calls, [app.im] for messages, or both"),
        "{none}"
    );
    let elsewhere = Place::with("[[app]]\nname = 'a'\nprovider = 'log'\n[app.voip]\nurl = 'x'").error();
    assert!(
        elsewhere.ends_with("app.a.voip: only with provider = \"http\""),
        "{elsewhere}"
    );
    let apple =
        Place::with("[[app]]\nname = 'a'\nprovider = 'fcm'\nproviders = ['fcm']\nservice-account-file = 'fswake.toml'")
            .error();
    assert!(apple.contains("app.a.providers: [\"fcm\"]: with provider"), "{apple}");
}

#[test]
fn names_of_parameters_are_mod_apns_unless_a_set_says_otherwise() {
    let config = Place::with(
        "[[contact.params]]\nuser-agent = 'acme'\nuser-agent-regex = '^A'\nvoip-token = 'PN-Tok'\nim-token = ''\n\
         platforms = { Apple = 'apns.dev' }\nprovider = 'FCM'\n[[contact.params]]",
    )
    .load();
    let [first, second] = &config.contact.names.sets[..] else {
        panic!("{config:?}")
    };
    assert_eq!(
        *first,
        ParamSet {
            user_agent: Some("acme".into()),
            user_agent_regex: Some(Pattern::parse("^A").unwrap()),
            voip_token: "pn-tok".into(),
            im_token: None,
            platforms: vec![("apple".into(), Provider::ApnsSandbox)],
            provider: Some(Provider::Fcm),
            ..ParamSet::mod_apn()
        }
    );
    assert_eq!(*second, ParamSet::mod_apn());
}

#[test]
fn configurations_in_the_documents_are_good() {
    let mut blocks = 0;
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        for block in text.split("```toml\n").skip(1) {
            let configuration = block.split("```").next().unwrap();
            let place = Place::with(configuration);
            for line in configuration.lines() {
                let file = line
                    .split_once("file = \"")
                    .and_then(|(_, rest)| rest.split('"').next());
                if let Some(file) = file {
                    place.write(file, "secret");
                }
            }
            println!("{}:\n{configuration}", document.display());
            place.load();
            blocks += 1;
        }
    }
    assert!(blocks >= 10, "only {blocks} configurations were found");
}

/// README.md and all of docs/.
fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_dir(root.join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let pages = docs.filter(|path| path.extension().is_some_and(|end| end == "md"));
    pages.chain([root.join("README.md")]).collect()
}

#[test]
fn app_that_leaves_another_some_phones_may_stand_before_it() {
    let key = "key-file = 'k'\nkey-id = 'ABCDE12345'\nteam-id = 'ABCDE12345'";
    for (first, second) in [
        ("provider = 'log'\napp-ids = ['x']", "provider = 'log'"),
        ("provider = 'log'\nproviders = ['fcm']", "provider = 'apns'\nKEY"),
        ("provider = 'log'\nproviders = ['fcm']", "provider = 'log'"),
        ("provider = 'apns'\nKEY\ndomains = ['d']", "provider = 'apns'\nKEY"),
        (
            "provider = 'apns'\nKEY\napp-ids = ['x']",
            "provider = 'apns'\nKEY\napp-ids = ['x', 'y']\ndomains = ['d']",
        ),
        ("provider = 'apns.dev'\nKEY", "provider = 'apns'\nKEY"),
    ] {
        let config = format!("[[app]]\nname = 'a'\n{first}\n[[app]]\nname = 'b'\n{second}").replace("KEY", key);
        let place = Place::with(&config);
        place.write("k", "-----BEGIN");
        assert_eq!(place.load().apps.len(), 2, "{config}");
    }
}
