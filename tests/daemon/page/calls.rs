//! Calls, wakes and apps on the page, at every width and with the keyboard.

use std::time::Duration;

use fswake_test_support::freeswitch::*;
use fswake_test_support::http2::Fault;

use super::day::a_day;
use super::{ENTER, url};
use crate::browser::Browser;
use crate::harness::*;

/// A caller's name with hostile text.
const HOSTILE: &str = "<script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">";
const TAB: &str = "\u{e004}";
const RIGHT: &str = "\u{e014}";

#[tokio::test]
async fn page_shows_calls_wakes_and_apps_as_text_at_every_width_and_with_the_keyboard() {
    let Some(browser) = Browser::start().await else { return };
    let mut stage = Stage::with_android().await;
    stage.set("wake.max-wait", "2m");
    let daemon = stage.start().await;
    a_day(&stage);
    let phones = [
        stage.iphone("1001"),
        stage.android("1001"),
        stage.iphone("1002"),
        stage.iphone("1003"),
    ];
    for phone in &phones {
        daemon.asleep(phone).await;
    }
    let fcm = stage.fcm.as_ref().unwrap();
    fcm.faults.next(Fault::fcm(404, "NOT_FOUND", "UNREGISTERED"));
    let hostile = stage
        .fs
        .call(&Call::to(daemon.address, "1001", DOMAIN).from("+4930123", HOSTILE));
    let plain = stage
        .fs
        .call(&Call::to(daemon.address, "1002", DOMAIN).from("+493098765", "Zoë O'Brien"));
    // Its REGISTER must come during the hold.
    daemon.log.wait(&["call-held", "aor=1001@"]).await;
    phones[0].set_behaviour(Behaviour::Rings(Duration::ZERO, None));
    // A phone that registers before its call is held must be pushed, and does not register again.
    stage.push().await;
    stage.push().await;
    phones[0].wake();
    phones[0].invite(1).await;
    daemon.log.wait(&["push-refused"]).await;
    std::fs::write(fcm.service_account_file(), "{").unwrap();
    daemon.log.wait(&["ERROR", "cannot be used"]).await;

    browser.look(1280, "light").await;
    let elsewhere = serde_json::json!({ "timezoneId": "Asia/Tokyo" });
    browser.devtools("Emulation.setTimezoneOverride", elsewhere).await;
    browser.open(&url(&daemon).await).await;
    browser
        .wait("document.querySelectorAll('#calls .call').length === 2")
        .await;
    // A caller's text is shown in full, and only as text. The stand-in removes the characters that FreeSWITCH would.
    let calls = browser.run("return document.getElementById('calls').textContent").await;
    for words in [
        "<script>",
        "onerror",
        "1001@fs.test",
        "Zoë O'Brien",
        "+493098765",
        "ringing",
        "pushed",
        "s left",
        // In this order: the phone as people know it, its name in logs, and the result of its push.
        "example-phone apns:com.example.phone:",
        " · push taken by Apple",
        "example-phone fcm:example-phone:",
        " · push failed: token gone (UNREGISTERED)",
    ] {
        assert!(calls.as_str().unwrap().contains(words), "{words} in {calls}");
    }
    assert_eq!(browser.run("return document.scripts.length").await, 1);
    assert_eq!(browser.run("return document.images.length").await, 0);
    assert!(
        !browser
            .run("return document.title")
            .await
            .as_str()
            .unwrap()
            .contains("pwned")
    );
    // The countdown runs by itself.
    let left = "document.querySelector('.left').textContent";
    let before = browser.run(&format!("return {left}")).await;
    browser.wait(&format!("{left} !== {before}")).await;

    browser
        .wait("document.querySelectorAll('#wakes summary').length === 20")
        .await;
    browser
        .wait("document.querySelectorAll('#funnel dd.num').length === 5")
        .await;
    browser
        .wait("document.getElementById('nodes').textContent.includes('connected')")
        .await;
    browser
        .wait("document.getElementById('apps').textContent.includes('new file broken')")
        .await;
    browser
        .wait("document.getElementById('overall').textContent === '1 warning'")
        .await;
    browser
        .wait("document.getElementById('wrong').textContent.includes('App android')")
        .await;
    // The reason why a call was not connected is in its row.
    let rows = browser.run("return document.getElementById('wakes').innerText").await;
    for reason in ["credentials refused", "no app", "busy", "never registered"] {
        assert!(rows.as_str().unwrap().contains(reason), "{reason} in {rows}");
    }

    // With the keyboard alone: to the day, and to a wake's timeline.
    browser
        .run("document.querySelector('input[name=window]').focus()")
        .await;
    browser.press(RIGHT).await;
    browser
        .wait("document.querySelectorAll('#funnel dd.num')[0].textContent.startsWith('102')")
        .await;
    browser.wait("document.querySelector('#histogram svg rect')").await;
    // Calls are counted in one way: the bars, their shares and the sentence agree.
    let said = browser
        .run("return [...document.querySelectorAll('#funnel .num, #funnel .share')].map(e => e.textContent)")
        .await;
    let said: Vec<_> = said.as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
    let connected: u32 = said[8].parse().unwrap();
    assert_eq!((said[0], said[1]), ("102", "100 %"));
    assert_eq!(said[9], format!("{} %", (100 * connected + 51) / 102));
    let sentence = browser
        .run("return document.getElementById('connected').textContent")
        .await;
    let sentence = sentence.as_str().unwrap();
    let beginning = format!("{connected} of 102 calls were connected:  {connected} with a phone that was woken");
    assert!(sentence.starts_with(&beginning), "{sentence}");
    // The held wake is not over. The one below it has a complete timeline.
    browser
        .run("document.querySelectorAll('#wakes summary')[3].focus()")
        .await;
    browser.press(ENTER).await;
    browser
        .wait("document.querySelectorAll('#wakes .story li').length > 2")
        .await;
    // Durations are in seconds, and times have a zone.
    let shown = browser.run("return document.body.innerText").await;
    let shown = shown.as_str().unwrap();
    assert!(shown.contains("after 0.06 s") && !shown.contains(" ms"), "{shown}");
    assert!(shown.contains("times in UTC+09:00, Asia/Tokyo"), "{shown}");
    browser.press(TAB).await;
    assert_eq!(browser.run("return document.activeElement.tagName").await, "SUMMARY");
    assert_eq!(
        browser
            .run("return getComputedStyle(document.activeElement).outlineStyle")
            .await,
        "solid",
        "one sees where the keyboard is"
    );

    for (width, name) in [
        (1920, "wall"),
        (1280, "desk"),
        (768, "tablet"),
        (360, "phone"),
        (320, "small"),
    ] {
        for scheme in ["light", "dark"] {
            browser.look(width, scheme).await;
            let wide = browser
                .run("return document.documentElement.scrollWidth")
                .await
                .as_u64()
                .unwrap();
            assert!(wide <= u64::from(width), "{wide} of {width}");
            browser.picture(&format!("{name}-{scheme}")).await;
        }
    }
    let paper = browser
        .run("return getComputedStyle(document.body).backgroundColor")
        .await;
    browser.look(320, "light").await;
    assert_ne!(
        browser
            .run("return getComputedStyle(document.body).backgroundColor")
            .await,
        paper
    );

    // A call that ends moves from the list of calls to the wakes.
    hostile.caller_hangs_up();
    plain.caller_hangs_up();
    browser.wait("!document.getElementById('no-calls').hidden").await;
    browser
        .wait("document.getElementById('wakes').textContent.includes('caller hung up')")
        .await;

    let dot = "getComputedStyle(document.querySelector('#nodes .dot')).backgroundColor";
    let is_up = browser.run(&format!("return {dot}")).await;
    // When the daemon is gone, the page says so and keeps the last known state; FreeSWITCH's state is then unknown.
    daemon.kill().await;
    browser
        .wait("document.getElementById('gone').textContent.includes('does not answer: no connection')")
        .await;
    assert!(
        browser
            .run("return document.getElementById('wakes').textContent")
            .await
            .as_str()
            .unwrap()
            .contains("1001@fs.test")
    );
    let nodes = browser.run("return document.getElementById('nodes').textContent").await;
    assert!(nodes.as_str().unwrap().ends_with("not known"), "{nodes}");
    let grey = browser.run(&format!("return {dot}")).await;
    assert_ne!(grey, is_up);
    let [r, g, b] = rgb(grey.as_str().unwrap());
    assert!(r.abs_diff(g) < 20 && g.abs_diff(b) < 20, "{grey} is not grey");
    browser.picture("gone").await;
}

/// The numbers in `rgb(1, 2, 3)`.
fn rgb(colour: &str) -> [u8; 3] {
    let parts = colour.trim_start_matches("rgb(").trim_end_matches(')').split(", ");
    let parts: Vec<u8> = parts.map(|part| part.parse().unwrap()).collect();
    parts.try_into().unwrap()
}
