//! Daemons that share a store in a real PostgreSQL: each shows the wakes of all of them.

use std::time::Duration;

use fswake_test_support::postgres::Server;
use serde_json::Value;

use crate::harness::*;
use crate::shared::sharing;

/// A stage whose daemon has a name.
async fn named(server: &Server, name: &str) -> Stage {
    let mut stage = sharing(server).await;
    stage.set("cluster.name", name);
    stage.set("freeswitch.name", format!("fs-{name}"));
    stage
}

async fn ask(daemon: &Daemon, path: &str) -> Value {
    let url = url(daemon, path).await;
    let answer = reqwest::get(&url).await.unwrap();
    answer.json().await.unwrap()
}

/// Callees and daemons of the wakes that a daemon lists, newest first.
async fn listed(daemon: &Daemon) -> Vec<(String, String)> {
    let wakes = ask(daemon, "/v1/wakes").await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let wakes = wakes["wakes"].as_array().unwrap();
    wakes
        .iter()
        .map(|wake| (text(&wake["aor"]), text(&wake["daemon"])))
        .collect()
}

/// Waits until a daemon lists these callees and daemons, in any order, and all these wakes are over.
async fn lists(daemon: &Daemon, expected: &[(&str, &str)]) {
    let mut expected: Vec<_> = expected
        .iter()
        .map(|(user, daemon)| (format!("{user}@{DOMAIN}"), (*daemon).to_owned()))
        .collect();
    expected.sort();
    soon("the wakes of all daemons", async {
        loop {
            let mut found = listed(daemon).await;
            found.sort();
            if found == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

/// A call to a user without a phone, to its end.
async fn missed(stage: &Stage, daemon: &Daemon, user: &str) {
    let from = daemon.log.len();
    let _held = stage.call(daemon, user);
    daemon.log.wait_from(from, &["call over", "no-device"]).await;
}

#[tokio::test]
async fn wakes_of_all_daemons_are_shown_by_each() {
    let Some(server) = Server::start() else { return };
    let (here, there) = (named(&server, "north").await, named(&server, "south").await);
    let (near, far) = (here.start().await, there.start().await);
    missed(&here, &near, "1001").await;
    missed(&there, &far, "1002").await;
    for (stage, daemon) in [(&here, &near), (&there, &far)] {
        lists(daemon, &[("1001", "north"), ("1002", "south")]).await;
        stage.journal("call-over", 2).await;
        for (user, by) in [("1001", "by north at fs-north"), ("1002", "by south at fs-south")] {
            let (code, stdout, stderr) = stage.tool(&["trace", user]).await;
            assert_eq!((code, stderr.as_str()), (Some(0), ""));
            let first = stdout.lines().next().unwrap();
            assert!(first.ends_with(&format!("to {user}@{DOMAIN}  {by}")), "{stdout}");
            assert!(stdout.contains("(no-device)"), "{stdout}");
        }
        let summary = ask(daemon, "/v1/summary").await;
        let daemons = &summary["windows"][0]["daemons"];
        assert_eq!(
            (daemons[0]["daemon"].as_str(), daemons[0]["calls"].as_u64()),
            (Some("north"), Some(1))
        );
        assert_eq!(
            (daemons[1]["daemon"].as_str(), daemons[1]["calls"].as_u64()),
            (Some("south"), Some(1))
        );
        assert_eq!(summary["others_missing_since_ms"], Value::Null);
        let (_, stdout, _) = stage.tool(&["--wide", "doctor"]).await;
        assert!(
            stdout.contains("2 calls in the last ") && stdout.contains(" (north: 1, south: 1); of "),
            "{stdout}"
        );
        assert!(stdout.contains("shared journal: this fswake is \""), "{stdout}");
        assert!(stdout.contains("all its lines are sent"), "{stdout}");
    }
    let call = ask(&near, "/v1/wakes").await["wakes"][0]["call"]
        .as_str()
        .unwrap()
        .to_owned();
    let wake = ask(&near, &format!("/v1/wakes/{call}")).await;
    assert_eq!((&wake["daemon"], &wake["node"]), (&"south".into(), &"fs-south".into()));
    assert_eq!(wake["steps"][0]["daemon"], Value::Null, "only where it differs");
    for line in [
        "fswake_node_up{node=\"fs-north\"} 1",
        "fswake_node_held_calls{node=\"fs-north\"} 0",
        "fswake_node_registrations_total{node=\"fs-north\"} 0",
    ] {
        here.measured(&near, line).await;
    }
    near.asleep(&here.iphone("1003")).await;
    let _held = here.call(&near, "1003");
    here.push().await;
    here.measured(&near, "fswake_node_held_calls{node=\"fs-north\"} 1")
        .await;
    let url = url(&near, "/metrics").await;
    let metrics = reqwest::get(&url).await.unwrap().text().await.unwrap();
    assert!(
        !metrics.contains("fswake_node_registrations_total{node=\"fs-north\"} 0"),
        "{metrics}"
    );
}

#[tokio::test]
async fn wakes_while_postgresql_is_down_are_shown_by_all_later_and_until_then_some_are_said_to_be_missing() {
    let Some(server) = Server::start() else { return };
    let (here, there) = (named(&server, "north").await, named(&server, "south").await);
    let (near, far) = (here.start().await, there.start().await);
    missed(&there, &far, "1000").await;
    lists(&near, &[("1000", "south")]).await;
    server.kill();
    near.log.wait(&[" ERROR ", "the shared store cannot be used"]).await;
    far.log.wait(&[" ERROR ", "the shared store cannot be used"]).await;
    missed(&here, &near, "1001").await;
    missed(&there, &far, "1002").await;
    // As half a minute later.
    here.journal("call-over", 2).await;
    let store = rusqlite::Connection::open(here.dir.path().join("fswake.db")).unwrap();
    let earlier = "UPDATE shared_journal SET read_at_ms = read_at_ms - 31000";
    soon("the file", async {
        while store.execute(earlier, []).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let wakes = ask(&near, "/v1/wakes").await;
    assert!(
        wakes["others_missing_since_ms"].as_i64().is_some_and(|since| since > 0),
        "{wakes}"
    );
    let (code, stdout, stderr) = here.tool(&["trace", "1001"]).await;
    assert_eq!(code, Some(0));
    assert!(stdout.contains("by north"), "{stdout}");
    assert!(
        stderr.contains("wakes of other daemons since ") && stderr.contains("are missing: PostgreSQL does not answer"),
        "{stderr}"
    );
    let (_, stdout, _) = here.tool(&["--wide", "doctor"]).await;
    assert!(
        stdout.contains("other daemons: the calls of other daemons since "),
        "{stdout}"
    );
    // One of them is killed, with lines in its file.
    there.journal("call-over", 2).await;
    far.kill().await;
    let far = there.start().await;
    server.resume();
    for daemon in [&near, &far] {
        lists(daemon, &[("1000", "south"), ("1001", "north"), ("1002", "south")]).await;
    }
    let (_, _, stderr) = here.tool(&["trace", "1001"]).await;
    assert_eq!(stderr, "", "none is missing now");
}

/// All lines of a file that are of this daemon.
fn lines_of(stage: &Stage, daemon: &str) -> Vec<(String, i64, String)> {
    let store = rusqlite::Connection::open(stage.dir.path().join("fswake.db")).unwrap();
    let sql = "SELECT call, at_ms, event || detail FROM journal WHERE daemon = ?1 ORDER BY call, at_ms, event, detail";
    let mut query = store.prepare(sql).unwrap();
    let rows = query.query_map([daemon], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

/// Kills a daemon while it writes and sends lines. `FSWAKE_ROUNDS` sets how often.
#[tokio::test]
async fn no_line_is_lost_or_doubled_when_a_daemon_is_killed() {
    let Some(server) = Server::start() else { return };
    let rounds = std::env::var("FSWAKE_ROUNDS").map_or(5, |rounds| rounds.parse().unwrap());
    let (here, there) = (named(&server, "north").await, named(&server, "south").await);
    let near = here.start().await;
    let mut far = there.start().await;
    for round in 0..rounds {
        let calls: Vec<_> = (0..8).map(|n| there.call(&far, &format!("{round}-{n}"))).collect();
        // Before and after the lines are in the file, and before and after they are in PostgreSQL.
        tokio::time::sleep(Duration::from_millis(round * 13 % 250)).await;
        far.kill().await;
        drop(calls);
        far = there.start().await;
    }
    missed(&there, &far, "last").await;
    soon("all lines at the other daemon", async {
        loop {
            let own = lines_of(&there, "south");
            if own == lines_of(&here, "south") && own.iter().any(|(.., step)| step.contains("call-over")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    let new = named(&server, "east").await;
    let third = new.start().await;
    let own = lines_of(&there, "south");
    soon("all lines in PostgreSQL", async {
        while lines_of(&new, "south") != own {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    drop((near, far, third));
}

#[tokio::test]
async fn doctor_and_export_create_no_tables() {
    let Some(server) = Server::start() else { return };
    let stage = sharing(&server).await;
    stage.write();
    let (_, stdout, _) = stage.tool(&["--wide", "doctor"]).await;
    assert!(stdout.contains("fswake's tables are not there yet"), "{stdout}");
    let devices = stage.dir.path().join("devices").display().to_string();
    let (code, _, stderr) = stage.tool(&["export", &devices]).await;
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("fswake's tables are not there: the daemon creates them"),
        "{stderr}"
    );
    let (_, stdout, _) = stage.tool(&["--wide", "doctor"]).await;
    assert!(stdout.contains("fswake's tables are not there yet"), "{stdout}");
    let _daemon = stage.start().await;
    let (_, stdout, _) = stage.tool(&["--wide", "doctor"]).await;
    assert!(stdout.contains("/postgres: PostgreSQL 1"), "{stdout}");
}

#[tokio::test]
async fn store_file_that_was_replaced_is_reported() {
    let mut stage = Stage::new().await;
    let daemon = stage.start().await;
    // The doctor asks the daemon.
    stage.set("http.addresses", vec![daemon.http().await.to_string()]);
    stage.write();
    let file = stage.dir.path().join("fswake.db");
    std::fs::rename(&file, stage.dir.path().join("old.db")).unwrap();
    let words = "the store's file was moved, deleted or replaced: fswake writes to the old one until it is restarted";
    daemon.log.wait(&[" ERROR ", words]).await;
    let (_, stdout, _) = stage.tool(&["--wide", "doctor"]).await;
    assert!(
        stdout.contains("file in use: ") && stdout.contains("fswake writes to the old file"),
        "{stdout}"
    );
    std::fs::rename(stage.dir.path().join("old.db"), &file).unwrap();
    soon("the doctor is content", async {
        while stage.tool(&["doctor"]).await.1.contains("file in use") {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
}
