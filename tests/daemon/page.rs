//! The status page, in a real browser against the running daemon.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fswake_test_support::freeswitch::*;
use rusqlite::{Connection, params};

use crate::browser::Browser;
use crate::harness::*;

/// What a caller might call itself.
const HOSTILE: &str = "<script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">";
const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const RIGHT: &str = "\u{e014}";

async fn url(daemon: &Daemon) -> String {
    let line = daemon.log.wait(&["HTTP: metrics"]).await;
    format!("http://{}/", field(&line, "address"))
}

/// Puts a day of wakes into the store of a daemon that runs: of a hundred calls a quarter finds no phone to push.
fn a_day(stage: &Stage) {
    let store = Connection::open(stage.dir.path().join("fswake.db")).unwrap();
    store.busy_timeout(LONG).unwrap();
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let sql =
        "INSERT INTO journal (at_ms, call, aor_user, aor_domain, event, detail) VALUES (?1, ?2, ?3, 'fs.test', ?4, ?5)";
    for n in 0..100_i64 {
        let (call, user) = (uuid::Uuid::new_v4().to_string(), format!("{}", 1010 + n % 17));
        let held_at = now - 60_000 - (99 - n) * 840_000;
        let write = |after: i64, event: &str, detail: serde_json::Value| {
            store
                .execute(sql, params![held_at + after, call, user, event, detail.to_string()])
                .unwrap();
        };
        let (device, caller) = (format!("apns:com.example.phone:{n:08x}"), format!("+49301234{n:02}"));
        let pushed = n % 4 > 0;
        write(
            0,
            "call-held",
            serde_json::json!({ "caller": caller, "devices": 1, "wait-ms": 25_000, "way": "socket" }),
        );
        let mut end = 9;
        if pushed {
            write(
                2,
                "push-sent",
                serde_json::json!({ "device": device, "try": 1, "user-agent": "Example/1" }),
            );
            end = 25_000;
            let is_gone = n % 20 == 1;
            let (event, detail) = if is_gone {
                let reason = "token gone (Unregistered)";
                let detail = serde_json::json!({ "device": device, "reason": reason, "class": "token-gone", "ms": 58 });
                ("push-refused", detail)
            } else {
                let detail = serde_json::json!({ "device": device, "status": 200, "attempts": 1, "ms": 58 });
                ("push-accepted", detail)
            };
            write(60, event, detail);
            if !is_gone && n % 9 != 2 {
                let woken = 400 + (n * 37) % 1_900 + if n % 13 == 3 { 7_000 } else { 0 };
                write(
                    woken,
                    "device-registered",
                    serde_json::json!({ "device": device, "how": "fresh", "ms": woken - 2 }),
                );
                write(
                    woken + 2,
                    "leg-started",
                    serde_json::json!({ "device": device, "leg": 0 }),
                );
                write(
                    woken + 180,
                    "leg-ringing",
                    serde_json::json!({ "device": device, "leg": 0 }),
                );
                end = woken + 4_000;
                write(end, "leg-answered", serde_json::json!({ "device": device, "leg": 0 }));
            }
        }
        let result = match end {
            9 => "no-device",
            25_000 => "unreachable",
            _ => "connected",
        };
        write(
            end + 1,
            "call-over",
            serde_json::json!({ "result": result, "caller": "dialplan" }),
        );
    }
}

#[tokio::test]
async fn page_shows_calls_wakes_and_apps_as_text_to_eyes_and_keyboards_on_desk_and_phone() {
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
    let account = stage.fcm.as_ref().unwrap().service_account_file();
    std::fs::write(&account, "{").unwrap();
    daemon.log.wait(&["ERROR", "cannot be used"]).await;
    let hostile = stage
        .fs
        .call(&Call::to(daemon.address, "1001", DOMAIN).from("+4930123", HOSTILE));
    let plain = stage
        .fs
        .call(&Call::to(daemon.address, "1002", DOMAIN).from("+493098765", "Zoë O'Brien"));
    // Its REGISTER has to come during the hold.
    daemon.log.wait(&["call-held", "aor=1001@"]).await;
    phones[0].set_behaviour(Behaviour::Rings(Duration::ZERO, None));
    // A phone that registers before its call is held has to be pushed, and does not register again.
    stage.push().await;
    stage.push().await;
    phones[0].wake();
    phones[0].invite(1).await;

    browser.look(1280, "light").await;
    browser.open(&url(&daemon).await).await;
    browser
        .wait("document.querySelectorAll('#calls .call').length === 2")
        .await;
    // What a caller says is text: all of it, and nothing but text. The stand-in takes out what FreeSWITCH would.
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
    // The countdown goes down by itself.
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
        .wait("document.getElementById('apps').textContent.includes('not a service account key')")
        .await;
    browser
        .wait("document.getElementById('overall').textContent === '1 problem'")
        .await;
    browser
        .wait("document.getElementById('wrong').textContent.includes('app android')")
        .await;

    // By keyboard alone: to the day, and to a wake's story.
    browser
        .run("document.querySelector('input[name=window]').focus()")
        .await;
    browser.press(RIGHT).await;
    browser
        .wait("document.querySelectorAll('#funnel dd.num')[0].textContent.startsWith('102')")
        .await;
    browser.wait("document.querySelector('#histogram svg rect')").await;
    // The wake that is held now is not over: the one below it has a story that ends.
    browser
        .run("document.querySelectorAll('#wakes summary')[3].focus()")
        .await;
    browser.press(ENTER).await;
    browser
        .wait("document.querySelectorAll('#wakes .story li').length > 2")
        .await;
    browser.press(TAB).await;
    assert_eq!(browser.run("return document.activeElement.tagName").await, "SUMMARY");
    assert_eq!(
        browser
            .run("return getComputedStyle(document.activeElement).outlineStyle")
            .await,
        "solid",
        "one sees where the keyboard is"
    );

    for (width, name) in [(1280, "desk"), (320, "phone")] {
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

    // A call that ends leaves the list and becomes a wake.
    hostile.caller_hangs_up();
    plain.caller_hangs_up();
    browser.wait("!document.getElementById('no-calls').hidden").await;
    browser
        .wait("document.getElementById('wakes').textContent.includes('caller hung up')")
        .await;

    // A daemon that is gone is said to be gone, with what was known.
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
    browser.picture("gone").await;
}

#[tokio::test]
async fn page_asks_for_the_token_keeps_it_in_its_tab_and_says_when_it_is_wrong() {
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
async fn page_comes_with_a_policy_that_lets_nothing_in_from_outside() {
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
