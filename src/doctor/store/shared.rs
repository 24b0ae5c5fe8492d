//! The store that several daemons share: connection, tables, rights, clock, and how other daemons' changes arrive.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::super::check::{Check, not_by_this_user};
use super::owner::FAMILY;
use crate::clock::now_ms;
use crate::config::Config;
use crate::postgres::{ConnectError, Dsn};
use crate::store::outbox;
use crate::store::shared::{Server, SharedError};

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
        Err(error) => return vec![unusable(&place, &error)],
    };
    let mut checks = vec![Check::ok(
        FAMILY,
        "shared store",
        format!("{place}: PostgreSQL {}", facts.version),
    )];
    if !facts.missing_rights.is_empty() {
        let seen = format!(
            "{place}: its user lacks {} on fswake_devices",
            facts.missing_rights.join(", ")
        );
        checks[0] = Check::error(FAMILY, "shared store", seen, RIGHTS);
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
    checks
}

const RIGHTS: &str = "docs/OPERATING.md, \"PostgreSQL\", has the rights that fswake needs";

struct Facts {
    version: String,
    missing_rights: Vec<String>,
    clock_ms: i64,
}

async fn look(dsn: &Dsn) -> Result<Facts, SharedError> {
    let (server, _notices) = Server::open(dsn).await?;
    let asked = now_ms();
    let (version, clock) = server.about().await?;
    Ok(Facts {
        version,
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
        SharedError::NoRight(_) => RIGHTS,
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
    let db =
        Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX).ok()?;
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
