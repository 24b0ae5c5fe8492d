//! The other fswakes of a cluster. They hear each other by events of the FreeSWITCHes that they all listen to.
//!
//! | event | what it tells |
//! |---|---|
//! | `fswake::hello` | an fswake is here: sent to each FreeSWITCH every [`EVERY`] |
//! | `fswake::wake` | it has just pushed a phone for a call: nobody else need push it |
//!
//! Each is signed with the cluster's key ([`ClusterKey`]). Events are not stored: who was not connected learns nothing,
//! and then a phone may be pushed twice.
//!
//! What one of several has to do, and not each, is claimed in FreeSWITCH itself (mod_hash, `insert_ifempty`): the first
//! gets it. There is nothing to elect. An fswake that is alone claims nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use freeswitch_esl_tokio::EslEvent;
use freeswitch_esl_tokio::EslEventType;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tracing::{info, warn};
use uuid::Uuid;

use super::leg_token::ClusterKey;
use crate::types::{Aor, NodeId, PublicId, UnixMicros};

/// How often an fswake says that it is here.
pub const EVERY: Duration = Duration::from_secs(5);
/// After this time every other was heard.
const HEARD: Duration = Duration::from_secs(EVERY.as_secs() + 1);
/// News that is older is not passed on.
const STALE: Duration = Duration::from_secs(1);
/// After this long without a word it is gone.
const GONE: Duration = Duration::from_secs(20);
/// Others are forgotten after this.
const FORGOTTEN: Duration = Duration::from_secs(3600);
/// More than this are not remembered: whoever can send events could fill the memory.
const MOST: usize = 256;

const HELLO: &str = "fswake::hello";
const WAKE: &str = "fswake::wake";
/// The events to subscribe to.
pub const EVENTS: &str = "CUSTOM fswake::hello fswake::wake";

const CLAIMS: &str = "Fswake-Claims";
const SIGNATURE: &str = "Fswake-Signature";

/// What one fswake tells the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum News {
    /// It is here.
    Hello,
    /// It has pushed a phone for a call.
    Wake(WakeNews),
}

/// News and when it was made. What has waited for a connection is no news any more.
#[derive(Clone, Debug)]
pub struct Told {
    /// What.
    pub news: News,
    at: Instant,
}

impl Told {
    /// Made now.
    pub fn now(news: News) -> Self {
        let at = Instant::now();
        Self { news, at }
    }

    /// Whether others may still act on it.
    pub fn is_new(&self) -> bool {
        self.at.elapsed() < STALE
    }
}

/// A push for a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WakeNews {
    /// Whose phone: user.
    pub user: String,
    /// And domain.
    pub domain: String,
    /// Which phone ([`PublicId`]).
    pub device: u64,
    /// The caller's number; may be empty. Empty for pushes that are not counted for the caller.
    pub caller: String,
}

impl WakeNews {
    /// Whose phone.
    pub fn aor(&self) -> Aor {
        Aor::new(self.user.as_str(), self.domain.as_str())
    }

    /// Which phone.
    pub fn device(&self) -> PublicId {
        PublicId(self.device)
    }
}

/// A message as it is signed.
#[derive(Serialize, Deserialize)]
struct Message {
    /// The process that sends it: new at each start.
    from: Uuid,
    /// Its name.
    name: String,
    /// Its clock.
    at: UnixMicros,
    #[serde(flatten)]
    news: News,
}

/// The others, as heard so far.
#[derive(Clone)]
pub struct Peers {
    own: Uuid,
    name: Arc<str>,
    heard: Arc<Mutex<BTreeMap<(Uuid, NodeId), Heard>>>,
    /// Since when this one listens at each FreeSWITCH.
    listens: Arc<Mutex<BTreeMap<NodeId, Instant>>>,
}

/// When another was last heard at a FreeSWITCH.
#[derive(Clone, Debug)]
struct Heard {
    name: String,
    at: Instant,
    ahead: i64,
    is_trusted: bool,
}

/// Another fswake, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// The FreeSWITCH that both listen to.
    pub node: NodeId,
    /// How far its clock is ahead of ours, in milliseconds. Includes the way of its message.
    pub clock_ahead_ms: i64,
    /// It has the same cluster key.
    pub same_key: bool,
}

impl Peers {
    /// Nobody so far. `name` is what others call this one.
    pub fn new(name: Arc<str>) -> Self {
        Self {
            own: Uuid::new_v4(),
            name,
            heard: Arc::default(),
            listens: Arc::default(),
        }
    }

