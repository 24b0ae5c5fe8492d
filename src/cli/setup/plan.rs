//! The files that `fswake setup` writes: missing ones, and those that are still as setup wrote them and have a new
//! text.

use std::path::{Path, PathBuf};

use super::site::{EventSocket, OWN_PASSWORD, Site};
use super::snippet::CONTEXT;
use super::sums::{FileState, SetupSums, named};
use crate::new_files::NewFile;

/// The configuration with every key and its default.
const EXAMPLE: &str = include_str!("../../../fswake.example.toml");
/// The name of the password's file, in the configuration and among systemd's credentials.
const PASSWORD: &str = "esl-password";
/// Line 1 of the addition to the unit.
const UNIT: &str = "# Made by `fswake setup`: the unit's user may not read the file itself.";

/// The state of a file, which decides what setup does.
pub(super) enum FileStep {
    /// It is missing.
    Make(NewFile),
    /// Setup wrote it, it is unchanged since, and there is a new text.
    Change { file: NewFile, before: String },
    /// It is as it should be.
    Good(PathBuf),
    /// Edited, and setup has had no new text since: it stays. `new` is the new text from an earlier run, if it is still
    /// next to the file.
    Edited { path: PathBuf, new: Option<PathBuf> },
    /// Edited, and setup has another text: that goes next to it.
    Beside {
        path: PathBuf,
        file: NewFile,
        before: String,
    },
    /// Not written by setup; this is the text that it should have.
    Leave { path: PathBuf, should: String },
    /// The password's file, with another password than FreeSWITCH's.
    OtherPassword(PathBuf),
}

/// All steps, and the list of what setup has written once they are taken.
pub(super) struct SetupPlan {
    pub steps: Vec<FileStep>,
    pub sums: SetupSums,
}

/// The files to write for a site.
pub(super) fn plan(site: &Site, configuration: &Path, units: &Path) -> std::io::Result<SetupPlan> {
    let mut sums = SetupSums::beside(configuration)?;
    let mut steps = Vec::new();
    // If a script provides the dialplan, FreeSWITCH does not read this file.
    if site.script.is_none() {
        steps.push(step(
            &mut sums,
            &site.context.file,
            CONTEXT.to_owned(),
            CONTEXT.lines().next(),
        )?);
    }
    let (ours, is_named) = configured_step(&mut sums, &site.socket, configuration)?;
    steps.push(ours);
    if is_named && site.socket.password != OWN_PASSWORD {
        let path = configuration.with_file_name(PASSWORD);
        steps.push(password(&path, &site.socket.password)?);
        if units.is_dir() {
            let text = format!("{UNIT}\n[Service]\nLoadCredential={PASSWORD}:{}\n", path.display());
            let path = units.join("fswake.service.d/esl-password.conf");
            steps.push(step(&mut sums, &path, text, Some(UNIT))?);
        }
    }
    Ok(SetupPlan { steps, sums })
}

/// A file whose first line marks it as fswake's.
fn step(sums: &mut SetupSums, path: &Path, text: String, first_line: Option<&str>) -> std::io::Result<FileStep> {
    let Some(before) = read(path)? else {
        sums.note(path, &text);
        return Ok(FileStep::Make(readable(path, text)));
    };
    let state = sums.state(path, &before, &text);
    let is_ours = before.lines().next() == first_line;
    if state == FileState::Both && !is_ours {
        let path = path.to_owned();
        return Ok(FileStep::Leave { path, should: text });
    }
    sums.note(path, &text);
    Ok(match state {
        FileState::Good => FileStep::Good(path.to_owned()),
        FileState::Old => FileStep::Change {
            file: readable(path, text),
            before,
        },
        FileState::Edited => FileStep::Edited {
            path: path.to_owned(),
            new: Some(beside(path)).filter(|new| new.exists()),
        },
        FileState::Both => FileStep::Beside {
            path: path.to_owned(),
            file: readable(&beside(path), text),
            before,
        },
    })
}

