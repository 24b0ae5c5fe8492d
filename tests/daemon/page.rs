//! The status page, in a real browser against the running daemon.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fswake_test_support::freeswitch::*;
use fswake_test_support::http2::Fault;
use rusqlite::{Connection, params};

use crate::browser::{Browser, axe_core};
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

/// Puts a day of wakes into the store of a daemon that runs: of a hundred calls a quarter finds no phone to push, and
/// the latest fail in four ways.
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
            let refused = match n {
                98 => Some(("misconfigured", "InvalidProviderToken")),
                97 => Some(("misconfigured", "no app serves provider apns and app id x")),
                n if n % 20 == 1 => Some(("token-gone", "token gone (Unregistered)")),
                _ => None,
            };
            let is_refused = refused.is_some();
            let (event, detail) = if let Some((class, reason)) = refused {
                let detail = serde_json::json!({ "device": device, "reason": reason, "class": class, "ms": 58 });
                ("push-refused", detail)
            } else {
                let detail = serde_json::json!({ "device": device, "status": 200, "attempts": 1, "ms": 58 });
                ("push-accepted", detail)
            };
            write(60, event, detail);
            if n == 95 {
                let busy = serde_json::json!({ "device": device, "leg": 0, "cause": "USER_BUSY", "sip": 486 });
                write(
                    900,
                    "device-registered",
                    serde_json::json!({ "device": device, "ms": 898 }),
                );
                write(902, "leg-started", serde_json::json!({ "device": device, "leg": 0 }));
                write(990, "leg-ended", busy);
                end = 990;
            } else if !is_refused && n != 94 && n % 9 != 2 {
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
            990 => "declined",
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
    let fcm = stage.fcm.as_ref().unwrap();
    fcm.faults.next(Fault::fcm(404, "NOT_FOUND", "UNREGISTERED"));
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
    // A caller's texts are shown in full, and only as text. The stand-in removes what FreeSWITCH would.
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
        // The phone as people know it, its name in logs, and the result of its push, in that order.
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
        .wait("document.getElementById('apps').textContent.includes('new file broken')")
        .await;
    browser
        .wait("document.getElementById('overall').textContent === '1 warning'")
        .await;
    browser
        .wait("document.getElementById('wrong').textContent.includes('App android')")
        .await;
    // Why a call was not connected stands in its row.
    let rows = browser.run("return document.getElementById('wakes').innerText").await;
    for reason in ["credentials refused", "no app", "busy", "never registered"] {
        assert!(rows.as_str().unwrap().contains(reason), "{reason} in {rows}");
    }

    // By keyboard alone: to the day, and to a wake's story.
    browser
        .run("document.querySelector('input[name=window]').focus()")
        .await;
    browser.press(RIGHT).await;
    browser
        .wait("document.querySelectorAll('#funnel dd.num')[0].textContent.startsWith('102')")
        .await;
    browser.wait("document.querySelector('#histogram svg rect')").await;
    // One count of calls: what the bars, their shares and the sentence say is the same.
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
    // The wake that is held now is not over: the one below it has a story that ends.
    browser
        .run("document.querySelectorAll('#wakes summary')[3].focus()")
        .await;
    browser.press(ENTER).await;
    browser
        .wait("document.querySelectorAll('#wakes .story li').length > 2")
        .await;
    // Everything that lasts is in seconds, and the zone of everything else is named.
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

    // A call that ends leaves the list and becomes a wake.
    hostile.caller_hangs_up();
    plain.caller_hangs_up();
    browser.wait("!document.getElementById('no-calls').hidden").await;
    browser
        .wait("document.getElementById('wakes').textContent.includes('caller hung up')")
        .await;

    let dot = "getComputedStyle(document.querySelector('#nodes .dot')).backgroundColor";
    let is_up = browser.run(&format!("return {dot}")).await;
    // The page shows that a daemon is gone, with the last known state; its FreeSWITCH's state is unknown then.
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

/// The parts of `rgb(1, 2, 3)`.
fn rgb(colour: &str) -> [u8; 3] {
    let parts = colour.trim_start_matches("rgb(").trim_end_matches(')').split(", ");
    let parts: Vec<u8> = parts.map(|part| part.parse().unwrap()).collect();
    parts.try_into().unwrap()
}

#[tokio::test]
async fn page_says_what_needs_attention_what_to_do_and_how_many_phones_it_is_about() {
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
    // The worst first, each with what it is about, how many phones, why, and what to do.
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
        "the file before it is in use: {things}"
    );
    // What is to be typed stands as such.
    let typed = browser
        .run("return document.querySelector('#wrong-list code').textContent")
        .await;
    assert_eq!(typed, "systemctl reload fswake");
    browser.picture("attention").await;
    // Without FreeSWITCH no phone is woken at all.
    stage.fs.listen(false);
    stage.fs.drop_inbound();
    browser
        .wait("document.getElementById('wrong-list').textContent.includes('FreeSWITCH4 phones affected')")
        .await;
    browser.wait("document.querySelector('#nodes .dot.bad') !== null").await;
}

#[tokio::test]
async fn page_says_of_each_app_the_worst_that_is_known_and_why() {
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

    // A file that is broken besides is the lesser evil.
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
async fn page_says_what_to_do_next_where_no_call_was_held_yet() {
    let Some(browser) = Browser::start().await else { return };
    let mut stage = Stage::new().await;
    // As without a configuration: pushes go to the log.
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

#[tokio::test]
async fn axe_finds_no_fault_with_the_page_whatever_it_shows() {
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
    // It is able to find something.
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
