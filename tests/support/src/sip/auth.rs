//! Digest authentication (RFC 2617 as RFC 3261 section 22 uses it).

use std::fmt::Write as _;

use md5::{Digest, Md5};

use super::{Account, Message, unique};

/// A server's challenge, and how often it was used.
#[derive(Clone, Debug)]
pub(super) struct Challenge {
    /// The name of the header for the response to the challenge.
    header: &'static str,
    realm: String,
    nonce: String,
    used: u32,
}

impl Challenge {
    pub fn read(answer: &Message) -> Option<Self> {
        let header = match answer.status() {
            Some(407) => "Proxy-Authorization",
            _ => "Authorization",
        };
        Some(Self {
            header,
            realm: answer.challenge("realm")?.to_owned(),
            nonce: answer.challenge("nonce")?.to_owned(),
            used: 0,
        })
    }

    /// The header for the next request.
    pub fn prove(&mut self, account: &Account, method: &str, uri: &str) -> String {
        self.used += 1;
        let (user, realm, nonce) = (&account.user, &self.realm, &self.nonce);
        let (count, client) = (format!("{:08x}", self.used), unique());
        let first = md5(&format!("{user}:{realm}:{}", account.password));
        let second = md5(&format!("{method}:{uri}"));
        let response = md5(&format!("{first}:{nonce}:{count}:{client}:auth:{second}"));
        format!(
            "{}: Digest username=\"{user}\",realm=\"{realm}\",nonce=\"{nonce}\",uri=\"{uri}\",\
             response=\"{response}\",algorithm=MD5,qop=auth,nc={count},cnonce=\"{client}\"\r\n",
            self.header
        )
    }
}

fn md5(text: &str) -> String {
    let mut hex = String::with_capacity(32);
    for byte in Md5::digest(text.as_bytes()) {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}
