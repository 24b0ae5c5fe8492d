//! A gateway's profile: what is a refusal in its replies, how fswake authenticates, and headers.

use fswake::push::app::HttpAuth;
use fswake::push::refused_when::Found;
use fswake::push::template::HeaderTemplate;

use super::gateway::gateway;
use super::*;

#[test]
fn values_of_refusals_are_texts_truths_and_numbers_of_either_sign() {
    let place = Place::with(&gateway(
        "",
        "url = 'https://h'\nrefused-when = [\n\
         { pointer = '/a', is = -1 },\n\
         { pointer = '/b', is = [-2, 0, 10302, 'x', false], means = 'busy' },\n\
         { pointer = '/c', exists = true, means = 'token-gone' },\n\
         { pointer = '/d', not = 0 },\n]",
    ));
    let config = place.load();
    let Credentials::Http(profiles) = &config.apps[0].credentials else {
        panic!("{:?}", config.apps)
    };
    let rules = &profiles.voip.as_ref().unwrap().refused_when;
    let texts = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    let found: Vec<_> = rules.iter().map(|rule| rule.found.clone()).collect();
    assert_eq!(
        found,
        [
            Found::One(texts(&["-1"])),
            Found::One(texts(&["-2", "0", "10302", "x", "false"])),
            Found::Anything,
            Found::NoneOf(texts(&["0"])),
        ]
    );
}

#[test]
fn oauth_headers_and_fields_are_read_and_secrets_are_not_shown() {
    let place = Place::with(&gateway(
        "",
        "url = 'https://h/'\nauth-type = 'oauth'\nauth-file = 'k'\nclient-id = 'c'\ntoken-url = 'https://t/token'\n\
         headers = { X-Key = 's3cret-key', timestamp = '${now}000' }\n\
         [app.im]\nurl = 'https://h/'\nauth-type = 'field'\nauth-file = 'k'\n\
         content-type = 'application/x-www-form-urlencoded'",
    ));
    place.write("k", "s3cret\n");
    let config = place.load();
    let Credentials::Http(profiles) = &config.apps[0].credentials else {
        panic!("{:?}", config.apps)
    };
    let (voip, im) = (profiles.voip.as_ref().unwrap(), profiles.im.as_ref().unwrap());
    let expected = HttpAuth::OAuth {
        client_id: "c".into(),
        secret_file: place.path("k"),
        token_url: "https://t/token".into(),
    };
    assert_eq!((&voip.auth, voip.auth.kind()), (&expected, "oauth"));
    assert_eq!((&im.auth, im.auth.kind()), (&HttpAuth::Field(place.path("k")), "field"));
    let headers = ["X-Key", "timestamp"].map(|name| {
        let value = if name == "X-Key" { "s3cret-key" } else { "${now}000" };
        HeaderTemplate::parse(name, value).unwrap()
    });
    assert_eq!(voip.headers, headers);
    assert!(!format!("{config:?}").contains("s3cret"), "{config:?}");
}
