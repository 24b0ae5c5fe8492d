//! Every shape of Contact in RFC 8599, vendors' documentation and public issue threads, numbered. `odd_shapes` has the
//! rest.

use fswake_core::contact::{ContactError, ContactWarning as W};
use fswake_core::types::{Provider, TokenFault};

use crate::{FCM, HEX, HEX2, dial, read, tokens};

const PUSHKIT: &str = "D4BFC088D4BFC088D4BFC088D4BFC088D4BFC088D4BFC088D4BFC088D4BFB122";

/// Expects provider, app, call token, remote token and warnings.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "literals read better")]
pub(crate) fn expect(contact: &str, want: Option<(Provider, &str, Option<&str>, Option<&str>)>, warnings: &[W]) {
    let contact = read(contact).unwrap();
    let (call, remote) = tokens(&contact);
    let push = contact
        .push
        .as_ref()
        .map(|p| (p.provider.clone(), &*p.app, call, remote));
    assert_eq!(push, want);
    assert_eq!(contact.warnings, warnings);
    assert!(!dial(&contact).contains("pn-"));
}

fn other(name: &str) -> Provider {
    Provider::Other(name.into())
}

/// A Contact with one `pn-prid` and `pn-param` for Apple.
pub(crate) fn apns(prid: &str, param: &str) -> String {
    format!("<sip:a@h;pn-provider=apns;pn-prid={prid};pn-param={param}>")
}

#[test]
fn s01_rfc_8599_any_provider() {
    expect(
        "<sip:alice@alicemobile.example.com;pn-provider=acme;pn-param=acme-param;pn-prid=ZTY4ZDJlMzODE1NmUgKi0K>",
        Some((other("acme"), "acme-param", Some("ZTY4ZDJlMzODE1NmUgKi0K"), None)),
        &[],
    );
}

#[test]
fn s02_queries_give_no_device() {
    expect("<sip:alice@192.0.2.10:5060;pn-provider>", None, &[]);
    expect("<sip:alice@192.0.2.10:5060;pn-provider=acme>", None, &[]);
}

#[test]
fn s03_removal_gives_no_device() {
    expect("<sip:alice@h;pn-provider=acme;pn-param=acme-param>", None, &[]);
}

#[test]
fn s04_escaped_token_and_harmless_header_parameters() {
    expect(
        "<sip:alice@h;pn-provider=apns;pn-prid=ZTY4ZDJlMzODE1NmUgKi0K%3D>;+sip.instance=\"<urn:uuid:0;pn-x>\";+sip.pnsreg",
        None,
        &[W::NotAToken {
            name: "pn-prid",
            fault: TokenFault::NotApples,
        }],
    );
    // The same token from a provider that fswake does not know.
    expect(
        "<sip:alice@h;pn-provider=acme;pn-prid=ZTY4ZDJlMzODE1NmUgKi0K%3D>;+sip.instance=\"<urn:uuid:0;pn-x>\";+sip.pnsreg",
        Some((other("acme"), "", Some("ZTY4ZDJlMzODE1NmUgKi0K="), None)),
        &[],
    );
}

#[test]
fn s05_webpush_url() {
    expect(
        "<sip:a@h;pn-provider=webpush;pn-prid=https%3A%2F%2Fpush.example.org%2Fs%2F1>",
        Some((Provider::WebPush, "", Some("https://push.example.org/s/1"), None)),
        &[],
    );
    // As in the event, where it is decoded already.
    expect(
        "<sip:a@h;pn-provider=webpush;pn-prid=https://push.example.org/w/?token=a=b>",
        Some((
            Provider::WebPush,
            "",
            Some("https://push.example.org/w/?token=a=b"),
            None,
        )),
        &[],
    );
}

#[test]
fn s06_plus_is_a_plus() {
    expect(
        "<sip:a@h;pn-provider=acme;pn-prid=device%3Dtoken+with/reserved>",
        Some((other("acme"), "", Some("device=token+with/reserved"), None)),
        &[],
    );
}

