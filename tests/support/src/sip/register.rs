//! Registration.

use super::auth::Challenge;
use super::{Phone, unique};

/// The state that the phone's next REGISTER needs.
#[derive(Clone, Debug, Default)]
pub(super) struct Registration {
    call_id: String,
    challenge: Option<Challenge>,
}

impl Phone {
    /// Registers, with the Call-ID and nonce of an earlier registration, if any. Returns the last status.
    pub async fn register(&self) -> u16 {
        self.register_for(3600).await
    }

    /// Registers with a Contact that the server may not even answer.
    pub async fn wait_registered(&self, patience: std::time::Duration) -> Option<u16> {
        tokio::time::timeout(patience, self.register()).await.ok()
    }

    /// Registers with a new Call-ID, and without the earlier nonce.
    pub async fn register_anew(&self) -> u16 {
        self.lock().registration = Registration::default();
        self.register().await
    }

    /// Registers with this Call-ID.
    pub async fn register_as(&self, call_id: &str) -> u16 {
        self.lock().registration = Registration {
            call_id: call_id.to_owned(),
            challenge: None,
        };
        self.register().await
    }

    /// Un-registers.
    pub async fn unregister(&self) -> u16 {
        self.register_for(0).await
    }

    /// Registers for this many seconds.
    pub async fn register_for(&self, expires: u32) -> u16 {
        for _ in 0..3 {
            let sequence = self.next_sequence();
            let request = self.register_request(sequence, expires);
            let server = self.account().server;
            let Some(answer) = self.transact(&request, sequence, "REGISTER", server).await else {
                panic!("REGISTER of {} was not answered", self.account().user);
            };
            match answer.status() {
                Some(401) => self.lock().registration.challenge = Challenge::read(&answer),
                status => return status.unwrap_or_default(),
            }
        }
        401
    }

    /// Sends a refresh without waiting for the answer, for bursts. The phone must have registered before.
    pub async fn register_at_once(&self) {
        let sequence = self.next_sequence();
        let request = self.register_request(sequence, 3600);
        let phone = self.clone();
        let server = self.account().server;
        tokio::spawn(async move { phone.transact(&request, sequence, "REGISTER", server).await });
        tokio::task::yield_now().await;
    }

    fn register_request(&self, sequence: u32, expires: u32) -> String {
        let account = self.account();
        let (user, domain) = (&account.user, &account.domain);
        let uri = format!("sip:{domain}");
        let contact = self.contact();
        let mut state = self.lock();
        if state.registration.call_id.is_empty() {
            state.registration.call_id = unique();
        }
        let call_id = state.registration.call_id.clone();
        let challenge = state.registration.challenge.as_mut();
        let authorization = challenge.map(|c| c.prove(account, "REGISTER", &uri));
        drop(state);
        format!(
            "REGISTER {uri} SIP/2.0\r\nVia: {}\r\nMax-Forwards: 70\r\n\
             From: <sip:{user}@{domain}>;tag={}\r\nTo: <sip:{user}@{domain}>\r\nCall-ID: {call_id}\r\n\
             CSeq: {sequence} REGISTER\r\nContact: {contact}\r\nExpires: {expires}\r\nUser-Agent: live-phone\r\n\
             {}Content-Length: 0\r\n\r\n",
            self.via(&format!("z9hG4bK{}", unique())),
            unique(),
            authorization.unwrap_or_default()
        )
    }
}
