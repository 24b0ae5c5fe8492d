//! Accessibility, checked by axe-core.

use fswake_test_support::http2::Fault;

use super::day::a_day;
use super::{ENTER, url};
use crate::browser::{Browser, axe_core};
use crate::harness::*;

#[tokio::test]
async fn axe_finds_no_fault_in_any_state_of_the_page() {
    let Some(browser) = Browser::start().await else { return };
    let Some(axe) = axe_core() else { return };
    let mut stage = Stage::with_android().await;
    stage.set("wake.max-wait", "2m");
    std::fs::write(stage.dir.path().join("http-token"), "correct-horse-battery-staple-1\n").unwrap();
    stage.set("http.token-file", "http-token");
    let daemon = stage.start().await;
    let look = async |what: &str| {
        for (width, scheme) in [
            (360, "light"),
            (360, "dark"),
            (1280, "dark"),
            (1280, "light"),
            (1920, "light"),
        ] {
            browser.look(width, scheme).await;
            let found = browser.axe(&axe).await;
            assert_eq!(found, Vec::<String>::new(), "{what}, {width} px, {scheme}");
        }
    };
    browser.look(1280, "light").await;
    browser.open(&url(&daemon).await).await;
    browser.wait("document.activeElement.id === 'token'").await;
    look("the question for the token").await;
    // It does find a fault that is there.
    browser.run("document.documentElement.removeAttribute('lang')").await;
    let found = browser.axe(&axe).await;
    assert!(found.iter().any(|line| line.starts_with("html-has-lang")), "{found:?}");
    browser.run("document.documentElement.lang = 'en'").await;

    browser.press("correct-horse-battery-staple-1").await;
    browser.press(ENTER).await;
    browser.wait("document.querySelectorAll('#next li').length === 4").await;
    look("nothing held yet").await;

    a_day(&stage);
    let phones = [stage.iphone("1001"), stage.android("1001"), stage.iphone("1002")];
    for phone in &phones {
        daemon.asleep(phone).await;
    }
    stage
        .fcm
        .as_ref()
        .unwrap()
        .faults
        .next(Fault::fcm(404, "NOT_FOUND", "UNREGISTERED"));
    let held = [stage.call(&daemon, "1001"), stage.call(&daemon, "1002")];
    daemon.log.wait(&["push-refused"]).await;
    std::fs::write(stage.fcm.as_ref().unwrap().service_account_file(), "{").unwrap();
    daemon.log.wait(&["ERROR", "cannot be used"]).await;
    browser
        .wait("document.querySelectorAll('#calls .call').length === 2 && document.querySelectorAll('#wakes summary').length === 20")
        .await;
    browser.wait("!document.getElementById('wrong').hidden").await;
    browser.wait("document.querySelector('#histogram svg rect')").await;
    browser
        .run("document.querySelectorAll('#wakes summary')[4].click()")
        .await;
    browser
        .wait("document.querySelectorAll('#wakes .story li').length > 2")
        .await;
    look("calls, a story, and something wrong").await;

    daemon.kill().await;
    browser.wait("!document.getElementById('gone').hidden").await;
    look("a daemon that is gone").await;
    drop(held);
}
