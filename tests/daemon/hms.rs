//! Phones of Huawei, which have no Google.

use std::time::Duration;

use fswake_test_support::freeswitch::*;
use fswake_test_support::hms::{APP, Hms, SECRET, answer};

use crate::harness::*;
use crate::outcomes::result_of;

#[tokio::test]
async fn sleeping_huawei_phone_is_pushed_woken_and_connected_and_its_bad_token_set_aside() {
    let huawei = Hms::start().await;
    let mut stage = Stage::new().await;
    stage.app(&format!("name = 'huawei'\napp-ids = ['{APP}']\n{}", huawei.app()));
    stage.secret(SECRET);
    let daemon = stage.start().await;
    let token = format!("IQAAAACy{}", hex_token());
    stage.secret(&token);
    let params = format!("pn-provider=hms;pn-param={APP};pn-prid={token}");
    let phone = stage.fs.phone(PhoneSpec::new("1001", DOMAIN).params(&params));
    phone.set_behaviour(Behaviour::Rings(Duration::ZERO, Some(Duration::from_millis(50))));
    daemon.asleep(&phone).await;
    let held = stage
        .fs
        .call(&Call::to(daemon.address, "1001", DOMAIN).from("+4930123", "Zoë \"&\" Co"));
    let sent = soon("push to Huawei", huawei.next_push()).await;
    assert_eq!((sent.code, sent.reason), ("80000000", ""));
    assert_eq!(sent.data["caller-name"], "Zoë \"&\" Co");
    phone.wake();
    assert_eq!(sent.data["sip-call-id"], phone.invite(1).await.call_id);
    held.wait_bridged().await;
    for given in huawei.tokens_given() {
        stage.secret(&given);
    }
    phone.hang_up();
    let line = daemon.summary().await;
    assert!(field(&line, "answered_by").starts_with("hms:10086000:"), "{line}");

    let from = daemon.log.len();
    phone.expire();
    daemon.log.wait_from(from, &["Unregistered("]).await;
    huawei
        .faults
        .next(answer(200, "80300007", "All the tokens are invalid"));
    assert_eq!(result_of(&stage.call(&daemon, "1001")).await, "unreachable");
    daemon.log.wait(&["80300007: all tokens are invalid"]).await;
    stage.stored(1).await;
    assert_eq!(huawei.pushes_so_far().await.len(), 1);
}
