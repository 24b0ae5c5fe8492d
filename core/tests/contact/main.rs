//! Contacts as FreeSWITCH 1.10.12 printed them, as phones send them, and hostile ones.
//!
//! FreeSWITCH's strings are its own bytes after one percent-decoding. Tokens are made up.

mod captured;
mod cases;
mod hostile;
mod names;
mod odd_shapes;
mod shapes;
mod web_push;

use fswake_core::contact::{Contact, ContactError, ContactWarning, NetworkHint, ParamNames, Transport, Uri, parse};
use fswake_core::types::{Provider, PushToken};

/// Sixty-four hexadecimal digits, as an APNs token has.
pub(crate) const HEX: &str = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0";
/// Another APNs token.
pub(crate) const HEX2: &str = "39f1b1ad00785122b4ad28809a3420982341241421348097878e577c991de8f0";
/// Has the shape of an FCM token, with its `:`.
pub(crate) const FCM: &str =
    "dGhpc2lzYXRlc3Q:APA91bAb-_Ab-_Ab-_Ab-_Ab-_Ab-_Ab-_Ab-_Ab-_Ab-_Ab-_Ab-_Ab-_Ab-_Ab-_Ab-_Ab-_Ab-_";

/// Parses a Contact with the default names, without a network address.
pub(crate) fn read(contact: &str) -> Result<Contact, ContactError> {
    parse(contact, &ParamNames::default(), "", None)
}

/// Call token and remote token.
pub(crate) fn tokens(contact: &Contact) -> (Option<&str>, Option<&str>) {
    let push = contact.push.as_ref();
    let call = push.and_then(|p| p.tokens.call());
    let remote = push.and_then(|p| p.tokens.remote());
    (call.map(PushToken::expose), remote.map(PushToken::expose))
}

/// The dial-string with push parameters stripped.
pub(crate) fn dial(contact: &Contact) -> String {
    contact
        .uri
        .dial_target("internal", Some(&ParamNames::default()))
        .unwrap()
}

fn hint() -> NetworkHint {
    NetworkHint::from_event("198.51.100.7", "42007", "Registered(UDP-NAT)").unwrap()
}

fn behind_nat(token: &str) -> String {
    let uri = |host: &str| {
        format!("sip:1003@{host}:42007;transport=udp;pn-provider=fcm;pn-param=my-project-123;pn-prid={token}")
    };
    format!(
        "\"\" <{};fs_nat=yes;fs_path={}>",
        uri("192.168.1.77"),
        uri("198.51.100.7")
    )
}

#[test]
fn captured_registration_behind_nat_is_routed_by_its_encoded_path_without_push_parameters() {
    let contact = read(&behind_nat(FCM)).unwrap();
    assert_eq!(tokens(&contact), (Some(FCM), None));
    let push = contact.push.as_ref().unwrap();
    assert_eq!((&push.provider, &*push.app), (&Provider::Fcm, "my-project-123"));
    assert!(contact.warnings.is_empty() && !contact.cut);
    assert_eq!(
        dial(&contact),
        "sofia/internal/sip:1003@192.168.1.77:42007;transport=udp;fs_nat=yes;\
         fs_path=sip%3A1003%40198.51.100.7%3A42007%3Btransport%3Dudp"
    );
}

#[test]
fn captured_linphone_registration_gives_both_tokens_and_keeps_the_transport_after_them() {
    let inner = format!(
        "pn-provider=apns;pn-prid={HEX2}:remote&{HEX}:voip;pn-param=ABCD123456.org.example.phone.remote&voip;\
         pn-msg-str=IM_MSG;pn-call-str=IC_MSG;pn-groupchat-str=GC_MSG;pn-call-snd=notes_of_the_optimistic.caf;\
         pn-msg-snd=msg.caf;pn-timeout=0;pn-silent=1;transport=udp"
    );
    let text =
        format!("\"\" <sip:1002@192.168.1.77:46000;{inner};fs_nat=yes;fs_path=sip:1002@127.0.0.1:46000;{inner}>");
    let contact = read(&text).unwrap();
    assert_eq!(tokens(&contact), (Some(HEX), Some(HEX2)));
    assert_eq!(contact.push.as_ref().unwrap().team.as_deref(), Some("ABCD123456"));
    assert_eq!(
        dial(&contact),
        "sofia/internal/sip:1002@192.168.1.77:46000;transport=udp;fs_nat=yes;\
         fs_path=sip%3A1002%40127.0.0.1%3A46000%3Btransport%3Dudp"
    );
}

