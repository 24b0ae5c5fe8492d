//! Events that ask for a push: one process answers each of them.

use std::collections::HashMap;
use std::time::Duration;

use fswake_test_support::realfs::{Console, ESL_PASSWORD};

use super::{Successors, send};
use crate::harness::*;

const EVENTS: usize = 300;

#[tokio::test]
async fn events_around_a_handover_are_answered_once() {
    let mut stage = Stage::new().await;
    stage.set("notifications.device-per-minute", 1_000_000);
    let mut daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    let mut script = Console::connect(stage.fs.address(), ESL_PASSWORD).await.unwrap();
    let mut listener = Console::connect(stage.fs.address(), ESL_PASSWORD).await.unwrap();
    listener.subscribe("CUSTOM mobile::push::response").await.unwrap();
    let mut successors = Successors::default();
    let mut on_duty = daemon.pid();
    for round in 1..=2 {
        let asked = async {
            for n in 0..EVENTS {
                let uuid = format!("u-{n}");
                let headers = [("type", "voip"), ("user", "1001"), ("realm", DOMAIN), ("uuid", &uuid)];
                script
                    .send_custom("mobile::push::notification", &headers, "{}")
                    .await
                    .unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let handover = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            send("USR2", on_duty);
            on_duty = successors.nth(&daemon, round).await;
            daemon.log.wait_times(round, &["took over"]).await;
        };
        let mut answers = HashMap::<String, usize>::new();
        let answered = async {
            while answers.len() < EVENTS {
                // The listener itself has a time limit.
                let Ok(event) = listener.event().await else { continue };
                assert_eq!(event.get("response"), Some("sent"));
                *answers.entry(event.get("uuid").unwrap().to_owned()).or_default() += 1;
            }
        };
        tokio::join!(asked, handover, soon("answers", answered));
        // A second answer would come soon after the first.
        let more = tokio::time::timeout(Duration::from_millis(500), listener.event()).await;
        assert!(!matches!(more, Ok(Ok(_))), "{more:?}");
        assert!(answers.values().all(|count| *count == 1), "{answers:?}");
        assert_eq!(stage.apns.pushes_so_far().await.len(), EVENTS);
    }
    assert_eq!(daemon.exit_code().await, Some(0));
    assert_eq!(
        daemon.log.with(&["fswake::mark"]),
        Vec::<String>::new(),
        "each process has its mark"
    );
}
