//! Apps, requests and a clock for the tests of pushes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use fswake::push::app::{
    ApnsRules, App, Credentials, HttpAuth, HttpProfile, HttpProfiles, PayloadStyle, WebPushSettings,
};
use fswake::push::endpoint::EndpointRules;
use fswake::push::template::{BodyTemplate, JSON, UrlTemplate};
use fswake::push::{About, CallPush, Clock, Now, PushKind, PushOutcome, PushRequest, Pushers};
use fswake::types::{Aor, CallId, Provider, PushId, PushParams, PushToken, Tokens};
use fswake_test_support::apns::{Apns, BUNDLE_ID, KEY_ID, TEAM_ID};
use fswake_test_support::fcm::Fcm;
use fswake_test_support::gateway::Gateway;
use fswake_test_support::hms::{self, Hms};
use fswake_test_support::webpush::{PushService, SUBJECT, Subscription};

pub const TOKEN: &str = "00c0ffee00c0ffee00c0ffee00c0ffee";
pub const FCM_TOKEN: &str = "dGVzdA:APA91bFakeRegistrationToken";
pub const HMS_TOKEN: &str = "IQAAAACy0kYwAADOl4ceP8Gf7M3WdtMvTvv+fV==";

/// An app with the stand-in's credentials.
pub fn app(name: &str, provider: Provider, credentials: Credentials) -> App {
    App {
        name: name.into(),
        provider,
        providers: Vec::new(),
        app_ids: Vec::new(),
        domains: Vec::new(),
        tenant: None,
        apns: ApnsRules::default(),
        credentials,
        base_url: None,
        ca_file: None,
        proxy: None,
        topic: None,
        payload: PayloadStyle::Default,
    }
}

pub fn apns_app(apns: &Apns) -> App {
    let credentials = Credentials::ApnsToken {
        key_file: apns.key_file(),
        key_id: KEY_ID.into(),
        team_id: TEAM_ID.into(),
        next: None,
    };
    App {
        base_url: Some(apns.base_url()),
        ca_file: Some(apns.ca_file()),
        ..app("iphone", Provider::Apns, credentials)
    }
}

/// A signing key that Apple does not know.
pub fn other_key() -> String {
    fswake_test_support::tls::signing_key().pem
}

pub fn fcm_app(fcm: &Fcm) -> App {
    let credentials = Credentials::FcmServiceAccount {
        file: fcm.service_account_file(),
    };
    App {
        base_url: Some(fcm.base_url()),
        ca_file: Some(fcm.ca_file()),
        ..app("android", Provider::Fcm, credentials)
    }
}

pub fn hms_app(huawei: &Hms) -> App {
    let credentials = Credentials::HmsClient {
        client_id: hms::APP.into(),
        secret_file: huawei.secret_file(),
        token_url: Some(huawei.token_url()),
    };
    App {
        base_url: Some(huawei.base_url()),
        ca_file: Some(huawei.ca_file()),
        ..app("huawei", Provider::Hms, credentials)
    }
}

/// An app that may push to stand-ins on this machine.
pub fn web_push_app(service: &PushService) -> App {
    with_rules(
        service,
        EndpointRules {
            allow_networks: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
            ..EndpointRules::default()
        },
    )
}

/// An app that may push to where the rules allow.
pub fn with_rules(service: &PushService, rules: EndpointRules) -> App {
    let credentials = Credentials::WebPush(Box::new(WebPushSettings {
        key_file: service.key_file(),
        subject: SUBJECT.into(),
        rules,
    }));
    App {
        ca_file: Some(service.ca_file()),
        ..app("browser", Provider::WebPush, credentials)
    }
}

/// Every style of a payload, with this as the template.
pub fn styles(template: &str) -> [PayloadStyle; 4] {
    let template = PayloadStyle::Template(template.into());
    [
        PayloadStyle::Default,
        PayloadStyle::Linphone,
        PayloadStyle::ModApn,
        template,
    ]
}

