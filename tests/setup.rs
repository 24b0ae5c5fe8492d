//! `fswake setup` with directories like FreeSWITCH's.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const CONTEXT: &str = include_str!("../fs-conf/dialplan/fswake.xml");

/// A directory user whose dial-string leads to a context.
fn loopback(context: &str) -> String {
    format!("<params>\n  <param name=\"dial-string\" value=\"loopback/x/{context}\"/>\n</params>\n")
}

/// A host: the directories of FreeSWITCH, fswake and systemd.
struct Host(TempDir);

impl Host {
    fn new(password: &str) -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        host.put("fs/freeswitch.xml", "<document/>");
        host.put("fs/vars.xml", "<include/>");
        // A port without a server, which must be the doctor's only finding.
        let socket = format!(
            r#"<configuration><settings><param name="listen-ip" value="127.0.0.1"/><param name="listen-port" value="9"/>
               <param name="password" value="{password}"/></settings></configuration>"#
        );
        host.put("fs/autoload_configs/event_socket.conf.xml", &socket);
        host.put(
            "fs/directory/default.xml",
            "<params>\n  <param name=\"dial-string\" value=\"user\"/>\n</params>\n",
        );
        host.put("fs/dialplan/default.xml", "<include/>");
        std::fs::create_dir_all(host.0.path().join("units")).unwrap();
        host
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.0.path().join(name)).ok()
    }

    /// Every file of the configuration, with its content.
    fn all(&self) -> Vec<Option<String>> {
        let names = [
            "fs/dialplan/fswake.xml",
            "etc/fswake.toml",
            "etc/esl-password",
            "etc/setup.sha256",
        ];
        names.map(|name| self.read(name)).into()
    }

    fn setup(&self, args: &[&str]) -> Output {
        let at = |name: &str| self.0.path().join(name).into_os_string();
        Command::new(env!("CARGO_BIN_EXE_fswake"))
            .args(["setup", "--freeswitch"])
            .args([
                at("fs"),
                "--units".into(),
                at("units"),
                "--config".into(),
                at("etc/fswake.toml"),
            ])
            .args(args)
            .env_remove("FSWAKE_CONFIG")
            .env("STATE_DIRECTORY", self.0.path())
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap()
    }

    fn said(&self, args: &[&str]) -> String {
        let output = self.setup(args);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success(),
            "{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        said
    }
}

