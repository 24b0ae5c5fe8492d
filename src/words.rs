//! Errors of the system and of libraries in plain words: without error numbers, and without chains that repeat
//! themselves.

use std::error::Error;
use std::io;

use freeswitch_esl_tokio::EslError;
use rusqlite::ErrorCode;
use tokio_postgres::error::DbError;

use crate::types::Printable;

/// The system's error, without its number, and in lower case as in the middle of a sentence.
pub fn of_io(error: &io::Error) -> String {
    let text = without_numbers(&error.to_string());
    let mut letters = text.chars();
    match letters.next() {
        // Not "I/O error".
        Some(first) if letters.clone().next().is_some_and(char::is_lowercase) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text,
    }
}

/// An error with its causes on one line, each once.
pub fn of(error: &(dyn Error + 'static)) -> String {
    let mut text = of_one(error);
    for cause in causes(error) {
        let more = of_one(cause);
        if !text.to_lowercase().contains(&more.to_lowercase()) {
            text = format!("{text}: {more}");
        }
    }
    text
}

/// The chain of an error's causes.
pub fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| {
        match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            // `source` skips the error that an io::Error wraps.
            Some(wrapped) => Some(wrapped),
            None => cause.source(),
        }
    })
}

/// An event socket error in words.
pub fn of_esl(error: &EslError) -> String {
    match error {
        EslError::Io(error) => of_io(error),
        EslError::ConnectionClosed | EslError::NotConnected => "FreeSWITCH closed the connection".into(),
        EslError::AuthenticationFailed { .. } => "FreeSWITCH rejects the password".into(),
        EslError::AccessDenied { .. } => "FreeSWITCH's apply-inbound-acl does not allow this host".into(),
        EslError::CommandFailed { reply_text, .. } => {
            let said = reply_text.trim().trim_start_matches("-ERR").trim();
            format!("FreeSWITCH answers: {}", Printable(said))
        }
        EslError::Timeout { .. } => "FreeSWITCH does not answer".into(),
        other => Printable(&without_numbers(&other.to_string())).to_string(),
    }
}

/// An SQLite error in words.
pub fn of_sqlite(error: &rusqlite::Error) -> String {
    let known = match error.sqlite_error_code() {
        Some(ErrorCode::ReadOnly) => "it is read-only for this user (owner, mode, or a file system that is mounted so)",
        Some(ErrorCode::DiskFull) => "the disk is full",
        // SQLite's error if its side file (-shm) has no room.
        Some(ErrorCode::SystemIoFailure) => "the disk is full, or fails",
        Some(ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            "it is not a file that this user can open (owner, mode, or a read-only file system)"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "another process keeps it locked",
        _ => return without_numbers(&error.to_string()),
    };
    known.into()
}

/// A number with its noun: "1 phone", "2 phones".
pub fn count(n: usize, noun: &str) -> String {
    let end = if n == 1 { "" } else { "s" };
    format!("{n} {noun}{end}")
}

fn of_one(error: &(dyn Error + 'static)) -> String {
    if let Some(io) = error.downcast_ref::<io::Error>() {
        return of_io(io);
    }
    if let Some(esl) = error.downcast_ref::<EslError>() {
        return of_esl(esl);
    }
    // Only the message: the details can have the row, and so a token.
    let refusal = match error.downcast_ref::<tokio_postgres::Error>() {
        Some(error) => error.as_db_error(),
        None => error.downcast_ref::<DbError>(),
    };
    if let Some(refusal) = refusal {
        return Printable(refusal.message()).to_string();
    }
    without_numbers(&error.to_string())
}

/// A text without ` (os error 13)`, wherever it is.
fn without_numbers(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once(')').map_or("", |(_number, rest)| rest));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot do it: {0}")]
    struct Outer(#[source] io::Error);

    #[test]
    fn numbers_and_repetitions_are_left_out() {
        let denied = || io::Error::from_raw_os_error(13);
        assert_eq!(of_io(&denied()), "permission denied");
        assert_eq!(of(&Outer(denied())), "cannot do it: Permission denied");
        let wrapped = io::Error::other(Outer(denied()));
        assert!(!of(&wrapped).contains("os error"), "{}", of(&wrapped));
        assert_eq!(without_numbers("a (os error 2), b (os error 98) and c"), "a, b and c");
        assert_eq!(
            of_esl(&EslError::Io(io::Error::from_raw_os_error(111))),
            "connection refused"
        );
        assert_eq!(of_io(&io::Error::other("I/O error")), "I/O error");
        assert_eq!([count(0, "error"), count(1, "error")], ["0 errors", "1 error"]);
    }
}