/// A profile that posts mod_apn's body.
pub fn http_profile(gateway: &Gateway, path: &str) -> HttpProfile {
    HttpProfile {
        url: UrlTemplate::parse(&format!("{}{path}", gateway.url())).unwrap(),
        headers: Vec::new(),
        body: Some(BodyTemplate::parse(JSON, None).unwrap()),
        content_type: JSON.into(),
        auth: HttpAuth::None,
        connect_timeout: Duration::from_secs(3),
        timeout: Duration::from_secs(3),
        insecure: false,
        refused_when: Vec::new(),
    }
}

/// An app with one profile for calls.
pub fn gateway_app(gateway: &Gateway, profile: HttpProfile) -> App {
    let credentials = Credentials::Http(Box::new(HttpProfiles {
        voip: Some(profile),
        ..HttpProfiles::default()
    }));
    App {
        ca_file: Some(gateway.ca_file()),
        ..app("gateway", Provider::Other("http".into()), credentials)
    }
}

/// An app with the simplest profile.
pub fn simple(gateway: &Gateway) -> App {
    gateway_app(gateway, http_profile(gateway, "/push"))
}

pub fn pushers(app: App) -> Pushers {
    Pushers::new(vec![app]).unwrap()
}

pub fn call(provider: Provider, token: &str) -> PushRequest {
    PushRequest {
        id: PushId(1),
        to: PushParams {
            provider,
            app: BUNDLE_ID.into(),
            team: None,
            tokens: Tokens::Call(PushToken::new(token)),
        },
        about: About::Call(CallPush {
            kind: PushKind::Call,
            call: CallId(uuid::Uuid::from_u128(7)),
            sip_call_id: "sip-1@pbx".into(),
            caller_number: "+15550100".into(),
            caller_name: "Zoë".into(),
            held_at: SystemTime::now(),
        }),
        callee: Aor::new("1000", "pbx.example"),
        domain: "pbx.example".into(),
        ttl: Duration::from_secs(25),
    }
}

/// The same request for another try of its call.
pub fn turned(mut request: PushRequest, kind: PushKind) -> PushRequest {
    if let About::Call(call) = &mut request.about {
        call.kind = kind;
    }
    request
}

pub fn apns_call() -> PushRequest {
    call(Provider::Apns, TOKEN)
}

pub fn fcm_call() -> PushRequest {
    call(Provider::Fcm, FCM_TOKEN)
}

pub fn hms_call() -> PushRequest {
    call(Provider::Hms, HMS_TOKEN)
}

pub fn web_push_call(subscription: &Subscription) -> PushRequest {
    call(Provider::WebPush, &subscription.token())
}

/// The receipt's attempts, or the error's text.
pub fn attempts(outcome: PushOutcome) -> Result<u32, String> {
    outcome.map(|r| r.attempts).map_err(|e| e.to_string())
}

/// A clock that a test moves forward.
#[derive(Clone, Default)]
pub struct MovedClock(Arc<Mutex<Duration>>);

impl MovedClock {
    pub fn clock(&self) -> Clock {
        let moved = self.clone();
        Clock::new(move || {
            let by = *moved.0.lock().unwrap_or_else(PoisonError::into_inner);
            Now {
                monotonic: Instant::now() + by,
                wall: SystemTime::now() + by,
            }
        })
    }

    pub fn minutes(&self, minutes: u64) {
        self.forward(minute(minutes));
    }

    pub fn forward(&self, by: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }

    /// Sets it back, by no more than it was moved forward.
    pub fn back(&self, minutes: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) -= minute(minutes);
    }
}

/// APNs and a clock, both at this minute of one of the half hours for which fswake signs a provider token.
pub async fn apns_at_minute(of_period: u64) -> (Apns, MovedClock) {
    let (apns, moved) = (Apns::start().await, MovedClock::default());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let into = Duration::from_secs(now.as_secs() % (30 * 60));
    let by = minute(30 + of_period).checked_sub(into).unwrap();
    moved.forward(by);
    apns.advance(by);
    (apns, moved)
}

pub fn minute(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// Runs many pushes at once, and returns their outcomes.
pub async fn parallel(pushers: &Pushers, requests: impl IntoIterator<Item = PushRequest>) -> Vec<PushOutcome> {
    let mut tasks = tokio::task::JoinSet::new();
    for request in requests {
        let pushers = pushers.clone();
        tasks.spawn(async move { pushers.push(&request).await });
    }
    tasks.join_all().await
}
