//! Export and import of devices. The file has a JSON object on each line; the first line identifies the format.
//!
//! The later change of a token counts, in any store. A device that both have stays as it is.

use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};

use super::database::{self, Options};
use super::import::give_to_owner_of_directory;
use super::outbox;
use super::rows;
use super::schema::{StoreError, failure};
use super::shared::{Server, SharedError, Tables};
use crate::engine::DeviceChange;
use crate::postgres::Dsn;
use crate::types::{Aor, Device, Provider, PushParams, PushToken, Tokens};
use crate::words;

/// Devices in one statement.
const BATCH: usize = 1_000;

/// Why devices were not moved.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The SQLite file.
    #[error(transparent)]
    File(#[from] StoreError),
    /// PostgreSQL.
    #[error(transparent)]
    Shared(#[from] SharedError),
    /// The lines cannot be read or written.
    #[error("{}", words::of_io(.0))]
    Lines(#[from] std::io::Error),
    /// A line is not what `fswake export` writes. Never shows the line, which may have a token.
    #[error("line {line}: {reason}; only files of `fswake export` of this version can be imported")]
    NotALine {
        /// Its number, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    #[serde(rename = "fswake-devices")]
    version: u32,
}

const VERSION: u32 = 1;

/// One device.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Line {
    user: String,
    domain: String,
    provider: String,
    app: String,
    team: Option<String>,
    call_token: Option<String>,
    remote_token: Option<String>,
    user_agent: String,
    register_call_id: String,
    first_seen: i64,
    last_seen: i64,
    set_aside: Option<String>,
    changed: i64,
}

impl Line {
    fn of(device: &Device) -> Self {
        let token = |token: Option<&PushToken>| token.map(|token| token.expose().to_owned());
        Self {
            user: device.aor.user.to_string(),
            domain: device.aor.domain.to_string(),
            provider: device.push.provider.name().to_owned(),
            app: device.push.app.to_string(),
            team: device.push.team.as_deref().map(str::to_owned),
            call_token: token(device.push.tokens.call()),
            remote_token: token(device.push.tokens.remote()),
            user_agent: device.user_agent.to_string(),
            register_call_id: device.register_call_id.to_string(),
            first_seen: device.first_seen,
            last_seen: device.last_seen,
            set_aside: device.set_aside.as_deref().map(str::to_owned),
            changed: device.changed,
        }
    }

    /// `None` without a token that its provider gives out.
    fn device(self) -> Option<Device> {
        let provider = Provider::from_name(&self.provider);
        let token = |token: Option<String>| token.and_then(|token| PushToken::read(&provider, &token).ok());
        let tokens = Tokens::new(token(self.call_token), token(self.remote_token))?;
        Some(Device {
            aor: Aor::new(self.user, self.domain),
            push: PushParams {
                provider,
                app: self.app.into(),
                team: self.team.map(Into::into),
                tokens,
            },
            user_agent: self.user_agent.into(),
            register_call_id: self.register_call_id.into(),
            first_seen: self.first_seen,
            last_seen: self.last_seen,
            set_aside: self.set_aside.map(Into::into),
            changed: self.changed,
        })
    }
}

/// Writes all devices of a SQLite file. Returns their number.
///
/// # Errors
/// When the file does not exist or cannot be read, or the lines cannot be written.
pub fn export_file(path: &Path, to: &mut dyn Write) -> Result<usize, TransferError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let read = Connection::open_with_flags(path, flags).and_then(|db| rows::devices(&db));
    let devices = read.map_err(|e| failure(path, &e))?;
    head(to)?;
    for device in &devices {
        line(to, device)?;
    }
    Ok(devices.len())
}

/// Writes all devices of a shared store. Returns their number.
///
/// # Errors
/// When PostgreSQL cannot be asked, or the lines cannot be written.
pub async fn export_shared(dsn: &Dsn, to: &mut dyn Write) -> Result<usize, TransferError> {
    let (mut server, _notices) = Server::open(dsn, Tables::AsTheyAre).await?;
    head(to)?;
    let mut count = 0;
    let mut written = Ok(());
    let page = async |page: super::shared::Page| {
        for change in &page.changes {
            if let DeviceChange::Kept(device) = change
                && written.is_ok()
            {
                written = line(to, device);
                count += 1;
            }
        }
        Ok(())
    };
    server.read_all(page).await?;
    written?;
    Ok(count)
}

fn head(to: &mut dyn Write) -> std::io::Result<()> {
    serde_json::to_writer(&mut *to, &Head { version: VERSION })?;
    to.write_all(b"\n")
}

fn line(to: &mut dyn Write, device: &Device) -> std::io::Result<()> {
    serde_json::to_writer(&mut *to, &Line::of(device))?;
    to.write_all(b"\n")
}

/// The devices in these lines.
fn read(from: &mut dyn BufRead) -> Result<impl Iterator<Item = Result<Arc<Device>, TransferError>>, TransferError> {
    let not = |line: usize, reason: &str| TransferError::NotALine {
        line,
        reason: reason.to_owned(),
    };
    let mut lines = from.lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    match serde_json::from_str(&first) {
        Ok(Head { version: VERSION }) => {}
        Ok(_) => return Err(not(1, "another version of fswake wrote it")),
        Err(_) => return Err(not(1, "it is not a file of `fswake export`")),
    }
    Ok(lines.enumerate().map(move |(n, line)| {
        let line = line?;
        // serde's errors may show a part of the line: a token.
        let line: Line = serde_json::from_str(&line).map_err(|_| not(n + 2, "it is not a device"))?;
        let device = line
            .device()
            .ok_or_else(|| not(n + 2, "it has no push token that its provider gives out"))?;
        Ok(Arc::new(device))
    }))
}

/// Imports devices into a SQLite file, except where it has later changes. Returns how many were read, and how many of them
/// were applied. A running daemon knows them after a restart.
///
/// # Errors
/// When the file cannot be written, or a line cannot be read: then nothing has changed.
pub fn import_file(path: &Path, from: &mut dyn BufRead) -> Result<(usize, usize), TransferError> {
    let devices = read(from)?.collect::<Result<Vec<_>, _>>()?;
    let count = devices.len();
    let is_new = !path.exists();
    let db = database::connect(path, &Options::default())?;
    if is_new {
        give_to_owner_of_directory(path);
    }
    let applied = outbox::import(&db, &devices).map_err(|e| failure(path, &e))?;
    Ok((count, applied))
}

/// Imports devices into a shared store, except where it has later changes. Returns how many were read. All daemons get
/// them.
///
/// # Errors
/// When PostgreSQL cannot take them, or a line cannot be read: then nothing has changed.
pub async fn import_shared(dsn: &Dsn, from: &mut dyn BufRead) -> Result<usize, TransferError> {
    let devices = read(from)?.map(|device| device.map(DeviceChange::Kept));
    let devices = devices.collect::<Result<Vec<_>, _>>()?;
    let (server, _notices) = Server::open(dsn, Tables::Ensure).await?;
    let name = format!("import-{}", uuid::Uuid::new_v4());
    // A statement must not have a token twice: of two lines the later change is used.
    let mut newest = std::collections::BTreeMap::new();
    for device in &devices {
        let known = newest.entry(device.key().digest()).or_insert(device);
        if device.is_later_than(known) {
            *known = device;
        }
    }
    let newest: Vec<_> = newest.into_values().collect();
    for some in newest.chunks(BATCH) {
        server.put(some.iter().copied(), &name).await?;
    }
    Ok(devices.len())
}
