//! Subscribes to another phone's calls, as the lamp of a desk phone does (RFC 4235).

use std::sync::Arc;

use super::auth::Challenge;
use super::{Message, Phone, What, finish, unique};

impl Phone {
    /// Subscribes to the calls of a user of its domain. Returns the last status.
    pub async fn watch(&self, user: &str) -> u16 {
        let account = self.account().clone();
        let (call_id, tag) = (unique(), unique());
        let uri = format!("sip:{user}@{}", account.domain);
        let mut proof = String::new();
        for _ in 0..3 {
            let sequence = self.next_sequence();
            let head = format!(
                "SUBSCRIBE {uri} SIP/2.0\r\nVia: {}\r\nMax-Forwards: 70\r\nFrom: <sip:{}@{}>;tag={tag}\r\n\
                 To: <{uri}>\r\nCall-ID: {call_id}\r\nCSeq: {sequence} SUBSCRIBE\r\nContact: {}\r\nEvent: dialog\r\n\
                 Accept: application/dialog-info+xml\r\nExpires: 600\r\nUser-Agent: live-phone\r\n{proof}",
                self.via(&format!("z9hG4bK{}", unique())),
                account.user,
                account.domain,
                self.plain_contact(),
            );
            let answer = self
                .transact(&finish(head, ""), sequence, "SUBSCRIBE", account.server)
                .await;
            let Some(answer) = answer else { return 0 };
            match (answer.status(), Challenge::read(&answer)) {
                (Some(401 | 407), Some(mut challenge)) => proof = challenge.prove(&account, "SUBSCRIBE", &uri),
                (status, _) => return status.unwrap_or_default(),
            }
        }
        401
    }

    /// All received NOTIFYs about calls, in order.
    pub fn notices(&self) -> Vec<Arc<Message>> {
        let all = self.happenings().into_iter();
        all.filter_map(|h| match h.what {
            What::Asked(message) if message.method() == "NOTIFY" && message.header("Event").starts_with("dialog") => {
                Some(message)
            }
            _ => None,
        })
        .collect()
    }
}
