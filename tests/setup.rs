//! `fswake setup` beside folders that look like FreeSWITCH's.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A host: FreeSWITCH's folder, fswake's, and systemd's.
struct Host(TempDir);

impl Host {
    fn new(password: &str) -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        host.put("fs/freeswitch.xml", "<document/>");
        host.put("fs/vars.xml", "<include/>");
        // A port that nobody listens on: the doctor has to say so, and no more.
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
fn first_setup_writes_what_is_missing_and_the_second_finds_it_good() {
    let host = Host::new("s3cret & more");
    let first = host.said(&["--yes"]);
    assert!(first.contains("written: 4 files"), "{first}");
    let context = host.read("fs/dialplan/fswake.xml").unwrap();
    assert_eq!(context, include_str!("../fs-conf/dialplan/fswake.xml"));
    let configuration = host.read("etc/fswake.toml").unwrap();
    assert!(configuration.contains("\nport = 9\n"), "{configuration}");
    // As FreeSWITCH's XML has it.
    assert_eq!(host.read("etc/esl-password").unwrap(), "s3cret & more\n");
    let mode = std::fs::metadata(host.0.path().join("etc/esl-password"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let unit = host.read("units/fswake.service.d/esl-password.conf").unwrap();
    assert!(unit.contains("LoadCredential=esl-password:"), "{unit}");
    assert!(!first.contains("s3cret"), "{first}");
    // What is not ours, and the doctor's word.
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
}

#[test]
fn dry_run_writes_nothing_and_nobody_is_asked_where_there_is_nobody() {
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
fn own_file_is_changed_with_its_difference_and_a_foreign_one_is_left() {
    let host = Host::new("ClueCon");
    let old = include_str!("../fs-conf/dialplan/fswake.xml").replace("process_cdr=false", "process_cdr=true");
    host.put("fs/dialplan/fswake.xml", &old);
    host.put("etc/fswake.toml", "[freeswitch]\nport = 9\n");
    let said = host.said(&["--yes"]);
    assert!(
        said.contains("fswake.xml: changes")
            && said.contains("-        <action application=\"set\" data=\"process_cdr=true\"/>"),
        "{said}"
    );
    assert!(said.contains("fswake.toml: somebody has written it"), "{said}");
    assert_eq!(
        host.read("fs/dialplan/fswake.xml").unwrap(),
        include_str!("../fs-conf/dialplan/fswake.xml")
    );
    assert_eq!(host.read("etc/fswake.toml").unwrap(), "[freeswitch]\nport = 9\n");

    host.put("fs/dialplan/fswake.xml", "<!-- my own -->\n");
    let said = host.said(&["--yes"]);
    assert!(said.contains("fswake.xml: somebody has written it"), "{said}");
    assert_eq!(host.read("fs/dialplan/fswake.xml").unwrap(), "<!-- my own -->\n");
}

#[test]
fn fusionpbx_keeps_its_dialplan() {
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
fn folder_without_a_freeswitch_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_fswake"))
        .args(["setup", "--dry-run", "--freeswitch", "/nonexistent"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent: there is no freeswitch.xml"));
    assert!(!Path::new("/nonexistent").exists());
}