/// The configuration, and whether the password's file is one that it names.
fn configured_step(sums: &mut SetupSums, socket: &EventSocket, path: &Path) -> std::io::Result<(FileStep, bool)> {
    let text = configured(socket);
    let Some(before) = read(path)? else {
        sums.note(path, &text);
        return Ok((FileStep::Make(readable(path, text)), true));
    };
    let state = sums.state(path, &before, &text);
    // A package installs the example.
    if before == text || before == EXAMPLE || state == FileState::Old {
        sums.note(path, &text);
        let step = if before == text {
            FileStep::Good(path.to_owned())
        } else {
            let file = readable(path, text);
            FileStep::Change { file, before }
        };
        return Ok((step, true));
    }
    let found = Settings::of(&before);
    let is_named = found.password_file.as_deref() == Some(PASSWORD);
    let step = if found.lead_to(socket) {
        FileStep::Good(path.to_owned())
    } else {
        let (path, should) = (path.to_owned(), settings(socket));
        FileStep::Leave { path, should }
    };
    Ok((step, is_named))
}

/// The password's file: created if missing, never overwritten, because it may have the password of another FreeSWITCH.
fn password(path: &Path, password: &str) -> std::io::Result<FileStep> {
    Ok(match read(path)? {
        None => FileStep::Make(NewFile {
            path: path.to_owned(),
            text: format!("{password}\n"),
            mode: 0o600,
        }),
        Some(before) if before.trim_end_matches(['\r', '\n']) == password => FileStep::Good(path.to_owned()),
        Some(_) => FileStep::OtherPassword(path.to_owned()),
    })
}

fn readable(path: &Path, text: String) -> NewFile {
    let path = path.to_owned();
    NewFile {
        path,
        text,
        mode: 0o644,
    }
}

/// Where the new text for an edited file goes. Neither FreeSWITCH (`*.xml`) nor systemd (`*.conf`) reads a file of that
/// name.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

fn read(path: &Path) -> std::io::Result<Option<String>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(named(path, &e)),
    }
}

/// A configuration's settings for the event socket.
struct Settings {
    host: String,
    port: i64,
    password_file: Option<String>,
}

impl Settings {
    /// Empty if the text is not TOML: the doctor reports the error.
    fn of(text: &str) -> Self {
        let table = text.parse::<toml::Table>().unwrap_or_default();
        let value = |key: &str| table.get("freeswitch").and_then(|freeswitch| freeswitch.get(key));
        let text = |key: &str| value(key).and_then(toml::Value::as_str).map(str::to_owned);
        Self {
            host: text("host").unwrap_or_else(|| "127.0.0.1".to_owned()),
            port: value("port").and_then(toml::Value::as_integer).unwrap_or(8021),
            password_file: text("password-file"),
        }
    }

    /// Whether they lead to this event socket. The password's file is checked separately, or by the doctor.
    fn lead_to(&self, socket: &EventSocket) -> bool {
        let has_password = self.password_file.is_some() || socket.password == OWN_PASSWORD;
        is_same_host(&self.host, &socket.host) && self.port == i64::from(socket.port) && has_password
    }
}

/// Whether two names may mean the same host: this host has several.
fn is_same_host(one: &str, other: &str) -> bool {
    let is_here = |host: &str| matches!(host, "localhost" | "127.0.0.1" | "::1");
    one == other || is_here(one) && is_here(other)
}

/// Whether a configuration has an app.
pub(super) fn has_app(configuration: &Path) -> bool {
    let text = std::fs::read_to_string(configuration).unwrap_or_default();
    text.parse::<toml::Table>().is_ok_and(|table| table.contains_key("app"))
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

/// The settings that an existing configuration must have.
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
    fn configuration_that_names_this_host_otherwise_leads_to_the_same_event_socket() {
        let leads = |text: &str, host: &str| Settings::of(text).lead_to(&socket(host, 8021, OWN_PASSWORD));
        for (host, expected) in [("localhost", true), ("::1", true), ("10.0.0.1", false)] {
            assert_eq!(
                leads(&format!("[freeswitch]\nhost = '{host}'"), "127.0.0.1"),
                expected,
                "{host}"
            );
        }
        assert!(leads("[freeswitch]\nhost = '10.0.0.1'", "10.0.0.1"));
    }
}
