//! The push services that phones use, each with a connection, a limit of pushes under way and a VAPID token of its own.
//!
//! A service that hangs costs only the pushes to it. Which services there are is up to the phones, so the number of
//! those that are remembered is limited.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::header::HeaderValue;

use crate::push::app::App;
use crate::push::clock::Now;
use crate::push::transport::connection::ProviderConnection;
use crate::push::transport::tls::Tls;
use crate::push::webpush::vapid::{SignedFor, VapidKey};
use crate::types::push::PushError;

/// Services that are remembered. Browsers use five or so; the rest is for servers of people's own.
const MOST: usize = 64;

/// One push service.
pub(super) struct Origin {
    /// `https://host`, or `https://host:port`.
    pub url: String,
    pub connection: ProviderConnection,
    signed: Mutex<Option<SignedFor>>,
}

impl Origin {
    /// The `Authorization` for it.
    pub(super) fn authorization(&self, key: &VapidKey, now: Now) -> Result<HeaderValue, PushError> {
        let mut signed = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = signed.as_ref().filter(|kept| kept.is_good(now.wall)) {
            return Ok(kept.header.clone());
        }
        let fresh = key.sign(&self.url, now.wall).map_err(PushError::credentials)?;
        Ok(signed.insert(fresh).header.clone())
    }
}

#[derive(Default)]
struct KnownOrigins {
    all: HashMap<String, (Arc<Origin>, u64)>,
    uses: u64,
}

/// The services of one app.
pub(super) struct Origins {
    app: App,
    tls: Tls,
    known: Mutex<KnownOrigins>,
}

impl Origins {
    pub(super) fn new(app: &App, tls: Tls) -> Self {
        Self {
            app: app.clone(),
            tls,
            known: Mutex::default(),
        }
    }

    /// The service with this origin.
    pub(super) fn get(&self, url: &str) -> Result<Arc<Origin>, PushError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.uses += 1;
        let now = known.uses;
        if let Some((origin, used)) = known.all.get_mut(url) {
            *used = now;
            return Ok(Arc::clone(origin));
        }
        let connection = ProviderConnection::new(&self.app, self.tls.clone());
        let origin = Arc::new(Origin {
            url: url.to_owned(),
            connection: connection.map_err(|error| PushError::settings(error.problem()))?,
            signed: Mutex::default(),
        });
        if known.all.len() >= MOST {
            // Pushes that are under way keep theirs.
            let oldest = known.all.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(oldest) = oldest.map(|(url, _)| url.clone()) {
                known.all.remove(&oldest);
            }
        }
        known.all.insert(url.to_owned(), (Arc::clone(&origin), now));
        Ok(origin)
    }

    /// Those that are remembered.
    pub(super) fn all(&self) -> Vec<Arc<Origin>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.all.values().map(|(origin, _)| Arc::clone(origin)).collect()
    }
}
