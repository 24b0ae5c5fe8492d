//! Two daemons, each with a FreeSWITCH of its own, that share a store in a real PostgreSQL.

use std::time::Duration;

use fswake_test_support::postgres::{PASSWORD, Server};

use crate::harness::*;

/// A stage whose daemon shares the store of this server.
async fn sharing(server: &Server) -> Stage {
    let mut stage = Stage::new().await;
    stage.secret(PASSWORD);
    let file = stage.dir.path().join("postgresql.password");
    std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    stage.set("store.url", server.url("pbx", "postgres"));
    stage.set("store.password-file", file.display().to_string());
    stage
}

#[tokio::test]
async fn phone_that_registered_at_another_freeswitch_is_pushed() {
    let Some(server) = Server::start() else { return };
    let (here, there) = (sharing(&server).await, sharing(&server).await);
    let (near, far) = (here.start().await, there.start().await);
    let phone = there.iphone("1001");
    far.asleep(&phone).await;
    near.log.wait(&["event=DeviceChangedElsewhere", "aor=1001@"]).await;
    let held = here.call(&near, "1001");
    here.push().await;
    // And it is known after a restart, without PostgreSQL too.
    drop(held);
    near.kill().await;
    server.kill();
    let near = here.start().await;
    near.log.wait(&[" ERROR ", "the shared store cannot be used"]).await;
    let _held = here.call(&near, "1001");
    here.push().await;
}

#[tokio::test]
async fn what_phones_register_while_postgresql_is_away_is_known_everywhere_when_it_is_back() {
    let Some(server) = Server::start() else { return };
    let (here, there) = (sharing(&server).await, sharing(&server).await);
    let (near, far) = (here.start().await, there.start().await);
    server.kill();
    near.log.wait(&[" ERROR ", "the shared store cannot be used"]).await;
    let phone = there.iphone("1001");
    far.asleep(&phone).await;
    let _awake = there.call(&far, "1001");
    there.push().await;
    // The daemon that received it is killed before it could send it.
    there.stored(1).await;
    far.kill().await;
    let far = there.start().await;
    server.resume();
    far.log.wait(&["the shared store can be used again"]).await;
    near.log.wait(&["event=DeviceChangedElsewhere", "aor=1001@"]).await;
    let _held = here.call(&near, "1001");
    here.push().await;
}

#[tokio::test]
async fn doctor_says_what_is_wrong_with_a_shared_store_and_how_changes_arrive() {
    let Some(server) = Server::start() else { return };
    let mut stage = sharing(&server).await;
    let daemon = stage.start().await;
    let found = async |stage: &Stage| {
        stage.write();
        let (_, stdout, stderr) = stage.tool(&["--wide", "doctor"]).await;
        stdout + &stderr
    };
    let place = format!("127.0.0.1:{}/postgres", server.port);
    soon("notifications", async {
        while !found(&stage).await.contains("arrive at once (NOTIFY)") {}
    })
    .await;
    assert!(found(&stage).await.contains(&format!("{place}: PostgreSQL 1")));
    daemon.kill().await;
    let localhost = server.url("pbx", "postgres").replace("127.0.0.1", "localhost");
    for (url, said) in [
        // A certificate of nobody whom we trust, and one of another host.
        (
            format!(
                "{localhost}?sslmode=verify-full&sslrootcert={}",
                server.file("other-ca.pem").display()
            ),
            "certificate",
        ),
        (
            format!(
                "{}?sslmode=require&sslrootcert={}",
                server.url("pbx", "postgres"),
                server.file("ca.pem").display()
            ),
            "certificate",
        ),
        (server.url("nobody", "postgres"), "password authentication failed"),
        (server.url("pbx", "none"), "does not exist"),
    ] {
        stage.set("store.url", url);
        let said_of_it = found(&stage).await;
        assert!(
            said_of_it.contains("shared store") && said_of_it.contains(said),
            "{said}: {said_of_it}"
        );
    }
    stage.set(
        "store.url",
        format!(
            "{localhost}?sslmode=verify-full&sslrootcert={}",
            server.file("ca.pem").display()
        ),
    );
    assert!(found(&stage).await.contains("/postgres: PostgreSQL 1"));
}

