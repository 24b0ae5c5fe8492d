//! What `fswake setup` finds out about a FreeSWITCH: its configuration folder, its event socket, and what provides its
//! dialplan.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::doctor;
use crate::files;
use crate::xml::variables::Variables;

/// Where packages and builds of FreeSWITCH put their configuration.
const FOLDERS: [&str; 5] = [
    "/etc/freeswitch",
    "/usr/local/freeswitch/conf",
    "/usr/local/freeswitch/etc/freeswitch",
    "/usr/local/etc/freeswitch",
    "/opt/freeswitch/conf",
];
/// The event socket's default password.
pub(super) const OWN_PASSWORD: &str = "ClueCon";

/// The contacts of mod_verto, as FreeSWITCH's own dial-string has them.
const VERTO: &str = "${verto_contact(${dialed_user}@${dialed_domain})}";

/// A FreeSWITCH.
pub(super) struct Site {
    /// Its folder of configuration.
    pub folder: PathBuf,
    /// Its event socket.
    pub socket: EventSocket,
    /// The name of the script that provides its dialplan in place of the files.
    pub script: Option<&'static str>,
    /// The context that leads to fswake.
    pub context: OwnContext,
    /// The lines that define how its users are dialled.
    pub dial_strings: Vec<DialString>,
}

/// Fswake's context of the dialplan. An operator may have given the file or the context another name.
pub(super) struct OwnContext {
    pub file: PathBuf,
    pub name: String,
}

/// How its event socket is reached from this host.
pub(super) struct EventSocket {
    pub host: String,
    pub port: u16,
    pub password: String,
}

/// A `dial-string` of the directory.
pub(super) struct DialString {
    pub file: PathBuf,
    /// Counted from 1.
    pub line: usize,
    /// The line as it is.
    pub text: String,
}

impl DialString {
    /// Whether it leads to this context.
    pub(super) fn is_ours(&self, context: &str) -> bool {
        doctor::leads_into(&self.text, context)
    }

    /// The line as it has to be.
    pub(super) fn ours(&self, context: &str) -> String {
        let indent = self.text.len() - self.text.trim_start().len();
        let mut line = super::snippet::dial_string(context);
        // Phones of mod_verto are reached as well, as before.
        if self.text.contains("${verto_contact(") {
            line = line.replace("\"/>", &format!(",{VERTO}\"/>"));
        }
        format!("{}{line}", &self.text[..indent])
    }
}

impl Site {
    /// Reads the folder that is given, else the first that exists.
    pub(super) fn find(named: Option<&Path>) -> anyhow::Result<Self> {
        let is_one = |folder: &&Path| folder.join("freeswitch.xml").is_file();
        let folder = match named {
            Some(folder) if is_one(&folder) => folder,
            Some(folder) => bail!("{}: there is no freeswitch.xml", folder.display()),
            None => FOLDERS.iter().map(Path::new).find(is_one).with_context(|| {
                format!(
                    "no FreeSWITCH was found in {}\nhint: --freeswitch names the folder that holds its freeswitch.xml",
                    FOLDERS.join(", ")
                )
            })?,
        };
        let lua = folder.join("autoload_configs/lua.conf.xml");
        Ok(Self {
            folder: folder.to_owned(),
            socket: event_socket(folder)?,
            script: files::xml(&lua).ok().and_then(|xml| doctor::script_for_dialplan(&xml)),
            context: own_context(&folder.join("dialplan")),
            dial_strings: dial_strings(&folder.join("directory")),
        })
    }
}

fn own_context(dialplan: &Path) -> OwnContext {
    let usual = dialplan.join("fswake.xml");
    let is_ours = |file: &PathBuf| {
        let text = files::xml(file).unwrap_or_default();
        text.lines().next() == super::snippet::CONTEXT.lines().next()
    };
    let file = if usual.exists() {
        usual
    } else {
        xml_files(dialplan, 1).into_iter().find(is_ours).unwrap_or(usual)
    };
    let text = files::xml(&file).unwrap_or_default();
    let name = doctor::contexts(&text).into_iter().next();
    OwnContext {
        file,
        name: name.unwrap_or_else(|| "fswake".to_owned()),
    }
}

fn event_socket(folder: &Path) -> anyhow::Result<EventSocket> {
    let file = folder.join("autoload_configs/event_socket.conf.xml");
    let xml = files::xml(&file).with_context(|| file.display().to_string())?;
    let mut variables = Variables::default();
    if let Some(ip) = local_ip_v4() {
        let _ = variables.command("set", &format!("local_ip_v4={ip}"));
    }
    // Without a plain `set` there is no password.
    for (cmd, data) in files::xml(&folder.join("vars.xml"))
        .iter()
        .flat_map(|xml| doctor::preprocessor(xml))
    {
        let _ = variables.command(&cmd, &data);
    }
    let params = doctor::params(&xml);
    let mut value = |name: &str| -> anyhow::Result<Option<String>> {
        let Some((_, written)) = params.iter().find(|(n, _)| n == name) else {
            return Ok(None);
        };
        let expanded = variables.expand(written);
        if let Some(unknown) = expanded.unknown.first() {
            bail!("{}: {name}: nothing in vars.xml sets {unknown}", file.display());
        }
        Ok(Some(expanded.text).filter(|text| !text.is_empty()))
    };
    let host = match value("listen-ip")?.as_deref() {
        None | Some("::" | "0.0.0.0") => "127.0.0.1".to_owned(),
        Some(one) => one.to_owned(),
    };
    let port = value("listen-port")?.unwrap_or_else(|| "8021".to_owned());
    let port = port
        .parse()
        .with_context(|| format!("{}: listen-port {port:?} is not a port", file.display()))?;
    let password = value("password")?.unwrap_or_else(|| OWN_PASSWORD.to_owned());
    Ok(EventSocket { host, port, password })
}

