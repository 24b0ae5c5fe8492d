//! `fswake.toml`.

use std::time::Duration;

use fswake::fuzzing;

use crate::{Target, is_clean};

/// The fuzz target.
pub const TARGET: Target = Target {
    name: "config",
    check,
    words: &[
        "[freeswitch]\n",
        "[listen]\n",
        "[wake]\n",
        "[aor]\n",
        "[contact]\n",
        "[[contact.params]]\n",
        "[notifications]\n",
        "[store]\n",
        "[http]\n",
        "[log]\n",
        "[run]\n",
        "[[app]]\n",
        "[app.voip]\n",
        "name = \"a\"\n",
        "provider = \"http\"\n",
        "provider = \"fcm\"\n",
        "provider = \"apns\"\n",
        "app-ids = [\"com.example.a\"]\n",
        "max-wait = \"25s\"\n",
        "= \"",
        "\"\n",
        "25",
        "-1",
        "18446744073709551616",
        "1e400",
        "\"1h\"",
        "\"999999999999h\"",
        "addresses = [\"0.0.0.0:8085\"]\n",
        "allow = [\"192.0.2.0/33\"]\n",
        "user-agent = \"(a+)+$\"\n",
        "domain-aliases",
        "url = \"https://h/${token}\"\n",
        "\\u0000",
        "\\u001b[2J",
        "'''",
        "\u{feff}",
        "filter = \"fswake=\"",
        "[",
        "]",
        "{",
        "}",
    ],
};

fn check(input: &[u8]) {
    let text = &*String::from_utf8_lossy(input);
    match fuzzing::config(text) {
        Err(error) => {
            let shown = error.to_string();
            assert!(is_clean(&shown), "{shown:?}");
            assert!(
                shown.starts_with("/nowhere/fswake.toml") || shown.starts_with("environment"),
                "{shown}"
            );
            assert!(!error.allowed.is_empty(), "{shown}");
        }
        Ok(config) => {
            assert!(!config.apps.is_empty() && !config.listen.addresses.is_empty() && !config.listen.allow.is_empty());
            let is_open = config.http.addresses.iter().any(|address| !address.ip().is_loopback());
            assert!(
                !is_open || config.http.token.is_some() || config.http.token_file.is_some(),
                "{:?}",
                config.http
            );
            let policy = &config.policy;
            assert!(
                policy.max_wait > Duration::ZERO && policy.max_wait <= Duration::from_secs(600),
                "{:?}",
                policy.max_wait
            );
            // Unknown keys are refused everywhere.
            for unknown in ["\n[unknown-section]\n", "\n[wake.unknown-table]\n"] {
                assert!(fuzzing::config(&format!("{text}{unknown}")).is_err(), "{unknown}");
            }
        }
    }
}
