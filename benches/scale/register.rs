//! A REGISTER that concerns nobody: its phone has no token, and no call waits for it.

use fswake_test_support::apns::Apns;
use fswake_test_support::freeswitch::{Config, FakeFreeSwitch};

use crate::figures::Figures;
use crate::machine::Watch;
use crate::phones::{pace, phone};
use crate::running::{Running, Site};
use crate::stores::fill_file;

/// REGISTERs of one round, and how many a second.
const ROUND: usize = 20_000;
const PER_SECOND: usize = 4_000;
const ROUNDS: usize = 7;
/// How much more a REGISTER may cost with all devices than without: what the rounds differ by.
const MOST: f64 = 1.1;

/// A daemon and its FreeSWITCH.
struct Side {
    fs: FakeFreeSwitch,
    daemon: Running,
    _site: Site,
    registered: usize,
}

impl Side {
    async fn start(apns: &Apns, devices: usize) -> Self {
        let fs = FakeFreeSwitch::start(Config::default()).await;
        let site = Site::new(&[fs.address().port()], &apns.app());
        if devices > 0 {
            fill_file(&site.store(), devices);
        }
        let daemon = site.start().await;
        Self {
            fs,
            daemon,
            _site: site,
            registered: 0,
        }
    }

    /// Microseconds of processor time for each REGISTER.
    async fn round(&mut self) -> f64 {
        let before = self.daemon.process().cpu();
        pace(ROUND, PER_SECOND, |n| register(&self.fs, n)).await;
        self.registered += ROUND;
        #[allow(clippy::cast_precision_loss)]
        let all = self.registered as f64;
        assert!(
            self.daemon.until("fswake_registrations_total", all).await,
            "REGISTERs are missing"
        );
        #[allow(clippy::cast_precision_loss)]
        let each = self.daemon.process().cpu().saturating_sub(before).as_secs_f64() * 1e6 / ROUND as f64;
        each
    }
}

pub async fn run(devices: usize, figures: &mut Figures) {
    println!(
        "REGISTERs that concern nobody: {ROUNDS} rounds of {ROUND}, in turns with {devices} devices and with none"
    );
    let apns = Apns::start().await;
    let (mut none, mut all) = (Side::start(&apns, 0).await, Side::start(&apns, devices).await);
    let watch = Watch::start(none.daemon.process());
    // The first round makes the bindings.
    none.round().await;
    all.round().await;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        without.push(none.round().await);
        with.push(all.round().await);
    }
    println!("{}", watch.report());
    println!("without: {without:.1?} us\nwith:    {with:.1?} us");
    let (without, with) = (median(without), median(with));
    figures.note(
        "processor time of such a REGISTER without devices",
        format!("{without:.1} us"),
    );
    figures.note(format!("the same with {devices} devices"), format!("{with:.1} us"));
    figures.below("the second in terms of the first", with / without, MOST, "times");
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// A phone without a token registers, again and again from the same address.
fn register(fs: &FakeFreeSwitch, n: usize) {
    // Neighbours in time are no neighbours in memory.
    let number = (n * 7_919 % ROUND).to_string();
    let call_id = format!("desk-{number}");
    fs.announce(&phone(&number, "desks.example.org", "", &call_id, "Example-Desk/2.1"));
}
