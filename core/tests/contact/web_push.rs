//! Web push subscriptions in Contacts.

use fswake_core::contact::{ContactWarning as W, ParamNames, Refusal, WebPushNames, parse};
use fswake_core::types::{Provider, Subscription, TokenFault};

/// RFC 8291 section 5.
const KEY: &str = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
const SECRET: &str = "BTBZMqHH6r4Tts7J_aSIgg";
const ENDPOINT: &str = "https://push.example.net/w/?token=a%2Bb%2fc&x=1";
/// The same as a phone escapes it.
const ESCAPED: &str = "https%3A%2F%2Fpush.example.net%2Fw%2F%3Ftoken%3Da%252Bb%252fc%26x%3D1";

fn read(params: &str) -> (Option<String>, Vec<W>) {
    read_as(params, &ParamNames::default())
}

fn read_as(params: &str, names: &ParamNames) -> (Option<String>, Vec<W>) {
    let contact = parse(&format!("<sip:a@h;{params}>"), names, "", None).unwrap();
    let token = contact.push.map(|push| {
        assert_eq!(push.provider, Provider::WebPush);
        push.token().expose().to_owned()
    });
    (token, contact.warnings)
}

fn whole() -> String {
    format!("{ENDPOINT}#p256dh={KEY}&auth={SECRET}")
}

#[test]
fn endpoint_keeps_its_own_escapes_however_often_freeswitch_has_decoded_it() {
    for written in [
        ESCAPED,
        // The event has it decoded once.
        ENDPOINT,
        // A phone need not escape all, and a list has it as it came.
        "https://push.example.net/w/%3Ftoken%3Da%252Bb%252fc%26x%3D1",
    ] {
        let params = format!("pn-provider=webpush;pn-prid={written};pn-p256dh={KEY};pn-auth={SECRET}");
        assert_eq!(read(&params), (Some(whole()), vec![]), "{written}");
    }
    // Or in the URL itself.
    let in_url = format!("pn-provider=webpush;pn-prid={ESCAPED}%23auth%3D{SECRET}%26p256dh%3D{KEY}");
    assert_eq!(read(&in_url), (Some(whole()), vec![]));
    let token = whole();
    let Subscription { endpoint, keys } = Subscription::of(&token);
    assert_eq!((endpoint, keys.is_some()), (ENDPOINT, true));
}

#[test]
fn keys_have_the_names_that_the_operator_gives_them_and_are_stripped_by_them() {
    let names = ParamNames {
        web_push: WebPushNames {
            p256dh: "x-key".into(),
            auth: "x-secret".into(),
        },
        ..ParamNames::default()
    };
    let params = format!("pn-provider=webpush;pn-prid={ESCAPED};X-Key={KEY};x-secret={SECRET}%3D%3D");
    assert_eq!(read_as(&params, &names), (Some(whole()), vec![]));
    assert_eq!(read(&params), (Some(ENDPOINT.into()), vec![]));
    assert!(names.is_push("X-SECRET") && names.is_push("x-key") && !ParamNames::default().is_push("x-key"));
}

#[test]
fn unusable_keys_cost_the_payload_and_not_the_push() {
    for keys in [
        format!("pn-p256dh={KEY}"),
        format!("pn-auth={SECRET}"),
        format!("pn-p256dh={SECRET};pn-auth={KEY}"),
        format!("pn-p256dh;pn-auth={SECRET}"),
        format!("pn-p256dh={KEY};pn-auth=%zz"),
    ] {
        let (token, warnings) = read(&format!("pn-provider=webpush;pn-prid={ESCAPED};{keys}"));
        assert_eq!(
            (token.as_deref(), &warnings[..]),
            (Some(ENDPOINT), &[W::NotKeys][..]),
            "{keys}"
        );
    }
    let twice = format!("pn-provider=webpush;pn-prid={ESCAPED};pn-p256dh={KEY};pn-auth={SECRET};pn-auth=x");
    let (token, warnings) = read(&twice);
    assert_eq!(token.as_deref(), Some(ENDPOINT));
    assert_eq!(warnings, [W::Contradictory("(web push secret)"), W::NotKeys]);
}

#[test]
fn what_is_no_endpoint_is_no_token() {
    let name = "pn-prid";
    let fault = TokenFault::NotAnEndpoint;
    for (written, warning) in [
        ("http%3A%2F%2Fpush.example%2F1", W::NotAToken { name, fault }),
        ("https%3A%2F%2Fuser%40push.example%2F1", W::NotAToken { name, fault }),
        ("abc", W::NotAToken { name, fault }),
        (
            "https%3A%2F%2Fpush.example%2F%0d",
            W::Refused {
                name,
                why: Refusal::BadCharacter,
            },
        ),
    ] {
        let read = read(&format!("pn-provider=webpush;pn-prid={written}"));
        assert_eq!(read, (None, vec![warning]), "{written}");
    }
}
