//! `cargo demo`: two sleeping phones and one call, in a few seconds. It needs only this repository.
//!
//! The daemon is real, with its own threads and real sockets. FreeSWITCH, Apple and Google are stand-ins on loopback
//! addresses. They speak the event socket protocol, and HTTP/2 over TLS with certificates made for this run.

use std::io::IsTerminal;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fswake::config::{Config, Environment};
use fswake_test_support::apns::{self, Apns};
use fswake_test_support::fcm::{self, Fcm};
use fswake_test_support::freeswitch::{Behaviour, Call, CallerSaw, FakeFreeSwitch, Outcome, Phone, PhoneSpec};

const INTRODUCTION: &str = "\
Bob has an iPhone and an Android phone, both asleep: their apps are stopped, and neither is registered any more.
Alice calls him. fswake holds her call, wakes both phones by push, and connects the one that answers first.

The daemon and its sockets are real. FreeSWITCH, Apple and Google are stand-ins, and so is the time that a phone
takes to start its app (a real one takes one to three seconds).
";
const ELSEWHERE: &str = "Call completed elsewhere";
const ALL_OF_IT: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let told = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start threads")
        .and_then(|runtime| {
            let told = runtime.block_on(async { tokio::time::timeout(ALL_OF_IT, tell()).await });
            // The daemon stops with the process. It would log errors if FreeSWITCH stopped first.
            std::mem::forget(runtime);
            told.unwrap_or_else(|_| bail!("the call was not over after {ALL_OF_IT:?}"))
        });
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nThe demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Columns: the time since the call, who acts, and what happens.
struct Timeline {
    start: Instant,
    colours: bool,
    lines: Vec<(Instant, &'static str, String)>,
}

impl Timeline {
    fn add(&mut self, at: Instant, who: &'static str, what: impl Into<String>) {
        self.lines.push((at, who, what.into()));
    }

