//! Voicemail: FreeSWITCH reports a mailbox's state, and fswake pushes it to phones whose app wants that.

use serde_json::json;

use crate::harness::*;

/// The event of mod_voicemail, with the Call-ID of a subscriber if one has asked.
fn tell(stage: &Stage, account: &str, counts: &str, asked_by: Option<&str>) {
    let mut headers = vec![
        ("MWI-Messages-Waiting", "yes"),
        ("MWI-Message-Account", account),
        ("MWI-Voice-Message", counts),
    ];
    headers.extend(asked_by.map(|id| ("Call-ID", id)));
    stage.fs.fire("MESSAGE_WAITING", &headers, "");
}

#[tokio::test]
async fn change_of_a_mailbox_is_pushed_once_to_phones_whose_app_wants_it() {
    let mut stage = Stage::with_android().await;
    stage.set_app("voicemail-push", true);
    let daemon = stage.start().await;
    let (android, iphone) = (stage.android("1001"), stage.iphone("1001"));
    daemon.asleep(&android).await;
    daemon.asleep(&iphone).await;

    // FusionPBX sends the event once for each profile.
    for _ in 0..3 {
        tell(&stage, "sip:1001@fs.test", "2/1 (0/0)", None);
    }
    let push = stage.android_push().await;
    assert_eq!(
        push.message["notification"],
        json!({"title": "Voicemail", "body": "New messages: 2"})
    );
    assert_eq!(
        push.message["data"],
        json!({"kind": "voicemail", "new": "2", "saved": "1", "new_urgent": "0", "saved_urgent": "0"})
    );
    // A phone subscribes, and then the user plays a message.
    tell(&stage, "1001@fs.test", "2/1 (0/0)", Some("subscribe@phone"));
    tell(&stage, "1001@fs.test", "1/2 (0/0)", None);
    let push = stage.android_push().await;
    assert_eq!(push.message["data"]["new"], "1");
    assert!(push.message["notification"].is_null(), "{}", push.message);
    daemon.log.wait(&["notification sent", "by=\"voicemail\""]).await;
    assert!(
        stage.apns.pushes_so_far().await.is_empty(),
        "pushed although its app did not ask for it"
    );
    assert_eq!(daemon.log.count(&["voicemail needs no push"]), 3);
}
