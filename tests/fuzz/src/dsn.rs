//! PostgreSQL connection strings: the input itself, and its first three lines as user, password and database, quoted in
//! both forms.

use fswake::fuzzing::login;
use fswake::postgres::Dsn;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{Target, is_clean};

/// The fuzz target.
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
            let (_, password, _) = login(dsn);
            let password = String::from_utf8_lossy(password.as_deref().unwrap_or_default()).into_owned();
            shows_no_password(&format!("{dsn:?} {}", dsn.place()), &password, text);
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

fn shows_no_password(shown: &str, password: &str, text: &str) {
    // The text may also be the name of something else.
    let text = percent_decode_str(text).decode_utf8_lossy();
    let is_word = "IfOffered Required root None /var/run/postgresql".contains(password);
    if password.len() >= 8 && !is_word && text.matches(password).count() == 1 {
        assert!(!shown.contains(password), "{shown}");
    }
}
