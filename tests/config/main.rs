//! The configuration: the shipped one equals the defaults, and every mistake is reported.

mod apns;
mod documents;
mod gateway;
mod gateway_replies;
mod mistakes;
mod shared;

use std::path::{Path, PathBuf};
use std::time::Duration;

use fswake::config::{Config, EXAMPLE, Environment, LogFormat};
use fswake::contact::{ParamSet, Pattern};
use fswake::engine::Mode;
use fswake::engine::policy::{Alert, AppPolicy, Decline, OnUnregister, Policy};
use fswake::postgres::Tls;
use fswake::push::app::{ApnsRules, App, Credentials, PayloadStyle};
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

    /// Writes a file. A `.p12` has what such files begin with.
    fn write(&self, name: &str, text: &str) {
        let content = if Path::new(name).extension().is_some_and(|end| end == "p12") {
            &[0x30, 0x81, 0x03, 0x02, 0x01, 0x03][..]
        } else {
            text.as_bytes()
        };
        std::fs::write(self.path(name), content).unwrap();
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

#[test]
fn without_a_configuration_it_uses_the_local_freeswitch_and_logs_its_pushes() {
    let config = built_in();
    assert_eq!(
        (config.first().endpoint.host.as_str(), config.first().endpoint.port),
        ("127.0.0.1", 8021)
    );
    assert_eq!(config.first().endpoint.password, Secret::new("ClueCon"));
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
        apns: ApnsRules::default(),
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
fn mode_and_alert_can_be_set() {
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
        app: Some("y".into()),
        missed_call_push: true,
        ..AppPolicy::default()
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
fn files_are_found_by_argument_then_environment_then_default_path() {
    let mut place = Place::with("[freeswitch]\nport = 1");
    place.write("env.toml", "[freeswitch]\nport = 2");
    place.write("etc.toml", "[freeswitch]\nport = 3");
    place.env.default_file = place.path("etc.toml");
    let port = |file: Option<&Path>, env: &Environment| Config::load(file, env).unwrap().first().endpoint.port;
    assert_eq!(port(None, &place.env), 3);
    place.env.config = Some(place.path("env.toml"));
    assert_eq!(port(None, &place.env), 2);
    assert_eq!(port(Some(&place.path("fswake.toml")), &place.env), 1);
}

#[test]
fn secrets_are_found_in_credentials_then_next_to_the_file() {
    let mut place = Place::with("[freeswitch]\npassword-file = 'esl'");
    place.write("esl", "beside");
    let credentials = tempfile::tempdir().unwrap();
    place.env.credentials_directory = Some(credentials.path().into());
    assert_eq!(place.load().first().endpoint.password, Secret::new("beside"));
    std::fs::write(credentials.path().join("esl"), "credential\n").unwrap();
    assert_eq!(place.load().first().endpoint.password, Secret::new("credential"));
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
fn journal_has_a_maximum_of_lines_within_limits() {
    for lines in [999, 1_000_000_001] {
        assert_eq!(
            Place::with(&format!("[store]\njournal-max-lines = {lines}")).error(),
            format!("fswake.toml: store.journal-max-lines: {lines}: a number from 1000 to 1000000000")
        );
    }
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
fn preset_sets_an_apps_names_and_further_keys_replace_single_ones() {
    let config = Place::with(
        "[[contact.params]]\npreset = 'kazoo'\nuser-agent = 'acme'\nvoip-token = 'x-tok'\n[[contact.params]]\npreset = 'linphone'\n\
         [[contact.params]]\npreset = 'mod_apn'",
    )
    .load();
    assert_eq!(
        config.contact.names.sets,
        [
            ParamSet {
                user_agent: Some("acme".into()),
                voip_token: "x-tok".into(),
                ..ParamSet::kazoo()
            },
            ParamSet::linphone(),
            ParamSet::mod_apn(),
        ]
    );
}

#[test]
fn app_that_leaves_some_phones_to_another_may_come_first() {
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