    /// The event that tells others.
    pub fn event(&self, news: News, key: &ClusterKey, at: UnixMicros) -> EslEvent {
        let subclass = match news {
            News::Hello => HELLO,
            News::Wake(_) => WAKE,
        };
        let message = Message {
            from: self.own,
            name: self.name.to_string(),
            at,
            news,
        };
        let claims = BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(&message).unwrap_or_default());
        let signature = key.sign(&signed(&claims));
        let mut event = EslEvent::with_type(EslEventType::Custom);
        event.set_header("Event-Subclass", subclass);
        event.set_header(CLAIMS, claims);
        event.set_header(SIGNATURE, signature);
        event
    }

    /// Reads an event at this FreeSWITCH. `None`: it is not from another fswake that has the same key, or it only says
    /// that it is here.
    pub fn hear<'a>(
        &self,
        node: NodeId,
        header: impl Fn(&str) -> Option<&'a str>,
        key: &ClusterKey,
        now: UnixMicros,
    ) -> Option<WakeNews> {
        if !matches!(header("Event-Subclass")?, HELLO | WAKE) {
            return None;
        }
        let (claims, signature) = (header(CLAIMS)?, header(SIGNATURE).unwrap_or_default());
        let is_trusted = key.has_signed(&signed(claims), signature);
        let json = BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?;
        let message: Message = serde_json::from_slice(&json).ok()?;
        if message.from == self.own {
            return None;
        }
        let heard = Heard {
            name: message.name.chars().filter(|c| !c.is_control()).take(63).collect(),
            at: Instant::now(),
            ahead: message.at.saturating_sub(now) / 1000,
            is_trusted,
        };
        self.note((message.from, node), heard);
        match message.news {
            News::Wake(wake) if is_trusted => Some(wake),
            News::Wake(_) | News::Hello => None,
        }
    }

    /// Remembers who was heard where, and logs whoever is new.
    fn note(&self, who: (Uuid, NodeId), heard: Heard) {
        let mut all = self.lock();
        all.retain(|_, peer| peer.at.elapsed() < FORGOTTEN);
        if let Some(known) = all.get_mut(&who) {
            // Nobody without the key speaks for who has it.
            if heard.is_trusted || !known.is_trusted {
                *known = heard;
            }
            return;
        }
        if all.len() >= MOST {
            let oldest = all
                .iter()
                .min_by_key(|(_, peer)| (peer.is_trusted, peer.at))
                .map(|(who, _)| *who);
            oldest.map(|oldest| all.remove(&oldest));
        }
        if !all.keys().any(|(from, _)| *from == who.0) {
            let name = &heard.name;
            if heard.is_trusted {
                info!(name, clock_ahead_ms = heard.ahead, "another fswake is here");
            } else {
                warn!(
                    name,
                    "another fswake has another cluster.key-file: it and this one push phones twice, and ring none for \
                     each other"
                );
            }
        }
        all.insert(who, heard);
    }

    /// This one begins to listen at a FreeSWITCH.
    pub fn listen_at(&self, node: NodeId) {
        let mut listens = self.listens.lock().unwrap_or_else(PoisonError::into_inner);
        listens.insert(node, Instant::now());
    }

    /// Whether no other fswake listens to this FreeSWITCH. That is known when there was time to hear one.
    pub fn is_alone_at(&self, node: NodeId) -> bool {
        let listens = self.listens.lock().unwrap_or_else(PoisonError::into_inner);
        if listens.get(&node).is_some_and(|since| since.elapsed() < HEARD) {
            return false;
        }
        drop(listens);
        !self
            .lock()
            .iter()
            .any(|((_, at), peer)| *at == node && peer.is_trusted && peer.at.elapsed() < GONE)
    }

    /// Those that are here now.
    pub fn list(&self) -> Vec<Peer> {
        let all = self.lock();
        let here = all.iter().filter(|(_, peer)| peer.at.elapsed() < GONE);
        let peer = |((_, node), peer): (&(Uuid, NodeId), &Heard)| Peer {
            name: peer.name.clone(),
            node: *node,
            clock_ahead_ms: peer.ahead,
            same_key: peer.is_trusted,
        };
        here.map(peer).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(Uuid, NodeId), Heard>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The text that is signed: a leg's header can never be taken for it.
fn signed(claims: &str) -> String {
    format!("peer {claims}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Secret;

    const NOW: UnixMicros = 1_800_000_000_000_000;

    fn key(secret: &str) -> ClusterKey {
        ClusterKey::new(&Secret::new(secret))
    }

    fn wake() -> WakeNews {
        WakeNews {
            user: "1001".into(),
            domain: "example.org".into(),
            device: 7,
            caller: "1002".into(),
        }
    }

    #[test]
    fn news_reach_others_with_the_same_key_and_nobody_else() {
        let (a, b) = (Peers::new("a".into()), Peers::new("b".into()));
        let node = NodeId::FIRST;
        let event = a.event(News::Wake(wake()), &key("k"), NOW + 3_000_000);
        let header = |name: &str| event.header_str(name);
        assert!(b.is_alone_at(node));
        assert_eq!(b.hear(node, header, &key("other"), NOW), None);
        assert!(b.is_alone_at(node), "who has another key is not one of them");
        assert_eq!(b.hear(node, header, &key("k"), NOW), Some(wake()));
        assert!(!b.is_alone_at(node) && b.is_alone_at(NodeId(1)));
        // Where there was no time yet to hear others.
        b.listen_at(NodeId(1));
        assert!(!b.is_alone_at(NodeId(1)));
        assert_eq!(a.hear(node, header, &key("k"), NOW), None, "its own");
        let peer = Peer {
            name: "a".into(),
            node: NodeId::FIRST,
            clock_ahead_ms: 3000,
            same_key: true,
        };
        assert_eq!(b.list(), [peer]);
    }

    #[test]
    fn header_of_a_leg_is_no_news() {
        let b = Peers::new("b".into());
        let message = r#"{"from":"00000000-0000-0000-0000-000000000001","name":"x","at":0,"is":"wake","user":"u","domain":"d","device":1,"caller":""}"#;
        let claims = BASE64_URL_SAFE_NO_PAD.encode(message);
        let signature = key("k").sign(&claims);
        let header = |name: &str| match name {
            "Event-Subclass" => Some(WAKE),
            CLAIMS => Some(claims.as_str()),
            SIGNATURE => Some(signature.as_str()),
            _ => None,
        };
        assert_eq!(b.hear(NodeId::FIRST, header, &key("k"), NOW), None);
    }
}
