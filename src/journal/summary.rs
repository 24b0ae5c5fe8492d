//! Statistics: the results of the calls of the last hour or day, and how long phones took to come.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, params};
use serde::Serialize;
use uuid::Uuid;

use super::column::text;
use crate::engine::{HoldResult, NO_DEVICE, Routing, StepKind};

/// Upper ends of the bars of [`Latency::histogram`], in milliseconds: phones take from a second (awake, good network)
/// to half a minute.
const BARS_MS: [i64; 11] = [
    250, 500, 1_000, 1_500, 2_000, 3_000, 5_000, 8_000, 12_000, 20_000, 60_000,
];

/// `{daemon}` is the column with the daemon's name, or nothing.
const STEPS: &str = "SELECT call, at_ms, event, CASE WHEN NOT json_valid(detail) THEN NULL
     WHEN event = 'call-held' THEN json_extract(detail, '$.way')
     WHEN event = 'call-over' THEN json_extract(detail, '$.result')
     WHEN event IN ('push-sent', 'push-shared', 'device-registered', 'leg-answered') THEN json_extract(detail, '$.device')
     WHEN event = 'push-accepted' THEN json_extract(detail, '$.status') END, CASE event WHEN 'call-held' THEN {daemon} END FROM journal WHERE at_ms >= ?1 AND call IS NOT NULL
     AND event IN ('call-held', 'push-sent', 'push-shared', 'push-accepted', 'device-registered', 'leg-answered', 'call-over')
     ORDER BY at_ms, id";

/// The question to a file; of older versions, which have no daemons, only if it is not shared.
fn steps(has_daemons: bool) -> String {
    STEPS.replace("{daemon}", if has_daemons { "daemon" } else { "''" })
}

/// The results of the calls that began within a time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Calls that were held.
    pub calls: u64,
    /// Of these, connected in any way; of wakes that were asked for, those with a phone that is awake.
    pub connected: u64,
    /// Of these, with a phone that was pushed.
    pub pushed: u64,
    /// Of the pushed calls: a provider took the push.
    pub accepted: u64,
    /// Of the pushed calls: a phone of the callee registered.
    pub registered: u64,
    /// Of those where a phone registered, connected.
    pub answered: u64,
    /// Of the connected calls: a phone with a push token answered.
    pub by_mobile: u64,
    /// Of those: the phone that answered did not register during the call. Refresh pushes are to raise it.
    pub by_mobile_in_place: u64,
    /// Of those: the phone that answered had not been pushed for the call either.
    pub by_mobile_without_push: u64,
    /// From the first push of a call to the first REGISTER after it.
    pub wake: Latency,
    /// The same calls by the fswake that held them, in the order of names; empty if the store is not shared.
    pub daemons: Vec<DaemonSummary>,
}

/// The calls of one fswake.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DaemonSummary {
    /// Its name.
    pub daemon: String,
    /// Calls that it held.
    pub calls: u64,
    /// Of these, connected.
    pub connected: u64,
    /// Of these, with a phone that was pushed.
    pub pushed: u64,
    /// Of the pushed calls: a phone of the callee registered.
    pub registered: u64,
}

/// How long something took, in milliseconds; only zeros and `null` if it never happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// How often it happened.
    pub count: u64,
    /// The median.
    pub p50_ms: Option<i64>,
    /// Nine of ten took no longer.
    pub p90_ms: Option<i64>,
    /// 99 of 100 took no longer.
    pub p99_ms: Option<i64>,
    /// How often it took how long.
    pub histogram: Vec<Bar>,
}

/// One bar of a histogram.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bar {
    /// Up to so long, and longer than the bar before; `null` for the last one, without an end.
    pub to_ms: Option<i64>,
    /// How often.
    pub count: u64,
}

#[derive(Default)]
struct Progress {
    /// The fswake that holds the call; empty if the store is not shared.
    daemon: String,
    is_request: bool,
    pushed_at: Option<i64>,
    accepted: bool,
    woken_after: Option<i64>,
    connected: bool,
    /// The phones that were pushed, those that registered, and the one that answered, by their labels.
    pushed: Vec<String>,
    registered: Vec<String>,
    answered_by: Option<String>,
}

impl Progress {
    /// The label of the phone that took the call, if it has a push token.
    fn by_mobile(&self) -> Option<&String> {
        let answered_by = self.answered_by.as_ref().filter(|_| self.connected);
        answered_by.filter(|label| *label != NO_DEVICE)
    }
}

