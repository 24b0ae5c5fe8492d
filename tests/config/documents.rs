//! Configurations that ship: the example, and those in the documents.

use super::*;

/// The example with its commented-out keys and tables that start with `mark` put into force.
fn example(mark: &str) -> String {
    let line = |line: &'static str| match line.strip_prefix(mark) {
        Some(l) if l.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') && !l.starts_with("e.g.") => l,
        _ => line,
    };
    EXAMPLE.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn example_equals_the_defaults_as_shipped_and_with_its_keys_put_in_force() {
    for text in [EXAMPLE.to_owned(), example("#")] {
        let place = Place::with(&text);
        let expected = Config {
            file: Some(place.path("fswake.toml")),
            ..built_in()
        };
        assert_eq!(place.load(), expected);
    }
}

#[test]
fn examples_in_the_example_are_valid() {
    let place = Place::with(&example("#e.g. "));
    for file in [
        "AuthKey_ABC123DEFG.p8",
        "voip.pem",
        "voip.key",
        "ca.pem",
        "acme-1234.json",
        "proxy-login",
        "huawei-secret",
        "vapid.pem",
        "push-server-token",
        "push-server-secret",
        "AuthKey_XYZ987UVWT.p8",
        "voip-password",
        "voip.p12",
    ] {
        place.write(file, "-");
    }
    place.write("acme-payload.json", r#"{"from-number": "${caller-number}"}"#);
    place.write("message.form", "to=${token}&say=${payload}");
    place.write("esl-password", "secret\n");
    place.write("postgresql.password", "hunter2\n");
    place.write("http-token", "0123456789abcdef\n");
    place.write("cluster.key", "0123456789abcdef0123456789abcdef\n");
    let config = place.load();
    assert_eq!(config.first().endpoint.password, Secret::new("secret"));
    assert_eq!(config.http.token, Some(Secret::new("0123456789abcdef")));
    let shared = config.store.shared.as_ref().unwrap();
    assert_eq!(
        (shared.place().as_str(), &shared.tls),
        ("db.example.org:5432/fswake", &Tls::Required { root: None })
    );
    assert!(!format!("{config:?}").contains("hunter2"));
    let aliases = [("192.0.2.10", "example.org"), ("sip.example.org", "example.org")];
    let aliases = aliases.map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(config.policy.domain_aliases, aliases);
    let names: Vec<_> = config.apps.iter().map(|a| a.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "acme-ios",
            "acme-ios-sandbox",
            "acme-ios-certificate",
            "acme-android",
            "acme-huawei",
            "acme-web",
            "push-server"
        ]
    );
    assert_eq!(
        config.apps[3].payload,
        PayloadStyle::Template(r#"{"from-number": "${caller-number}"}"#.into())
    );
}

#[test]
fn example_names_every_key() {
    let tables = ["freeswitch", "listen", "wake", "aor", "contact", "store", "log", "run"];
    let tables = tables.map(|t| format!("[{t}]")).into_iter();
    let more = [
        "[[contact.params]]",
        "[[app]]",
        "[[app]]\n[app.voip]",
        "[[app]]\n[app.im]",
    ];
    for table in tables.chain(more.map(str::to_owned)) {
        let error = Place::with(&format!("{table}\nnope = 1")).error();
        let (_, keys) = error.split_once("allowed here: ").unwrap();
        for key in keys.split(", ") {
            let named = [
                format!("#{key} = "),
                format!("#e.g. {key} = "),
                format!("#[[{}.{key}]]", table.trim_matches(['[', ']'])),
                format!("#e.g. [{}.{key}]", table.trim_matches(['[', ']'])),
                // It is named next to the key that it replaces.
                format!("(`{key}`)"),
            ];
            assert!(named.iter().any(|n| EXAMPLE.contains(n)), "{table} {key}");
        }
    }
}

#[test]
fn configurations_in_the_documents_are_valid() {
    let mut blocks = 0;
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        for block in text.split("```toml\n").skip(1) {
            let configuration = block.split("```").next().unwrap();
            let place = Place::with(configuration);
            for line in configuration.lines() {
                let file = line
                    .split_once("file = \"")
                    .and_then(|(_, rest)| rest.split('"').next());
                if let Some(file) = file {
                    place.write(file, &"secret".repeat(6));
                }
            }
            println!("{}:\n{configuration}", document.display());
            place.load();
            blocks += 1;
        }
    }
    assert!(blocks >= 10, "only {blocks} configurations were found");
}

/// README.md and all of docs/.
fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_dir(root.join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let pages = docs.filter(|path| path.extension().is_some_and(|end| end == "md"));
    pages.chain([root.join("README.md")]).collect()
}
