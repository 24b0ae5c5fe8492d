//! What wakes the phones of a bench: fswake, or mod_apn inside FreeSWITCH.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fswake_test_support::gateway::{Gateway, Over, Wants};
use fswake_test_support::process::Process;
use fswake_test_support::realfs::{DOMAIN, RealFs, WAKE_DOMAIN, mod_apn_params};
use fswake_test_support::sip::{Phone, Reaction};
use fswake_test_support::site::{Site, Wakes, new_token};
use tokio::time::timeout;

use super::{daemon, site};

/// How long no push may come. An overloaded machine may lose a call.
const PUSH_PATIENCE: Duration = Duration::from_secs(8);
/// mod_apn's table. It has a type of PostgreSQL's for `id`, so that mod_apn cannot insert in SQLite.
const TOKENS: &str = "CREATE TABLE push_tokens (id INTEGER PRIMARY KEY AUTOINCREMENT, token VARCHAR(255) NOT NULL, \
    extension VARCHAR(255) NOT NULL, realm VARCHAR(255) NOT NULL, app_id VARCHAR(255) NOT NULL, \
    type VARCHAR(255) NOT NULL, platform VARCHAR(255) NOT NULL, \
    last_update timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP)";

/// A real FreeSWITCH, and what wakes the phones.
pub enum Waker {
    Fswake(Site),
    ModApn(Arc<RealFs>, Gateway),
}

impl Waker {
    pub async fn fswake(fs: &Arc<RealFs>) -> Self {
        Self::Fswake(site(fs, &daemon()).await)
    }

    pub async fn mod_apn(prefix: &Path) -> Self {
        let gateway = Gateway::start(Over::Plain, Wants::Nothing).await;
        let fs = RealFs::start_for_mod_apn(prefix, 4000, &gateway.url()).await;
        let database = rusqlite::Connection::open(fs.mod_apn_database()).expect("a database");
        database.execute(TOKENS, ()).expect("a table");
        fs.load_mod_apn().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        Self::ModApn(Arc::new(fs), gateway)
    }

    pub const fn fs(&self) -> &Arc<RealFs> {
        match self {
            Self::Fswake(site) => &site.fs,
            Self::ModApn(fs, _) => fs,
        }
    }

    /// fswake's process.
    pub fn daemon(&self) -> Option<Process> {
        match self {
            Self::Fswake(site) => Some(site.daemon().process()),
            Self::ModApn(..) => None,
        }
    }

    /// The last lines of fswake's log, warnings only.
    pub fn log(&self) -> String {
        match self {
            Self::Fswake(site) => site.daemon().log.end(),
            Self::ModApn(..) => String::new(),
        }
    }

    pub async fn caller(&self) -> Phone {
        let account = self.fs().account(&self.fs().new_user(), DOMAIN);
        Phone::new(account, Reaction::Silent).await
    }

    /// A phone that has registered and fallen asleep, and that no push wakes.
    pub async fn sleeper(&self, user: &str, domain: &str, answer: Reaction) -> Phone {
        match self {
            Self::Fswake(site) => site.sleeper(user, domain, Wakes::Never, answer).await,
            Self::ModApn(fs, _) => {
                let phone = Phone::new(fs.account(user, WAKE_DOMAIN), answer).await;
                phone.contact_params(&mod_apn_params(&new_token()));
                assert_eq!(phone.register().await, 200);
                phone.sleep();
                phone
            }
        }
    }

    /// Waits for this many pushes, or until there has been none for a while.
    pub async fn pushed(&self, count: usize) {
        match self {
            Self::Fswake(site) => {
                let (mut seen, mut since) = (0, Instant::now());
                while seen < count && since.elapsed() < PUSH_PATIENCE {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    let now = site.pushes().len();
                    if now > seen {
                        (seen, since) = (now, Instant::now());
                    }
                }
            }
            Self::ModApn(_, gateway) => {
                for _ in 0..count {
                    if timeout(PUSH_PATIENCE, gateway.next()).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}
