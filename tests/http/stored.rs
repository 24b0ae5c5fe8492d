//! Answered registrations are in the store: no server sends them again after a crash.

use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::json;

use crate::gateway::{gateway, registration, tell};
use crate::harness::*;

fn open(stage: &Stage) -> Connection {
    Connection::open(stage.dir.path().join("fswake.db")).unwrap()
}

/// The stored tokens, sorted.
fn tokens(store: &Connection) -> Vec<String> {
    let mut query = store.prepare("SELECT token FROM devices ORDER BY token").unwrap();
    let rows = query.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn registration_that_was_answered_survives_a_kill_at_once() {
    const AT_ONCE: u16 = 20;
    let (stage, mut daemon, mut site) = gateway(|_| {}).await;
    let store = open(&stage);
    let mut sent = Vec::new();
    for round in 0..5 {
        // One alone: at the moment of its answer it is in the file.
        let token = hex_token();
        let (_, answer) = tell(&site, registration(&format!("{round}"), 5060, &token, 600)).await;
        assert!(tokens(&store).contains(&token), "{answer}");
        sent.push(token);
        let burst = (0..AT_ONCE).map(|n| {
            let token = hex_token();
            sent.push(token.clone());
            let site = &site;
            async move {
                let user = format!("{round}-{n}");
                let (status, answer) = tell(site, registration(&user, 5060 + n, &token, 600)).await;
                assert_eq!((status, &answer["stored"]), (200, &json!(true)), "{answer}");
            }
        });
        futures_util::future::join_all(burst).await;
        daemon.kill().await;
        sent.sort();
        let stored = tokens(&store);
        let lost = sent.iter().filter(|token| !stored.contains(token)).count();
        assert_eq!((lost, stored.len()), (0, sent.len()));
        daemon = stage.start_alone().await;
        site = crate::site::Site::of(&daemon).await;
    }
    // The end of a registration too.
    let token = hex_token();
    for expires in [600, 0] {
        let (_, answer) = tell(&site, registration("leaves", 5060, &token, expires)).await;
        assert_eq!(answer["stored"], true);
        assert_eq!(tokens(&store).contains(&token), expires > 0);
    }
    daemon.kill().await;
    assert_eq!(tokens(&store), sent);
}

#[tokio::test]
async fn store_that_cannot_be_written_delays_the_answer_by_a_second_and_stored_is_false() {
    let (stage, _daemon, site) = gateway(|_| {}).await;
    let store = open(&stage);
    store.execute_batch("BEGIN IMMEDIATE").unwrap();
    let token = hex_token();
    stage.secret(&token);
    let began = Instant::now();
    let (status, answer) = tell(&site, registration("1001", 5060, &token, 600)).await;
    assert_eq!(
        (status, &answer["registered"], &answer["stored"]),
        (200, &json!(true), &json!(false)),
        "{answer}"
    );
    assert!(began.elapsed() >= Duration::from_secs(1));
    // The phone is known all the same, and is stored once the store can be written.
    let known = site.json("/v1/devices?aor=1001@fs.test").await;
    assert_eq!(known["devices"].as_array().unwrap().len(), 1, "{known}");
    store.execute_batch("COMMIT").unwrap();
    stage.stored(1).await;
    let (_, answer) = tell(&site, registration("1001", 5060, &token, 600)).await;
    assert_eq!(answer["stored"], true);
}

#[tokio::test]
async fn registration_that_the_store_refuses_is_not_answered_as_stored() {
    let (stage, _daemon, site) = gateway(|_| {}).await;
    let store = open(&stage);
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON devices WHEN NEW.aor_user = 'refused'
                  BEGIN SELECT RAISE(ABORT, 'refused'); END";
    store.execute_batch(refuse).unwrap();
    for (user, is_stored) in [("1001", true), ("refused", false), ("1002", true)] {
        let (status, answer) = tell(&site, registration(user, 5060, &hex_token(), 600)).await;
        assert_eq!(
            (status, &answer["stored"]),
            (200, &json!(is_stored)),
            "{user}: {answer}"
        );
    }
    assert_eq!(tokens(&store).len(), 2);
}