#[test]
fn s07_purr_is_stripped_and_no_token() {
    expect(
        "<sip:a@h;pn-purr=00fc13>;+sip.pns=\"apns\";+sip.pnsreg=\"130\"",
        None,
        &[],
    );
}

#[test]
fn s08_draft_with_quoted_values() {
    expect(
        "<sip:a@h;pn-type=acme;pn-methods=\"INVITE\";pn-uri=\"https://pn.acme.example.com/ZTY4\">",
        None,
        &[],
    );
}

#[test]
fn s09_mod_apn_with_both_tokens() {
    let text = format!(
        "\"101\" <sip:101@192.168.31.100:56568;app-id=com.example;pn-voip-tok={HEX};pn-im-tok={HEX2};pn-platform=iOS>"
    );
    expect(&text, Some((Provider::Apns, "com.example", Some(HEX), Some(HEX2))), &[]);
    let android = format!("<sip:101@h;app-id=x;pn-voip-tok={FCM};pn-platform=Android>");
    expect(&android, Some((Provider::Fcm, "x", Some(FCM), None)), &[]);
}

#[test]
fn s10_mod_apn_raw() {
    let text = format!(
        "<sip:101@192.168.31.100:64503;transport=TCP;app-id=com.carusto.mobile.app;pn-voip-tok={HEX};pn-platform=iOS;ob>\
         ;reg-id=1;+sip.instance=\"<urn:uuid:d507ea36>\""
    );
    expect(
        &text,
        Some((Provider::Apns, "com.carusto.mobile.app", Some(HEX), None)),
        &[],
    );
    assert_eq!(
        dial(&read(&text).unwrap()),
        "sofia/internal/sip:101@192.168.31.100:64503;transport=TCP;ob"
    );
}

#[test]
fn s11_platform_missing_is_apple_only_for_an_apple_token() {
    let text = |token: &str| format!("<sip:1@h;app-id=x;pn-voip-tok={token};pn-im-tok={token}>");
    expect(&text(HEX), Some((Provider::Apns, "x", Some(HEX), Some(HEX))), &[]);
    expect(
        &text(FCM),
        Some((other("unknown"), "x", Some(FCM), Some(FCM))),
        &[W::UnknownPlatform],
    );
}

#[test]
fn s12_linphone_ios_two_services() {
    let text = format!(
        "<sip:alice@172.20.10.1:59384;pn-provider=apns;pn-prid={HEX}:remote&{PUSHKIT}:voip;\
         pn-param=ABCD1234.org.linphone.phone.remote&voip;pn-msg-str=IM_MSG;pn-call-str=IC_MSG;pn-groupchat-str=GC_MSG;\
         pn-call-snd=notes_of_the_optimistic.caf;pn-msg-snd=msg.caf;pn-timeout=0;pn-silent=1;transport=udp>;\
         +sip.instance=\"<urn:uuid:d507ea36>\";+org.linphone.specs=\"lime\""
    );
    expect(
        &text,
        Some((
            Provider::Apns,
            "org.linphone.phone",
            Some(&*PUSHKIT.to_ascii_lowercase()),
            Some(HEX),
        )),
        &[],
    );
    assert_eq!(
        dial(&read(&text).unwrap()),
        "sofia/internal/sip:alice@172.20.10.1:59384;transport=udp"
    );
}

#[test]
fn s13_linphone_sandbox() {
    let text = format!(
        "<sip:a@h;CtRt42=udp;pn-provider=apns.dev;pn-prid={HEX}:voip;pn-param=ABCDE12345.org.linphone.phone.voip>"
    );
    expect(
        &text,
        Some((Provider::ApnsSandbox, "org.linphone.phone", Some(HEX), None)),
        &[],
    );
    assert_eq!(read(&text).unwrap().push.unwrap().team.as_deref(), Some("ABCDE12345"));
}

