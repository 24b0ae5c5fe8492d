//! How many phones are known, and which app serves how many: counted in the store.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::cache::Census;
use super::wakes::read;
use super::{ProblemDetails, Site};
use crate::push::Pushers;
use crate::store::devices::{self, Group};

/// How long a count is reused: at least this long, and this many times as long as it took. A million phones take a
/// second.
const GOOD_FOR: Duration = Duration::from_secs(2);
const TIMES: u32 = 50;

/// Counts, or returns the last count.
pub(super) async fn take(site: &Arc<Site>) -> Result<Arc<Census>, ProblemDetails> {
    // As with the summary, a read is finished and cached even if the client has disconnected.
    let counting = tokio::spawn(count(Arc::clone(site)));
    counting.await.unwrap_or_else(|_| Err(ProblemDetails::failed()))
}

async fn count(site: Arc<Site>) -> Result<Arc<Census>, ProblemDetails> {
    let mut kept = site.census.0.lock().await;
    let began = Instant::now();
    if let Some((too_old, census)) = &*kept
        && began < *too_old
    {
        return Ok(Arc::clone(census));
    }
    let pushers = site.pushers.clone();
    let counted = read(&site, move |store| {
        let groups = devices::groups(store.connection())?;
        Ok(Arc::new(census(&groups, &pushers)))
    });
    let census = counted.await?;
    let good_for = (began.elapsed() * TIMES).max(GOOD_FOR);
    *kept = Some((Instant::now() + good_for, Arc::clone(&census)));
    Ok(census)
}

/// Counts the phones of each app.
fn census(groups: &[Group], pushers: &Pushers) -> Census {
    let mut census = Census::default();
    for group in groups {
        census.known += group.devices;
        let served = pushers.find(&group.provider, &group.app, &group.domain);
        let count = if let Some(app) = served {
            census.by_app.entry(Arc::clone(app.name())).or_default()
        } else {
            let names = (group.provider.name().to_owned(), group.app.clone());
            census.unserved.entry(names).or_default()
        };
        *count += group.devices;
    }
    census
}