/// FreeSWITCH's default for `local_ip_v4`: the address that this host uses towards others (`switch_find_local_ip`).
/// Nothing is sent to find it.
fn local_ip_v4() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(82, 45, 148, 209), 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Those in the directory's own files and in the folders directly below.
fn dial_strings(directory: &Path) -> Vec<DialString> {
    let mut found = Vec::new();
    for file in xml_files(directory, 2) {
        let Ok(text) = files::xml(&file) else { continue };
        let mut is_comment = false;
        for (n, line) in text.lines().enumerate() {
            let is_param = line.trim_start().starts_with("<param ") && line.contains("name=\"dial-string\"");
            if !is_comment && is_param {
                found.push(DialString {
                    file: file.clone(),
                    line: n + 1,
                    text: line.to_owned(),
                });
            }
            is_comment = match (line.rfind("<!--"), line.rfind("-->")) {
                (Some(open), Some(close)) => open > close,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => is_comment,
            };
        }
    }
    found
}

fn xml_files(folder: &Path, depth: usize) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut entries: Vec<_> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .collect();
    entries.sort();
    for entry in entries {
        if depth > 1 && entry.is_dir() {
            all.extend(xml_files(&entry, depth - 1));
        } else if entry.extension().is_some_and(|extension| extension == "xml") {
            all.push(entry);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    fn socket(params: &str, vars: &str) -> anyhow::Result<EventSocket> {
        let xml = format!("<configuration><settings>{params}</settings></configuration>");
        let dir = folder(&[("autoload_configs/event_socket.conf.xml", &xml), ("vars.xml", vars)]);
        event_socket(dir.path())
    }

    #[test]
    fn event_socket_is_where_freeswitch_listens_seen_from_this_host() {
        let found = socket("", "").unwrap();
        assert_eq!(
            (found.host.as_str(), found.port, found.password.as_str()),
            ("127.0.0.1", 8021, "ClueCon")
        );
        let all = r#"<param name="listen-ip" value="::"/><param name="listen-port" value="8022"/>
                     <param name="password" value="$${pass}"/>"#;
        let vars = r#"<include><X-PRE-PROCESS cmd="set" data="pass=a b"/></include>"#;
        let found = socket(all, vars).unwrap();
        assert_eq!(
            (found.host.as_str(), found.port, found.password.as_str()),
            ("127.0.0.1", 8022, "a b")
        );
        assert_eq!(
            socket(r#"<param name="listen-ip" value="10.0.0.1"/>"#, "")
                .unwrap()
                .host,
            "10.0.0.1"
        );
        if let Some(ip) = local_ip_v4() {
            let host = r#"<param name="listen-ip" value="$${local_ip_v4}"/>"#;
            assert_eq!(socket(host, "").unwrap().host, ip.to_string());
            let set = r#"<include><X-PRE-PROCESS cmd="set" data="local_ip_v4=10.0.0.9"/></include>"#;
            assert_eq!(socket(host, set).unwrap().host, "10.0.0.9");
        }
        let unknown = socket(all, "").err().unwrap().to_string();
        assert!(unknown.contains("password") && unknown.contains("pass"), "{unknown}");
        assert!(socket(r#"<param name="listen-port" value="eight"/>"#, "").is_err());
    }

    #[test]
    fn dial_strings_are_found_where_they_count() {
        let dir = folder(&[
            (
                "default.xml",
                "<!--\n  <param name=\"dial-string\" value=\"a\"/>\n-->\n    <param name=\"dial-string\" value=\"user\"/>\n",
            ),
            (
                "default/1000.xml",
                "<!-- <param name=\"dial-string\" value=\"b\"/> -->\n<user/>",
            ),
            (
                "default/1001.xml",
                "<param name=\"dial-string\" value=\"loopback/x/fswake\"/>",
            ),
            // With what fs-conf/directory/fswake.xml has for mod_verto.
            (
                "default/1002.xml",
                "<param name=\"dial-string\" value=\"[a=b]loopback/x/fswake,${verto_contact(x)}\"/>",
            ),
            (
                "default/1003.xml",
                "<param name=\"dial-string\" value=\"loopback/x/fswake2\"/>",
            ),
        ]);
        let found = dial_strings(dir.path());
        let at: Vec<_> = found.iter().map(|d| (d.line, d.is_ours("fswake"))).collect();
        assert_eq!(at, [(1, true), (1, true), (1, false), (4, false)]);
        let ours = found[3].ours("fswake");
        assert!(
            ours.starts_with("    <param name=\"dial-string\"") && !ours.contains("verto"),
            "{ours}"
        );
        // What FreeSWITCH ships rings mod_verto's phones too.
        let shipped = DialString {
            text: format!("  <param name=\"dial-string\" value=\"${{sofia_contact(*/x)}},{VERTO}\"/>"),
            ..found.into_iter().last().unwrap()
        };
        let ours = shipped.ours("fswake");
        assert!(ours.ends_with(&format!("/fswake,{VERTO}\"/>")), "{ours}");
        assert!(doctor::leads_into(&ours, "fswake"), "{ours}");
    }
}
