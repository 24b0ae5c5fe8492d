//! The files that `fswake setup` writes: those that are missing, and those that are its own and differ.

use std::path::{Path, PathBuf};

use super::site::{EventSocket, OWN_PASSWORD, Site};
use crate::cli::new_files::NewFile;
use crate::words;

/// The context that the dial-string leads to.
const CONTEXT: &str = include_str!("../../../fs-conf/dialplan/fswake.xml");
/// The dial-string, and what it is for.
const DIAL_STRING: &str = include_str!("../../../fs-conf/directory/fswake.xml");
/// The configuration with every key and its default.
const EXAMPLE: &str = include_str!("../../../fswake.example.toml");
/// The name of the password's file, in the configuration and among systemd's credentials.
const PASSWORD: &str = "esl-password";

/// What becomes of a file.
pub(super) enum Step {
    /// It is not there.
    Make(NewFile),
    /// It is fswake's own, and another one.
    Change { file: NewFile, before: String },
    /// It is as it should be.
    Good(PathBuf),
    /// Somebody has written it: what it ought to say.
    Leave { path: PathBuf, should: String },
}

/// The line of the directory that leads to fswake.
pub(super) fn dial_string() -> &'static str {
    let line = DIAL_STRING.lines().find(|line| line.contains("name=\"dial-string\""));
    line.unwrap_or_default().trim()
}

/// What is to be written for a site.
pub(super) fn plan(site: &Site, configuration: &Path, units: &Path) -> std::io::Result<Vec<Step>> {
    let mut steps = Vec::new();
    // A script that answers for the dialplan never looks at this file.
    if site.script.is_none() {
        let text = CONTEXT.to_owned();
        let path = site.folder.join("dialplan/fswake.xml");
        steps.push(step(
            NewFile {
                path,
                text,
                mode: 0o644,
            },
            |before| before.lines().next() == CONTEXT.lines().next(),
        )?);
    }
    let text = configured(&site.socket);
    let (path, mode) = (configuration.to_owned(), 0o644);
    let ours = step(NewFile { path, text, mode }, |before| before == EXAMPLE)?;
    let is_named = !matches!(ours, Step::Leave { .. });
    steps.push(match ours {
        Step::Leave { path, .. } => Step::Leave {
            path,
            should: settings(&site.socket),
        },
        other => other,
    });
    if is_named && site.socket.password != OWN_PASSWORD {
        let path = configuration.with_file_name(PASSWORD);
        let text = format!("{}\n", site.socket.password);
        steps.push(step(
            NewFile {
                path: path.clone(),
                text,
                mode: 0o600,
            },
            |_| true,
        )?);
        if units.is_dir() {
            let text = format!(
                "# Made by `fswake setup`: the unit's user may not read the file itself.\n[Service]\nLoadCredential={PASSWORD}:{}\n",
                path.display()
            );
            let path = units.join("fswake.service.d/esl-password.conf");
            steps.push(step(
                NewFile {
                    path,
                    text,
                    mode: 0o644,
                },
                |before| before.starts_with("# Made by `fswake setup`"),
            )?);
        }
    }
    Ok(steps)
}

fn step(file: NewFile, is_ours: impl Fn(&str) -> bool) -> std::io::Result<Step> {
    let before = match std::fs::read(&file.path) {
        Ok(before) => String::from_utf8_lossy(&before).into_owned(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Step::Make(file)),
        Err(e) => {
            return Err(std::io::Error::new(
                e.kind(),
                format!("{}: {}", file.path.display(), words::of_io(&e)),
            ));
        }
    };
    Ok(if before == file.text {
        Step::Good(file.path)
    } else if is_ours(&before) {
        Step::Change { file, before }
    } else {
        Step::Leave {
            path: file.path,
            should: file.text,
        }
    })
}

/// The example with this event socket.
fn configured(socket: &EventSocket) -> String {
    let mut text = EXAMPLE.replace(r#"#host = "127.0.0.1""#, &host(socket));
    text = text.replace("#port = 8021", &port(socket));
    if socket.password != OWN_PASSWORD {
        text = text.replace("#e.g. password-file =", "password-file =");
    }
    text
}

fn host(socket: &EventSocket) -> String {
    let mark = if socket.host == "127.0.0.1" { "#" } else { "" };
    format!("{mark}host = {:?}", socket.host)
}

fn port(socket: &EventSocket) -> String {
    let mark = if socket.port == 8021 { "#" } else { "" };
    format!("{mark}port = {}", socket.port)
}

/// What a configuration that somebody has written has to say.
fn settings(socket: &EventSocket) -> String {
    let mut text = format!("[freeswitch]\nhost = {:?}\nport = {}\n", socket.host, socket.port);
    if socket.password != OWN_PASSWORD {
        text.push_str("password-file = \"esl-password\"  # with the password of event_socket.conf.xml\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(host: &str, port: u16, password: &str) -> EventSocket {
        let (host, password) = (host.to_owned(), password.to_owned());
        EventSocket { host, port, password }
    }

    #[test]
    fn example_says_where_the_event_socket_is_only_where_it_is_elsewhere() {
        assert_eq!(configured(&socket("127.0.0.1", 8021, OWN_PASSWORD)), EXAMPLE);
        let other = configured(&socket("10.0.0.1", 8022, "s3cret"));
        for line in ["host = \"10.0.0.1\"", "port = 8022", "password-file = \"esl-password\""] {
            assert!(other.lines().any(|l| l == line), "{line}");
        }
        assert!(!other.contains("s3cret"));
    }

    #[test]
    fn dial_string_is_the_one_of_the_snippet() {
        assert!(
            dial_string().starts_with("<param name=\"dial-string\""),
            "{}",
            dial_string()
        );
        assert!(dial_string().ends_with("/fswake\"/>"), "{}", dial_string());
    }
}
