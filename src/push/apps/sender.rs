//! Delivers one app's pushes: through its provider's module, or to the log.

use std::sync::Arc;
use std::time::SystemTime;

use crate::clock::unix;
use crate::push::apns::Apns;
use crate::push::apns::keys::KeyProblem;
use crate::push::apns::token::ProviderToken;
use crate::push::app::{App, Credentials};
use crate::push::apps::status::{Problem, ProblemKind};
use crate::push::clock::Clock;
use crate::push::fcm::{Fcm, FcmAccount};
use crate::push::gateway::Gateway;
use crate::push::hms::Hms;
use crate::push::log;
use crate::push::oauth::client::ClientTokens;
use crate::push::setup::SetupError;
use crate::push::transport::probe::Proof;
use crate::push::webpush::WebPush;
use crate::types::push::{PushError, PushOutcome, PushRequest};
use crate::types::{Printable, Provider};

pub(crate) enum Sender {
    Apns(Box<Apns>),
    Fcm(Box<Fcm>),
    Hms(Box<Hms>),
    WebPush(Box<WebPush>),
    Gateway(Box<Gateway>),
    Log,
}

impl Sender {
    /// Reads the app's credentials. Equal keys of `known` senders are shared: Apple counts provider tokens by
    /// key.
    pub(crate) fn new<'a>(app: &App, known: impl Iterator<Item = &'a Self>, clock: &Clock) -> Result<Self, SetupError> {
        match (&app.credentials, &app.provider) {
            (Credentials::Log, provider) => {
                let checked = app.payload.check(provider);
                checked.map_err(|error| SetupError::template(app, &error))?;
                Ok(Self::Log)
            }
            (Credentials::Http(_), _) => {
                let clients: Vec<ClientTokens> = known.flat_map(Self::clients).collect();
                Ok(Self::Gateway(Box::new(Gateway::new(app, clients, clock.clone())?)))
            }
            (_, Provider::Apns | Provider::ApnsSandbox) => {
                let keys: Vec<Arc<ProviderToken>> = known.flat_map(Self::provider_tokens).collect();
                Ok(Self::Apns(Box::new(Apns::new(app, &keys, clock.clone())?)))
            }
            (_, Provider::Fcm) => {
                let accounts: Vec<FcmAccount> = known.filter_map(Self::fcm_account).collect();
                Ok(Self::Fcm(Box::new(Fcm::new(app, &accounts, clock.clone())?)))
            }
            (_, Provider::WebPush) => Ok(Self::WebPush(Box::new(WebPush::new(app, clock.clone())?))),
            (_, Provider::Hms) => {
                let clients: Vec<ClientTokens> = known.flat_map(Self::clients).collect();
                Ok(Self::Hms(Box::new(Hms::new(app, &clients, clock.clone())?)))
            }
            (_, other @ Provider::Other(_)) => {
                let problem = format!(
                    "provider {} is not one of apns, apns.dev, fcm, hms, webpush, http, log",
                    Printable(other.name())
                );
                Err(SetupError::app(app, &problem))
            }
        }
    }

    /// The provider tokens of its signing keys.
    pub(crate) fn provider_tokens(&self) -> Vec<Arc<ProviderToken>> {
        match self {
            Self::Apns(apns) => apns.keys.as_ref().map_or_else(Vec::new, |keys| keys.all().to_vec()),
            _ => Vec::new(),
        }
    }

    /// The problem that Apple refuses one of its two signing keys.
    pub(crate) fn key_problem(&self) -> Option<Problem> {
        let Self::Apns(apns) = self else { return None };
        let (kind, refusal, reason) = match apns.key_problem()? {
            KeyProblem::Old(refusal) => {
                let reason = format!(
                    "Apple refuses the key in key-file ({}), and the one in next-key-file is used",
                    refusal.reason
                );
                (ProblemKind::OldKey, refusal, reason)
            }
            KeyProblem::Next(refusal) => {
                let reason = format!("Apple refuses the key in next-key-file ({})", refusal.reason);
                (ProblemKind::NextKey, refusal, reason)
            }
        };
        Some(Problem {
            kind,
            since: unix(refusal.since.wall),
            reason,
            error: None,
        })
    }

    fn fcm_account(&self) -> Option<FcmAccount> {
        match self {
            Self::Fcm(fcm) => Some(fcm.connection.account.clone()),
            _ => None,
        }
    }

    /// The OAuth clients for which it asks for tokens.
    fn clients(&self) -> Vec<ClientTokens> {
        match self {
            Self::Hms(hms) => vec![hms.connection.account.clone()],
            Self::Gateway(gateway) => gateway.clients().cloned().collect(),
            _ => Vec::new(),
        }
    }

    /// When its certificate ends, if it has one.
    pub(crate) fn expires(&self) -> Option<SystemTime> {
        match self {
            Self::Apns(apns) => apns.expires,
            _ => None,
        }
    }

    /// Delivers one push, or returns the error.
    pub(crate) async fn push(&self, app: &str, req: &PushRequest) -> PushOutcome {
        match self {
            Self::Apns(apns) => apns.push(req).await,
            Self::Fcm(fcm) => fcm.push(req).await,
            Self::Hms(hms) => hms.push(req).await,
            Self::WebPush(web_push) => web_push.push(req).await,
            Self::Gateway(gateway) => gateway.push(req).await,
            Self::Log => Ok(log::push(app, req)),
        }
    }

    /// Tries the provider without reaching a phone, and reads the provider's clock. `None`: there is nothing to try.
    pub(crate) async fn probe(&self) -> Option<(Result<Proof, PushError>, Option<SystemTime>)> {
        match self {
            Self::Apns(apns) => Some(apns.probe().await),
            Self::Fcm(fcm) => Some(fcm.probe().await),
            Self::Hms(hms) => Some(hms.probe().await),
            Self::WebPush(web_push) => Some(web_push.probe().await),
            Self::Gateway(gateway) => Some((gateway.warm().await.map(|()| Proof::Connected), None)),
            Self::Log => None,
        }
    }

    /// Opens the connection and gets the token, so that the first call finds both.
    pub(crate) async fn warm(&self) -> Result<(), PushError> {
        match self {
            Self::Apns(apns) => apns.warm().await,
            Self::Fcm(fcm) => fcm.warm().await,
            Self::Hms(hms) => hms.warm().await,
            Self::WebPush(web_push) => web_push.warm().await,
            Self::Gateway(gateway) => gateway.warm().await,
            Self::Log => Ok(()),
        }
    }
}
