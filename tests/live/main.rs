//! fswake's binary against a real FreeSWITCH, SIP phones and APNs' stand-in, all on loopback.
//!
//! One FreeSWITCH serves all tests, one after another, each with an fswake and users of its own. Each test starts and
//! ends without channels. Without an installed FreeSWITCH (`$FS_PREFIX`, else `/usr/local/freeswitch`) all tests are
//! listed as ignored, and the reason is printed; so are those of a proxy without a Kamailio, and those of a web page
//! without Chromium and JsSIP. What only compares lists with one another always runs.
//!
//! A test that fails prints the end of both logs. `$FSWAKE_LIVE_LOG` names a file for all that fswake says.

mod behind_proxy;
mod bindings;
mod breakage;
#[path = "../common/browser.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod browser;
mod contacts;
mod desk;
mod ends;
mod fidelity;
mod hostile;
mod jssip;
mod load;
mod mod_apn;
mod notifications;
mod one_dialog;
mod operate;
mod pickup_race;
mod six;
mod steps;
mod variables;
mod wake;

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fswake_test_support::kamailio;
use fswake_test_support::realfs::{self, RealFs};
use fswake_test_support::site::{Settings, Site};
use fswake_test_support::skipped;
use fswake_test_support::trials::{text, unless};
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

/// More users than all tests together need.
const USERS: u32 = 1500;
/// How long channels may take to end after a test has hung up.
const QUIET: Duration = Duration::from_secs(12);

/// What all tests share.
struct Lab {
    runtime: Runtime,
    prefix: std::path::PathBuf,
    fs: OnceCell<Arc<RealFs>>,
    fidelity: fidelity::Fidelity,
}

impl Lab {
    async fn fs(&self) -> Arc<RealFs> {
        let start = || async { Arc::new(RealFs::start(&self.prefix, USERS).await) };
        self.fs.get_or_init(start).await.clone()
    }
}

/// Starts APNs' stand-in and fswake with these settings.
async fn site(fs: Arc<RealFs>, settings: &Settings) -> Site {
    Site::start(fs, Path::new(env!("CARGO_BIN_EXE_fswake")), settings).await
}

/// Puts `async fn name(fs: Arc<RealFs>)` into the list of tests, under its own name.
macro_rules! trials {
    ($($name:ident),+ $(,)?) => {
        pub fn trials(lab: &std::sync::Arc<crate::Lab>) -> Vec<libtest_mimic::Trial> {
            vec![$(crate::trial(lab, stringify!($name), |fs| Box::pin($name(fs)))),+]
        }
    };
}
use trials;

type Running = std::pin::Pin<Box<dyn Future<Output = ()>>>;

fn trial(lab: &Arc<Lab>, name: &'static str, test: fn(Arc<RealFs>) -> Running) -> Trial {
    let lab = lab.clone();
    let run = move || {
        lab.runtime.block_on(async {
            let fs = lab.fs().await;
            // Each test starts without channels: those of an earlier one end first.
            let empty = AssertUnwindSafe(fs.becomes_silent(QUIET));
            if let Err(panic) = futures_util::FutureExt::catch_unwind(empty).await {
                return Err(Failed::from(format!("before it began: {}", text(&*panic))));
            }
            let outcome = futures_util::FutureExt::catch_unwind(AssertUnwindSafe(test(fs.clone()))).await;
            if outcome.is_err() {
                eprintln!("--- FreeSWITCH's log, {name}\n{}", fs.log());
                fs.api("hupall").await;
            }
            let silent = AssertUnwindSafe(fs.becomes_silent(QUIET));
            let left = futures_util::FutureExt::catch_unwind(silent).await;
            match (outcome, left) {
                (Ok(()), Ok(_)) => Ok(()),
                (Err(panic), _) | (_, Err(panic)) => Err(Failed::from(text(&*panic))),
            }
        })
    };
    Trial::test(name, run)
}

fn main() {
    let mut arguments = Arguments::from_args();
    // They share one FreeSWITCH, and "no channel is left" is about all its channels.
    arguments.test_threads = Some(1);
    let installed = realfs::installed();
    let runtime = Runtime::new().expect("a runtime");
    let lab = Arc::new(Lab {
        runtime,
        prefix: installed.clone().unwrap_or_default(),
        fs: OnceCell::new(),
        fidelity: fidelity::Fidelity::default(),
    });
    let mut trials = Vec::new();
    for list in [
        wake::trials,
        one_dialog::trials,
        desk::trials,
        bindings::trials,
        ends::trials,
        breakage::trials,
        contacts::trials,
        pickup_race::trials,
        hostile::trials,
        load::trials,
        notifications::trials,
        operate::trials,
        mod_apn::trials,
        variables::trials,
    ] {
        trials.extend(list(&lab));
    }
    let (six, kamailio) = (realfs::has_six(), kamailio::is_edge());
    trials.extend(unless("live", &six, six::trials(&lab)));
    trials.extend(unless("live", &kamailio, behind_proxy::trials(&lab)));
    trials.extend(unless("live", &jssip::installed(), jssip::trials(&lab)));
    trials.extend(unless("live", &six.and(kamailio), six::behind_proxy::trials(&lab)));
    let mut rows = fidelity::trials(&lab);
    if let Err(reason) = installed {
        let all = trials.len() + rows.len();
        skipped::note_all(&format!("live: all {all} tests with FreeSWITCH"), &reason);
        let ignored = |all: Vec<Trial>| all.into_iter().map(|t| t.with_ignored_flag(true)).collect();
        (trials, rows) = (ignored(trials), ignored(rows));
        // `--include-ignored` cannot install what is missing.
        arguments.ignored = false;
        arguments.include_ignored = false;
    }
    rows.extend(fidelity::trials_of_lists());
    let conclusion = libtest_mimic::run(&arguments, trials);
    // These have a FreeSWITCH of their own, and check their own channels.
    arguments.test_threads = Some(fidelity::AT_A_TIME);
    let compared = libtest_mimic::run(&arguments, rows);
    // `exit` runs no drops.
    if let Some(fs) = lab.fs.get() {
        fs.stop();
    }
    lab.fidelity.finish();
    if conclusion.has_failed() {
        conclusion.exit();
    }
    compared.exit();
}
