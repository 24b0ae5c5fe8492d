//! What is registered is rung: what FreeSWITCH says when a registration ends, and what it is asked then.

use std::time::Duration;

use fswake_test_support::freeswitch::*;

use crate::harness::*;

const RINGS: Behaviour = Behaviour::Rings(Duration::ZERO, None);

#[tokio::test]
async fn phone_that_reconnected_is_rung_without_a_push_when_its_old_connection_closes() {
    let mut stage = Stage::new().await;
    stage.set("wake.fresh-for", "30s");
    stage.set("wake.push-delay", "5s");
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.change(|spec| spec.transport = "tcp".to_owned());
    phone.set_behaviour(RINGS);
    daemon.registered(&phone).await;
    let was = phone.spec();
    phone.change(|spec| spec.address = "127.0.0.1:45678".to_owned());
    phone.register();
    phone.old_connection_closes(&was);
    daemon.log.wait(&["event=Listed(", "1001"]).await;
    let _held = stage.fs.call(&Call::to(daemon.address, "1001", DOMAIN));
    let invite = phone.invite(1).await;
    assert!(invite.uri.contains("127.0.0.1:45678"), "{}", invite.uri);
    assert_eq!(daemon.log.count(&["command=Push("]), 0);
    assert_eq!(stage.fs.complaints(), Vec::<String>::new());
}
