//! Headers of APNs pushes that an operator sets by purpose: `apns-collapse-id`, `apns-expiration` and `apns-priority`.
//!
//! Source: Apple, "Sending notification requests to APNs".

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use crate::clock::unix;
use crate::push::payload::facts::{Facts, NotificationFacts};
use crate::push::payload::message::ApnsPush;
use crate::push::template::{Encoding, Name, TemplateError, Text, Vocabulary};
use crate::types::push::{About, PushPurpose, PushRequest};

/// Longest `apns-collapse-id`, in bytes.
pub const LONGEST_COLLAPSE_ID: usize = 64;

/// What an app sets, by purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApnsRules {
    /// Of two pushes with the same identifier, iOS shows the later in place of the earlier.
    pub collapse_ids: Vec<(PushPurpose, CollapseId)>,
    /// How long Apple may keep a push for a phone that is out of reach; 0 means "now or never".
    pub expirations: Vec<(PushPurpose, Duration)>,
    /// How urgent it is.
    pub priorities: Vec<(PushPurpose, ApnsPriority)>,
}

/// A text for `apns-collapse-id`, with names in it; empty for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CollapseId(Text);

/// `apns-priority`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApnsPriority {
    /// 10: at once.
    AtOnce,
    /// 5: when the phone's battery allows.
    Considerate,
    /// 1: never wakes the phone.
    Passive,
}

impl Default for ApnsRules {
    /// All that a call shows is one notification, and so is all that a mailbox shows.
    fn default() -> Self {
        let call = || CollapseId(Text::of("").with_name(Name::Call));
        Self {
            collapse_ids: vec![
                (PushPurpose::Call, call()),
                (PushPurpose::MissedCall, call()),
                (
                    PushPurpose::Voicemail,
                    CollapseId(Text::of("voicemail ").with_name(Name::Callee)),
                ),
            ],
            expirations: Vec::new(),
            priorities: Vec::new(),
        }
    }
}

impl ApnsRules {
    /// Sets the headers of a push. `now` is when it is sent.
    pub(crate) fn apply(&self, push: &mut ApnsPush, req: &PushRequest, now: SystemTime) {
        let purpose = req.about.purpose();
        // An app must show a call for each push over PushKit, whoever asked for it.
        if push.push_type == "voip" && purpose != PushPurpose::Call {
            return;
        }
        // PushKit shows no notification that a later one could replace.
        if push.push_type != "voip"
            && let Some(id) = find(&self.collapse_ids, purpose)
        {
            push.collapse_id = id.fill(req, now);
        }
        if let Some(time) = find(&self.expirations, purpose) {
            // A call's push is of no use after its wait.
            let time = if purpose == PushPurpose::Call {
                req.ttl.min(*time)
            } else {
                *time
            };
            push.expiration = if time.is_zero() { 0 } else { unix(now + time) };
        }
        // Apple takes no other priority of a background push.
        if push.push_type != "background"
            && let Some(priority) = find(&self.priorities, purpose)
        {
            push.priority = priority.as_str();
        }
    }
}

fn find<T>(rules: &[(PushPurpose, T)], purpose: PushPurpose) -> Option<&T> {
    rules.iter().find(|(of, _)| *of == purpose).map(|(_, rule)| rule)
}

impl CollapseId {
    /// Parses a text with `${name}` in it; the names are those of payloads.
    ///
    /// # Errors
    /// A name that is unknown, or that pushes of this purpose do not have.
    pub fn parse(text: &str, purpose: PushPurpose) -> Result<Self, TemplateError> {
        let vocabulary = match purpose {
            PushPurpose::Call | PushPurpose::Cancel | PushPurpose::MissedCall => Vocabulary::Payload,
            PushPurpose::Notification | PushPurpose::Voicemail | PushPurpose::Refresh => Vocabulary::Notification,
        };
        Text::parse(text, vocabulary).map(Self)
    }

    /// The length of its fixed part, in bytes.
    pub(crate) fn shortest(&self) -> usize {
        self.0.literal_len()
    }

    /// The header's value. One that is too long, or that no header can carry, becomes a digest: cut off, it could be
    /// another's.
    fn fill(&self, req: &PushRequest, now: SystemTime) -> Option<String> {
        let mut id = String::new();
        match &req.about {
            About::Call(call) => self.0.fill(&Facts::new(req, call, now), Encoding::Plain, &mut id),
            About::Notification(_) => self.0.fill(&NotificationFacts { req, now }, Encoding::Plain, &mut id),
        }
        let is_plain = |b: u8| b.is_ascii_graphic() || b == b' ';
        // A header's value neither begins nor ends with a blank (RFC 9113 section 8.2.1).
        if id.len() > LONGEST_COLLAPSE_ID || !id.bytes().all(is_plain) || id.trim() != id {
            let digest = Sha256::digest(&id);
            id.clear();
            for byte in &digest[..16] {
                let _ = write!(id, "{byte:02x}");
            }
        }
        (!id.is_empty()).then_some(id)
    }
}

impl ApnsPriority {
    /// The priority of this number.
    pub fn from_number(number: i64) -> Option<Self> {
        [Self::AtOnce, Self::Considerate, Self::Passive]
            .into_iter()
            .find(|priority| priority.as_str().parse() == Ok(number))
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::AtOnce => "10",
            Self::Considerate => "5",
            Self::Passive => "1",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::types::push::{NotificationPurpose, NotificationPush, Payload};
    use crate::types::{Aor, NotificationId, Provider, PushId, PushParams, PushToken, TokenType, Tokens};

    fn voicemail(callee: &str) -> PushRequest {
        PushRequest {
            id: PushId(1),
            to: PushParams {
                provider: Provider::Apns,
                app: "com.example.phone".into(),
                team: None,
                tokens: Tokens::Remote(PushToken::new("bb22")),
            },
            about: About::Notification(NotificationPush {
                purpose: NotificationPurpose::Voicemail(NotificationId(1)),
                token_type: TokenType::Im,
                payload: Arc::new(Payload::from(serde_json::Map::new())),
            }),
            callee: Aor::new(callee, "pbx.example"),
            domain: "pbx.example".into(),
            ttl: Duration::from_secs(60),
        }
    }

    fn id(text: &str, callee: &str) -> Option<String> {
        let id = CollapseId::parse(text, PushPurpose::Voicemail).unwrap();
        id.fill(&voicemail(callee), SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn names_are_filled_in_for_pushes_without_a_call_too() {
        assert_eq!(
            id("${kind} of ${callee} (${app-id})", "1000").as_deref(),
            Some("voicemail of 1000@pbx.example (com.example.phone)")
        );
        assert_eq!(id("", "1000"), None);
    }

    #[test]
    fn value_that_no_header_takes_becomes_a_digest_that_differs_with_it() {
        let long = "1".repeat(60);
        for callee in [&*long, "Zo\u{eb}", "a\r\nb", " 1"] {
            let digest = id("${callee-user}@${callee-domain}", callee).unwrap();
            assert!(
                digest.len() == 32 && digest.bytes().all(|b| b.is_ascii_hexdigit()),
                "{digest}"
            );
            let other = id("${callee-user}@${callee-domain}", &format!("{callee}x")).unwrap();
            assert_ne!(digest, other);
        }
    }
}