#[test]
fn s14_broken_token_lists() {
    let both = "ABCDE12345.com.example.dialer.voip&remote";
    let want = |call, remote| Some((Provider::Apns, "com.example.dialer", call, remote));
    expect(
        &apns("aa:voip&bb", both),
        want(Some("aa"), Some("bb")),
        &[W::AssumedOther],
    );
    expect(
        &apns("aa&bb:voip", both),
        want(Some("bb"), Some("aa")),
        &[W::AssumedOther],
    );
    expect(
        &apns("aa:voip&", both),
        want(Some("aa"), None),
        &[W::EmptyEntry, W::ServicesDiffer],
    );
    let one = "ABCDE12345.com.example.dialer.voip";
    expect(
        &apns("aa:voip&bb:remote", one),
        want(Some("aa"), Some("bb")),
        &[W::ServicesDiffer],
    );
    expect(&apns("aa&bb", both), None, &[W::Ambiguous]);
    expect(&apns("aa", both), None, &[W::Ambiguous]);
    expect(&apns("aa:voip&bb:voip", both), None, &[W::Ambiguous]);
    expect(&apns("aa:voip&bb:remote&cc", both), None, &[W::Ambiguous]);
}

#[test]
fn s15_service_list_with_one_labelled_token_over_sips() {
    let text = format!(
        "<sips:203@203.0.113.101:5061;pn-param=ABCDE12345.com.example.dialer.remote&voip;pn-prid={HEX}:remote&{HEX2}:voip;\
         pn-provider=apns>"
    );
    expect(
        &text,
        Some((Provider::Apns, "com.example.dialer", Some(HEX2), Some(HEX))),
        &[],
    );
}

#[test]
fn s16_rfc_parameters_win_over_older_ones() {
    let text = format!(
        "<sip:1@h;pn-call-remote-push-interval=0;pn-param=ABCDE12345.com.example.dialer.voip;pn-prid={HEX};\
         pn-provider=apns;pn-tok={HEX2};fs-conn-id=abc>"
    );
    expect(
        &text,
        Some((Provider::Apns, "com.example.dialer", Some(HEX), None)),
        &[],
    );
    assert_eq!(dial(&read(&text).unwrap()), "sofia/internal/sip:1@h;fs-conn-id=abc");
}

#[test]
fn s17_linphone_android_token_with_colon() {
    let text = format!(
        "<sip:1008@1.x:39699;pn-prid={FCM};pn-provider=fcm;pn-param=139700000XXX;pn-silent=1;pn-timeout=0;transport=udp>"
    );
    expect(&text, Some((Provider::Fcm, "139700000XXX", Some(FCM), None)), &[]);
    expect(
        "<sip:1@h;pn-provider=fcm;pn-prid=abc:voip>",
        Some((Provider::Fcm, "", Some("abc:voip"), None)),
        &[],
    );
}

#[test]
fn s18_legacy_android_without_brackets() {
    let text = format!(
        "sip:1002-M@172.16.3.35:39594;app-id=929724111839;pn-type=firebase;pn-tok={FCM};pn-silent=1;transport=udp"
    );
    expect(&text, Some((Provider::Fcm, "929724111839", Some(FCM), None)), &[]);
}

#[test]
fn s19_legacy_ios_sandbox() {
    expect(
        "<sip:1003@172.17.106.190:55522;app-id=org.linphone.xy.voip.dev;pn-type=apple;pn-tok=70CE;pn-msg-str=IM_MSG;\
         pn-timeout=0;pn-silent=1;transport=udp>;+sip.instance=\"<urn:uuid:1>\"",
        Some((Provider::ApnsSandbox, "org.linphone.xy", Some("70ce"), None)),
        &[],
    );
}

