//! Parsing apn.conf.xml.

use fswake::import::apn_conf::{ApnConf, ApnConfError, read, variables};
use fswake::xml::variables::Variables;

fn conf(text: &str) -> ApnConf {
    read(text, Variables::default()).unwrap_or_else(|e| panic!("{e}"))
}

fn setting<'a>(conf: &'a ApnConf, name: &str) -> &'a str {
    &conf.settings.get(name).unwrap_or_else(|| panic!("no {name}")).text
}

#[test]
fn settings_and_profiles_are_parsed_as_by_mod_apn() {
    let conf = conf(include_str!("fixtures/original.xml"));
    assert_eq!(setting(&conf, "contact_voip_token_param"), "pn-voip-tok");
    assert_eq!(setting(&conf, "contact_platform_param"), "pn-platform");
    let dsn = conf.settings.get("odbc_dsn").unwrap();
    assert_eq!(dsn.unknown, ["apn_db_host", "apn_db_password"]);
    let names: Vec<_> = conf.profiles.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["voip", "im"]);
    let voip = &conf.profiles[0].params;
    assert_eq!(
        voip.get("url").unwrap().text,
        "https://push.example.org/${type}/${realm}/${user}/${token}"
    );
    // Bare ampersands, as in mod_apn's own sample.
    assert_eq!(
        voip.get("post_data_template").unwrap().text,
        "type=${type}&app_id=${app_id}&user=${user}&realm=${realm}&token=${token}&platform=${platform}&payload=${payload}"
    );
    assert!(voip.get("content_type").is_none(), "empty means missing");
}

#[test]
fn names_are_matched_in_any_case_and_the_last_of_two_counts() {
    let conf = conf(
        r#"<configuration name="apn.conf">
             <settings><param name="Contact_App_ID_Param" value="first"/>
               <param name="contact_app_id_param" value="second"/><param name="contact_app_id_param" value=""/>
               <param name="dbname" value="x"/></settings>
           </configuration>"#,
    );
    assert_eq!(setting(&conf, "contact_app_id_param"), "second");
    assert_eq!(conf.settings.unknown, [(4, "dbname".to_owned())]);
}

#[test]
fn variables_come_from_the_file_itself_and_from_vars_xml() {
    let vars = variables(
        r#"<include><X-PRE-PROCESS cmd="set" data="push_host=push.example.org"/>
             <X-PRE-PROCESS cmd="exec-set" data="secret=cat /etc/secret"/></include>"#,
        Variables::default(),
    )
    .unwrap();
    let text = r#"<configuration name="apn.conf">
        <X-PRE-PROCESS cmd="set" data="base=https://$${push_host}"/>
        <X-PRE-PROCESS cmd="include" data="more/*.xml"/>
        <profiles><profile name="voip"><param name="url" value="$${base}/$${secret}/${token}"/></profile></profiles>
      </configuration>"#;
    let conf = read(text, vars).unwrap();
    let url = conf.profiles[0].params.get("url").unwrap();
    assert_eq!(
        (url.text.as_str(), url.unknown.as_slice()),
        (
            "https://push.example.org/$${secret}/${token}",
            ["secret".to_owned()].as_slice()
        )
    );
    assert_eq!(conf.not_done, [(3, "X-PRE-PROCESS include of more/*.xml".to_owned())]);
}

#[test]
fn broken_files_are_refused_with_the_line() {
    let line = |text: &str| match read(text, Variables::default()) {
        Err(ApnConfError::Xml { line, .. }) => Some(line),
        Err(ApnConfError::Nothing) => None,
        Ok(conf) => panic!("{text}: {conf:?}"),
    };
    assert_eq!(line("<configuration>\n<settings>\n</profiles>"), Some(3));
    assert_eq!(line("<configuration>\n<settings>\n<param name='a' value='b'"), Some(3));
    assert_eq!(line("<configuration>\n<settings>\n"), Some(3));
    assert_eq!(
        line("<configuration>\n<settings>\n<param name=a value='b'/></settings></configuration>"),
        Some(3)
    );
    for other in [
        "",
        "no XML at all",
        "<configuration name='sofia.conf'><global_settings/></configuration>",
    ] {
        assert_eq!(line(other), None, "{other}");
    }
}

/// The XML parser drops a byte order mark and does not count it.
#[test]
fn byte_order_marks_shift_no_line_number_and_cut_no_character() {
    let text = "\u{feff}\u{feff}<configuration><settings><param name=\"a\u{20ac}\" value=\"1\"/>\n</settings>é</configuration>";
    let conf = conf(text);
    assert_eq!(conf.settings.unknown, [(1, "a\u{20ac}".to_owned())]);
    for cut in (0..text.len()).filter(|cut| text.is_char_boundary(*cut)) {
        let _ = read(&text[..cut], Variables::default());
        let _ = read(&format!("\u{feff}{}", &text[cut..]), Variables::default());
    }
}

#[test]
fn other_elements_are_ignored() {
    let conf = conf(
        "<configuration><param name='odbc_dsn' value='x'/><settings/><other><param name='odbc_dsn' value='y'/></other>
         <profiles><param name='url' value='z'/><group><profile name='voip'/></group></profiles></configuration>",
    );
    assert!(conf.settings.get("odbc_dsn").is_none() && conf.profiles.is_empty());
}

#[test]
fn preprocessor_comments_set_variables() {
    let conf = conf(
        r#"<configuration name="apn.conf">
             <!--#set "push_host=push.example.org"-->
             <!-- #set "push_host=evil.example.org"-->
             <profiles><profile name="voip"><param name="url" value="https://$${push_host}/wake"/></profile></profiles>
           </configuration>"#,
    );
    let url = conf.profiles[0].params.get("url").unwrap();
    assert_eq!(
        (url.text.as_str(), url.unknown.len()),
        ("https://push.example.org/wake", 0)
    );
    let vars = variables("<include>\n<!--#set \"a=b\"-->\n</include>", Variables::default()).unwrap();
    let mut vars = vars;
    assert_eq!(vars.expand("$${a}").text, "b");
}

#[test]
fn value_that_doubles_with_each_line_is_refused_with_its_line() {
    let doubling = r#"<X-PRE-PROCESS cmd="set" data="a=$${a}$${a}"/>"#;
    let lines = format!(
        "<include>\n<X-PRE-PROCESS cmd=\"set\" data=\"a=0123456789\"/>\n{}</include>",
        format!("{doubling}\n").repeat(60)
    );
    let refused = variables(&lines, Variables::default()).unwrap_err().to_string();
    assert!(
        refused.starts_with("line 2") && refused.contains("expanding its variables"),
        "{refused}"
    );
    let refused = read(&lines, Variables::default()).unwrap_err();
    assert!(matches!(refused, ApnConfError::Xml { line: 20, .. }), "{refused:?}");
    // The limit also applies to many values that each use the variable.
    let long = "x".repeat(1 << 20);
    let mut vars = Variables::default();
    vars.command("set", &format!("long={long}"));
    let param = r#"<param name="url" value="$${long}"/>"#.repeat(50);
    let text = format!(r#"<profiles><profile name="voip">{param}</profile></profiles>"#);
    assert!(read(&text, vars).is_err());
}