#[test]
fn first_setup_writes_what_is_missing_and_the_second_has_nothing_to_do() {
    let host = Host::new("s3cret & more");
    let first = host.said(&["--yes"]);
    assert!(first.contains("written: 4 files"), "{first}");
    let context = host.read("fs/dialplan/fswake.xml").unwrap();
    assert_eq!(context, CONTEXT);
    let configuration = host.read("etc/fswake.toml").unwrap();
    assert!(configuration.contains("\nport = 9\n"), "{configuration}");
    // Escaped as in FreeSWITCH's XML.
    assert_eq!(host.read("etc/esl-password").unwrap(), "s3cret & more\n");
    let mode = std::fs::metadata(host.0.path().join("etc/esl-password"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let unit = host.read("units/fswake.service.d/esl-password.conf").unwrap();
    assert!(unit.contains("LoadCredential=esl-password:"), "{unit}");
    assert!(!first.contains("s3cret"), "{first}");
    // Advice for files that setup did not write, and the doctor's output.
    assert!(
        first.contains("default.xml, line 2:") && first.contains("+  <param name=\"dial-string\""),
        "{first}"
    );
    assert!(
        first.contains("fswake doctor:") && first.contains("127.0.0.1:9"),
        "{first}"
    );
    assert!(
        host.read("fs/directory/default.xml")
            .unwrap()
            .contains("value=\"user\"")
    );

    let second = host.said(&["--yes"]);
    assert_eq!(second.matches(": good\n").count(), 4, "{second}");
    assert!(!second.contains("written"), "{second}");

    // After the operator's part is done, a run reports that nothing is left, and changes nothing.
    host.put("fs/directory/default.xml", &loopback("fswake"));
    host.put(
        "etc/fswake.toml",
        &format!("{configuration}\n[[app]]\nname = \"a\"\nprovider = \"log\"\n"),
    );
    let before = host.all();
    let third = host.said(&["--yes"]);
    assert!(
        third.contains("\nNothing to do.\n") && !third.contains("Left for you"),
        "{third}"
    );
    assert_eq!(third.matches(": good\n").count(), 4, "{third}");
    assert_eq!(host.all(), before);
}

#[test]
fn edited_snippet_is_kept_and_the_new_one_is_written_next_to_it_once() {
    let host = Host::new("ClueCon");
    host.said(&["--yes"]);
    let ours = host.read("fs/dialplan/fswake.xml").unwrap();
    let edited = ours.replace("127.0.0.1:8084", "10.0.0.1:8084");
    host.put("fs/dialplan/fswake.xml", &edited);
    let said = host.said(&["--yes"]);
    assert!(said.contains("fswake.xml: edited, and stays as it is\n"), "{said}");
    assert!(!said.contains("written"), "{said}");

    // As if a newer fswake had another text than the one that setup wrote.
    let sums = host.read("etc/setup.sha256").unwrap();
    let other = sums.lines().map(|line| format!("{}{}\n", "0".repeat(64), &line[64..]));
    host.put("etc/setup.sha256", &other.collect::<String>());
    let said = host.said(&["--yes"]);
    assert!(said.contains("written: 1 file\n"), "{said}");
    assert!(
        said.contains("-        <action application=\"socket\" data=\"10.0.0.1:8084 async full\"/>")
            && said.contains("+        <action application=\"socket\" data=\"127.0.0.1:8084 async full\"/>"),
        "{said}"
    );
    assert_eq!(host.read("fs/dialplan/fswake.xml").unwrap(), edited);
    assert_eq!(host.read("fs/dialplan/fswake.xml.new").unwrap(), ours);

    let said = host.said(&["--yes"]);
    assert!(said.contains("fswake.xml.new is still there"), "{said}");
    assert!(!said.contains("written"), "{said}");
    std::fs::remove_file(host.0.path().join("fs/dialplan/fswake.xml.new")).unwrap();
    let said = host.said(&["--yes"]);
    assert!(said.contains("fswake.xml: edited, and stays as it is\n"), "{said}");
    assert_eq!(host.read("fs/dialplan/fswake.xml.new"), None);
}

#[test]
fn renamed_context_is_the_one_that_the_directory_must_name() {
    for file in ["fs/dialplan/fswake.xml", "fs/dialplan/wake.xml"] {
        let host = Host::new("ClueCon");
        let renamed = CONTEXT.replace("<context name=\"fswake\">", "<context name=\"wake\">");
        host.put(file, &renamed);
        let said = host.said(&["--yes"]);
        assert!(said.contains("dialed_domain}/wake\"/>"), "{said}");
        assert_eq!(host.read(file).unwrap(), renamed);
        let is_one = file.ends_with("wake.xml") && host.read("fs/dialplan/fswake.xml").is_none();
        assert!(is_one || file.ends_with("/fswake.xml"), "a second context was written");

        host.put("fs/directory/default.xml", &loopback("wake"));
        let said = host.said(&["--yes"]);
        assert!(!said.contains("default.xml, line"), "{said}");
    }
}

#[test]
fn password_of_the_operator_is_never_overwritten() {
    let host = Host::new("s3cret");
    host.put("etc/esl-password", "the one of another FreeSWITCH\n");
    let said = host.said(&["--yes"]);
    assert!(said.contains("esl-password: holds another password"), "{said}");
    assert_eq!(
        host.read("etc/esl-password").unwrap(),
        "the one of another FreeSWITCH\n"
    );
    // A checksum would help to guess it.
    assert!(!host.read("etc/setup.sha256").unwrap().contains("esl-password\n"));
}

#[test]
fn dry_run_writes_nothing_and_without_a_terminal_nothing_is_asked() {
    let host = Host::new("ClueCon");
    let said = host.said(&["--dry-run"]);
    assert!(
        said.contains("fswake.xml: new") && said.contains("fswake.toml: new"),
        "{said}"
    );
    let unasked = host.setup(&[]);
    assert_eq!(unasked.status.code(), Some(1));
    let stderr = String::from_utf8(unasked.stderr).unwrap();
    assert!(stderr.contains("--yes"), "{stderr}");
    assert_eq!(host.read("fs/dialplan/fswake.xml"), None);
    assert_eq!(host.read("etc/fswake.toml"), None);
}

#[test]
fn own_file_is_changed_with_a_diff_and_a_foreign_one_is_left_alone() {
    let host = Host::new("ClueCon");
    host.put("etc/fswake.toml", "[freeswitch]\nport = 8021\n");
    host.said(&["--yes"]);
    // A file of an older fswake, and its checksum.
    let old = CONTEXT.replace("process_cdr=false", "process_cdr=true");
    host.put("fs/dialplan/fswake.xml", &old);
    let sum = Command::new("sha256sum")
        .arg(host.0.path().join("fs/dialplan/fswake.xml"))
        .output()
        .unwrap();
    host.put("etc/setup.sha256", &String::from_utf8(sum.stdout).unwrap());
    let said = host.said(&["--yes"]);
    assert!(
        said.contains("fswake.xml: changes")
            && said.contains("-        <action application=\"set\" data=\"process_cdr=true\"/>"),
        "{said}"
    );
    assert_eq!(host.read("fs/dialplan/fswake.xml").unwrap(), CONTEXT);
    assert!(
        said.contains("fswake.toml: not written by setup") && said.contains("\n    port = 9\n"),
        "{said}"
    );
    assert_eq!(host.read("etc/fswake.toml").unwrap(), "[freeswitch]\nport = 8021\n");

    host.put("etc/fswake.toml", "[freeswitch]\nport = 9\n");
    let said = host.said(&["--yes"]);
    assert!(said.contains("fswake.toml: good"), "{said}");

    let host = Host::new("ClueCon");
    host.put("fs/dialplan/fswake.xml", "<!-- my own -->\n");
    let said = host.said(&["--yes"]);
    assert!(said.contains("fswake.xml: not written by setup"), "{said}");
    assert_eq!(host.read("fs/dialplan/fswake.xml").unwrap(), "<!-- my own -->\n");
}

#[test]
fn fusionpbx_dialplan_is_not_changed() {
    let host = Host::new("ClueCon");
    host.put(
        "fs/autoload_configs/lua.conf.xml",
        r#"<configuration><settings><param name="xml-handler-script" value="app.lua xml_handler"/>
           <param name="xml-handler-bindings" value="configuration,dialplan,directory"/></settings></configuration>"#,
    );
    let said = host.said(&["--yes"]);
    assert!(said.contains("FUSIONPBX.md"), "{said}");
    assert_eq!(host.read("fs/dialplan/fswake.xml"), None);
    assert!(host.read("etc/fswake.toml").is_some());
}

#[test]
fn folder_without_a_freeswitch_is_reported() {
    let output = Command::new(env!("CARGO_BIN_EXE_fswake"))
        .args(["setup", "--dry-run", "--freeswitch", "/nonexistent"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent: there is no freeswitch.xml"));
    assert!(!Path::new("/nonexistent").exists());
}
