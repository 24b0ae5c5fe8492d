//! The store that several daemons share: connection, tables, rights, clock, and how other daemons' changes arrive.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::super::check::{Check, not_by_this_user};
use super::owner::FAMILY;
use crate::clock::{now_ms, stamp};
use crate::config::Config;
use crate::postgres::{ConnectError, Dsn};
use crate::store::shared::{SCHEMA_VERSION, Server, SharedError, Tables};
use crate::store::{lines, outbox};

/// If clocks differ by more than this, the earlier of two REGISTERs may pass for the later one.
const CLOCKS_DIFFER_MS: u64 = 2_000;

/// Connects to PostgreSQL as the daemon does, and reads from the daemon's file how changes arrive.
pub(in crate::doctor) async fn checks(config: &Config) -> Vec<Check> {
    let Some(dsn) = &config.store.shared else {
        return Vec::new();
    };
    if let Some(unread) = config.unread("store.password-file") {
        return vec![not_by_this_user(FAMILY, "shared store", unread)];
    }
    let place = dsn.place();
    let facts = match look(dsn).await {
        Ok(facts) => facts,
        Err(SharedError::NoTables) => {
            let seen = format!("{place}: fswake's tables are not there yet");
            let advice = "the daemon creates them when it starts";
            return vec![Check::warning(FAMILY, "shared store", seen, advice)];
        }
        Err(error) => return vec![unusable(&place, &error)],
    };
    let mut checks = vec![Check::ok(
        FAMILY,
        "shared store",
        format!("{place}: PostgreSQL {}", facts.version),
    )];
    if !facts.missing_rights.is_empty() {
        let seen = format!("{place}: its user lacks {}", facts.missing_rights.join(", "));
        checks[0] = Check::error(FAMILY, "shared store", seen, RIGHTS);
    }
    if facts.schema < SCHEMA_VERSION {
        let seen = format!("version {}", facts.schema);
        let advice = format!("it becomes version {SCHEMA_VERSION} when this fswake is started");
        checks.push(Check::warning(FAMILY, "shared schema", seen, advice));
    }
    if facts.clock_ms.unsigned_abs() > CLOCKS_DIFFER_MS {
        let seen = format!(
            "PostgreSQL's clock and this host's differ by {} ms",
            facts.clock_ms.unsigned_abs()
        );
        let advice = "run chrony or systemd-timesyncd on all hosts: the later REGISTER of a token counts";
        checks.push(Check::warning(FAMILY, "shared clock", seen, advice));
    }
    checks.extend(changes(&config.store.path));
    checks.extend(journal(&config.store.path));
    checks
}

const RIGHTS: &str = "docs/OPERATING.md, \"PostgreSQL\", has the rights that fswake needs";

struct Facts {
    version: String,
    schema: i32,
    missing_rights: Vec<String>,
    clock_ms: i64,
}

async fn look(dsn: &Dsn) -> Result<Facts, SharedError> {
    let (server, _notices) = Server::open(dsn, Tables::AsTheyAre).await?;
    let asked = now_ms();
    let (version, clock) = server.about().await?;
    Ok(Facts {
        version,
        schema: server.version,
        missing_rights: server.missing_rights().await?,
        // In the middle between question and answer.
        clock_ms: clock - i64::midpoint(asked, now_ms()),
    })
}

fn unusable(place: &str, error: &SharedError) -> Check {
    let advice = match error {
        SharedError::Connect(ConnectError::Tls { .. }) => {
            "the certificate must be of the host that store.url names, by an authority of this system or of sslrootcert in store.url"
        }
        SharedError::Connect(_) => {
            "check store.url, store.password-file, PostgreSQL's log and its pg_hba.conf. Until then calls are woken from memory"
        }
        SharedError::NoRight(_) | SharedError::MayNotCreate(_) | SharedError::MayNotUpgrade { .. } => RIGHTS,
        SharedError::TooOld(_) => "use PostgreSQL 13 or newer",
        SharedError::NewerSchema { .. } => "update this fswake: a newer one shares this store",
        _ => "check PostgreSQL's log",
    };
    let seen = error.to_string();
    let seen = if seen.contains(place) {
        seen
    } else {
        format!("{place}: {seen}")
    };
    Check::error(FAMILY, "shared store", seen, advice)
}

/// How other daemons' changes arrive at the daemon that uses this file.
fn changes(file: &Path) -> Option<Check> {
    let db = open(file)?;
    let waiting = outbox::waiting(&db).ok()?;
    let seen = match outbox::arrival(&db).ok()??.as_str() {
        "notify" => "other daemons' changes arrive at once (NOTIFY)",
        "poll" => {
            "other daemons' changes are read every 2 s: notifications do not reach this daemon (because of a pooler or replication)"
        }
        _ => return Some(Check::ok(FAMILY, "shared changes", "the daemon has not connected yet")),
    };
    let waiting = match waiting {
        0 => String::new(),
        n => format!("; {n} changes wait to be sent"),
    };
    Some(Check::ok(FAMILY, "shared changes", format!("{seen}{waiting}")))
}

/// What the daemon that uses this file exchanges with the shared journal.
fn journal(file: &Path) -> Option<Check> {
    let db = open(file)?;
    let exchange = lines::exchange(&db).ok()??;
    let waiting = match lines::waiting(&db).ok()? {
        0 => "all its lines are sent".to_owned(),
        n => format!("{n} of its lines wait to be sent"),
    };
    let read = match exchange.read_at_ms {
        0 => "those of other daemons have not been read yet".to_owned(),
        at => format!("those of other daemons are there up to {} UTC", stamp(at)),
    };
    let seen = format!("this fswake is {:?}: {waiting}, {read}", exchange.daemon);
    Some(Check::ok(FAMILY, "shared journal", seen))
}

fn open(file: &Path) -> Option<Connection> {
    Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX).ok()
}
