//! Where rows are played: one FreeSWITCH, or two with the called phones at the second.

use std::path::Path;
use std::sync::Arc;

use fswake_test_support::realfs::{Plan, RealFs, Routing, Topology};
use fswake_test_support::site::{Settings, Site};
use serde_json::Value;
use tokio::sync::OnceCell;

use super::rows;

/// A site for the rows.
pub struct Stage {
    pub site: Site,
    /// Has the called phones, with fswake's routings.
    second: Option<Arc<RealFs>>,
}

impl Stage {
    /// Each try has users of its own, so that nothing of an earlier try matters.
    async fn start(prefix: &Path, topology: Topology, alert: &str, tries: usize) -> Self {
        let plans: Vec<Plan> = rows::all().into_iter().map(|row| row.plan).collect();
        let plans = vec![plans; tries].concat();
        let fs = Arc::new(RealFs::start_vanilla(prefix, &plans, None).await);
        let mut settings = Settings::default().wake("alert", alert);
        let mut second = None;
        if topology == Topology::Two {
            let other = Arc::new(RealFs::start_vanilla(prefix, &plans, Some(&fs)).await);
            settings.others = vec![other.ports];
            second = Some(other);
        }
        let site = crate::site(fs, &settings).await;
        Self { site, second }
    }

    /// All FreeSWITCHes, the call's first.
    pub fn all(&self) -> impl Iterator<Item = &Arc<RealFs>> {
        std::iter::once(&self.site.fs).chain(&self.second)
    }

    /// The FreeSWITCH of the called phones.
    pub fn registrar(&self, way: Routing) -> &Arc<RealFs> {
        match &self.second {
            Some(second) if way != Routing::Plain => second,
            _ => &self.site.fs,
        }
    }

    /// The channels of all FreeSWITCHes, each with its FreeSWITCH.
    pub async fn channels(&self) -> Vec<(&Arc<RealFs>, Value)> {
        let mut all = Vec::new();
        for fs in self.all() {
            all.extend(fs.channels().await.into_iter().map(|channel| (fs, channel)));
        }
        all
    }

    /// Stops fswake and FreeSWITCH.
    fn stop(&self) {
        self.site.daemon().signal("TERM");
        for fs in self.all() {
            fs.stop();
        }
    }
}

/// The stages, each started when its first row is played.
#[derive(Default)]
pub struct Stages {
    all: [[OnceCell<Stage>; 2]; 2],
}

impl Stages {
    /// The one with this `wake.alert`.
    pub async fn get(&self, prefix: &Path, topology: Topology, alert_by_push: bool, tries: usize) -> &Stage {
        let alert = if alert_by_push { "push" } else { "phone" };
        let cell = &self.all[usize::from(topology == Topology::Two)][usize::from(alert_by_push)];
        cell.get_or_init(|| Stage::start(prefix, topology, alert, tries)).await
    }

    pub fn stop(&self) {
        for stage in self.all.iter().flatten().filter_map(OnceCell::get) {
            stage.stop();
        }
    }
}