/// The calls that began at or after a time. `own` is the name of the daemon that uses the file, if it shares its journal.
pub(super) fn since(connection: &Connection, since_ms: i64, own: Option<&str>) -> rusqlite::Result<Summary> {
    let mut query = connection.prepare_cached(&steps(own.is_some()))?;
    let mut rows = query.query(params![since_ms])?;
    let mut calls = HashMap::<Uuid, Progress>::new();
    while let Some(row) = rows.next()? {
        let Ok(call) = Uuid::parse_str(&text(row, 0)?) else {
            continue;
        };
        let (at, step) = (row.get::<_, i64>(1)?, StepKind::from_word(&text(row, 2)?));
        if step == Some(StepKind::CallHeld) {
            let is_request = Routing::from_word(&text(row, 3)?) == Some(Routing::Request);
            calls.insert(
                call,
                Progress {
                    is_request,
                    daemon: match (text(row, 4)?, own) {
                        (daemon, Some(own)) if daemon.is_empty() => own.to_owned(),
                        (daemon, _) => daemon,
                    },
                    ..Progress::default()
                },
            );
            continue;
        }
        // A call that began before is not counted.
        let Some(progress) = calls.get_mut(&call) else { continue };
        match step {
            Some(StepKind::PushSent) => {
                progress.pushed_at.get_or_insert(at);
                progress.pushed.push(text(row, 3)?);
            }
            Some(StepKind::PushShared) => progress.pushed.push(text(row, 3)?),
            Some(StepKind::LegAnswered) => progress.answered_by = Some(text(row, 3)?),
            // With status 0 it was only written to the log.
            Some(StepKind::PushAccepted) => progress.accepted |= text(row, 3)?.parse() != Ok(0_u16),
            Some(StepKind::DeviceRegistered) => {
                progress.registered.push(text(row, 3)?);
                if let Some(pushed) = progress.pushed_at {
                    progress.woken_after.get_or_insert(at.saturating_sub(pushed).max(0));
                }
            }
            _ => {
                let result = HoldResult::from_word(&text(row, 3)?);
                let good = if progress.is_request {
                    HoldResult::Woken
                } else {
                    HoldResult::Connected
                };
                progress.connected = result == Some(good);
            }
        }
    }
    Ok(Summary::of(calls.values()))
}

impl Summary {
    fn of<'a>(calls: impl Iterator<Item = &'a Progress>) -> Self {
        let (mut summary, mut times) = (Self::default(), Vec::new());
        let mut daemons = BTreeMap::<&str, DaemonSummary>::new();
        for call in calls {
            if !call.daemon.is_empty() {
                daemons.entry(&call.daemon).or_default().add(call);
            }
            let pushed = call.pushed_at.is_some();
            summary.calls += 1;
            summary.connected += u64::from(call.connected);
            summary.pushed += u64::from(pushed);
            summary.accepted += u64::from(pushed && call.accepted);
            summary.registered += u64::from(call.woken_after.is_some());
            summary.answered += u64::from(call.woken_after.is_some() && call.connected);
            if let Some(label) = call.by_mobile() {
                summary.by_mobile += 1;
                let is_in_place = !call.registered.contains(label);
                summary.by_mobile_in_place += u64::from(is_in_place);
                summary.by_mobile_without_push += u64::from(is_in_place && !call.pushed.contains(label));
            }
            times.extend(call.woken_after);
        }
        summary.wake = Latency::of(times);
        summary.daemons = daemons.into_values().collect();
        summary
    }
}

impl DaemonSummary {
    fn add(&mut self, call: &Progress) {
        self.daemon.clone_from(&call.daemon);
        self.calls += 1;
        self.connected += u64::from(call.connected);
        self.pushed += u64::from(call.pushed_at.is_some());
        self.registered += u64::from(call.woken_after.is_some());
    }
}

