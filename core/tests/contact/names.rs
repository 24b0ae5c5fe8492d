//! Parameters with names that the operator chooses: mod_apn's four, and Kazoo's three, selected by User-Agent.

use fswake_core::contact::{Contact, ContactWarning, ParamNames, ParamSet, Pattern, parse};
use fswake_core::types::Provider;

use super::{FCM, HEX, HEX2, tokens};

/// An app as Kazoo's pusher describes it: one token and its type, selected by a regular expression of User-Agents.
fn kazoo(user_agents: &str) -> ParamSet {
    ParamSet {
        user_agent_regex: Some(Pattern::parse(user_agents).unwrap()),
        voip_token: "pn-tok".into(),
        im_token: None,
        app_id: Some("app-id".into()),
        platform: Some("pn-type".into()),
        platforms: vec![
            ("apple-dev".into(), Provider::ApnsSandbox),
            ("huawei".into(), Provider::Hms),
        ],
        ..ParamSet::mod_apn()
    }
}

fn read(contact: &str, sets: &[ParamSet], user_agent: &str) -> Contact {
    parse(contact, &ParamNames::from(sets.to_vec()), user_agent, None).unwrap()
}

fn provider(contact: &Contact) -> Option<&str> {
    contact.push.as_ref().map(|push| push.provider.name())
}

#[test]
fn any_four_names_are_read_without_case_and_decoded() {
    let sets = [ParamSet {
        voip_token: "x_call".into(),
        im_token: Some("x_chat".into()),
        app_id: Some("x_app".into()),
        platform: Some("x_os".into()),
        ..ParamSet::mod_apn()
    }];
    let text = format!("<sip:1@h;X_CALL={HEX};x_Chat={HEX2};x_app=com.acme%2Ephone;x_os=IOS>");
    let contact = read(&text, &sets, "any");
    assert_eq!(tokens(&contact), (Some(HEX), Some(HEX2)));
    assert_eq!(&*contact.push.as_ref().unwrap().app, "com.acme.phone");
    assert_eq!(provider(&contact), Some("apns"));
    assert!(contact.warnings.is_empty());
    // Longer names that end in a configured name do not match. mod_apn matched them.
    let text = format!("<sip:1@h;not-x_call={HEX};x_call2={HEX}>");
    assert_eq!(read(&text, &sets, "any").push, None);
}

#[test]
fn regular_expression_chooses_the_set_by_user_agent() {
    let sets = [kazoo("^Acme(Phone|Tab)/[2-9]")];
    let text = format!("<sip:1@h;app-id=com.acme;pn-tok={HEX};pn-type=apple-dev>");
    for (user_agent, expected) in [
        ("AcmePhone/2.1 (iOS)", Some("apns.dev")),
        ("AcmeTab/9", Some("apns.dev")),
        // No set applies, so these are Linphone's old parameters: the same names, but other values.
        ("AcmePhone/1.9", Some("apple-dev")),
        ("x AcmePhone/2.1", Some("apple-dev")),
        ("acmephone/2.1", Some("apple-dev")),
        ("", Some("apple-dev")),
    ] {
        assert_eq!(provider(&read(&text, &sets, user_agent)), expected, "{user_agent}");
    }
    let any_case = [kazoo("(?i)^acmephone")];
    assert_eq!(provider(&read(&text, &any_case, "ACMEPHONE/1")), Some("apns.dev"));
    let both = [ParamSet {
        user_agent: Some("ipad".into()),
        ..kazoo("^Acme")
    }];
    assert_eq!(provider(&read(&text, &both, "AcmePhone (iPad)")), Some("apns.dev"));
    assert_eq!(provider(&read(&text, &both, "AcmePhone (iPhone)")), Some("apple-dev"));
}

#[test]
fn value_of_the_type_parameter_means_the_configured_provider() {
    let sets = [kazoo("")];
    for (word, expected, known) in [
        ("apple", "apns", true),
        ("APPLE-dev", "apns.dev", true),
        ("firebase", "fcm", true),
        ("Huawei", "hms", true),
        ("Harmony", "harmony", false),
    ] {
        let contact = read(&format!("<sip:1@h;app-id=a;pn-tok={HEX};pn-type={word}>"), &sets, "");
        assert_eq!(provider(&contact), Some(expected), "{word}");
        assert_eq!(
            contact.warnings.contains(&ContactWarning::UnknownPlatform),
            !known,
            "{word}"
        );
    }
}

#[test]
fn phone_without_a_platform_gets_the_provider_of_its_set() {
    let set = ParamSet {
        provider: Some(Provider::Fcm),
        ..ParamSet::mod_apn()
    };
    let without = format!("<sip:1@h;app-id=a;pn-voip-tok={HEX}>");
    let contact = read(&without, std::slice::from_ref(&set), "");
    assert_eq!((provider(&contact), contact.warnings.len()), (Some("fcm"), 0));
    let with = format!("<sip:1@h;app-id=a;pn-voip-tok={HEX};pn-platform=iOS>");
    assert_eq!(provider(&read(&with, &[set], "")), Some("apns"));
    assert_eq!(provider(&read(&without, &[ParamSet::mod_apn()], "")), Some("apns"));
}

#[test]
fn parameter_that_a_set_omits_is_not_looked_for() {
    let set = ParamSet {
        im_token: None,
        app_id: None,
        platform: None,
        ..ParamSet::mod_apn()
    };
    let text = format!("<sip:1@h;app-id=a;pn-voip-tok={HEX};pn-im-tok={HEX2};pn-platform=android>");
    let contact = read(&text, &[set], "");
    assert_eq!(tokens(&contact), (Some(HEX), None));
    assert_eq!(&*contact.push.as_ref().unwrap().app, "");
    assert_eq!(provider(&contact), Some("apns"), "from the token's shape");
}

#[test]
fn first_set_that_finds_a_token_is_used_and_the_names_of_all_sets_are_stripped() {
    let sets = [
        kazoo("^Acme"),
        ParamSet {
            voip_token: "x-tok".into(),
            ..ParamSet::mod_apn()
        },
    ];
    let text = format!("<sip:1@h;ob;x-tok={FCM};pn-platform=android;app-id=p;pn-tok={HEX};pn-type=apple>");
    let first = read(&text, &sets, "Acme/1");
    assert_eq!((tokens(&first).0, provider(&first)), (Some(HEX), Some("apns")));
    let second = read(&text, &sets, "Other/1");
    assert_eq!((tokens(&second).0, provider(&second)), (Some(FCM), Some("fcm")));
    let names = ParamNames::from(sets.to_vec());
    for contact in [first, second] {
        assert_eq!(
            contact.uri.dial_target("p", Some(&names)).unwrap(),
            "sofia/p/sip:1@h;ob"
        );
    }
}

#[test]
fn value_in_asterisks_is_taken_literally() {
    // Kazoo's documents print values this way; its phones do not send the asterisks.
    let contact = read("<sip:1@h;app-id=*a*;pn-tok=*t*;pn-type=*apple*>", &[kazoo("")], "");
    assert_eq!(tokens(&contact).0, Some("*t*"));
    assert_eq!(provider(&contact), Some("*apple*"));
    assert!(contact.warnings.contains(&ContactWarning::UnknownPlatform));
}