#[test]
fn url_of_show_registrations_identifies_the_same_phone_as_the_event() {
    let event = read(&behind_nat(FCM)).unwrap();
    let (outer, inner) = behind_nat(FCM)
        .split_once(";fs_path=")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let outer = outer.trim_start_matches("\"\" <");
    let inner = inner
        .trim_end_matches('>')
        .replace(':', "%3A")
        .replace('@', "%40")
        .replace(';', "%3B");
    let row = read(&format!("{outer};fs_path={}", inner.replace('=', "%3D"))).unwrap();
    assert_eq!(row.push, event.push);
    assert!(row.uri.same_target(&event.uri));
    assert_eq!(dial(&row), dial(&event));
}

#[test]
fn without_stripping_every_parameter_is_kept_and_escaped() {
    let contact = read(&format!(
        "<sip:1@h;pn-provider=apns;pn-param=a.b&c;pn-prid={HEX}:voip;ob>"
    ))
    .unwrap();
    assert_eq!(
        contact.uri.dial_target("p", None).unwrap(),
        format!("sofia/p/sip:1@h;pn-provider=apns;pn-param=a.b%26c;pn-prid={HEX}:voip;ob")
    );
}

#[test]
fn all_but_push_parameters_are_kept_in_order() {
    let text = "\"\" <sip:u@h:1;ob;transport=tcp;pn-purr=x;received=192.0.2.1:5060;app-id=a;fs-conn-id=7;x;y=;\
                fs_nat=yes;fs_path=sip%3Au%40192.0.2.1%3A5060%3Bapp-id%3Da%3Btransport%3Dtcp>";
    assert_eq!(
        dial(&read(text).unwrap()),
        "sofia/internal/sip:u@h:1;ob;transport=tcp;received=192.0.2.1:5060;fs-conn-id=7;x;y=;\
         fs_nat=yes;fs_path=sip%3Au%40192.0.2.1%3A5060%3Btransport%3Dtcp"
    );
}

#[test]
fn equals_sign_in_a_value_is_escaped_in_a_route_and_bare_before_it() {
    let text =
        "\"\" <sip:u@h:1;x=a=b;y=[::1];fs_nat=yes;fs_path=sip%3Au%40192.0.2.1%3A5060%3Bx%3Da%3Db%3By%3D%5B%3A%3A1%5D>";
    assert_eq!(
        dial(&read(text).unwrap()),
        "sofia/internal/sip:u@h:1;x=a=b;y=[::1];fs_nat=yes;fs_path=sip%3Au%40192.0.2.1%3A5060%3Bx%3Da%253Db%3By%3D%5B%3A%3A1%5D"
    );
}

#[test]
fn path_of_a_proxy_keeps_its_brackets_and_all_its_hops() {
    let hops = "<sip:192.0.2.1;lr>,<sip:edge@192.0.2.2:5070;lr;transport=tcp>";
    let raw = read(&format!("\"\" <sip:u@10.0.0.1:5060;ob;fs_path={hops}>")).unwrap();
    let want = "sofia/internal/sip:u@10.0.0.1:5060;ob;fs_path=%3Csip%3A192.0.2.1%3Blr%3E%2C\
                %3Csip%3Aedge%40192.0.2.2%3A5070%3Blr%3Btransport%3Dtcp%3E";
    assert_eq!(dial(&raw), want);
    let encoded = want.trim_start_matches("sofia/internal/");
    assert_eq!(dial(&read(&format!("\"\" <{encoded}>")).unwrap()), want);
}

#[test]
fn sips_gets_an_explicit_transport_because_freeswitch_drops_the_scheme() {
    assert_eq!(
        dial(&read("<sips:203@203.0.113.101:5061;x>").unwrap()),
        "sofia/internal/sips:203@203.0.113.101:5061;transport=tls;x"
    );
    assert_eq!(
        dial(&read("<sips:2@h;transport=ws>").unwrap()),
        "sofia/internal/sips:2@h;transport=ws"
    );
}

