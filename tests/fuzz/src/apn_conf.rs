//! mod_apn's `apn.conf.xml`.

use fswake::fuzzing;
use fswake::import::apn_conf;
use fswake::import::convert::{ImportContext, convert};
use fswake::xml::variables::Variables;

use crate::{Target, is_clean};

/// The fuzz target.
pub const TARGET: Target = Target {
    name: "apn_conf",
    check,
    words: &[
        "<configuration>",
        "<settings>",
        "</settings>",
        "<profiles>",
        "<profile name=\"",
        "voip",
        "im",
        "</profile>",
        "<param name=\"",
        "\" value=\"",
        "\"/>",
        "url",
        "method",
        "auth_type",
        "auth_data",
        "content_type",
        "connect_timeout",
        "timeout",
        "post_data_template",
        "odbc_dsn",
        "contact_voip_token_param",
        "basic",
        "digest",
        "bearer",
        "https://",
        "${token}",
        "${payload}",
        "$${domain}",
        "&quot;",
        "&#10;",
        "&amp;",
        "<!--#set \"a=b\"-->",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "X-PRE-PROCESS",
        "cmd=\"set\" data=\"",
        "POST",
        "application/json",
        "'''",
        "\"\"\"",
        "\\",
        "\u{7f}",
    ],
};

fn check(input: &[u8]) {
    let text = &*String::from_utf8_lossy(input);
    let Ok(conf) = apn_conf::read(text, Variables::default()) else {
        return;
    };
    let context = ImportContext {
        file: "apn.conf.xml".to_owned(),
        ..ImportContext::default()
    };
    let made = convert(&conf, &context);
    assert_eq!(convert(&conf, &context), made);
    // `fswake check` accepts the configuration.
    let config = fuzzing::config(&made.toml).unwrap_or_else(|error| panic!("{error}\n{}", made.toml));
    assert!(!config.apps.is_empty());
    assert!(
        made.warnings.iter().all(|warning| is_clean(warning)),
        "{:?}",
        made.warnings
    );
    for (name, secret) in &made.secrets {
        assert!(
            made.toml.contains(name.as_str()),
            "the configuration does not name {name}"
        );
        assert!(!secret.expose().contains(['\n', '\r']), "{name} has more than one line");
        // The text may contain it elsewhere as well.
        if secret.expose().len() >= 12 && text.matches(secret.expose()).count() == 1 {
            let shown = format!("{}{:?}{conf:?}{made:?}", made.toml, made.warnings);
            assert!(!shown.contains(secret.expose()), "{shown}");
        }
    }
}