#[test]
fn s20_legacy_environments_and_types() {
    let text = |app: &str, kind: &str| format!("<sip:1@h;app-id={app};pn-type={kind};pn-tok=7a>");
    let call = |provider, app| Some((provider, app, Some("7a"), None));
    expect(&text("a.b.voip.prod", "apple"), call(Provider::Apns, "a.b"), &[]);
    expect(
        &text("a.b.prod", "apple"),
        Some((Provider::Apns, "a.b", None, Some("7a"))),
        &[],
    );
    expect(
        &text("a.b.dev", "apple"),
        Some((Provider::ApnsSandbox, "a.b", None, Some("7a"))),
        &[],
    );
    expect(&text("a.b", "apple"), call(Provider::Apns, "a.b"), &[W::AssumedCall]);
    expect(&text("a.b", "android"), call(Provider::Fcm, "a.b"), &[]);
    expect(&text("a.b", "google"), call(Provider::Fcm, "a.b"), &[]);
    expect(
        &text("a.b", "Other"),
        call(other("other"), "a.b"),
        &[W::UnknownPlatform],
    );
}

#[test]
fn s21_pjsip() {
    let text =
        format!("<sip:1004@203.0.113.35:34531;transport=TLS;ob;pn-provider=fcm;pn-param=theapp-e6725;pn-prid={FCM}>");
    expect(&text, Some((Provider::Fcm, "theapp-e6725", Some(FCM), None)), &[]);
    assert_eq!(
        dial(&read(&text).unwrap()),
        "sofia/internal/sip:1004@203.0.113.35:34531;transport=TLS;ob"
    );
}

#[test]
fn s22_half_outside_the_brackets() {
    expect(
        "<sip:a@host:5060;transport=TCP;ob;pn-provider=apns>;reg-id=1;+sip.instance=\"<urn:uuid:1>\";pn-prid=TOKEN123",
        None,
        &[W::OutsideBrackets],
    );
}

#[test]
fn s23_all_outside_the_brackets() {
    expect(
        "<sip:user@192.168.1.1>;reg-id=1;app-id=*org.myorg.myapp*;pn-tok=*token*;pn-type=*apple*",
        None,
        &[W::OutsideBrackets],
    );
}

#[test]
fn s24_sip_js() {
    let text = "<sip:oopgbpt6@4h99rplc4g16.invalid;ws_address=127.0.0.1;ws_port=9568>;expires=600";
    expect(text, None, &[]);
    assert_eq!(
        dial(&read(text).unwrap()),
        "sofia/internal/sip:oopgbpt6@4h99rplc4g16.invalid;ws_address=127.0.0.1;ws_port=9568"
    );
}

#[test]
fn s25_bundle_id_without_team_or_service() {
    expect(
        &apns(HEX, "com.example.app"),
        Some((Provider::Apns, "com.example.app", Some(HEX), None)),
        &[W::AssumedCall],
    );
    let fcm = format!("<sip:a@h;pn-provider=fcm;pn-param=com.example.app;pn-prid={FCM}>");
    expect(&fcm, Some((Provider::Fcm, "com.example.app", Some(FCM), None)), &[]);
}

#[test]
fn s26_fcm_token_in_the_wrong_place_is_no_token() {
    expect(&format!("<sip:a@h;pn-provider=apns;pn-param={FCM}>"), None, &[]);
    expect(&apns(FCM, "x"), None, &[W::UnknownLabel]);
}

#[test]
fn s27_marker_parameters_stay() {
    for text in ["<sip:a@h;device=app>", "<sip:a@h;device=fmc>"] {
        expect(text, None, &[]);
        assert!(dial(&read(text).unwrap()).contains(";device="));
    }
}

#[test]
fn s28_mpush_header_is_no_contact() {
    let error = read("i:com.mycompany.myapp:c-10-ap_Kt0:G7ST").unwrap_err();
    assert_eq!(error, ContactError::NotSip);
    assert!(!error.to_string().contains("Kt0"));
}

#[test]
fn s29_contact_without_any_push_parameter() {
    expect("\"\" <sip:1005@127.0.0.1:37360>", None, &[]);
}
