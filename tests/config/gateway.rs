//! An operator's own gateway: profiles as mod_apn has them.

use super::*;

/// An app with provider http and one profile.
pub(super) fn gateway(app: &str, profile: &str) -> String {
    format!("[[app]]\nname = 'a'\nprovider = 'http'\n{app}\n[app.voip]\n{profile}")
}

#[test]
fn profiles_of_a_gateway_have_mod_apns_meaning_and_defaults() {
    let place = Place::with(&gateway(
        "platforms = { apns = 'ios' }\nproviders = ['fcm', 'HMS']",
        "url = 'http://push.example.org/${type}'\n[app.im]\nurl = 'https://push.example.org/?t=${token}'\n\
         method = 'get'\nauth-type = 'jwt'\nauth-file = 'secret'\ntimeout = '10s'\ninsecure = true",
    ));
    place.write("secret", "s3cret\n");
    let config = place.load();
    let app = &config.apps[0];
    assert_eq!(app.providers, [Provider::Fcm, Provider::Hms]);
    let Credentials::Http(profiles) = &app.credentials else {
        panic!("{app:?}")
    };
    let (voip, im) = (profiles.voip.as_ref().unwrap(), profiles.im.as_ref().unwrap());
    assert_eq!(profiles.platforms, [(Provider::Apns, "ios".to_owned())]);
    let body = BodyTemplate::parse("application/json", None).unwrap();
    assert_eq!(
        (voip.body.as_ref(), voip.content_type.as_str()),
        (Some(&body), "application/json")
    );
    assert_eq!((voip.auth.kind(), voip.insecure), ("none", false));
    assert_eq!(
        (voip.timeout, voip.connect_timeout),
        (Duration::from_secs(3), Duration::from_secs(3))
    );
    assert_eq!((im.body.as_ref(), im.auth.kind(), im.insecure), (None, "bearer", true));
    assert_eq!(
        (im.timeout, im.auth.file()),
        (Duration::from_secs(10), Some(place.path("secret").as_path()))
    );
    // The gateway gets no push that it could not distinguish from a call. Every provider that it serves has its policy.
    let hms = DeviceKey {
        aor: Aor::new("1001", "example.org"),
        provider: Provider::Hms,
        app: "x".into(),
        token: PushToken::new("t"),
    };
    assert!(!config.policy.app(&hms).unwrap().cancel_push);
    assert!(!format!("{config:?}").contains("?t="), "a URL may contain a secret key");
}

