//! JsSIP in Chromium: a browser phone on a secure WebSocket.
//!
//! JsSIP is not part of this repository: `$JSSIP` names a file with it that a page can load, made for example by
//! `npm install jssip esbuild` and `echo "window.JsSIP = require('jssip')" | npx esbuild --bundle --outfile=jssip.js`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fswake_test_support::realfs::{DOMAIN, PASSWORD, RealFs};
use fswake_test_support::sip::{OutgoingCall, Phone, Script};
use fswake_test_support::site::{Settings, Site, new_token, push_params};
use serde_json::json;
use tempfile::TempDir;

use crate::browser::Browser;
use crate::site;

crate::trials![
    jssip_that_reconnects_before_its_old_connection_dies_is_rung,
    jssip_whose_page_was_closed_is_woken_when_it_opens_again,
    jssip_whose_page_was_frozen_sees_one_call_when_it_thaws,
];

/// Chromium and JsSIP.
///
/// # Errors
/// One of them is missing: what to print.
pub fn installed() -> Result<(), String> {
    crate::browser::installed()?;
    let problem = "no JsSIP; $JSSIP names a file with it (tests/live/jssip.rs says how to make one)";
    bundle().map(|_| ()).ok_or_else(|| problem.to_owned())
}

fn bundle() -> Option<PathBuf> {
    let file = PathBuf::from(std::env::var_os("JSSIP")?);
    file.is_file().then(|| std::path::absolute(file).expect("a path"))
}

/// The browser accepts FreeSWITCH's certificate and a fake microphone without a prompt, and sends media on loopback.
const FLAGS: [&str; 5] = [
    "--ignore-certificate-errors",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--allow-loopback-in-peer-connection",
    "--autoplay-policy=no-user-gesture-required",
];

/// The page: it registers, answers every call, and counts.
const PAGE: &str = r#"<!doctype html><meta charset="utf-8"><title>phone</title><body>
<script src="file://BUNDLE"></script>
<script>
const seen = { connected: 0, registered: 0, rung: 0, confirmed: 0, ended: 0 };
const iface = new JsSIP.WebSocketInterface("wss://SERVER");
const ua = new JsSIP.UA({
  sockets: [iface], uri: "sip:USER@DOMAIN", password: "PASSWORD", session_timers: false,
  contact_uri: "sip:" + Math.random().toString(36).slice(2, 10) + "@" + Math.random().toString(36).slice(2, 12)
    + ".invalid;transport=wsPARAMS",
  connection_recovery_min_interval: 1, connection_recovery_max_interval: 2,
});
let session = null;
ua.on("connected", () => seen.connected++);
ua.on("registered", () => seen.registered++);
ua.on("newRTCSession", (event) => {
  session = event.session;
  seen.rung++;
  session.on("confirmed", () => seen.confirmed++);
  session.on("ended", () => seen.ended++);
  session.answer({ mediaConstraints: { audio: true, video: false } });
});
// Opens a new connection and leaves the old one open: nothing shows yet that it is dead.
const old = [];
function reconnect() {
  const dead = iface._ws;
  dead.onclose = dead.onmessage = dead.onerror = () => {};
  old.push(dead);
  iface._ws = null;
  iface._onClose({ wasClean: false, code: 1006, reason: "" });
}
let heard = 0;
setInterval(async () => {
  if (!session || !session.connection) return;
  for (const one of (await session.connection.getStats()).values())
    if (one.type === "inbound-rtp") heard = Math.max(heard, one.packetsReceived);
}, 100);
ua.start();
</script>"#;

/// A phone in a page that is not open yet.
struct Page {
    browser: Browser,
    dir: TempDir,
    user: String,
    token: String,
}

impl Page {
    async fn new(site: &Site) -> Self {
        let dir = TempDir::new().expect("a directory");
        let (user, token) = (site.fs.new_user(), new_token());
        let page = PAGE
            .replace("BUNDLE", &bundle().expect("JsSIP").display().to_string())
            .replace("SERVER", &site.fs.ports.wss.to_string())
            .replace("USER", &user)
            .replace("DOMAIN", DOMAIN)
            .replace("PASSWORD", PASSWORD)
            .replace("PARAMS", &push_params(&token));
        std::fs::write(dir.path().join("phone.html"), page).expect("a file");
        let browser = Browser::start_with(&FLAGS).await;
        Self {
            browser,
            dir,
            user,
            token,
        }
    }

