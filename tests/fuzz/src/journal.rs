//! Rows of the journal in a real store. Each input line is `step<TAB>detail`. Anyone who can write the file can write
//! any text to it.

use std::path::PathBuf;

use fswake::engine::policy::Policy;
use fswake::journal::{Journal, Whose};
use fswake::store::{Options, Sqlite};
use fswake_core::types::{Aor, CallId};
use rusqlite::{Connection, params};
use uuid::Uuid;

use crate::{Target, is_clean};

/// The fuzz target.
pub const TARGET: Target = Target {
    name: "journal",
    check,
    words: &[
        "call-held\t",
        "push-sent\t",
        "push-accepted\t",
        "push-refused\t",
        "registered\t",
        "leg-started\t",
        "leg-ringing\t",
        "leg-answered\t",
        "leg-ended\t",
        "call-over\t",
        "\n",
        "{\"device\":\"apns com.example.a 01234567\"",
        ",\"status\":",
        "410",
        ",\"reason\":\"",
        "Unregistered",
        "BadDeviceToken",
        "token gone",
        ",\"class\":\"",
        "token-gone",
        "rejected",
        ",\"result\":\"",
        "connected",
        "no-device",
        "deadline",
        ",\"devices\":",
        ",\"caller\":\"",
        ",\"cause\":\"",
        "NO_USER_RESPONSE",
        "\"}",
        "}",
        "18446744073709551615",
        "-1",
        "null",
        "[]",
        "\\u001b[2J",
        "\\n",
        "\u{202e}",
        ",\"late_ms\":",
        ",\"way\":\"dialplan\"",
    ],
};

/// One store for all inputs of a thread.
struct Store {
    connection: Connection,
    journal: Journal,
    _folder: tempfile::TempDir,
}

impl Store {
    fn new() -> Self {
        // The directory is in memory, if the system has such a one.
        let memory = PathBuf::from("/dev/shm");
        let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let folder = tempfile::tempdir_in(folder).unwrap();
        let path = folder.path().join("fswake.db");
        drop(Sqlite::open(&path, &Options::default()).unwrap());
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("PRAGMA synchronous = OFF").unwrap();
        Self {
            connection,
            journal: Journal::open(&path).unwrap(),
            _folder: folder,
        }
    }
}

fn check(input: &[u8]) {
    thread_local!(static STORE: Store = Store::new());
    let text = &*String::from_utf8_lossy(input);
    STORE.with(|store| with_rows(store, text));
}

fn with_rows(store: &Store, text: &str) {
    let call = CallId(Uuid::from_u128(1));
    let transaction = store.connection.unchecked_transaction().unwrap();
    transaction.execute("DELETE FROM journal", []).unwrap();
    let mut insert = transaction
        .prepare_cached(
            "INSERT INTO journal (at_ms, call, aor_user, aor_domain, event, detail) VALUES (?1, ?2, '1001', 'fs.test', ?3, ?4)",
        )
        .unwrap();
    let mut rows = 0_usize;
    for (n, line) in text.lines().take(40).enumerate() {
        let (step, detail) = line.split_once('\t').unwrap_or((line, "{}"));
        // Clocks may go backwards, too.
        let at = i64::try_from(n).unwrap() * 700 - i64::from(line.len() % 7 == 0) * 900;
        insert.execute(params![at, call.to_string(), step, detail]).unwrap();
        rows += 1;
    }
    drop(insert);
    transaction.commit().unwrap();

    let wake = store.journal.wake(call).unwrap();
    assert_eq!(wake.is_some(), rows > 0);
    let Some(wake) = wake else { return };
    assert_eq!(wake.steps.len(), rows);
    for step in &wake.steps {
        assert!(is_clean(&step.words), "{:?} of {}", step.words, step.step);
    }
    if let Some(diagnosis) = &wake.diagnosis {
        assert!(!diagnosis.says.is_empty() && is_clean(&diagnosis.says), "{diagnosis:?}");
    }
    let _ = wake.attempts();
    let json = serde_json::to_string(&wake).unwrap();
    assert!(!json.contains(|c| c < ' '), "{json}");
    // The list and the single wake agree.
    let whose = Whose::new(&Aor::new("1001", "fs.test"), &Policy::default());
    let found = store.journal.wakes_of(&whose, i64::MIN, 10).unwrap();
    let is_held = wake.steps.iter().any(|step| step.step == "call-held");
    assert_eq!(!found.is_empty(), is_held, "{json}");
    assert!(found.iter().all(|other| serde_json::to_string(other).unwrap() == json));
    let summary = store.journal.summary(i64::MIN).unwrap();
    assert!(summary.connected <= summary.calls && summary.answered <= summary.registered.max(summary.answered));
}
