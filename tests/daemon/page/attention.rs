//! What needs attention on the page, and the advice for it.

use fswake_test_support::freeswitch::*;
use fswake_test_support::http2::Fault;

use super::url;
use crate::browser::{Browser, axe_core};
use crate::harness::*;

#[tokio::test]
async fn page_shows_what_needs_attention_with_advice_and_number_of_phones() {
    let Some(browser) = Browser::start().await else { return };
    let stage = Stage::with_android().await;
    let daemon = stage.start().await;
    let unserved = format!(
        "pn-provider=apns;pn-param=ABCDE12345.com.example.other.voip;pn-prid={}",
        hex_token()
    );
    let unserved = stage.fs.phone(PhoneSpec::new("1009", DOMAIN).params(&unserved));
    for phone in [
        stage.iphone("1001"),
        stage.iphone("1002"),
        stage.android("1001"),
        unserved,
    ] {
        daemon.asleep(&phone).await;
    }
    stage.stored(4).await;
    stage.apns.new_key("ANOTHERKEY");
    stage.apns.revoke_old_keys();
    let held = stage.call(&daemon, "1002");
    daemon.log.wait(&["push-refused", "InvalidProviderToken"]).await;
    soon("release", held.outcome()).await;
    std::fs::write(stage.fcm.as_ref().unwrap().service_account_file(), "{").unwrap();
    daemon.log.wait(&["ERROR", "cannot be used"]).await;

    browser.look(1280, "light").await;
    browser.open(&url(&daemon).await).await;
    browser
        .wait("document.getElementById('overall').textContent === '2 problems'")
        .await;
    let things = "[...document.querySelectorAll('#wrong-list > li')].map(li => li.textContent)";
    browser
        .wait(&format!(
            "{things}.length === 3 && {things}[0].includes('2 phones affected')"
        ))
        .await;
    let things = browser.run(&format!("return {things}")).await;
    // The worst comes first. Each has its subject, the number of phones, the reason, and advice.
    for (thing, words) in things.as_array().unwrap().iter().zip([
        [
            "App ios",
            "2 phones affected",
            "InvalidProviderToken",
            "What to do: Apple rejects this key: key-id, team-id",
        ],
        [
            "Phones without an app",
            "1 phone affected",
            "apns com.example.other",
            "What to do: Add an [[app]]",
        ],
        [
            "App android",
            "1 phone",
            "not a service account key",
            "What to do: Fix the file",
        ],
    ]) {
        for word in words {
            assert!(thing.as_str().unwrap().contains(word), "{word} in {thing}");
        }
    }
    assert!(
        !things[2].as_str().unwrap().contains("affected"),
        "the page does not say that the previous file is in use: {things}"
    );
    // Text to type is marked as code.
    let typed = browser
        .run("return document.querySelector('#wrong-list code').textContent")
        .await;
    assert_eq!(typed, "systemctl reload fswake");
    browser.picture("attention").await;
    // Without FreeSWITCH no phone can be woken.
    stage.fs.listen(false);
    stage.fs.drop_inbound();
    browser
        .wait("document.getElementById('wrong-list').textContent.includes('FreeSWITCH4 phones affected')")
        .await;
    browser.wait("document.querySelector('#nodes .dot.bad') !== null").await;
}

#[tokio::test]
async fn page_shows_the_worst_state_of_each_app_and_why() {
    let Some(browser) = Browser::start().await else { return };
    let stage = Stage::with_android().await;
    let fcm = stage.fcm.as_ref().unwrap();
    fcm.faults.token(
        fswake_test_support::fcm::PROBE,
        Fault::fcm(503, "UNAVAILABLE", "UNAVAILABLE"),
    );
    let disallowed = Fault::apns(400, "TopicDisallowed");
    stage.apns.faults.token(fswake_test_support::apns::PROBE, disallowed);
    let daemon = stage.start().await;
    browser.look(1280, "light").await;
    browser.open(&url(&daemon).await).await;
    let app = |name: &str| {
        format!(
            "[...document.querySelectorAll('#apps .app')].find(app => app.querySelector('.who').textContent === '{name}')"
        )
    };
    let pill = |name: &str, word: &str| {
        let app = app(name);
        format!("{app} && {app}.querySelector('.pill.bad')?.textContent === '{word}'")
    };
    browser.wait(&pill("ios", "pushes refused")).await;
    browser.wait(&pill("android", "provider busy")).await;
    let why = "[...app.querySelectorAll('p.why')].map(p => p.textContent)";
    let said = browser.run(&format!("const app = {}; return {why}", app("ios"))).await;
    assert!(said[0].as_str().unwrap().contains("TopicDisallowed"), "{said}");

    // A broken file is less serious, so it is not shown.
    std::fs::write(fcm.service_account_file(), "{").unwrap();
    daemon.log.wait(&["ERROR", "cannot be used"]).await;
    browser
        .wait(&format!(
            "(app => {why})({}).some(why => why.startsWith('new file broken: '))",
            app("android")
        ))
        .await;
    browser.wait(&pill("android", "provider busy")).await;
    let said = browser
        .run(&format!("const app = {}; return {why}", app("android")))
        .await;
    assert!(said[0].as_str().unwrap().starts_with("provider busy: 503"), "{said}");
    browser.picture("apps").await;
    if let Some(axe) = axe_core() {
        assert_eq!(browser.axe(&axe).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn page_shows_the_next_step_where_no_call_was_held_yet() {
    let Some(browser) = Browser::start().await else { return };
    let mut stage = Stage::new().await;
    // As without a configuration: pushes only go to the log.
    stage.take_app();
    let daemon = stage.start().await;
    browser.look(360, "light").await;
    browser.open(&url(&daemon).await).await;
    let steps = "[...document.querySelectorAll('#next li')]";
    browser.wait(&format!("{steps}.length === 4")).await;
    browser.wait(&format!("{steps}[0].className === 'done'")).await;
    let said = browser.run("return document.getElementById('next').innerText").await;
    for words in [
        "FreeSWITCH is connected",
        "Add your app",
        "Register a phone",
        "Call a phone",
        "fswake doctor",
    ] {
        assert!(said.as_str().unwrap().contains(words), "{words} in {said}");
    }
    browser
        .wait("document.getElementById('overall').textContent === 'No provider: no phone is woken'")
        .await;
    browser.picture("empty").await;
    daemon.asleep(&stage.iphone("1001")).await;
    browser
        .wait(&format!(
            "{steps}[2].textContent.includes('1 phone with a push token known')"
        ))
        .await;
    let held = stage.call(&daemon, "1001");
    browser.wait("document.getElementById('no-wakes').hidden").await;
    drop(held);
}
