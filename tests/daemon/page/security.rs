//! The token, and the content security policy.

use super::{ENTER, url};
use crate::browser::Browser;
use crate::harness::*;

#[tokio::test]
async fn page_asks_for_the_token_keeps_it_in_its_tab_and_reports_a_wrong_one() {
    let Some(browser) = Browser::start().await else { return };
    let mut stage = Stage::new().await;
    std::fs::write(stage.dir.path().join("http-token"), "correct-horse-battery-staple-1\n").unwrap();
    stage.secret("correct-horse");
    stage.set("http.token-file", "http-token");
    let daemon = stage.start().await;
    let url = url(&daemon).await;
    browser.look(320, "light").await;
    browser.open(&url).await;
    browser.wait("document.activeElement.id === 'token'").await;
    browser.press("wrong").await;
    browser.press(ENTER).await;
    browser
        .wait("document.getElementById('ask').textContent.includes('not the token')")
        .await;
    assert_eq!(browser.run("return document.getElementById('main').hidden").await, true);
    browser.picture("token").await;
    browser.press("correct-horse-battery-staple-1").await;
    browser.press(ENTER).await;
    browser
        .wait("document.getElementById('overall').textContent === 'All is well'")
        .await;
    browser.open(&url).await;
    browser
        .wait("document.getElementById('overall').textContent === 'All is well'")
        .await;
    assert_eq!(
        browser.run("return document.cookie + Object.keys(localStorage)").await,
        ""
    );
}

#[tokio::test]
async fn page_has_a_policy_that_loads_nothing_from_outside() {
    let stage = Stage::new().await;
    let daemon = stage.start_alone().await;
    let url = url(&daemon).await;
    let get = || async {
        let answer = soon("answer", reqwest::get(&url)).await.unwrap();
        let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
        (policy, answer.text().await.unwrap())
    };
    let ((policy, page), (other, _)) = (get().await, get().await);
    assert!(policy.starts_with("default-src 'none'; script-src 'nonce-"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    assert_ne!(policy, other, "a nonce is used once");
    let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap();
    assert_eq!(page.matches(&format!("nonce=\"{nonce}\"")).count(), 2);
    let outside: Vec<_> = page
        .split(['"', '\'', '('])
        .filter(|text| text.starts_with("http") || text.starts_with("//"))
        .filter(|text| !text.starts_with("http://www.w3.org/2000/svg") && !text.starts_with("http.token-file"))
        .collect();
    assert_eq!(outside, Vec::<&str>::new());
    for markup in [
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "document.write",
        "eval(",
        " onclick",
        " style=",
    ] {
        assert!(!page.contains(markup), "{markup}");
    }
}
