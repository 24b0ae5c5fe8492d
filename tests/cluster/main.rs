//! Several real FreeSWITCHes, one or several fswakes, SIP phones and APNs' stand-in, all on loopback.
//!
//! Two FreeSWITCHes serve all tests, one after another. Without an installed FreeSWITCH (`$FS_PREFIX`, else
//! `/usr/local/freeswitch`) all tests are listed as ignored, and the reason is printed; so are those of an edge proxy
//! without a Kamailio, and those of a shared store without a PostgreSQL. What needs no real FreeSWITCH is in
//! tests/daemon, on stand-ins.

mod database;
mod deaths;
mod edge;
mod edge_deaths;
mod hostile;
mod legs;
mod peers;
mod setup;
mod shared;
mod shared_edge;
mod standby;
mod steps;

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fswake_test_support::kamailio;
use fswake_test_support::postgres::{self, Server};
use fswake_test_support::realfs::{self, RealFs};
use fswake_test_support::site::{Joined, Settings, Site};
use fswake_test_support::trials::{text, unless};
use futures_util::FutureExt;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

/// More users than all tests together need.
const USERS: u32 = 600;
/// How long channels may take to end after a test.
const QUIET: Duration = Duration::from_secs(12);

/// Two FreeSWITCHes that know the same users.
#[derive(Clone)]
pub struct Pair {
    /// One.
    pub a: Arc<RealFs>,
    /// The other.
    pub b: Arc<RealFs>,
    /// The PostgreSQL of all tests, if one has started it.
    postgres: Arc<OnceLock<Arc<Server>>>,
}

impl Pair {
    async fn start(prefix: &Path) -> Self {
        let (a, b) = tokio::join!(RealFs::start(prefix, USERS), RealFs::start(prefix, USERS));
        Self {
            a: Arc::new(a),
            b: Arc::new(b),
            postgres: Arc::default(),
        }
    }

    /// Both, with the other one.
    pub fn both_ways(&self) -> [(&Arc<RealFs>, &Arc<RealFs>); 2] {
        [(&self.a, &self.b), (&self.b, &self.a)]
    }

    async fn becomes_silent(&self) {
        for fs in [&self.a, &self.b] {
            if fs.pid() == 0 {
                fs.start_again().await;
            }
            fs.becomes_silent(QUIET).await;
        }
    }
}

/// fswake for the first of these FreeSWITCHes, which knows of those in its settings.
pub async fn site_at(fs: &Arc<RealFs>, settings: &Settings) -> Site {
    Site::start(fs.clone(), Path::new(env!("CARGO_BIN_EXE_fswake")), settings).await
}

/// fswake for both, with these settings.
pub async fn site(pair: &Pair, mut settings: Settings) -> Site {
    settings.others = vec![pair.b.ports];
    site_at(&pair.a, &settings).await
}

/// An fswake for each, which listens to both: the first takes A's calls, the second B's.
pub async fn two_daemons(pair: &Pair, settings: Settings) -> (Site, Joined) {
    let [first, second] = for_each(pair, settings);
    let site = site_at(&pair.a, &first).await;
    let joined = site.join(&second).await;
    (site, joined)
}

/// The settings of two fswakes that listen to both FreeSWITCHes: the first takes A's calls, the second B's.
pub fn for_each(pair: &Pair, mut settings: Settings) -> [Settings; 2] {
    settings.others = vec![pair.b.ports];
    let mut second = settings.clone();
    settings.listen = Some(pair.a.ports.fswake);
    second.listen = Some(pair.b.ports.fswake);
    // No daemon needs to list them as another does.
    second.reversed = true;
    if let Some(shared) = &mut second.shared {
        "fswake-2".clone_into(&mut shared.daemon);
    }
    [settings, second]
}

/// What all tests share.
struct Lab {
    runtime: Runtime,
    prefix: PathBuf,
    pair: OnceCell<Pair>,
}

/// Puts `async fn name(pair: Pair)` into the list of tests, under its own name.
macro_rules! trials {
    ($($name:ident),+ $(,)?) => {
        pub fn trials(lab: &std::sync::Arc<crate::Lab>) -> Vec<libtest_mimic::Trial> {
            vec![$(crate::trial(lab, stringify!($name), |pair| Box::pin($name(pair)))),+]
        }
    };
}
use trials;

type Running = std::pin::Pin<Box<dyn Future<Output = ()>>>;

fn trial(lab: &Arc<Lab>, name: &'static str, test: fn(Pair) -> Running) -> Trial {
    let lab = lab.clone();
    let run = move || {
        lab.runtime.block_on(async {
            let pair = lab.pair.get_or_init(|| Pair::start(&lab.prefix)).await.clone();
            let outcome = AssertUnwindSafe(test(pair.clone())).catch_unwind().await;
            if outcome.is_err() {
                for fs in [&pair.a, &pair.b] {
                    eprintln!("--- FreeSWITCH's log, {name}\n{}", fs.log());
                }
            }
            let left = AssertUnwindSafe(pair.becomes_silent()).catch_unwind().await;
            match (outcome, left) {
                (Ok(()), Ok(())) => Ok(()),
                (Err(panic), _) | (_, Err(panic)) => Err(Failed::from(text(&*panic))),
            }
        })
    };
    Trial::test(name, run)
}

fn main() {
    let mut arguments = Arguments::from_args();
    // They share the FreeSWITCHes.
    arguments.test_threads = Some(1);
    let installed = realfs::installed();
    let lab = Arc::new(Lab {
        runtime: Runtime::new().expect("a runtime"),
        prefix: installed.clone().unwrap_or_default(),
        pair: OnceCell::new(),
    });
    let mut trials = Vec::new();
    for list in [
        legs::trials,
        hostile::trials,
        peers::trials,
        setup::trials,
        deaths::trials,
    ] {
        trials.extend(list(&lab));
    }
    let (proxy, server) = (kamailio::is_edge(), postgres::installed());
    trials.extend(unless("cluster", &proxy, edge::trials(&lab)));
    for list in [shared::trials, standby::trials] {
        trials.extend(unless("cluster", &server, list(&lab)));
    }
    let both = server.and(proxy);
    for list in [shared_edge::trials, edge_deaths::trials] {
        trials.extend(unless("cluster", &both, list(&lab)));
    }
    let trials = unless("cluster", &installed.map(|_| ()), trials);
    let conclusion = libtest_mimic::run(&arguments, trials);
    // The FreeSWITCHes stop before the process ends.
    drop(Arc::into_inner(lab));
    conclusion.exit();
}
