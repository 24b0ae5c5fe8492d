//! Connection strings of PostgreSQL: as they are, and user, password and database of three lines quoted in both forms.

use fswake::fuzzing::login;
use fswake::postgres::Dsn;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{Target, is_clean};

/// The target.
pub const TARGET: Target = Target {
    name: "dsn",
    check,
    words: &[
        "pgsql://",
        "postgresql://",
        "postgres://",
        "odbc://",
        "host=",
        "hostaddr=",
        "port=",
        "user=",
        "password=",
        "dbname=",
        "sslmode=",
        "require",
        "verify-full",
        "disable",
        "sslrootcert=",
        "options='-c a=b'",
        "service=",
        "'",
        "\\'",
        "\\",
        "@",
        ":",
        "/",
        "?",
        "&",
        "%2F",
        "%",
        "=",
        "\n",
        "[::1]",
        "192.0.2.7",
        "localhost",
        "connect_timeout=",
        "18446744073709551616",
    ],
};

fn check(input: &[u8]) {
    let text = &*String::from_utf8_lossy(input);
    let read = Dsn::read(text, None);
    match &read {
        Ok(dsn) => {
            assert!(
                dsn.unused
                    .iter()
                    .all(|key| text.to_ascii_lowercase().contains(key.as_str())),
                "{:?}",
                dsn.unused
            );
            let (user, password, database) = login(dsn);
            let password = password.map(|password| String::from_utf8_lossy(&password).into_owned());
            shows_no_password(
                &format!("{dsn:?} {}", dsn.place()),
                password.as_deref(),
                &[user, database],
            );
        }
        Err(error) => assert!(is_clean(&error.to_string()), "{error}"),
    }
    let mut lines = text.splitn(3, '\n');
    let mut next = || lines.next().filter(|text| !text.is_empty() && !text.contains('\0'));
    if let (Some(user), Some(password), Some(database)) = (next(), next(), next()) {
        reads_as_written(user, password, database);
    }
}

fn reads_as_written(user: &str, password: &str, database: &str) {
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    let escaped = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let written = [
        format!(
            "pgsql://host=192.0.2.7 user={} password={} dbname = {}",
            quoted(user),
            quoted(password),
            quoted(database)
        ),
        format!(
            "postgresql://{}:{}@192.0.2.7/{}",
            escaped(user),
            escaped(password),
            escaped(database)
        ),
    ];
    for name in written {
        let dsn = Dsn::read(&name, None).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (user, password, database) = (user.to_owned(), password.as_bytes().to_owned(), database.to_owned());
        assert_eq!(login(&dsn), (Some(user), Some(password), Some(database)), "{name}");
    }
}

fn shows_no_password(shown: &str, password: Option<&str>, others: &[Option<String>]) {
    let Some(password) = password.filter(|password| password.len() >= 8) else {
        return;
    };
    let is_elsewhere = others.iter().flatten().any(|other| other.contains(password));
    // Nor is it a word of ours or the host.
    if !is_elsewhere && !"IfOffered Required root None /var/run/postgresql".contains(password) {
        let is_host = shown.split([',', '/', ':', '(']).any(|part| part == password);
        assert!(is_host || !shown.contains(password), "{shown}");
    }
}