#[tokio::test]
async fn devices_are_moved_from_sqlite_to_postgresql_and_back() {
    let Some(server) = Server::start() else { return };
    let mut alone = Stage::new().await;
    let daemon = alone.start().await;
    for user in ["1001", "1002"] {
        let phone = alone.iphone(user);
        daemon.asleep(&phone).await;
    }
    alone.stored(2).await;
    daemon.kill().await;
    let moved = alone.dir.path().join("devices.jsonl").display().to_string();
    let (code, said, _) = alone.tool(&["export", &moved]).await;
    assert_eq!((code, said), (Some(0), format!("{moved}: 2 devices\n")));
    let again = alone.tool(&["export", &moved]).await;
    assert_eq!(again.0, Some(1), "nothing is overwritten");
    // A running daemon gets the imported devices.
    let sharing = sharing(&server).await;
    let daemon = sharing.start().await;
    let (code, said, stderr) = sharing.tool(&["import", &moved]).await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(said.contains("imported 2 devices of"), "{said}");
    for user in ["1001", "1002"] {
        daemon
            .log
            .wait(&["event=DeviceChangedElsewhere", &format!("aor={user}@")])
            .await;
    }
    let back = sharing.dir.path().join("back.jsonl").display().to_string();
    assert_eq!(sharing.tool(&["export", &back]).await.0, Some(0));
    let sorted = |file: &str| {
        let text = std::fs::read_to_string(file).unwrap();
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&back), sorted(&moved));
    let store = alone.dir.path().join("new.db").display().to_string();
    alone.set("store.path", store);
    alone.write();
    let (code, said, _) = alone.tool(&["import", &back]).await;
    assert_eq!(code, Some(0));
    assert!(
        said.contains("read 2 devices of") && said.contains("imported 2;"),
        "{said}"
    );
    let daemon = alone.start().await;
    let _held = alone.call(&daemon, "1002");
    alone.push().await;
    std::fs::write(&back, "{\"fswake-devices\":1}\n{\"user\":\"hunter2\"}\n").unwrap();
    let (code, _, stderr) = alone.tool(&["import", &back]).await;
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("line 2: it is not a device") && !stderr.contains("hunter2"),
        "{stderr}"
    );
}

/// Kills fswake, PostgreSQL or both while phones register. `FSWAKE_ROUNDS` sets how often.
#[tokio::test]
async fn phones_that_registered_are_known_to_all_whatever_was_killed_meanwhile() {
    const PHONES: u64 = 12;
    let Some(server) = Server::start() else { return };
    let rounds = std::env::var("FSWAKE_ROUNDS").map_or(3, |rounds| rounds.parse().unwrap());
    let (here, there) = (sharing(&server).await, sharing(&server).await);
    let near = here.start().await;
    let mut far = there.start().await;
    for round in 0..rounds {
        // A moment of its own in each round: at the start of the burst, in it, or just after it.
        let moment = Duration::from_millis(round * 7 % 60);
        let burst = async {
            for n in 0..PHONES {
                there.iphone(&format!("{round}-{n}")).register();
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        };
        let kills = async {
            let mut daemon = far;
            tokio::time::sleep(moment).await;
            if round % 3 != 0 {
                server.kill();
            }
            if round % 3 != 1 {
                daemon.kill().await;
                daemon = there.start().await;
            }
            if round % 3 != 0 {
                server.resume();
            }
            daemon
        };
        ((), far) = tokio::join!(burst, kills);
    }
    let registered = i64::try_from(rounds * PHONES).unwrap();
    there.stored(registered).await;
    here.stored(registered).await;
    for daemon in [near, far] {
        assert_eq!(daemon.log.count(&["panicked"]), 0);
    }
}
