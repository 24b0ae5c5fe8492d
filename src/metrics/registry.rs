//! How families of metrics are typed and registered.

use std::borrow::Cow;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use super::names::Name;

/// Label names with their values.
pub(super) type Labels<const N: usize> = [(&'static str, Cow<'static, str>); N];
pub(super) type Counters<const N: usize> = Family<Labels<N>, Counter>;
pub(super) type Gauges<const N: usize> = Family<Labels<N>, Gauge>;
pub(super) type Histograms<const N: usize> = Family<Labels<N>, Histogram, fn() -> Histogram>;

/// Registers metrics under their names.
pub(super) struct RegistryBuilder(pub(super) Registry);

impl RegistryBuilder {
    pub(super) fn add<M: Metric + Clone>(&mut self, name: Name, metric: M) -> M {
        let written = name.as_str();
        // The writer adds the suffix of counters.
        let stem = written.strip_suffix("_total").unwrap_or(written);
        self.0.register(stem, name.help(), metric.clone());
        metric
    }
}
