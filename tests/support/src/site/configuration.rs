//! A site's fswake.toml.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{Settings, SharedStore};
use crate::apns::Apns;
use crate::realfs::RealFs;

pub(super) fn configuration(fs: &RealFs, apns: &Apns, dir: &Path, settings: &Settings) -> String {
    let mut wake = String::new();
    for (key, value) in &settings.wake {
        let _ = writeln!(wake, "{key} = {value}");
    }
    // Subcommands must find it.
    let http = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let http = http.expect("a free port");
    let (four, six) = (fs.ports.fswake, fs.ports.fswake_six());
    let others = settings.others.iter().map(|ports| ports.fswake);
    let all = [Some(four), six].into_iter().flatten().chain(others);
    let all: Vec<_> = settings.listen.map_or_else(|| all.collect(), |one| vec![one]);
    let listen: Vec<String> = all.iter().map(|a| format!("\"{a}\"")).collect();
    let listen = listen.join(", ");
    format!(
        r#"{freeswitch}
[listen]
addresses = [{listen}]
[http]
addresses = ["{http}"]
[wake]
{wake}
[store]
path = "{dir}/fswake.db"
{store}
[log]
filter = "{log}"
[run]
drain-timeout = "{drain}"
{more}
[[app]]
name = "ios"
{app}"#,
        more = settings.more,
        store = settings
            .shared
            .as_ref()
            .map(|shared| shared_store(shared, dir))
            .unwrap_or_default(),
        freeswitch = freeswitches(fs, dir, settings),
        dir = dir.display(),
        log = settings.log,
        drain = settings.drain,
        app = apns.app() + settings.app,
    )
}

/// `[freeswitch]`, or a `[[freeswitch]]` for each of several.
fn freeswitches(fs: &RealFs, dir: &Path, settings: &Settings) -> String {
    let esl = settings.esl_port.unwrap_or(fs.ports.esl.port());
    let name = settings.shared.as_ref().map(|shared| &shared.daemon);
    let mut text = name.map_or_else(String::new, |name| format!("[cluster]\nname = \"{name}\"\n"));
    if settings.others.is_empty() {
        let _ = write!(text, "[freeswitch]\nhost = \"127.0.0.1\"\nport = {esl}");
        return text;
    }
    let key = dir.join("cluster.key");
    std::fs::write(&key, &settings.key).expect("a file");
    if name.is_none() {
        text.push_str("[cluster]\n");
    }
    let _ = writeln!(text, "key-file = \"{}\"", key.display());
    let mut all: Vec<_> = std::iter::once(&fs.ports).chain(&settings.others).enumerate().collect();
    if settings.reversed {
        all.reverse();
    }
    for (n, ports) in all {
        let esl = if n == 0 { esl } else { ports.esl.port() };
        let _ = write!(
            text,
            "[[freeswitch]]\nname = \"fs{}\"\nhost = \"127.0.0.1\"\nport = {esl}\nsip = \"{}\"\n{}\n",
            n + 1,
            ports.node,
            settings.node,
        );
    }
    text
}

/// The lines of `[store]` for a store in PostgreSQL.
fn shared_store(shared: &SharedStore, dir: &Path) -> String {
    let file = dir.join("postgresql.password");
    std::fs::write(&file, &shared.password).expect("a file");
    // fswake refuses a password that others can read.
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("its own file");
    format!("url = \"{}\"\npassword-file = \"{}\"", shared.url, file.display())
}
