//! Names of databases: libpq's `key=value` and URI forms, with FreeSWITCH's `pgsql://` in front of either.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, TargetSessionAttrs};

use crate::types::Printable;

/// Where libpq looks for a server on this machine: Debian's place, then PostgreSQL's own.
const SOCKETS: [&str; 2] = ["/var/run/postgresql", "/tmp"];
/// What the client takes as it is (libpq, "Parameter Key Words").
const TAKEN: [&str; 13] = [
    "user",
    "password",
    "dbname",
    "options",
    "application_name",
    "host",
    "hostaddr",
    "port",
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "target_session_attrs",
];

/// What is taken for a host's name otherwise, and the rest, password included, for a database's.
const UNKNOWN_SCHEME: &str = "an unknown scheme (known are pgsql://, postgres:// and postgresql://)";

/// A database, and how to reach it. Its `Debug` shows neither user nor password.
#[derive(Clone, PartialEq, Eq)]
pub struct Dsn {
    pub(crate) config: Config,
    /// Whether the connection is encrypted.
    pub tls: Tls,
    /// Parameters that libpq knows and we do not use.
    pub unused: Vec<String>,
}

/// Whether a connection is encrypted. A certificate is always checked, with the host's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// `sslmode=disable`, or no word of it and a server on this machine.
    None,
    /// `sslmode=prefer`, or no `sslmode`: if the server has TLS.
    IfOffered {
        /// `sslrootcert`: a PEM file with the only authorities that are trusted.
        root: Option<PathBuf>,
    },
    /// `sslmode=require`, `verify-ca` or `verify-full`.
    Required {
        /// As above.
        root: Option<PathBuf>,
    },
}

/// Why a connection string was rejected. Never shows it: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DsnError {
    /// Neither form.
    #[error("bad connection string: {0}")]
    Unreadable(String),
    /// A parameter that would have to be obeyed.
    #[error("the connection string has {0}, which is not supported")]
    Unsupported(&'static str),
}

impl std::fmt::Debug for Dsn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Dsn({}, {:?})", self.place(), self.tls)
    }
}

impl Dsn {
    /// Reads a name. A password that it lacks is taken from `password` (`PGPASSWORD`, as libpq does).
    ///
    /// # Errors
    /// If it is not a connection string, or needs something unsupported.
    pub fn read(name: &str, password: Option<&str>) -> Result<Self, DsnError> {
        let rest = match split_scheme(name) {
            Some(("pgsql" | "postgres" | "postgresql", rest)) => rest,
            None if name.contains("://") && !is_key_value(name) => return Err(DsnError::Unsupported(UNKNOWN_SCHEME)),
            _ => name,
        };
        let (mut config, special) = if is_key_value(rest) {
            key_value(rest)?
        } else {
            uri(rest)?
        };
        if config.get_hosts().is_empty() {
            // A bare address is its own name: certificates are checked against it.
            let addresses: Vec<_> = config.get_hostaddrs().iter().map(ToString::to_string).collect();
            for address in addresses {
                config.host(address);
            }
        }
        if config.get_hosts().is_empty() {
            let socket = SOCKETS.into_iter().find(|s| std::path::Path::new(s).exists());
            config.host(socket.unwrap_or(SOCKETS[0]));
        }
        if let Some(password) = password.filter(|_| config.get_password().is_none()) {
            config.password(password);
        }
        let root = special.get("sslrootcert").filter(|v| *v != "system").map(PathBuf::from);
        let tls = match special.get("sslmode").map(String::as_str) {
            Some("disable") => Tls::None,
            None | Some("allow" | "prefer") if root.is_none() && is_here(&config) => Tls::None,
            None | Some("allow" | "prefer") => Tls::IfOffered { root },
            Some("require" | "verify-ca" | "verify-full") => Tls::Required { root },
            Some(_) => return Err(DsnError::Unsupported("an sslmode that libpq does not know")),
        };
        for (key, shown) in [("sslcert", "sslcert (client certificates)"), ("service", "service")] {
            if special.contains_key(key) {
                return Err(DsnError::Unsupported(shown));
            }
        }
        let unused = special
            .into_keys()
            .filter(|key| !matches!(key.as_str(), "sslmode" | "sslrootcert"));
        Ok(Self {
            config,
            tls,
            unused: unused.collect(),
        })
    }