#[test]
fn same_target_ignores_tokens_and_display_name_but_not_the_address() {
    let uri = |text: &str| Uri::parse(text).unwrap();
    let here = uri("sip:u@Host.Example:5060;transport=UDP;pn-prid=a");
    assert!(here.same_target(&uri("SIP:u@host.example:5060;pn-prid=b;ob;transport=udp")));
    assert!(here.same_target(&uri("sip:%75@host.example:5060;transport=udp")));
    for other in [
        "sip:U@host.example:5060;transport=udp",
        "sip:u@host.example;transport=udp",
        "sip:u@host.example:5060",
        "sip:u@host.example:5060;transport=tcp",
        "sips:u@host.example:5060;transport=udp",
        "sip:u@host.example:5060;transport=udp;fs_path=sip:192.0.2.1:5060",
    ] {
        assert!(!here.same_target(&uri(other)), "{other}");
    }
}

#[test]
fn configured_names_are_used_for_their_user_agent_and_stripped_for_all() {
    let mut names = ParamNames::default();
    names.sets.insert(
        0,
        fswake_core::contact::ParamSet {
            user_agent: Some("acme".to_owned()),
            voip_token: "x-tok".to_owned(),
            im_token: None,
            app_id: Some("x-app".to_owned()),
            platform: Some("x-os".to_owned()),
            ..fswake_core::contact::ParamSet::mod_apn()
        },
    );
    let text = "<sip:1@h;x-tok=abc;X-APP=com.acme;x-os=Android>";
    let acme = parse(text, &names, "The ACME phone/1.0", None).unwrap();
    assert_eq!(tokens(&acme), (Some("abc"), None));
    let push = acme.push.as_ref().unwrap();
    assert_eq!((&push.provider, &*push.app), (&Provider::Fcm, "com.acme"));
    assert_eq!(parse(text, &names, "Other/1", None).unwrap().push, None);
    assert_eq!(acme.uri.dial_target("p", Some(&names)).unwrap(), "sofia/p/sip:1@h");
    // If the first set finds no token, the next is tried.
    let text = format!("<sip:1@h;pn-voip-tok={HEX};pn-platform=iOS>");
    assert_eq!(tokens(&parse(&text, &names, "ACME", None).unwrap()).0, Some(HEX));
}

#[test]
fn status_gives_transport_and_nat() {
    for (status, transport, nat) in [
        ("Registered(UDP)", Some(Transport::Udp), false),
        ("Registered(TCP-NAT)", Some(Transport::Tcp), true),
        ("Registered(TLS)", Some(Transport::Tls), false),
        ("Registered(TLSHACK)", Some(Transport::Tls), false),
        ("Registered(WS-NAT)", Some(Transport::Ws), true),
        ("Registered(WSS-NAT)", Some(Transport::Wss), true),
        ("Registered(AUTO-NAT)", None, true),
        ("Registered(AUTO-NAT-2.0)", None, true),
        ("", None, false),
    ] {
        let hint = NetworkHint::from_event("192.0.2.1", "5060", status).unwrap();
        assert_eq!((hint.transport, hint.nat), (transport, nat), "{status}");
    }
    assert_eq!(NetworkHint::from_event("", "5060", "Registered(UDP)"), None);
    assert_eq!(NetworkHint::from_event("192.0.2.1", "0", "Registered(UDP)"), None);
    assert!(
        NetworkHint::from_event("2001:db8::1", "5060", "")
            .unwrap()
            .address
            .is_ipv6()
    );
}

/// The text that FreeSWITCH prints, cut at its buffer of 1024 bytes, then percent-decoded once.
fn cut_by_freeswitch(outer: &str, inner: &str) -> String {
    let encoded: String = inner
        .chars()
        .map(|c| match c {
            ':' => "%3A".to_owned(),
            '@' => "%40".to_owned(),
            ';' => "%3B".to_owned(),
            '=' => "%3D".to_owned(),
            '&' => "%26".to_owned(),
            c => c.to_string(),
        })
        .collect();
    let whole = format!("\"\" <{outer};fs_nat=yes;fs_path={encoded}>");
    let cut = &whole[..whole.len().min(1023)];
    percent_encoding::percent_decode_str(cut)
        .decode_utf8_lossy()
        .into_owned()
}

