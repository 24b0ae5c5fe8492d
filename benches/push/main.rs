//! Pushes: `cargo bench --bench push`, on an otherwise idle machine.
//!
//! 1. `rate`: pushes a second over one connection, compared with the bare HTTP library.
//! 2. `many`: 10,000 pushes in flight to a slow provider: their memory, and their effect on pushes to another provider.
//! 3. `faults`: how long a push takes when the provider, or the way to it, fails.
//!
//! `FSWAKE_BENCH` selects one.

mod faults;
mod many;
mod rate;
mod stand_ins;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use fswake::push::app::{ApnsRules, App, Credentials, PayloadStyle};
use fswake::push::{About, CallPush, PushKind, PushRequest};
use fswake::types::{Aor, CallId, Provider, PushId, PushParams, PushToken, Tokens};
use fswake_test_support::apns::{Apns, BUNDLE_ID, KEY_ID, TEAM_ID};

const TOKEN: &str = "00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee";

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let only = std::env::var("FSWAKE_BENCH").ok();
    let runs = |name: &str| only.as_deref().is_none_or(|only| only == name);
    if std::env::var_os(stand_ins::STAND_INS).is_some() {
        return runtime.block_on(stand_ins::run());
    }
    if runs("rate") {
        runtime.block_on(rate::measure());
    }
    if runs("many") {
        runtime.block_on(many::measure());
    }
    if runs("faults") {
        runtime.block_on(faults::measure());
    }
}

/// The address of a stand-in, and the files that an app needs for it.
struct Endpoint {
    base_url: String,
    ca_file: PathBuf,
    key_file: PathBuf,
}

impl Endpoint {
    fn of(apns: &Apns) -> Self {
        Self {
            base_url: apns.base_url(),
            ca_file: apns.ca_file(),
            key_file: apns.key_file(),
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn app(name: &str, at: &Endpoint) -> App {
    App {
        name: name.into(),
        provider: Provider::Apns,
        providers: Vec::new(),
        app_ids: Vec::new(),
        domains: Vec::new(),
        tenant: None,
        apns: ApnsRules::default(),
        credentials: Credentials::ApnsToken {
            key_file: at.key_file.clone(),
            key_id: KEY_ID.into(),
            team_id: TEAM_ID.into(),
            next: None,
        },
        base_url: Some(at.base_url.clone()),
        ca_file: Some(at.ca_file.clone()),
        proxy: None,
        topic: None,
        payload: PayloadStyle::Default,
    }
}

fn request(n: u64, token: &str) -> PushRequest {
    PushRequest {
        id: PushId(n),
        to: PushParams {
            provider: Provider::Apns,
            app: BUNDLE_ID.into(),
            team: None,
            tokens: Tokens::Call(PushToken::new(token)),
        },
        about: About::Call(CallPush {
            kind: PushKind::Call,
            call: CallId(uuid::Uuid::from_u128(7)),
            sip_call_id: "3c26700b6d0a-1x9yvz@pbx.example".into(),
            caller_number: "+15550100".into(),
            caller_name: "Zoë Example".into(),
            held_at: SystemTime::now(),
        }),
        callee: Aor::new("1000", "pbx.example"),
        domain: "pbx.example".into(),
        ttl: Duration::from_secs(25),
    }
}
