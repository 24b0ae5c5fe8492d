//! A PostgreSQL that several fswakes share: one server for all tests, and a database for each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use fswake::postgres::{Dsn, connect};
use fswake_test_support::postgres::{PASSWORD, Server};
use fswake_test_support::site::{Joined, Settings, SharedStore, Site};
use tokio_postgres::SimpleQueryMessage;

use crate::Pair;

/// Limit for what arrives in PostgreSQL, or from there.
const ARRIVES: Duration = Duration::from_secs(30);

/// An empty database.
pub struct Database {
    /// Its server.
    pub server: Arc<Server>,
    name: String,
}

impl Database {
    /// Creates it.
    pub async fn new(pair: &Pair) -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let start = || Arc::new(Server::start().expect("PostgreSQL is installed"));
        let server = pair.postgres.get_or_init(start).clone();
        if !server.runs() {
            // A test that failed has left it so.
            server.resume();
        }
        let name = format!("cluster{}", LAST.fetch_add(1, Ordering::Relaxed));
        query(&server.url("pbx", "postgres"), &format!("CREATE DATABASE {name}")).await;
        Self { server, name }
    }

    /// The settings of an fswake that shares it.
    pub fn settings(&self, daemon: &str) -> Settings {
        let shared = SharedStore {
            url: self.url(),
            password: PASSWORD.to_owned(),
            daemon: daemon.to_owned(),
        };
        Settings {
            shared: Some(shared),
            ..Settings::default()
        }
    }

    fn url(&self) -> String {
        self.server.url("pbx", &self.name)
    }

    /// The first column of the rows.
    pub async fn query(&self, sql: &str) -> Vec<String> {
        query(&self.url(), sql).await
    }

    /// Waits until it has these users' tokens, and no other user has one of them. It may have more: phones of earlier
    /// tests are still registered.
    pub async fn has_tokens(&self, expected: &[(String, String)]) {
        let mut wanted: Vec<_> = expected.iter().map(|(user, token)| format!("{user} {token}")).collect();
        wanted.sort();
        let quoted = |of: fn(&(String, String)) -> &String| {
            let all: Vec<_> = expected.iter().map(|pair| format!("'{}'", of(pair))).collect();
            all.join(", ")
        };
        let sql = format!(
            "SELECT aor_user || ' ' || token FROM fswake_devices WHERE NOT dropped AND (aor_user IN ({}) OR token IN ({}))",
            quoted(|(user, _)| user),
            quoted(|(_, token)| token)
        );
        let began = Instant::now();
        loop {
            let mut found = self.query(&sql).await;
            found.sort();
            if found == wanted {
                return;
            }
            assert!(began.elapsed() < ARRIVES, "in PostgreSQL: {found:#?}, not {wanted:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until it has all lines of the last wake of this user, and both fswakes show the same.
    pub async fn has_the_wake(&self, user: &str, site: &Site, joined: &Joined) {
        let sql = format!("SELECT count(*) FROM fswake_journal WHERE aor_user = '{user}' AND event = 'call-over'");
        let began = Instant::now();
        loop {
            let stored = self.query(&sql).await;
            let (one, other) = (
                site.tool(&["trace", user]).await.1,
                joined.tool(&["trace", user]).await.1,
            );
            if stored == ["1"] && one == other && one.contains("connected") {
                return;
            }
            assert!(
                began.elapsed() < ARRIVES,
                "{stored:?} ends in PostgreSQL\none fswake:\n{one}\nthe other:\n{other}"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn query(url: &str, sql: &str) -> Vec<String> {
    let dsn = Dsn::read(url, Some(PASSWORD)).expect("a URL");
    let client = connect(&dsn).await.unwrap_or_else(|e| panic!("PostgreSQL: {e}"));
    let messages = client.simple_query(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
        _ => None,
    });
    rows.collect()
}
