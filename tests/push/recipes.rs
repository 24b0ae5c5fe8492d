//! The recipes of docs/PAYLOADS.md for vendors' services, as they stand there, each against a service that follows the
//! vendor's documentation; and `refused-when` itself.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use fswake::config::{Config, Environment};
use fswake::push::refused_when::{Found, Meaning, RefusedWhen};
use fswake::push::{PushError, PushRequest, Pushers};
use fswake::types::{Provider, PushParams, PushToken, Tokens};
use fswake_test_support::gateway::{Gateway, Over, Wants};
use fswake_test_support::http2::{Fault, Reply};
use fswake_test_support::skipped;
use fswake_test_support::vendors::{APP_ID, APP_KEY, GONE, KNOWN, PACKAGE, SECRET, Vendor, VendorService};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::support::{attempts, call, gateway_app, http_profile, pushers};

/// A recipe of the page.
struct Recipe {
    text: String,
    dir: TempDir,
}

impl Recipe {
    fn of(name: &str) -> Self {
        let page = std::fs::read_to_string(root().join("docs/PAYLOADS.md")).unwrap();
        let mut blocks = page
            .split("```toml\n")
            .skip(1)
            .filter_map(|rest| rest.split("```").next());
        let block = blocks.find(|block| block.contains(&format!("name = \"{name}\"\n")));
        Self {
            text: block.unwrap_or_else(|| panic!("no recipe {name}")).to_owned(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// With another address.
    fn at(mut self, host: &str, url: &str) -> Self {
        assert!(self.text.contains(host), "{}", self.text);
        self.text = self.text.replace(host, url);
        self
    }

    /// With a file that it names.
    fn file(self, name: &str, content: &str) -> Self {
        std::fs::write(self.path(name), content).unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn pushers(self, service: &VendorService) -> Pushers {
        let ca_file = format!("ca-file = '{}'\n[app.voip]", service.ca_file().display());
        let recipe = self.text.replace("[app.voip]", &ca_file);
        let file = self.path("fswake.toml");
        std::fs::write(&file, recipe).unwrap();
        let config = Config::load(Some(&file), &Environment::default()).unwrap();
        Pushers::new(config.apps).unwrap()
    }

    /// Fetches a token with `gateway/push-token.sh`; stderr if there is none.
    async fn token(&self, vendor: &str, secret: &str, service: &VendorService, path: &str) -> Result<(), String> {
        let keys = self.path("keys");
        let url = format!("{}{path}", service.url());
        std::fs::write(
            &keys,
            format!("id={APP_ID}\nkey={APP_KEY}\nsecret={secret}\nurl={url}\n"),
        )
        .unwrap();
        let script = Command::new(root().join("gateway/push-token.sh"))
            .arg(vendor)
            .arg(&keys)
            .arg(self.path(&format!("{vendor}-token")))
            .env("CURL_CA_BUNDLE", service.ca_file())
            .output();
        let output = script.await.unwrap();
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Whether a program is there; if not, the test is noted as skipped.
async fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().await.is_ok();
    if !found {
        skipped::note(&format!("no {program}"));
    }
    found
}

fn to(provider: &str, token: &str) -> PushRequest {
    PushRequest {
        to: PushParams {
            provider: Provider::from_name(provider),
            app: PACKAGE.into(),
            team: None,
            tokens: Tokens::Call(PushToken::new(token)),
        },
        ttl: Duration::from_secs(5),
        ..call(Provider::Fcm, token)
    }
}

#[tokio::test]
async fn recipe_for_xiaomi_is_taken_and_reads_refusals_inside_a_200() {
    let xiaomi = VendorService::start(Vendor::Xiaomi).await;
    let pushers = Recipe::of("xiaomi")
        .at("https://api.xmpush.xiaomi.com", &xiaomi.url())
        .file("xiaomi-secret", &format!("Authorization: key={SECRET}\n"))
        .pushers(&xiaomi);
    assert_eq!(attempts(pushers.push(&to("xiaomi", KNOWN)).await), Ok(1));
    let asked = xiaomi.next().await;
    assert_eq!(asked.reason, "");
    assert!(asked.payload.contains("\"cid_name\":\"Zoë\""), "{}", asked.payload);
    let refused = attempts(pushers.push(&to("xiaomi", GONE)).await);
    assert_eq!(refused, Err("token refused (/code is 20301)".into()));
    xiaomi
        .faults
        .next(Fault::json(200, &json!({"result": "error", "code": 21301})));
    assert_eq!(
        attempts(pushers.push(&to("xiaomi", KNOWN)).await),
        Err("/code is 21301".into())
    );
    xiaomi
        .faults
        .next(Fault::json(200, &json!({"result": "error", "code": 1})));
    let refused = attempts(pushers.push(&to("xiaomi", KNOWN)).await);
    assert_eq!(refused, Err("refused by the provider: 200 /result is error".into()));
}

#[tokio::test]
async fn recipe_for_vivo_is_taken_and_reads_refusals_inside_a_200() {
    if !has("curl").await {
        return;
    }
    let vivo = VendorService::start(Vendor::Vivo).await;
    let recipe = Recipe::of("vivo").at("https://api-push.vivo.com.cn", &vivo.url());
    recipe.token("vivo", SECRET, &vivo, "/message/auth").await.unwrap();
    let pushers = recipe.pushers(&vivo);
    assert_eq!(attempts(pushers.push(&to("vivo", KNOWN)).await), Ok(1));
    let asked = vivo.next().await;
    assert_eq!(asked.reason, "");
    assert!(asked.payload.contains("sip-call-id"), "{}", asked.payload);
    let refused = attempts(pushers.push(&to("vivo", GONE)).await);
    assert_eq!(refused, Err("token refused (/result is 10302)".into()));
    vivo.faults
        .next(Fault::json(200, &json!({"result": 10070, "desc": "x"})));
    assert_eq!(attempts(pushers.push(&to("vivo", KNOWN)).await), Ok(2));
    vivo.revoke_tokens();
    let refused = attempts(pushers.push(&to("vivo", KNOWN)).await);
    assert_eq!(refused, Err("/result is 10000".into()));
}

#[tokio::test]
async fn recipe_for_oppo_sends_json_in_a_form_with_the_token_that_the_script_fetches() {
    if !has("curl").await {
        return;
    }
    let oppo = VendorService::start(Vendor::Oppo).await;
    let recipe = Recipe::of("oppo").at("https://api.push.oppomobile.com", &oppo.url());
    recipe.token("oppo", SECRET, &oppo, "/server/v1/auth").await.unwrap();
    let pushers = recipe.pushers(&oppo);
    assert_eq!(attempts(pushers.push(&to("oppo", KNOWN)).await), Ok(1));
    let asked = oppo.next().await;
    assert_eq!(asked.reason, "");
    assert!(asked.payload.contains("\"caller-name\":\"Zoë\""), "{}", asked.payload);
    let refused = attempts(pushers.push(&to("oppo", GONE)).await);
    assert_eq!(refused, Err("refused by the provider: 200 /code is 10000".into()));
    for busy in [-2, -1, 13] {
        oppo.faults
            .next(Fault::json(200, &json!({"code": busy, "message": "x"})));
        assert_eq!(attempts(pushers.push(&to("oppo", KNOWN)).await), Ok(2), "{busy}");
    }
    oppo.revoke_tokens();
    let refused = attempts(pushers.push(&to("oppo", KNOWN)).await);
    assert_eq!(refused, Err("/code is 11".into()));
}

#[tokio::test]
async fn script_for_tokens_keeps_the_last_one_when_it_gets_none_and_says_why() {
    if !has("curl").await {
        return;
    }
    for (name, vendor, path, why) in [
        ("oppo", Vendor::Oppo, "/server/v1/auth", "Invalid Signature"),
        ("vivo", Vendor::Vivo, "/message/auth", "not authenticated"),
    ] {
        let service = VendorService::start(vendor).await;
        let recipe = Recipe::of(name);
        recipe.token(name, SECRET, &service, path).await.unwrap();
        let file = recipe.path(&format!("{name}-token"));
        let before = std::fs::read_to_string(&file).unwrap();
        let stderr = recipe.token(name, "wrong", &service, path).await.unwrap_err();
        assert!(stderr.contains(why) && !stderr.contains("wrong"), "{stderr}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
        // The next one replaces it.
        recipe.token(name, SECRET, &service, path).await.unwrap();
        assert_ne!(std::fs::read_to_string(&file).unwrap(), before);
    }
}

fn at_honor(honor: &VendorService) -> Pushers {
    Recipe::of("honor")
        .at("https://push-api.cloud.honor.com", &honor.url())
        .at("https://iam.developer.honor.com", &honor.url())
        .file("honor-secret", SECRET)
        .pushers(honor)
}

#[tokio::test]
async fn error_of_something_on_the_way_is_tried_again_although_it_has_none_of_the_values() {
    let honor = VendorService::start(Vendor::Honor).await;
    let pushers = at_honor(&honor);
    for status in [429, 500, 502, 503] {
        honor.faults.next(Fault::Reply(Reply {
            status,
            body: b"<html>try later</html>".to_vec(),
            ..Reply::default()
        }));
        assert_eq!(attempts(pushers.push(&to("honor", KNOWN)).await), Ok(2), "{status}");
    }
    // A token that was revoked, whatever the code.
    honor.faults.next(Fault::json(401, &json!({"code": 999})));
    assert_eq!(attempts(pushers.push(&to("honor", KNOWN)).await), Ok(2));
    assert_eq!(honor.token_requests(), 2);
    // A client that may not push does not ask for a token with each push.
    for _ in 0..5 {
        honor.faults.next(Fault::json(401, &json!({"code": 999})));
        assert!(pushers.push(&to("honor", KNOWN)).await.is_err());
    }
    assert_eq!(honor.token_requests(), 2);
}

#[tokio::test]
async fn recipe_for_honor_gets_its_access_tokens_itself() {
    let honor = VendorService::start(Vendor::Honor).await;
    let pushers = at_honor(&honor);
    for _ in 0..2 {
        assert_eq!(attempts(pushers.push(&to("honor", KNOWN)).await), Ok(1));
        let asked = honor.next().await;
        assert_eq!(asked.reason, "");
        assert!(asked.payload.contains("\"caller-name\":\"Zoë\""), "{}", asked.payload);
    }
    assert_eq!(honor.token_requests(), 1);
    let refused = attempts(pushers.push(&to("honor", GONE)).await);
    assert_eq!(refused, Err("token refused (/data/expireTokens/0 is there)".into()));
    let failed = json!({"code": 200, "data": {"sendResult": false, "failTokens": [KNOWN], "expireTokens": []}});
    honor.faults.next(Fault::json(200, &failed));
    assert_eq!(
        attempts(pushers.push(&to("honor", KNOWN)).await),
        Err("refused by the provider: 200 /data/failTokens/0 is there".into())
    );
    // A token that is revoked early is replaced, and the push is sent once more.
    honor.revoke_tokens();
    assert_eq!(attempts(pushers.push(&to("honor", KNOWN)).await), Ok(2));
    assert_eq!(honor.token_requests(), 2);
    // The new one is refused as well: that is no reason to ask for a third.
    honor.faults.next(Fault::json(401, &json!({"code": 80_200_003})));
    let refused = attempts(pushers.push(&to("honor", KNOWN)).await);
    assert_eq!(refused, Err("/code is 80200003".into()));
    assert_eq!(honor.token_requests(), 2);
}

#[tokio::test]
async fn recipe_for_meizu_is_signed_by_the_relay() {
    if !has("python3").await {
        return;
    }
    let meizu = VendorService::start(Vendor::Meizu).await;
    let recipe = Recipe::of("meizu").file("secret", &format!("{SECRET}\n"));
    let mut relay = Command::new("python3")
        .arg(root().join("gateway/meizu-relay.py"))
        .arg(recipe.path("secret"))
        .args(["0", &meizu.url()])
        .env("SSL_CERT_FILE", meizu.ca_file())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(relay.stderr.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    let port = line.strip_prefix("listening on port ").unwrap();
    let pushers = recipe
        .at("http://127.0.0.1:8088", &format!("http://127.0.0.1:{port}"))
        .pushers(&meizu);
    assert_eq!(attempts(pushers.push(&to("meizu", KNOWN)).await), Ok(1));
    let asked = meizu.next().await;
    assert_eq!(asked.reason, "");
    assert!(asked.payload.contains("\"caller-name\":\"Zoë\""), "{}", asked.payload);
    for (token, reason) in [(GONE, "/value/110002 is there"), ("other", "/value/110003 is there")] {
        let refused = attempts(pushers.push(&to("meizu", token)).await);
        assert_eq!(refused, Err(format!("token refused ({reason})")));
    }
    for (code, outcome) in [
        ("110010", Ok(2)),
        ("1006", Err("/code is 1006".to_owned())),
        ("1005", Err("refused by the provider: 200 /code is 1005".to_owned())),
    ] {
        meizu
            .faults
            .next(Fault::json(200, &json!({"code": code, "value": "", "message": "x"})));
        assert_eq!(attempts(pushers.push(&to("meizu", KNOWN)).await), outcome);
    }
}

#[tokio::test]
async fn recipe_for_a_relay_like_pushover_is_taken_and_reads_its_errors() {
    let pushover = VendorService::start(Vendor::Pushover).await;
    let form = "&user=${token}&message=${cid_name} ${cid_number}&priority=1&ttl=${ttl}";
    let pushers = Recipe::of("pushover")
        .at("https://api.pushover.net", &pushover.url())
        .file("pushover.form", &format!("token={SECRET}{form}"))
        .pushers(&pushover);
    assert_eq!(attempts(pushers.push(&to("pushover", KNOWN)).await), Ok(1));
    let asked = pushover.next().await;
    assert_eq!((asked.reason, asked.payload.as_str()), ("", "Zoë +15550100"));
    let refused = attempts(pushers.push(&to("pushover", GONE)).await);
    assert_eq!(refused, Err("token refused (/user is invalid)".into()));
}

fn when(pointer: &str, found: Found, means: Meaning) -> RefusedWhen {
    RefusedWhen {
        pointer: pointer.parse().unwrap(),
        found,
        means,
    }
}

#[tokio::test]
async fn first_rule_that_fits_says_what_a_refusal_means_whatever_the_status() {
    let gateway = Gateway::start(Over::Http2, Wants::Nothing).await;
    let one = |value: &str| Found::One(vec![value.to_owned()]);
    let profile = fswake::push::app::HttpProfile {
        refused_when: vec![
            when("/code", one("gone"), Meaning::TokenGone),
            when("/code", one("bad"), Meaning::TokenBad),
            when("/code", one("busy"), Meaning::Busy),
            when("/code", one("key"), Meaning::Credentials),
            when("/ok", Found::NoneOf(vec!["true".into()]), Meaning::Refused),
        ],
        ..http_profile(&gateway, "/push/${token}")
    };
    let pushers = pushers(gateway_app(&gateway, profile));
    let request = call(Provider::Fcm, "token-1");
    for (status, body, expected) in [
        (200, json!({"code": "gone", "ok": true}), "token gone (/code is gone)"),
        (503, json!({"code": "gone"}), "token gone (/code is gone)"),
        (200, json!({"code": "bad"}), "token refused (/code is bad)"),
        (200, json!({"code": "key"}), "/code is key"),
        (200, json!({"ok": false}), "refused by the provider: 200 /ok is false"),
        (200, json!("no object"), "refused by the provider: 200 /ok is nothing"),
        (410, json!({"ok": true}), "token gone (Gone)"),
    ] {
        gateway.faults.next(Fault::json(status, &body));
        assert_eq!(attempts(pushers.push(&request).await), Err(expected.into()), "{body}");
    }
    // Busy is tried again, until it is over.
    gateway.faults.next(Fault::json(200, &json!({"code": "busy"})));
    gateway.faults.next(Fault::json(200, &json!({"ok": true})));
    assert_eq!(attempts(pushers.push(&request).await), Ok(2));
    // The gateway's own answer is no JSON at all.
    let refused = pushers.push(&request).await;
    assert!(
        matches!(refused, Err(PushError::Rejected { status: 200, .. })),
        "{refused:?}"
    );
}
