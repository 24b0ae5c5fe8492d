//! The store that several daemons share: PostgreSQL.
//!
//! Each daemon works from its own file and its memory, as without it. What changes here goes to the shared store, and what
//! others changed comes from there:
//!
//! ```text
//! engine --StoreOp--> writer --> file with outbox --sync--> PostgreSQL --> the other daemons' sync
//!    ^                             ^                 |
//!    +------- Event::DeviceNews ---+-----------------+  what others changed
//! ```
//!
//! Whoever hears a REGISTER decides what it changes, in the engine; the others take the outcome. One rule says which of
//! two changes of a token counts, here, in the file and in memory: the later one (`DeviceNews::is_later_than`).
//!
//! Races, each with its test in `tests/store/shared.rs`:
//! - two daemons start at once: one makes the tables, the other waits for it;
//! - a token registers at two nodes, and news arrive in any order: the later REGISTER has it;
//! - PostgreSQL, or a daemon, is killed between a change and its way to the others: the outbox has it;
//! - a transaction that began earlier ends later: reading goes on at the oldest that had not ended.

mod error;
mod row;
mod schema;
mod server;
mod state;
mod sync;
mod version;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

pub use self::error::SharedError;
pub(crate) use self::server::{Page, Server};
use self::state::State;
pub use self::state::{NewsBy, SharedHealth};
use self::sync::Sync;
pub use self::version::{SCHEMA, SCHEMA_VERSION};
use super::database::{self, Options};
use super::{StoreError, outbox, schema as file};
use crate::input::Input;
use crate::postgres::Dsn;
use crate::words;

/// The shared store, as this daemon keeps in touch with it.
#[derive(Clone, Debug)]
pub struct Shared(Arc<State>);

/// What a start needs.
#[derive(Debug)]
pub struct Start<'a> {
    /// The server.
    pub dsn: Dsn,
    /// This daemon's own file.
    pub path: &'a Path,
    /// The loop, which hears what others changed.
    pub inputs: mpsc::Sender<Input>,
    /// How long a device may go unseen, in seconds: so long it is remembered that one was dropped.
    pub token_ttl: Arc<AtomicU64>,
    /// How long to wait for what others know. Without it, what the file has is enough to begin with.
    pub patience: Duration,
}

/// Why a daemon cannot start with this store.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its own file.
    #[error(transparent)]
    File(#[from] StoreError),
    /// The shared store, where waiting does not help.
    #[error(transparent)]
    Shared(#[from] SharedError),
}

impl Shared {
    /// Starts a thread that keeps in touch, and waits until it has read what others know, or cannot for now. Call
    /// [`Shared::tell_the_loop`] before the file is read. The receiver ends with the thread.
    ///
    /// # Errors
    /// When the file cannot be opened, or a later fswake has made the shared store.
    pub fn start(start: Start<'_>) -> Result<(Self, oneshot::Receiver<()>), StartError> {
        let unusable = |e: &std::io::Error| StoreError::Unusable {
            path: start.path.to_owned(),
            reason: words::of_io(e),
        };
        let local = database::connect(start.path, &Options::default())?;
        outbox::keep(&local).map_err(|e| file::failure(start.path, &e))?;
        let state = Arc::new(State::new(start.dsn.place(), start.path.to_owned()));
        let (first, first_time) = std::sync::mpsc::sync_channel(1);
        let (running, ended) = oneshot::channel::<()>();
        let sync = Sync::new(
            start.dsn,
            local,
            Arc::clone(&state),
            start.inputs,
            start.token_ttl,
            first,
        );
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| unusable(&e))?;
        let over = state.ended.clone().drop_guard();
        let thread = std::thread::Builder::new().name("fswake-shared".into()).spawn(move || {
            let _running = (running, over);
            runtime.block_on(sync.run());
        });
        thread.map_err(|e| unusable(&e))?;
        match first_time.recv_timeout(start.patience) {
            Ok(Err(error)) if error.is_for_good() => {
                state.stop.cancel();
                Err(error.into())
            }
            Ok(_) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Ok((Self(state), ended)),
        }
    }

    /// From now on the loop hears what others changed; what came before is in the file.
    pub fn tell_the_loop(&self) {
        self.0.is_loud.store(true, std::sync::atomic::Ordering::SeqCst);
    }

    /// Told by the file's writer: there is something to send.
    pub fn written(&self) -> Arc<tokio::sync::Notify> {
        Arc::clone(&self.0.written)
    }

    /// How it is doing.
    pub fn health(&self) -> SharedHealth {
        self.0.health()
    }

    /// Whether all that is in the file was sent.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn is_settled(&self) -> Result<bool, rusqlite::Error> {
        let file = rusqlite::Connection::open(self.0.path())?;
        Ok(outbox::waiting(&file)? == 0)
    }

    /// Sends what still waits, at most `within`, and ends. What could not be sent is in the file.
    pub async fn stop(&self, within: Duration) {
        self.0.stop.cancel();
        let _ = tokio::time::timeout(within, self.0.ended.cancelled()).await;
    }
}