impl Latency {
    fn of(mut times: Vec<i64>) -> Self {
        times.sort_unstable();
        let ends = BARS_MS.into_iter().map(Some).chain([None]);
        let mut from = 0;
        let histogram = ends.map(|to_ms| {
            let to = to_ms.map_or(times.len(), |to| times.partition_point(|time| *time <= to));
            let count = (to - from) as u64;
            from = to;
            Bar { to_ms, count }
        });
        let histogram = histogram.collect();
        // The percentile: the smallest time that so many hundredths do not exceed.
        let rank = |hundredths: usize| {
            times
                .get((times.len() * hundredths).div_ceil(100).checked_sub(1)?)
                .copied()
        };
        Self {
            count: times.len() as u64,
            p50_ms: rank(50),
            p90_ms: rank(90),
            p99_ms: rank(99),
            histogram,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(rows: &[(u128, i64, &str, &str)]) -> Connection {
        let store = Connection::open_in_memory().unwrap();
        store.execute_batch(include_str!("../../schema.sql")).unwrap();
        for (call, at, event, detail) in rows {
            let sql = "INSERT INTO journal (at_ms, call, aor_user, aor_domain, event, detail) VALUES (?1, ?2, 'u', 'd', ?3, ?4)";
            let call = Uuid::from_u128(*call).to_string();
            store.execute(sql, params![at, call, event, detail]).unwrap();
        }
        store
    }

    #[test]
    fn phone_that_answers_without_a_push_to_it_is_counted() {
        let connected = r#"{"result":"connected"}"#;
        let (one, other) = (r#"{"device":"fcm:a:1"}"#, r#"{"device":"fcm:a:2"}"#);
        let store = store(&[
            // Pushed, and it answered.
            (1, 100, "call-held", "{}"),
            (1, 101, "push-sent", one),
            (1, 102, "leg-answered", one),
            (1, 103, "call-over", connected),
            // Awake.
            (2, 200, "call-held", "{}"),
            (2, 201, "leg-answered", one),
            (2, 202, "call-over", connected),
            // Awake, while another phone was pushed.
            (3, 300, "call-held", "{}"),
            (3, 301, "push-sent", other),
            (3, 302, "leg-answered", one),
            (3, 303, "call-over", connected),
            // Pushed for this call and another one's, and rung where it was registered.
            (6, 310, "call-held", "{}"),
            (6, 311, "push-shared", one),
            (6, 312, "leg-answered", one),
            (6, 313, "call-over", connected),
            // Woken.
            (7, 320, "call-held", "{}"),
            (7, 321, "push-sent", one),
            (7, 322, "device-registered", one),
            (7, 323, "leg-answered", one),
            (7, 324, "call-over", connected),
            // A desk phone.
            (4, 400, "call-held", "{}"),
            (4, 401, "leg-answered", r#"{"device":"binding"}"#),
            (4, 402, "call-over", connected),
            // The caller hung up at the same moment.
            (5, 500, "call-held", "{}"),
            (5, 501, "leg-answered", one),
            (5, 502, "call-over", r#"{"result":"abandoned"}"#),
        ]);
        let summary = since(&store, 100, None).unwrap();
        assert_eq!(
            (
                summary.connected,
                summary.by_mobile,
                summary.by_mobile_in_place,
                summary.by_mobile_without_push
            ),
            (6, 5, 4, 2)
        );
    }

    #[test]
    fn calls_are_counted_by_how_far_they_came() {
        let connected = r#"{"result":"connected"}"#;
        let store = store(&[
            // Began before: not counted, and neither are its steps.
            (1, 50, "call-held", "{}"),
            (1, 120, "push-sent", "{}"),
            // Woken and connected, with two pushes.
            (2, 100, "call-held", "{}"),
            (2, 101, "push-sent", "{}"),
            (2, 110, "push-accepted", "{}"),
            (2, 5_101, "push-sent", "{}"),
            (2, 6_101, "device-registered", "{}"),
            (2, 6_200, "device-registered", "{}"),
            (2, 7_000, "call-over", connected),
            // A desk phone answered; the mobile phone did not wake.
            (3, 200, "call-held", "{}"),
            (3, 201, "push-sent", "{}"),
            (3, 900, "call-over", connected),
            // No provider was asked.
            (5, 210, "call-held", "{}"),
            (5, 211, "push-sent", "{}"),
            (5, 212, "push-accepted", r#"{"status":0}"#),
            // A phone that was awake; nobody answered.
            (4, 300, "call-held", "{}"),
            (4, 301, "device-registered", "{}"),
            (4, 900, "call-over", r#"{"result":"timeout"}"#),
            // A line that was not written by fswake.
            (4, 901, "call-over", "{"),
            (4, 902, "call-over", r#"{"result":7}"#),
            (4, 903, "call-over", r#"{"result":{"connected":true}}"#),
            (4, 904, "call-over", r#"["connected"]"#),
        ]);
        let summary = since(&store, 100, None).unwrap();
        let Summary {
            calls,
            connected,
            pushed,
            accepted,
            registered,
            answered,
            by_mobile,
            by_mobile_in_place,
            by_mobile_without_push,
            wake,
            daemons,
        } = summary;
        assert_eq!(daemons, []);
        assert_eq!(
            (calls, connected, pushed, accepted, registered, answered),
            (4, 2, 3, 1, 1, 1)
        );
        assert_eq!((by_mobile, by_mobile_in_place, by_mobile_without_push), (0, 0, 0));
        assert_eq!((wake.count, wake.p50_ms, wake.p99_ms), (1, Some(6_000), Some(6_000)));
        let bars: Vec<_> = wake.histogram.iter().filter(|bar| bar.count > 0).collect();
        assert_eq!(
            bars,
            [&Bar {
                to_ms: Some(8_000),
                count: 1
            }]
        );
        assert_eq!(since(&store, 9_000, None).unwrap().wake.p50_ms, None);
    }

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let latency = Latency::of((1..=200).collect());
        assert_eq!(
            (latency.p50_ms, latency.p90_ms, latency.p99_ms),
            (Some(100), Some(180), Some(198))
        );
        assert_eq!(latency.histogram.iter().map(|bar| bar.count).sum::<u64>(), 200);
        assert_eq!(
            latency.histogram[0],
            Bar {
                to_ms: Some(250),
                count: 200
            }
        );
        assert_eq!(
            Latency::of(vec![70_000]).histogram.last(),
            Some(&Bar { to_ms: None, count: 1 })
        );
    }

    #[test]
    fn the_question_has_its_index() {
        let store = store(&[]);
        let plan: String = store
            .query_row(&format!("EXPLAIN QUERY PLAN {}", steps(true)), [0], |row| row.get(3))
            .unwrap();
        assert!(plan.contains("journal_by_age"), "{plan}");
    }
}
