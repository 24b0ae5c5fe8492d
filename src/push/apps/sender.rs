//! Delivers one app's pushes: through its provider's module, or to the log.

use std::sync::Arc;
use std::time::SystemTime;

use crate::push::apns::Apns;
use crate::push::apns::token::ProviderToken;
use crate::push::app::{App, Credentials};
use crate::push::clock::Clock;
use crate::push::fcm::{Fcm, SharedAccount};
use crate::push::gateway::Gateway;
use crate::push::log;
use crate::push::setup::SetupError;
use crate::push::transport::probe::Proof;
use crate::types::push::{PushError, PushOutcome, PushRequest};
use crate::types::{Printable, Provider};

pub(crate) enum Sender {
    Apns(Box<Apns>),
    Fcm(Box<Fcm>),
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
            (Credentials::Http(_), _) => Ok(Self::Gateway(Box::new(Gateway::new(app, clock.clone())?))),
            (_, Provider::Apns | Provider::ApnsSandbox) => {
                let keys: Vec<Arc<ProviderToken>> = known.filter_map(Self::provider_token).collect();
                Ok(Self::Apns(Box::new(Apns::new(app, &keys, clock.clone())?)))
            }
            (_, Provider::Fcm) => {
                let accounts: Vec<SharedAccount> = known.filter_map(Self::account).collect();
                Ok(Self::Fcm(Box::new(Fcm::new(app, &accounts, clock.clone())?)))
            }
            (_, other) => {
                let problem = format!(
                    "provider {} is not one of apns, apns.dev, fcm, http, log",
                    Printable(other.name())
                );
                Err(SetupError::app(app, &problem))
            }
        }
    }

    pub(crate) fn provider_token(&self) -> Option<Arc<ProviderToken>> {
        match self {
            Self::Apns(apns) => apns.token.clone(),
            _ => None,
        }
    }

    fn account(&self) -> Option<SharedAccount> {
        match self {
            Self::Fcm(fcm) => Some(fcm.account.clone()),
            _ => None,
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
            Self::Gateway(gateway) => gateway.push(req).await,
            Self::Log => Ok(log::push(app, req)),
        }
    }

    /// Tries the provider without reaching a phone, and reads the provider's clock. `None`: there is nothing to try.
    pub(crate) async fn probe(&self) -> Option<(Result<Proof, PushError>, Option<SystemTime>)> {
        match self {
            Self::Apns(apns) => Some(apns.probe().await),
            Self::Fcm(fcm) => Some(fcm.probe().await),
            Self::Gateway(gateway) => Some((gateway.warm().await.map(|()| Proof::Connected), None)),
            Self::Log => None,
        }
    }

    /// Opens the connection and gets the token, so that the first call finds both.
    pub(crate) async fn warm(&self) -> Result<(), PushError> {
        match self {
            Self::Apns(apns) => apns.warm().await,
            Self::Fcm(fcm) => fcm.warm().await,
            Self::Gateway(gateway) => gateway.warm().await,
            Self::Log => Ok(()),
        }
    }
}
