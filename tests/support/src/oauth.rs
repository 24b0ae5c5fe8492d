//! Access tokens, as the token servers of the stand-ins issue them (RFC 6749 section 5).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::http2::{HttpRequest, Reply};

/// The tokens of one token server, by a clock that tests can move.
pub(crate) struct AccessTokens {
    prefix: &'static str,
    lifetime: Duration,
    offset: Duration,
    asked: usize,
    /// Each token that is valid, and when it ends.
    tokens: Vec<(String, Duration)>,
    given: Vec<String>,
}

/// What a token is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Worth {
    Valid,
    Expired,
    Unknown,
}

impl AccessTokens {
    /// None yet.
    pub(crate) fn new(prefix: &'static str, lifetime: Duration) -> Self {
        Self {
            prefix,
            lifetime,
            offset: Duration::ZERO,
            asked: 0,
            tokens: Vec::new(),
            given: Vec::new(),
        }
    }

    /// The stand-in's clock: the time since 1970.
    pub(crate) fn now(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + self.offset
    }

    /// Moves the clock forward.
    pub(crate) fn advance(&mut self, by: Duration) {
        self.offset += by;
    }

    /// Makes all issued tokens invalid.
    pub(crate) fn revoke(&mut self) {
        self.tokens.clear();
    }

    /// How many requests for a token there were.
    pub(crate) fn asked(&self) -> usize {
        self.asked
    }

    /// Every token issued so far.
    pub(crate) fn given(&self) -> Vec<String> {
        self.given.clone()
    }

    /// Answers a request: with a token, or with a refusal.
    pub(crate) fn answer(&mut self, refusal: Option<(u16, Value)>) -> Reply {
        if let Some((status, refusal)) = refusal {
            self.asked += 1;
            return Reply::json(status, &refusal);
        }
        let (token, lifetime) = (self.issue(), self.lifetime.as_secs());
        let grant = json!({ "access_token": token, "expires_in": lifetime, "token_type": "Bearer" });
        Reply::json(200, &grant)
    }

    /// A new token.
    pub(crate) fn issue(&mut self) -> String {
        self.asked += 1;
        let now = self.now();
        let token = format!("{}{}-{}", self.prefix, self.asked, now.as_nanos());
        self.tokens.push((token.clone(), now + self.lifetime));
        self.given.push(token.clone());
        token
    }

    /// What a token is worth now.
    pub(crate) fn worth(&self, token: &str) -> Worth {
        match self.tokens.iter().find(|(own, _)| own == token) {
            None => Worth::Unknown,
            Some((_, end)) if *end <= self.now() => Worth::Expired,
            Some(_) => Worth::Valid,
        }
    }

    /// What the token of a request is worth (RFC 6750 section 2.1).
    pub(crate) fn worth_of(&self, request: &HttpRequest) -> Worth {
        let token = request.header("authorization").strip_prefix("Bearer ");
        token.map_or(Worth::Unknown, |token| self.worth(token))
    }
}
