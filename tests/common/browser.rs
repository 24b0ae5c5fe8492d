//! A real browser: headless Chromium, controlled through WebDriver (<https://www.w3.org/TR/webdriver2/>).

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use fswake_test_support::skipped;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Limit for every action of the browser.
const LONG: Duration = Duration::from_secs(30);

async fn soon<T>(what: &str, event: impl Future<Output = T>) -> T {
    let in_time = tokio::time::timeout(LONG, event).await;
    in_time.unwrap_or_else(|_| panic!("no {what} within {LONG:?}"))
}

/// The browser. It closes when dropped.
pub struct Browser {
    http: reqwest::Client,
    session: String,
    driver: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts a browser, or prints that none is installed.
    pub async fn start() -> Option<Self> {
        match installed() {
            Ok(()) => Some(Self::start_with(&[]).await),
            Err(reason) => {
                skipped::note(&reason);
                None
            }
        }
    }

    /// Starts a browser with additional arguments.
    pub async fn start_with(more: &[&str]) -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port: u16 = soon("port of chromedriver", async {
            loop {
                let line = lines.next_line().await.unwrap().expect("chromedriver runs");
                if let Some(port) = line.split("started successfully on port ").nth(1) {
                    break port.trim_end_matches('.').parse().unwrap();
                }
            }
        })
        .await;
        let profile = tempfile::tempdir().unwrap();
        let data = format!("--user-data-dir={}", profile.path().display());
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--lang=en-GB",
            "--window-size=1280,900",
            &data,
        ];
        let arguments: Vec<&str> = arguments.iter().chain(more).copied().collect();
        let wanted = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": { "args": arguments } } } });
        let base = format!("http://127.0.0.1:{port}/session");
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut browser = Self {
            http,
            session: base,
            driver,
            _profile: profile,
        };
        let made = browser.post("", wanted).await;
        browser.session = format!("{}/{}", browser.session, made["sessionId"].as_str().expect("a session"));
        browser
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let sent = self.http.post(format!("{}{path}", self.session)).json(&body).send();
        let answer: Value = soon("answer of the browser", sent).await.unwrap().json().await.unwrap();
        assert!(answer["value"]["error"].is_null(), "{path}: {answer}");
        answer["value"].clone()
    }

    /// Opens a page.
    pub async fn open(&self, url: &str) {
        self.post("/url", json!({ "url": url })).await;
    }

    /// Runs a function body in the page, and returns its result.
    pub async fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", json!({ "script": script, "args": [] }))
            .await
    }

    /// Waits until an expression is true in the page.
    pub async fn wait(&self, expression: &str) {
        let waiting = async {
            while self.run(&format!("return Boolean({expression})")).await != true {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let in_time = tokio::time::timeout(LONG, waiting).await;
        let shown = self.run("return document.body.innerText").await;
        assert!(in_time.is_ok(), "never true: {expression}\n{shown}");
    }

    /// Presses keys, one after another (WebDriver's code points for keys without a character).
    pub async fn press(&self, keys: &str) {
        let actions: Vec<_> = keys
            .chars()
            .flat_map(|key| {
                [
                    json!({ "type": "keyDown", "value": key }),
                    json!({ "type": "keyUp", "value": key }),
                ]
            })
            .collect();
        let keyboard = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] });
        self.post("/actions", keyboard).await;
    }

    /// Sends a command of Chromium's own protocol (<https://chromedevtools.github.io/devtools-protocol/>).
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post("/goog/cdp/execute", json!({ "cmd": command, "params": parameters }))
            .await
    }

    /// Sets the window's width and the colour scheme.
    pub async fn look(&self, width: u32, scheme: &str) {
        let size = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    /// Faults that axe-core (<https://github.com/dequelabs/axe-core>) finds in the current page, one a line.
    pub async fn axe(&self, source: &str) -> Vec<String> {
        if self.run("return typeof axe").await == "undefined" {
            // It must be loaded into the page's own context, not only into this function.
            self.devtools("Runtime.evaluate", json!({ "expression": source })).await;
        }
        let script = "return axe.run(document, { resultTypes: ['violations'] }).then(found => found.violations.flatMap(rule => \
                      rule.nodes.map(node => rule.id + ': ' + node.target.join(' ') + ': ' + node.failureSummary)))";
        let found = self.run(script).await;
        let lines = found.as_array().expect("violations").iter();
        lines.map(|line| line.as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Saves a screenshot of the whole page in `FSWAKE_SCREENSHOTS`, if that is set.
    pub async fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("FSWAKE_SCREENSHOTS") else {
            return;
        };
        let parameters = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.devtools("Page.captureScreenshot", parameters).await;
        let file = Path::new(&folder).join(format!("{name}.base64"));
        std::fs::write(file, picture["data"].as_str().unwrap()).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Chromium is the driver's child, so both are in the driver's process group.
        if let Some(group) = self.driver.id() {
            let group = format!("-{group}");
            let _ = std::process::Command::new("kill")
                .args(["-KILL", "--", &group])
                .status();
        }
    }
}

/// Whether a browser is installed.
///
/// # Errors
/// If none is installed, with the text to print.
pub fn installed() -> Result<(), String> {
    let all = ["chromium", "chromedriver"].iter().all(|name| is_installed(name));
    let problem = "no chromium and chromedriver on this machine (Debian: chromium, chromium-driver)";
    all.then_some(()).ok_or_else(|| problem.to_owned())
}

/// The source of axe-core, if `$AXE` names its file: `axe.min.js` of `npm pack axe-core`.
pub fn axe_core() -> Option<String> {
    let file = std::env::var_os("AXE");
    let Some(file) = file else {
        assert!(std::env::var_os("CI").is_none(), "$AXE is missing: .ci/run sets it");
        skipped::note("no axe-core: $AXE names its axe.min.js (`npm pack axe-core`)");
        return None;
    };
    Some(std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display())))
}

fn is_installed(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|path| path.join(program).is_file())
}