    /// The same with TLS required, except with `sslmode=disable` or, without `sslmode`, a server on this machine.
    #[must_use]
    pub fn with_tls(mut self) -> Self {
        if let Tls::IfOffered { root } = self.tls {
            self.tls = Tls::Required { root };
        }
        self
    }

    /// The same, for writing: of several servers the one that can be written, never a standby.
    #[must_use]
    pub fn for_writing(mut self) -> Self {
        self.config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        self
    }

    /// Whether passwords and rows cross a network unencrypted.
    pub fn is_unencrypted(&self) -> bool {
        self.tls == Tls::None && !is_here(&self.config)
    }

    /// Whether the name has a password in it.
    pub fn has_password(&self) -> bool {
        self.config.get_password().is_some()
    }

    /// Server and database, for messages.
    pub fn place(&self) -> String {
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            Some(Host::Unix(path)) => path.display().to_string(),
            None => String::new(),
        };
        let port = self
            .config
            .get_ports()
            .first()
            .map(|p| format!(":{p}"))
            .unwrap_or_default();
        let name = self.config.get_dbname().or(self.config.get_user()).unwrap_or_default();
        format!("{host}{port}/{name}")
    }
}

/// `scheme` in lower case and what follows `://`.
pub fn split_scheme(name: &str) -> Option<(&'static str, &str)> {
    let (scheme, rest) = name.split_once("://")?;
    let known = [
        "pgsql",
        "postgres",
        "postgresql",
        "odbc",
        "mariadb",
        "mysql",
        "sqlite",
        "memory",
    ];
    let scheme = known.into_iter().find(|k| k.eq_ignore_ascii_case(scheme))?;
    Some((scheme, rest))
}

/// Whether it is `key=value ..` and no URI without its scheme.
fn is_key_value(text: &str) -> bool {
    let key = text.split_once('=').map(|(key, _)| key.trim());
    key.is_some_and(|key| !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
}

fn is_here(config: &Config) -> bool {
    config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()),
    })
}

type Special = BTreeMap<String, String>;

fn unreadable(error: &(dyn std::error::Error + 'static)) -> DsnError {
    // The client's errors name keys, and never values.
    DsnError::Unreadable(Printable(&crate::words::of(error)).to_string())
}

/// libpq's `key = value` form: values may be quoted with `'`, and `\` takes the next character as it is.
fn key_value(text: &str) -> Result<(Config, Special), DsnError> {
    let (mut taken, mut special) = (Vec::new(), Special::new());
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest
            .split_once('=')
            .ok_or_else(|| DsnError::Unreadable("a key without a value".into()))?;
        let (value, after) = value(after.trim_start())?;
        let key = key.trim().to_ascii_lowercase();
        if TAKEN.contains(&key.as_str()) {
            let quoted = value.replace('\\', "\\\\").replace('\'', "\\'");
            taken.push(format!("{key}='{quoted}'"));
        } else {
            special.insert(key, value);
        }
        rest = after.trim_start();
    }
    let config = Config::from_str(&taken.join(" ")).map_err(|e| unreadable(&e))?;
    Ok((config, special))
}

/// One value, and what follows it.
fn value(text: &str) -> Result<(String, &str), DsnError> {
    let (quoted, text) = match text.strip_prefix('\'') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            '\'' if quoted => return Ok((value, &text[at + 1..])),
            c if !quoted && c.is_whitespace() => return Ok((value, &text[at..])),
            c => value.push(c),
        }
    }
    if quoted {
        return Err(DsnError::Unreadable("a quote is not closed".into()));
    }
    Ok((value, ""))
}

