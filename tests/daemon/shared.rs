//! Two daemons, each with a FreeSWITCH of its own, that share a store in a real PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use fswake::postgres::Dsn;
use fswake_test_support::freeswitch::PhoneSpec;
use fswake_test_support::postgres::{PASSWORD, Server};

use crate::handover::Successors;
use crate::harness::*;

/// A stage whose daemon shares the store of this server.
pub async fn sharing(server: &Server) -> Stage {
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
    // It is also known after a restart without PostgreSQL.
    drop(held);
    near.kill().await;
    server.kill();
    let near = here.start().await;
    near.log.wait(&[" ERROR ", "the shared store cannot be used"]).await;
    let _held = here.call(&near, "1001");
    here.push().await;
}

#[tokio::test]
async fn registrations_while_postgresql_is_down_reach_all_daemons_later() {
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

/// One process of a daemon takes over from another, and goes on with its file.
#[tokio::test]
async fn changes_of_other_daemons_during_a_handover_are_not_missed() {
    let Some(server) = Server::start() else { return };
    let (here, there) = (sharing(&server).await, sharing(&server).await);
    let (mut near, far) = (here.start().await, there.start().await);
    let mut successors = Successors::default();
    near.signal("USR2");
    for n in 0..40 {
        far.registered(&there.iphone(&format!("{}", 2000 + n))).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    successors.nth(&near, 1).await;
    near.log.wait(&["the earlier process has ended"]).await;
    assert_eq!(near.exit_code().await, Some(0));
    here.stored(40).await;
    here.measured(&near, "fswake_devices 40").await;
    // What the new process learns reaches the others.
    near.registered(&here.iphone("3000")).await;
    there.stored(41).await;
}

#[tokio::test]
async fn doctor_reports_errors_of_a_shared_store_and_how_changes_arrive() {
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
    for (url, words) in [
        // A certificate by an authority that is not trusted, and one of another host.
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
        let output = found(&stage).await;
        assert!(
            output.contains("shared store") && output.contains(words),
            "{words}: {output}"
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
async fn doctor_reports_that_changes_are_polled_if_notifications_do_not_arrive() {
    let Some(server) = Server::start() else { return };
    let (here, there) = (sharing(&server).await, sharing(&server).await);
    let (near, far) = (here.start().await, there.start().await);
    here.measured(&near, "fswake_shared_store_notified 1").await;
    // Rows arrive as by replication between servers: with an earlier time, and without a notification.
    let dsn = Dsn::read(&server.url("pbx", "postgres"), Some(PASSWORD)).unwrap();
    let client = fswake::postgres::connect(&dsn).await.unwrap();
    let replaced = client.batch_execute(
        "CREATE OR REPLACE FUNCTION fswake_written() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN NEW.written := clock_timestamp() - interval '1 minute';
               NEW.written_in := pg_current_xact_id()::text::bigint; RETURN NEW; END $$",
    );
    replaced.await.unwrap();
    far.asleep(&there.iphone("1001")).await;
    near.log.wait(&["event=DeviceChangedElsewhere", "aor=1001@"]).await;
    here.measured(&near, "fswake_shared_store_notified 0").await;
    let (_, stdout, _) = here.tool(&["--wide", "doctor"]).await;
    assert!(
        stdout.contains("changes are read every 2 s: notifications do not"),
        "{stdout}"
    );
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
    let (code, stdout, _) = alone.tool(&["export", &moved]).await;
    assert_eq!((code, stdout), (Some(0), format!("{moved}: 2 devices\n")));
    let again = alone.tool(&["export", &moved]).await;
    assert_eq!(again.0, Some(1), "nothing is overwritten");
    // A running daemon gets the imported devices.
    let sharing = sharing(&server).await;
    let daemon = sharing.start().await;
    let (code, stdout, stderr) = sharing.tool(&["import", &moved]).await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("imported 2 devices of"), "{stdout}");
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
    let (code, stdout, _) = alone.tool(&["import", &back]).await;
    assert_eq!(code, Some(0));
    assert!(
        stdout.contains("read 2 devices of") && stdout.contains("imported 2;"),
        "{stdout}"
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

/// The users and tokens of a daemon's file, sorted.
fn devices(stage: &Stage) -> Vec<(String, String)> {
    let store = rusqlite::Connection::open(stage.dir.path().join("fswake.db")).unwrap();
    let sql = "SELECT aor_user, token FROM devices ORDER BY aor_user, token";
    let mut query = store.prepare(sql).unwrap();
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// Waits until a daemon's file has exactly these users and tokens.
async fn has_devices(stage: &Stage, who: &str, expected: &[(String, String)]) {
    let began = std::time::Instant::now();
    loop {
        let stored = devices(stage);
        if stored == expected {
            return;
        }
        if began.elapsed() > LONG {
            let lost: Vec<_> = expected.iter().filter(|device| !stored.contains(device)).collect();
            let wrong: Vec<_> = stored.iter().filter(|device| !expected.contains(device)).collect();
            panic!("{who}: lost {lost:?}; has instead {wrong:?}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Kills fswake, PostgreSQL or both while phones register. `FSWAKE_ROUNDS` sets how often.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phones_that_registered_are_known_to_all_daemons_after_kills() {
    const PHONES: u64 = 12;
    let Some(server) = Server::start() else { return };
    let server = Arc::new(server);
    let rounds = std::env::var("FSWAKE_ROUNDS").map_or(3, |rounds| rounds.parse().unwrap());
    let (here, there) = (sharing(&server).await, sharing(&server).await);
    let near = here.start().await;
    let mut far = there.start().await;
    let mut expected = Vec::new();
    // All phones stay registered: a restarted daemon reads them from its FreeSWITCH.
    let mut phones = Vec::new();
    for round in 0..rounds {
        // The moment differs from round to round: at the start of the burst, in it, or just after it.
        let moment = Duration::from_millis(round * 7 % 60);
        let burst = async {
            for n in 0..PHONES {
                let mut user = format!("{round}-{n}");
                let phone = there.iphone(&user);
                phone.register();
                tokio::time::sleep(Duration::from_millis(3)).await;
                let params = phone.spec().params;
                phones.push(phone);
                if n % 4 == 0 {
                    // Another user signs in on this phone, at the other FreeSWITCH. Its daemon is never killed.
                    user = format!("{round}-{n}-moved");
                    let moved = here.fs.phone(PhoneSpec::new(&user, DOMAIN).params(&params));
                    moved.register();
                    phones.push(moved);
                }
                let token = params.rsplit('=').next().unwrap().to_owned();
                expected.push((user, token));
            }
        };
        let of_server = async |act: fn(&Server)| {
            let server = Arc::clone(&server);
            tokio::task::spawn_blocking(move || act(&server)).await.unwrap();
        };
        let kills = async {
            let mut daemon = far;
            tokio::time::sleep(moment).await;
            if round % 3 != 0 {
                of_server(Server::kill).await;
            }
            if round % 3 != 1 {
                daemon.kill().await;
                daemon = there.start().await;
            }
            if round % 3 != 0 {
                of_server(Server::resume).await;
            }
            daemon
        };
        ((), far) = tokio::join!(burst, kills);
    }
    expected.sort();
    has_devices(&there, "the daemon that was killed", &expected).await;
    has_devices(&here, "the other daemon", &expected).await;
    // In memory too.
    let line = format!("fswake_devices {}", expected.len());
    there.measured(&far, &line).await;
    here.measured(&near, &line).await;
    // And in PostgreSQL.
    let new = sharing(&server).await;
    let third = new.start().await;
    has_devices(&new, "PostgreSQL", &expected).await;
    for daemon in [near, far, third] {
        assert_eq!(daemon.log.count(&["panicked"]), 0);
    }
}
