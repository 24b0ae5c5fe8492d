//! The numbers of one app.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::names::Name;
use super::registry::{Counters, Gauges, Histograms, Labels, RegistryBuilder};
use crate::engine::count::WakeOutcome;
use crate::types::push::{About, PushError, PushOutcome, PushPurpose};

/// What came of a refresh push.
const REFRESHES: [&str; 2] = ["registered", "expired"];

/// The outcome of a push; all but the first and the last are [`crate::types::push::PushError::class`].
const RESULTS: [&str; 10] = [
    "accepted",
    "token-gone",
    "token-bad",
    "rejected",
    "misconfigured",
    "unreachable",
    "no-answer",
    "provider-busy",
    "exhausted",
    "call-over",
];

/// The families that have an app as label.
pub(super) struct AppFamilies {
    pushes: Counters<4>,
    push_seconds: Histograms<2>,
    under_way: Gauges<2>,
    wakes: Counters<3>,
    push_to_register: Histograms<2>,
    late: Histograms<2>,
    refreshes: Counters<3>,
}

impl AppFamilies {
    pub(super) fn register(r: &mut RegistryBuilder) -> Self {
        Self {
            push_to_register: r.add(
                Name::PushToRegister,
                Family::new_with_constructor(|| {
                    Histogram::new([
                        0.05, 0.1, 0.2, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 60.0,
                    ])
                }),
            ),
            pushes: r.add(Name::Pushes, Family::default()),
            push_seconds: r.add(
                Name::PushSeconds,
                Family::new_with_constructor(|| Histogram::new([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0])),
            ),
            under_way: r.add(Name::PushesUnderWay, Family::default()),
            wakes: r.add(Name::Wakes, Family::default()),
            late: r.add(
                Name::LateRegistration,
                Family::new_with_constructor(|| {
                    Histogram::new([0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0])
                }),
            ),
            refreshes: r.add(Name::Refreshes, Family::default()),
        }
    }

    pub(super) fn app(&self, app: &str, provider: &str) -> AppMetrics {
        let labels: Labels<2> = [("app", app.to_owned().into()), ("provider", provider.to_owned().into())];
        let [a, p] = labels.clone();
        let pushes = PushPurpose::ALL.map(|purpose| {
            RESULTS.map(|result| {
                let labels = [
                    a.clone(),
                    p.clone(),
                    ("kind", purpose.as_str().into()),
                    ("result", result.into()),
                ];
                self.pushes.get_or_create_owned(&labels)
            })
        });
        let wakes = WakeOutcome::ALL.map(|outcome| {
            let labels = [a.clone(), p.clone(), ("result", outcome.as_str().into())];
            (outcome, self.wakes.get_or_create_owned(&labels))
        });
        AppMetrics {
            provider: provider.to_owned(),
            pushes,
            wakes,
            push_seconds: self.push_seconds.get_or_create_owned(&labels),
            under_way: self.under_way.get_or_create_owned(&labels),
            push_to_register: self.push_to_register.get_or_create_owned(&labels),
            late: self.late.get_or_create_owned(&labels),
            refreshes: REFRESHES.map(|result| {
                let labels = [a.clone(), p.clone(), ("result", result.into())];
                self.refreshes.get_or_create_owned(&labels)
            }),
        }
    }
}

/// One app's numbers, as handles, so that counting is one addition.
pub struct AppMetrics {
    pub(super) provider: String,
    pushes: [[Counter; RESULTS.len()]; PushPurpose::ALL.len()],
    wakes: [(WakeOutcome, Counter); WakeOutcome::ALL.len()],
    push_seconds: Histogram,
    under_way: Gauge,
    push_to_register: Histogram,
    late: Histogram,
    refreshes: [Counter; REFRESHES.len()],
}

impl AppMetrics {
    /// A push under way, until the returned value is dropped.
    pub fn under_way(&self) -> UnderWay {
        self.under_way.inc();
        UnderWay(self.under_way.clone())
    }

    /// A push ended.
    pub fn pushed(&self, about: &About, outcome: &PushOutcome, took: Duration) {
        let result = match outcome {
            Ok(_) => "accepted",
            Err(PushError::CallOver) => "call-over",
            Err(error) => error.class(),
        };
        let purpose = PushPurpose::ALL.iter().position(|purpose| *purpose == about.purpose());
        let result = RESULTS.iter().position(|word| *word == result);
        if let Some((purpose, result)) = purpose.zip(result) {
            self.pushes[purpose][result].inc();
        }
        if !matches!(outcome, Err(PushError::CallOver)) {
            self.push_seconds.observe(took.as_secs_f64());
        }
    }

    /// A call is over for which one of the app's devices was pushed.
    pub fn woken(&self, outcome: WakeOutcome, push_to_register: Option<Duration>) {
        for (_, counter) in self.wakes.iter().filter(|(o, _)| *o == outcome) {
            counter.inc();
        }
        if let Some(time) = push_to_register {
            self.push_to_register.observe(time.as_secs_f64());
        }
    }

    /// A device was asked to register again, and did, or did not.
    pub fn refreshed(&self, has_registered: bool) {
        let [registered, expired] = &self.refreshes;
        if has_registered { registered } else { expired }.inc();
    }

    /// A device registered too late.
    pub fn late(&self, by: Duration) {
        self.late.observe(by.as_secs_f64());
    }
}

/// A push that is on its way.
pub struct UnderWay(Gauge);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Provider;
    use crate::types::push::{KeptBy, OwnRefusal};

    #[test]
    fn every_class_of_error_is_a_label() {
        let reason = String::new;
        let kept = [
            KeptBy::NoAddress,
            KeptBy::NoConnection,
            KeptBy::NoAnswer,
            KeptBy::Busy { status: 503 },
            KeptBy::BusyForThis { status: 429 },
            KeptBy::BusyForPhone { status: 429 },
            KeptBy::BusyForKey { status: 429 },
            KeptBy::Us,
        ];
        let kept = kept.map(|kept_by| PushError::Exhausted {
            kept_by,
            reason: reason(),
        });
        for error in kept.into_iter().chain([
            PushError::TokenGone {
                since: None,
                reason: reason(),
            },
            PushError::TokenBad { reason: reason() },
            PushError::Rejected {
                status: 400,
                reason: reason(),
                topic: None,
            },
            PushError::Refused(OwnRefusal::NoToken),
            PushError::NoApp {
                provider: Provider::Fcm,
                app: "".into(),
            },
            PushError::CallOver,
            PushError::credentials(reason()),
        ]) {
            assert!(RESULTS.contains(&error.class()), "{error:?}");
        }
    }
}