/// libpq's URI form, without its scheme.
fn uri(text: &str) -> Result<(Config, Special), DsnError> {
    let (base, query) = text.split_once('?').unwrap_or((text, ""));
    let (mut taken, mut special) = (Vec::new(), Special::new());
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if TAKEN.contains(&key) {
            taken.push(pair);
        } else {
            let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
            special.insert(key.to_ascii_lowercase(), value.into_owned());
        }
    }
    let query = taken.join("&");
    let mark = if query.is_empty() { "" } else { "?" };
    let config = Config::from_str(&format!("postgresql://{base}{mark}{query}")).map_err(|e| unreadable(&e))?;
    Ok((config, special))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str) -> Dsn {
        Dsn::read(name, None).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    fn password(dsn: &Dsn) -> &str {
        std::str::from_utf8(dsn.config.get_password().unwrap_or_default()).unwrap()
    }

    #[test]
    fn every_form_that_freeswitch_and_libpq_take_is_read() {
        for name in [
            "pgsql://hostaddr=192.0.2.7 port=5433 dbname=fusionpbx user=fs password='a b' \
             options='-c client_min_messages=NOTICE' application_name='freeswitch'",
            "PGSQL://host = 192.0.2.7 port=5433 dbname='fusionpbx' user=fs password=a\\ b",
            "postgresql://fs:a%20b@192.0.2.7:5433/fusionpbx",
            "postgres://fs:a%20b@192.0.2.7:5433/fusionpbx?application_name=freeswitch",
            "pgsql://fs:a%20b@192.0.2.7:5433/fusionpbx",
            "host=192.0.2.7 port=5433 dbname=fusionpbx user=fs password='a b'",
        ] {
            let dsn = read(name);
            assert_eq!(dsn.place(), "192.0.2.7:5433/fusionpbx", "{name}");
            assert_eq!((dsn.config.get_user(), password(&dsn)), (Some("fs"), "a b"), "{name}");
            assert!(!format!("{dsn:?}").contains("a b"), "{dsn:?}");
        }
    }

    #[test]
    fn certificates_are_checked_wherever_tls_is_asked_for() {
        let root = || Some(PathBuf::from("/ca.pem"));
        for (name, tls) in [
            ("host=localhost dbname=a", Tls::None),
            ("hostaddr=127.0.0.1 dbname=a", Tls::None),
            ("dbname=a", Tls::None),
            ("host=db.example.org dbname=a", Tls::IfOffered { root: None }),
            ("host=db.example.org dbname=a sslmode=disable", Tls::None),
            ("host=localhost sslmode=require", Tls::Required { root: None }),
            ("host=localhost sslrootcert=/ca.pem", Tls::IfOffered { root: root() }),
            (
                "postgresql://db.example.org/a?sslmode=verify-full&sslrootcert=%2Fca.pem",
                Tls::Required { root: root() },
            ),
        ] {
            assert_eq!(read(name).tls, tls, "{name}");
        }
    }

    #[test]
    fn what_is_not_used_is_named_and_what_must_be_obeyed_is_refused() {
        let dsn = read("host=localhost client_encoding=UTF8 gssencmode=disable");
        assert_eq!(dsn.unused, ["client_encoding", "gssencmode"]);
        for (name, said) in [
            ("host=localhost sslcert=a.pem", "client certificates"),
            ("service=fs", "service"),
            ("host=localhost sslmode=sometimes", "sslmode"),
            ("host='localhost", "a quote is not closed"),
            ("host=localhost port=x password=hunter2", "port"),
            ("host=localhost port", "a key without a value"),
            ("postgress://fs:hunter2@192.0.2.7/fusionpbx", "unknown scheme"),
            ("://fs:hunter2@192.0.2.7/fusionpbx", "unknown scheme"),
        ] {
            let error = Dsn::read(name, None).unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains("hunter2"), "{name}: {error}");
        }
    }

    #[test]
    fn an_error_is_one_line_whatever_the_name_holds() {
        let error = Dsn::read("?host=@?\u{1b}[2J\n=", None).unwrap_err().to_string();
        assert!(!error.contains(char::is_control), "{error:?}");
    }

    #[test]
    fn a_password_that_the_name_lacks_comes_from_the_environment() {
        let given = Dsn::read("host=localhost", Some("env")).unwrap();
        assert_eq!(password(&given), "env");
        let named = Dsn::read("host=localhost password=own", Some("env")).unwrap();
        assert_eq!(password(&named), "own");
    }
}