#[test]
fn every_mistake_in_a_profile_is_reported_with_app_profile_and_key() {
    let url = "url = 'https://h'";
    let fixed_host = "must have a fixed host: ${..} may stand in its path and in values of its query";
    let cases = [
        (
            "",
            "",
            "voip.url: missing: a URL, as in \"https://push.example.org/${type}/${token}\"",
        ),
        ("", "url = 'ftp://h/'", "voip.url: must begin with https:// or http://"),
        ("", "url = 'h'", "voip.url: must begin with https:// or http://"),
        (
            "",
            "url = 'https:///x'",
            "voip.url: must have a host, as in https://push.example.org/wake",
        ),
        (
            "",
            "url = 'https://h:99999/x'",
            "voip.url: must have a host, as in https://push.example.org/wake",
        ),
        ("", "url = 'https://${realm}/x'", &format!("voip.url: {fixed_host}")),
        ("", "url = 'https://h:${ttl}/x'", &format!("voip.url: {fixed_host}")),
        (
            "",
            "url = 'https://u:s3cret@h/x'",
            "voip.url: must have no user and password: use auth-type = \"basic\" and auth-file",
        ),
        (
            "",
            "url = 'https://h/a b'",
            "voip.url: must have no blanks, no backslash and no #: write %20, %5C, %23",
        ),
        (
            "",
            "url = 'https://h/a#${user}'",
            "voip.url: must have no blanks, no backslash and no #: write %20, %5C, %23",
        ),
        (
            "",
            "url = 'https://h/../x'",
            "voip.url: must have no . and .. in its path",
        ),
        (
            "",
            "url = 'https://h/?${type}=1'",
            "voip.url: must have fixed keys: ${..} may stand in values, key=${..}, only",
        ),
        (
            "",
            "url = 'https://h/?${token}'",
            "voip.url: must have fixed keys: ${..} may stand in values, key=${..}, only",
        ),
        ("", "url = 'https://h/${user'", "voip.url: has `${` without `}`"),
        (
            "",
            "url = 'https://h/${nothing}'",
            "voip.url: has the unknown ${nothing}; known are: type, user, realm, token",
        ),
        ("", "URL\nmethod = 'put'", "voip.method: \"put\": \"post\" or \"get\""),
        (
            "",
            "URL\nmethod = 'get'\nbody = ''",
            "voip.body: only with method = \"post\"",
        ),
        (
            "",
            "URL\nmethod = 'get'\nbody-file = 'k'",
            "voip.body-file: only with method = \"post\"",
        ),
        (
            "",
            "URL\nbody = 'x'\nbody-file = 'k'",
            "voip.body-file: \"k\": not together with body",
        ),
        (
            "",
            "URL\nbody-file = 'nope'",
            "voip.body-file: nope: cannot be read: no such file or directory",
        ),
        (
            "",
            "URL\nbody = 'x'",
            "voip.body: is not JSON with ${..} in place of values: expected value at line 1 column 1",
        ),
        (
            "",
            "URL\nbody = '{\"a\":1,}'",
            "voip.body: is not JSON with ${..} in place of values: trailing comma",
        ),
        (
            "",
            "URL\nbody = '{\"${user}\":1}'",
            "voip.body: must have fixed JSON keys: ${..} may stand in values only",
        ),
        (
            "",
            "URL\nbody = '{${user}:1}'",
            "voip.body: must have fixed JSON keys: ${..} may stand in values only",
        ),
        ("", "URL\nbody = '${payload}'", "voip.body: must be a JSON object"),
        (
            "",
            "URL\nbody = '{\"a\":${nothing}}'",
            "voip.body: has the unknown ${nothing}; known are: ",
        ),
        (
            "",
            "URL\nbody = '{\"a\":\"${=user}\"}'",
            "voip.body: has the unknown ${=}; known are: ",
        ),
        ("", "URL\nbody = '{\"a\":${user'", "voip.body: has `${` without `}`"),
        (
            "",
            "URL\ncontent-type = 'text'",
            "voip.content-type: \"text\": a media type, as in \"application/json\"",
        ),
        (
            "",
            "URL\ncontent-type = 'text/${type}'",
            "voip.content-type: \"text/${type}\": a media type, as in \"application/json\"",
        ),
        (
            "",
            "URL\ncontent-type = \"text/x\\r\\nA: b\"",
            "voip.content-type: \"text/x\\r\\nA: b\": a media type, as in \"application/json\"",
        ),
        (
            "",
            "URL\ncontent-type = 'text/plain'",
            "voip.body: is needed with a content type other than application/json and application/x-www-form-urlencoded",
        ),
        (
            "",
            "URL\ncontent-type = 'multipart/form-data; boundary=x'\nbody = 'x'",
            "voip.body: cannot be multipart: a value could hold the boundary between the parts",
        ),
        (
            "",
            "URL\ncontent-type = 'application/x-www-form-urlencoded'\nbody = '${user}=1'",
            "voip.body: must have fixed keys: ${..} may stand in values, key=${..}, only",
        ),
        (
            "",
            "URL\nauth-type = 'ntlm'",
            "voip.auth-type: \"ntlm\": \"none\", \"jwt\" or \"bearer\", \"basic\", \"digest\", \"header\", \"field\" or \"oauth\"",
        ),
        (
            "",
            "URL\nauth-type = 'field'\nauth-file = 'k'",
            "voip.auth-type: \"field\": only with content-type = \"application/x-www-form-urlencoded\" and a body",
        ),
        (
            "",
            "URL\nmethod = 'get'\nauth-type = 'field'\nauth-file = 'k'",
            "voip.auth-type: \"field\": only with content-type = \"application/x-www-form-urlencoded\" and a body",
        ),
        (
            "",
            "URL\nauth-type = 'oauth'\nclient-id = 'c'",
            "voip.auth-file: missing: a file with the client secret on one line",
        ),
        (
            "",
            "URL\nauth-type = 'oauth'\nauth-file = 'k'",
            "voip.client-id: missing: the client id that belongs to the secret",
        ),
        (
            "",
            "URL\nauth-type = 'oauth'\nauth-file = 'k'\nclient-id = 'c'",
            "voip.token-url: missing: the https URL where access tokens are asked for",
        ),
        (
            "",
            "URL\nauth-type = 'oauth'\nauth-file = 'k'\nclient-id = 'c'\ntoken-url = 'http://h/'",
            "voip.token-url: \"http://h/\": the https URL where access tokens are asked for",
        ),
        (
            "",
            "URL\ntoken-url = 'https://h/'",
            "voip.token-url: \"https://h/\": only with auth-type = \"oauth\"",
        ),
        (
            "",
            "URL\nheaders = { Authorization = 'x' }",
            "voip.headers.Authorization: cannot be set here: use auth-type, which takes the secret from a file",
        ),
        (
            "",
            "URL\nheaders = { 'a b' = 'x' }",
            "voip.headers.a b: is not a header that can be set",
        ),
        (
            "",
            "URL\nheaders = { host = 'x' }",
            "voip.headers.host: is not a header that can be set",
        ),
        (
            "",
            "URL\nheaders = { a = \"x\\r\\ny: z\" }",
            "voip.headers.a: holds characters that no header can carry",
        ),
        (
            "",
            "URL\nheaders = { a = '${nothing}' }",
            "voip.headers.a: has the unknown ${nothing}; known are: ",
        ),
        (
            "",
            "URL\nrefused-when = [{ pointer = '/a', is = 1, exists = true }]",
            "voip.refused-when[1].is: missing: one of is (values of a refusal), not (values of anything else), exists = true",
        ),
        (
            "",
            "URL\nrefused-when = [{ pointer = '/a', exists = false }]",
            "voip.refused-when[1].is: missing: one of is (values of a refusal), not (values of anything else), exists = true",
        ),
        (
            "",
            "URL\ncontent-type = 'application/x-www-form-urlencoded'\nbody = 'm={\"a\":1}x'",
            "voip.body: has text after the JSON of a field: & must follow it",
        ),
        (
            "",
            "URL\nauth-type = 'basic'",
            "voip.auth-file: missing: a file with user:password on one line",
        ),
        (
            "",
            "URL\nauth-type = 'jwt'",
            "voip.auth-file: missing: a file with the token on one line",
        ),
        (
            "",
            "URL\nauth-type = 'digest'\nauth-file = 'nope'",
            "voip.auth-file: nope: cannot be read: no such file or directory",
        ),
        (
            "",
            "URL\nauth-file = 'k'",
            "voip.auth-file: \"k\": only with an auth-type",
        ),
        (
            "",
            "URL\ntimeout = '0s'",
            "voip.timeout: \"0s\": a duration from 100ms to 60s, as in ",
        ),
        (
            "",
            "URL\nconnect-timeout = '300'",
            "voip.connect-timeout: \"300\": a duration from 100ms to 60s, as in ",
        ),
        ("", "URL\ninsecure = 'yes'", "voip.insecure: 'yes': true or false"),
        (
            "key-file = 'k'",
            "URL",
            "key-file: \"k\": auth-file in a profile, and no other credentials",
        ),
        (
            "base-url = 'https://h'",
            "URL",
            "base-url: \"https://h\": url in a profile instead",
        ),
        (
            "platforms = { apns = '' }",
            "URL",
            "platforms.apns: \"\": what ${platform} is for it",
        ),
        (
            "providers = ['']",
            "URL",
            "providers: [\"\"]: with provider \"http\" or \"log\" only",
        ),
        (
            "cancel-push = true",
            "URL\nbody = '{\"t\":\"${token}\"}'",
            "cancel-push: true: false, or ${kind} or ${payload} in url, headers or body of the profile voip",
        ),
        (
            "missed-call-push = true",
            "URL\nmethod = 'get'",
            "missed-call-push: true: false, or ${kind} or ${payload} in url, headers or body of the profile voip",
        ),
    ];
    for (app, profile, error) in cases {
        let place = Place::with(&gateway(app, &profile.replace("URL", url)));
        place.write("k", "k");
        let found = place.error();
        // A value of the wrong type is found before the app's name is known.
        let found = found.replace("app[1].", "app.a.");
        let at = found.strip_prefix("fswake.toml: app.").unwrap_or(&found);
        let at = at.strip_prefix("a.").unwrap_or(at);
        assert!(at.starts_with(error), "{found}\nexpected: {error}");
        assert!(!found.contains("s3cret"), "{found}");
    }
    let none = Place::with("[[app]]\nname = 'a'\nprovider = 'http'").error();
    assert!(
        none.ends_with("app.a.voip: missing: a table [app.voip] for calls, [app.im] for messages, or both"),
        "{none}"
    );
    let elsewhere = Place::with("[[app]]\nname = 'a'\nprovider = 'log'\n[app.voip]\nurl = 'x'").error();
    assert!(
        elsewhere.ends_with("app.a.voip: only with provider = \"http\""),
        "{elsewhere}"
    );
    let apple =
        Place::with("[[app]]\nname = 'a'\nprovider = 'fcm'\nproviders = ['fcm']\nservice-account-file = 'fswake.toml'")
            .error();
    assert!(apple.contains("app.a.providers: [\"fcm\"]: with provider"), "{apple}");
}