    /// Prints new entries, in the order of time. Some are observed late.
    fn print(&mut self) {
        self.lines.sort_by_key(|(at, ..)| *at);
        for (at, who, what) in std::mem::take(&mut self.lines) {
            let ms = at.saturating_duration_since(self.start).as_secs_f64() * 1000.0;
            let colour = match who {
                "fswake" => "1;36",
                "Alice" => "1;33",
                "iPhone" | "Android" => "1;32",
                _ => "1;35",
            };
            println!("{ms:9.1}  {}  {what}", self.paint(colour, &format!("{who:<10}")));
        }
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colours {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

async fn tell() -> Result<()> {
    println!("{INTRODUCTION}");
    let (fs, apns, fcm) = tokio::join!(
        FakeFreeSwitch::start(fswake_test_support::freeswitch::Config::default()),
        Apns::start(),
        Fcm::start()
    );
    let dir = tempfile::tempdir()?;
    let address = start_daemon(dir.path(), &fs, &apns, &fcm)?;
    // One connection receives events, the other lists earlier ones.
    until("fswake is connected to FreeSWITCH", || async {
        fs.connections().0 >= 2
    })
    .await?;

    let (iphone, android) = (phone(&fs, &iphone_params()), phone(&fs, &android_params()));
    for phone in [&iphone, &android] {
        phone.set_behaviour(Behaviour::Manual);
        phone.register();
    }
    until("fswake knows both phones", || async { stored(dir.path()) == Some(2) }).await?;
    for phone in [&iphone, &android] {
        phone.sleep();
        phone.expire();
    }
    // Lines written after the phones' ends arrive after them.
    let last = fs.fire_custom("sofia::sip_user_state", &[]);
    until("fswake knows that both phones are gone", || async {
        last.written_at().is_some()
    })
    .await?;
    tokio::time::sleep(Duration::from_millis(50)).await;

    let held = fs.call(&Call::to(address, "bob", "example.org").from("1000", "Alice"));
    let mut story = Timeline {
        start: held.started,
        colours: std::io::stdout().is_terminal(),
        lines: Vec::new(),
    };
    println!("{}", story.paint("2", "       ms  who         what"));
    story.add(
        held.started,
        "Alice",
        "calls bob@example.org; FreeSWITCH hands her call to fswake",
    );

    let (apple, google) = tokio::join!(apns.next_push(), fcm.next_push());
    ensure!(
        apple.status == 200 && google.status == 200,
        "a push was refused: {} {}",
        apple.reason,
        google.reason
    );
    let topic = apple.request.header("apns-topic");
    story.add(
        apple.request.at,
        "Apple",
        format!("takes a VoIP push for the iPhone (topic {topic}, HTTP/2 over TLS)"),
    );
    let priority = google.message["android"]["priority"].as_str().unwrap_or_default();
    story.add(
        google.request.at,
        "Google",
        format!("takes a data message for the Android phone (priority {priority})"),
    );

    tokio::time::sleep(Duration::from_millis(350)).await;
    for (at, saw) in held.timeline() {
        if saw == CallerSaw::Ringing {
            story.add(at, "Alice", "hears ringing, while nobody is there yet");
        }
    }
    story.print();
    woken(&mut story, "iPhone", &iphone).await;
    tokio::time::sleep(Duration::from_millis(250)).await;
    woken(&mut story, "Android", &android).await;

    tokio::time::sleep(Duration::from_millis(600)).await;
    story.add(Instant::now(), "Android", "Bob answers here");
    android.answer();
    held.wait_bridged().await;
    let (connected_at, outcome) = held.outcomes().swap_remove(0);
    let Outcome::Connected {
        phone: at,
        held_codec,
        leg_codec,
        ..
    } = outcome
    else {
        bail!("the call was not connected: {outcome:?}");
    };
    ensure!(at == android.spec().address, "the call went to {at}");
    let codecs = if held_codec == leg_codec {
        held_codec
    } else {
        format!("{held_codec} and {leg_codec}")
    };
    for (at, saw) in held.timeline() {
        if matches!(saw, CallerSaw::Answered { .. }) {
            story.add(at, "Alice", "is answered");
        }
    }
    story.add(
        connected_at,
        "FreeSWITCH",
        format!("connects Alice and the Android phone ({codecs} on both sides)"),
    );
    let reason = iphone.cancelled().await;
    ensure!(reason.contains(ELSEWHERE), "the iPhone got the reason {reason}");
    story.add(
        Instant::now(),
        "iPhone",
        format!("stops ringing: \"{ELSEWHERE}\", so it shows no missed call"),
    );
    ensure!(
        fs.complaints().is_empty(),
        "FreeSWITCH got invalid commands: {:?}",
        fs.complaints()
    );
    story.print();

    let ms = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64() * 1000.0;
    let pushes = ms(held.started, apple.request.at.max(google.request.at));
    println!(
        "\nConnected. Both pushes were with Apple and Google {pushes:.1} ms after the call; one phone answered, the other stopped ringing.\n\
         Next: README.md says how to run fswake with your own FreeSWITCH."
    );
    Ok(())
}

/// The phone's app starts and registers, and fswake calls it.
async fn woken(story: &mut Timeline, who: &'static str, phone: &Phone) {
    let registered = phone.wake();
    story.add(registered, who, "is awake and registers with FreeSWITCH");
    let invite = phone.invite(1).await;
    let after = invite.at.saturating_duration_since(registered).as_secs_f64() * 1000.0;
    story.add(
        invite.at,
        "fswake",
        format!("sends the call to the {who} phone, {after:.1} ms after its REGISTER")
            .replace("iPhone phone", "iPhone"),
    );
    phone.ring();
    story.add(Instant::now(), who, "rings: \"Alice\"");
    story.print();
}

fn phone(fs: &FakeFreeSwitch, params: &str) -> Phone {
    fs.phone(PhoneSpec::new("bob", "example.org").params(params))
}

/// RFC 8599 push parameters of a Contact.
fn iphone_params() -> String {
    let token = uuid::Uuid::new_v4().simple().to_string().repeat(2);
    format!(
        "pn-provider=apns;pn-param={}.{}.voip;pn-prid={token}",
        apns::TEAM_ID,
        apns::BUNDLE_ID
    )
}

fn android_params() -> String {
    format!(
        "pn-provider=fcm;pn-param={};pn-prid=demo-{}",
        fcm::PROJECT,
        uuid::Uuid::new_v4().simple()
    )
}

/// Runs the daemon as `fswake run` does, on its own threads. It stops with the process.
fn start_daemon(dir: &Path, fs: &FakeFreeSwitch, apns: &Apns, fcm: &Fcm) -> Result<SocketAddr> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let file = dir.join("fswake.toml");
    std::fs::write(&file, configuration(dir, address, fs.address().port(), apns, fcm))?;
    let config = Config::load(Some(&file), &Environment::default())?;
    let set_filter = fswake::logging::init(&config.log)?;
    let handover = fswake::handover::Handover::of_process()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    std::thread::spawn(move || {
        if let Err(error) = runtime.block_on(fswake::daemon::run(config, set_filter, handover)) {
            eprintln!("fswake stopped: {error:#}");
        }
        ENDED.store(true, Ordering::Relaxed);
    });
    Ok(address)
}

static ENDED: AtomicBool = AtomicBool::new(false);

fn configuration(dir: &Path, address: SocketAddr, port: u16, apns: &Apns, fcm: &Fcm) -> String {
    format!(
        r#"
[freeswitch]
port = {port}

[listen]
addresses = ["{address}"]

[http]
addresses = []

[store]
path = '{store}'

[log]
filter = "warn,freeswitch_esl_tokio=off"

[[app]]
name = "iphone"
{apple}
[[app]]
name = "android"
{google}"#,
        store = dir.join("fswake.db").display(),
        apple = apns.app(),
        google = fcm.app(),
    )
}

/// The number of devices in the store.
fn stored(dir: &Path) -> Option<i64> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let store = rusqlite::Connection::open_with_flags(dir.join("fswake.db"), flags).ok()?;
    store
        .query_row("SELECT count(*) FROM devices", [], |row| row.get(0))
        .ok()
}

async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) -> Result<()> {
    let started = Instant::now();
    while !holds().await {
        ensure!(
            !ENDED.load(Ordering::Relaxed) && started.elapsed() < ALL_OF_IT / 2,
            "timed out waiting for this: {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
