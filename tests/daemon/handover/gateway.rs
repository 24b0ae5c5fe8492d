//! Without FreeSWITCH only one of the two processes is told of a registration.

use std::time::Duration;

use fswake_test_support::apns;
use serde_json::json;

use super::{Successors, send};
use crate::harness::*;

#[tokio::test]
async fn registrations_that_were_answered_are_known_after_the_handover() {
    let mut stage = Stage::new().await;
    stage.set("freeswitch.enabled", false);
    let mut daemon = stage.start_alone().await;
    let url = url(&daemon, "/v1/registrations").await;
    let mut successors = Successors::default();
    let mut on_duty = daemon.pid();
    let mut registered = 0_i64;
    for round in 1..=3 {
        let handover = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            send("USR2", on_duty);
            on_duty = successors.nth(&daemon, round).await;
            daemon.log.wait_times(round, &["took over"]).await;
        };
        let registers = async {
            for n in 0..150 {
                let token = hex_token();
                stage.secret(&token);
                let (team, app) = (apns::TEAM_ID, apns::BUNDLE_ID);
                let user = format!("{}", round * 1000 + n);
                let contact =
                    format!("<sip:{user}@192.0.2.7:5060;pn-provider=apns;pn-param={team}.{app}.voip;pn-prid={token}>");
                let body =
                    json!({ "aor": format!("{user}@{DOMAIN}"), "contact": contact, "expires": 600, "call_id": user });
                // A connection of its own for each, as scripts have. One that the old process no longer answers is
                // repeated.
                soon("answer to a registration", async {
                    loop {
                        let client = reqwest::Client::builder().no_proxy().build().unwrap();
                        let answer = client.post(&url).json(&body).send().await;
                        if answer.is_ok_and(|answer| answer.status().is_success()) {
                            return;
                        }
                    }
                })
                .await;
                registered += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::join!(handover, registers);
    }
    daemon.log.wait_times(3, &["ending: stopped"]).await;
    assert_eq!(daemon.exit_code().await, Some(0));
    stage.stored(registered).await;
    stage.measured(&daemon, &format!("fswake_devices {registered}")).await;
}