#[test]
fn truncated_token_is_not_used() {
    let text = format!(
        "\"\" <sip:1006@127.0.0.1:48061;pn-provider=fcm;pn-param=p;pn-prid={}",
        "z".repeat(959)
    );
    assert_eq!(text.len(), 1023);
    let contact = read(&text).unwrap();
    assert!(contact.cut);
    assert_eq!(contact.push, None);
    assert_eq!(contact.warnings, [ContactWarning::Cut]);
    assert_eq!(dial(&contact), "sofia/internal/sip:1006@127.0.0.1:48061");
}

#[test]
fn captured_truncated_path_is_rewritten_and_the_complete_token_is_used() {
    let token = format!("{FCM}{}", "Xy_-".repeat(60));
    let uri = |host: &str| format!("sip:1003@{host}:42007;transport=udp;pn-provider=fcm;pn-param=p;pn-prid={token}");
    let text = cut_by_freeswitch(
        &uri("192.168.1.77"),
        &format!("{}{}", uri("127.0.0.1"), "q".repeat(300)),
    );
    assert!(
        !text.ends_with('>') && text.len() < 1023,
        "decoding makes a cut Contact shorter than the buffer"
    );
    let contact = parse(&text, &ParamNames::default(), "", Some(&hint())).unwrap();
    assert!(contact.cut);
    assert_eq!(tokens(&contact).0, Some(token.as_str()));
    assert_eq!(contact.warnings, [ContactWarning::Cut, ContactWarning::RouteRewritten]);
    let want = "sofia/internal/sip:1003@192.168.1.77:42007;transport=udp;fs_nat=yes;\
                fs_path=sip%3A1003%40198.51.100.7%3A42007%3Btransport%3Dudp";
    assert_eq!(dial(&contact), want);
    // Without a network address, the start of the route is used if its host is complete.
    let alone = read(&text).unwrap();
    assert_eq!(dial(&alone), want.replace("198.51.100.7", "127.0.0.1"));
}

#[test]
fn truncated_route_is_rewritten_only_where_it_is_needed() {
    let text = |host: &str| format!("\"\" <sip:7@{host}:5060;ob;pn-provider=fcm;pn-prid={}", "z".repeat(960));
    let dial_from =
        |host: &str, hint: NetworkHint| dial(&parse(&text(host), &ParamNames::default(), "", Some(&hint)).unwrap());
    let nat = NetworkHint::from_event("198.51.100.7", "40000", "Registered(TCP-NAT)").unwrap();
    assert_eq!(
        dial_from("192.168.0.2", nat),
        "sofia/internal/sip:7@192.168.0.2:5060;ob;fs_nat=yes;fs_path=sip%3A7%40198.51.100.7%3A40000%3Btransport%3Dtcp"
    );
    let direct = NetworkHint::from_event("203.0.113.9", "40000", "Registered(UDP)").unwrap();
    assert_eq!(
        dial_from("203.0.113.9", direct),
        "sofia/internal/sip:7@203.0.113.9:5060;ob"
    );
    // The source address differs although FreeSWITCH saw no NAT, for example because of a proxy in between.
    assert!(dial_from("10.0.0.1", direct).ends_with(";ob;fs_path=sip%3A7%40203.0.113.9%3A40000%3Btransport%3Dudp"));
    let six = NetworkHint::from_event("2001:db8::9", "40000", "Registered(UDP-NAT)").unwrap();
    assert!(
        dial_from("10.0.0.1", six).ends_with("fs_path=sip%3A7%40%5B2001%3Adb8%3A%3A9%5D%3A40000%3Btransport%3Dudp")
    );
}

#[test]
fn contact_truncated_before_its_host_is_an_error() {
    for text in [
        "\"\" <sip:".to_owned() + &"u".repeat(1015),
        "\"\" <sip:aa;bb".to_owned() + &"u".repeat(1000),
    ] {
        assert_eq!(read(&text).unwrap_err(), ContactError::CutBeforeHost);
    }
}

#[test]
fn long_bare_uri_may_be_truncated_and_loses_only_its_last_parameter() {
    let text = format!("sip:1@h:5060;x={};pn-provider=fcm;pn-prid={}", "y".repeat(700), FCM);
    let contact = read(&text).unwrap();
    assert!(contact.cut);
    assert_eq!(contact.push, None);
    let short = format!("sip:1@h:5060;pn-provider=fcm;pn-prid={FCM}");
    assert_eq!(tokens(&read(&short).unwrap()).0, Some(FCM));
}