    async fn open(&self) {
        let file = self.dir.path().join("phone.html");
        self.browser.open(&format!("file://{}", file.display())).await;
    }

    async fn close(&self) {
        self.browser.open("about:blank").await;
    }

    /// Freezes or resumes the page.
    async fn becomes(&self, state: &str) {
        let parameters = json!({ "state": state });
        self.browser.devtools("Page.setWebLifecycleState", parameters).await;
    }

    async fn wait(&self, expression: &str) {
        self.browser.wait(expression).await;
    }

    async fn call(&self, site: &Site) -> OutgoingCall {
        let caller = Phone::new(
            site.fs.account(&site.fs.new_user(), DOMAIN),
            Script {
                voice: Some(1),
                ..Script::default()
            },
        );
        caller.await.call(&format!("7{}", self.user))
    }

    /// The call is up with audio both ways, and the page had only so many calls before it.
    async fn talks(&self, call: OutgoingCall, before: usize) {
        assert_eq!(call.outcome().await, 200);
        self.wait(&format!("seen.confirmed == {} && heard > 10", before + 1))
            .await;
        let rung = self.browser.run("return seen.rung").await;
        assert_eq!(rung, before + 1, "rung in one call");
        call.hang_up().await;
        self.wait(&format!("seen.ended == {}", before + 1)).await;
        self.browser.run("heard = 0").await;
    }
}

async fn jssip_that_reconnects_before_its_old_connection_dies_is_rung(fs: Arc<RealFs>) {
    // Awake: rung without a push. Asleep: pushed, and rung at the same time.
    for (fresh_for, pushes) in [("30s", 0), ("0s", 1)] {
        let settings = Settings::default()
            .wake("fresh-for", fresh_for)
            .wake("push-delay", "2s");
        let site = site(fs.clone(), &settings).await;
        let page = Page::new(&site).await;
        page.open().await;
        page.wait("seen.registered == 1").await;
        page.browser.run("reconnect()").await;
        page.wait("seen.registered == 2").await;
        let heard = ["event=Registered ", &page.user];
        site.daemon().log.wait_times(2, &heard).await;
        let call = page.call(&site).await;
        page.talks(call, 0).await;
        page.browser.run("old.forEach((socket) => socket.close())").await;
        site.daemon()
            .log
            .wait(&["event=Unregistered ", &page.user, "why=ConnectionClosed "])
            .await;
        site.daemon()
            .log
            .wait(&["event=Listed ", &format!("aor={}@", page.user)])
            .await;
        let call = page.call(&site).await;
        page.talks(call, 1).await;
        assert_eq!(site.pushes().len(), 2 * pushes, "fresh-for {fresh_for}");
    }
}

async fn jssip_whose_page_was_closed_is_woken_when_it_opens_again(fs: Arc<RealFs>) {
    for fresh_for in ["30s", "0s"] {
        let site = site(fs.clone(), &Settings::default().wake("fresh-for", fresh_for)).await;
        let page = Page::new(&site).await;
        page.open().await;
        page.wait("seen.registered == 1").await;
        site.heard_of(&page.user).await;
        page.close().await;
        site.daemon().log.wait(&["event=Unregistered ", &page.user]).await;
        let call = page.call(&site).await;
        site.pushed_to_times(&page.token, 1).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        page.open().await;
        page.talks(call, 0).await;
    }
}

/// As a browser treats background pages: the connection stays open, but nobody reads from it.
async fn jssip_whose_page_was_frozen_sees_one_call_when_it_thaws(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let page = Page::new(&site).await;
    page.open().await;
    page.wait("seen.registered == 1").await;
    site.heard_of(&page.user).await;
    page.becomes("frozen").await;
    let call = page.call(&site).await;
    site.pushed_to_times(&page.token, 1).await;
    let early = call.response_within(Duration::from_millis(2200), |status| status >= 200);
    assert_eq!(early.await, None, "the page is not frozen");
    page.becomes("active").await;
    page.browser.run("ua.register()").await;
    page.wait("seen.registered == 2").await;
    assert_eq!(call.outcome().await, 200);
    // Time for a second INVITE that should not come.
    tokio::time::sleep(Duration::from_millis(4500)).await;
    page.talks(call, 0).await;
}
