//! The places where a store can be: a file, or a file and the PostgreSQL that it shares.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fswake::handover::{Duty, Phase};
use fswake::input::Input;
use fswake::postgres::Dsn;
use fswake::store::shared::{JournalLimits, SharedStore, Start};
use fswake::store::{Options, Snapshot, Sqlite, StoreWriter};
use fswake::types::Device;
use fswake_test_support::postgres::{PASSWORD, Server};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::LONG;

/// How long a daemon remembers that a token was dropped.
const TOKEN_TTL: u64 = 60 * 86_400;

/// Runs a test on each kind of store that is available here.
pub fn on_each(test: impl Fn(&Place)) {
    test(&Place::file());
    if let Some(place) = Server::shared().map(Place::shared) {
        test(&place);
    }
}

/// Where a store is.
pub struct Place {
    _dir: TempDir,
    pub path: PathBuf,
    /// The daemon's name.
    pub daemon: Arc<str>,
    /// The shared database, and its server if this test started it.
    pub url: Option<String>,
    server: Option<Arc<Server>>,
}

impl Place {
    /// A file.
    pub fn file() -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fswake.db");
        Self {
            _dir: dir,
            path,
            daemon: format!("fswake-{}", LAST.fetch_add(1, Ordering::Relaxed)).into(),
            url: None,
            server: None,
        }
    }

    /// A file, and a database of its own in this server.
    pub fn shared(server: Arc<Server>) -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let name = format!("fswake{}", LAST.fetch_add(1, Ordering::Relaxed));
        sql(&server.url("pbx", "postgres"), &format!("CREATE DATABASE {name}"));
        Self {
            url: Some(server.url("pbx", &name)),
            server: Some(server),
            ..Self::file()
        }
    }

    /// Another file, of another daemon. The shared database is the same; without one, so is the file.
    pub fn another(&self) -> Self {
        let own = Self::file();
        Self {
            path: if self.url.is_some() {
                own.path.clone()
            } else {
                self.path.clone()
            },
            url: self.url.clone(),
            server: self.server.clone(),
            ..own
        }
    }

    /// The same file, and this database.
    pub fn sharing(self, url: Option<String>) -> Self {
        Self { url, ..self }
    }

    pub fn open(&self, options: Options) -> Opened {
        self.try_open(options).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Opens it; if its file has nothing yet, this gets all devices of the shared store at once, as in the daemon.
    pub fn open_and_read(&self, each: &mut dyn FnMut(&Device)) -> Opened {
        self.try_open_and_read(Options::default(), Some(each))
            .unwrap_or_else(|e| panic!("{e}"))
    }

    /// Opens it. What the shared store has is in the file first.
    pub fn try_open(&self, options: Options) -> Result<Opened, String> {
        self.try_open_and_read(options, None)
    }

    fn try_open_and_read(&self, mut options: Options, each: Option<&mut dyn FnMut(&Device)>) -> Result<Opened, String> {
        let (inputs, received) = mpsc::channel(200_000);
        let shared = match &self.url {
            None => None,
            Some(url) => {
                let start = Start {
                    dsn: dsn(url),
                    path: &self.path,
                    daemon: self.daemon.clone(),
                    journal: JournalLimits {
                        keep: options.journal_keep,
                        max_lines: options.journal_max_lines,
                    },
                    inputs,
                    token_ttl: Arc::new(AtomicU64::new(TOKEN_TTL)),
                    duty: Duty::new(Phase::OnDuty),
                    wait: LONG,
                };
                let (shared, _) = SharedStore::start(start, each).map_err(|e| e.to_string())?;
                shared.feed_engine();
                options.shared = Some(shared.file_access());
                Some(shared)
            }
        };
        let (snapshot, writer) = Sqlite::open(&self.path, &options).map_err(|e| e.to_string())?;
        if let Some(shared) = &shared {
            shared.file_is_open();
        }
        Ok(Opened {
            snapshot,
            writer: Some(writer),
            shared,
            received,
        })
    }

    /// The stored devices, in the order of AORs. Of a shared store: what a daemon with a new file reads.
    pub fn stored(&self) -> Vec<Device> {
        self.another().open(Options::default()).devices()
    }

    /// Gives the store the version of a later fswake.
    pub fn make_newer(&self) {
        if let Some(url) = &self.url {
            sql(url, "UPDATE fswake_schema SET version = 99");
        } else {
            let db = Connection::open(&self.path).unwrap();
            db.execute_batch("PRAGMA user_version = 99").unwrap();
        }
    }

    /// Passes the store's place to another process, in its environment.
    pub fn name_to_child(&self, child: &mut Command) {
        child.env("FSWAKE_TEST_STORE", &self.path);
        child.env("FSWAKE_TEST_URL", self.url.as_deref().unwrap_or_default());
    }

    /// The place that [`Place::name_to_child`] passed to this process.
    pub fn of_child() -> Self {
        let url = std::env::var("FSWAKE_TEST_URL").unwrap();
        Self {
            path: std::env::var("FSWAKE_TEST_STORE")
                .expect("the store to write to")
                .into(),
            url: Some(url).filter(|url| !url.is_empty()),
            ..Self::file()
        }
    }
}

/// An open store. Before it is dropped, all that was submitted is written and sent.
pub struct Opened {
    pub snapshot: Snapshot,
    writer: Option<StoreWriter>,
    pub shared: Option<SharedStore>,
    /// What the loop gets.
    pub received: mpsc::Receiver<Input>,
}

impl Opened {
    /// The devices that it had when it was opened, in the order of AORs.
    pub fn devices(&self) -> Vec<Device> {
        let own = self.snapshot.devices.iter().chain(&self.snapshot.elsewhere);
        let mut devices: Vec<_> = own.cloned().collect();
        devices.sort_by(|a, b| a.aor.cmp(&b.aor));
        devices
    }

    /// Waits until the shared store has all changes.
    pub fn settle(&self) {
        self.flush(LONG).unwrap();
        let Some(shared) = &self.shared else { return };
        let began = Instant::now();
        // The file is written, and the thread that sends has been woken.
        while !shared.is_synced().unwrap() {
            assert!(began.elapsed() < LONG, "{:?}", shared.health());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Deref for Opened {
    type Target = StoreWriter;

    fn deref(&self) -> &StoreWriter {
        self.writer.as_ref().unwrap()
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        drop(self.writer.take());
        if let Some(shared) = self.shared.take() {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(shared.stop(LONG));
        }
    }
}

/// The devices of a file, in the order of AORs.
pub fn stored(path: &Path) -> Vec<Device> {
    let (snapshot, _writer) = Sqlite::open(path, &Options::default()).unwrap();
    let mut devices = snapshot.devices;
    devices.sort_by(|a, b| a.aor.cmp(&b.aor));
    devices
}

/// A URL with its password.
pub fn dsn(url: &str) -> Dsn {
    Dsn::read(url, Some(PASSWORD)).unwrap().for_writing()
}

/// Runs SQL.
pub fn sql(url: &str, sql: &str) {
    query(url, sql);
}

/// Runs SQL; the first column of the rows.
pub fn query(url: &str, sql: &str) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = fswake::postgres::connect(&dsn(url)).await.unwrap();
        let messages = client.simple_query(sql).await.unwrap();
        let rows = messages.iter().filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
            _ => None,
        });
        rows.collect()
    })
}
