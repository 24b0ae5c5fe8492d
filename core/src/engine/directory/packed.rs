//! An AOR at rest as a few bytes: sleeping phones are most of what fswake knows, and nobody looks at them for hours.
//!
//! Texts that many devices share are numbers of [`Texts`]. Apple's tokens are hexadecimal, and are kept as bytes.

use std::sync::Arc;

use super::entry::{AorEntry, AorKey, KnownDevice};
use super::texts::{TextId, Texts};
use crate::engine::event::Mailbox;
use crate::types::{Aor, Device, Provider, PushParams, PushToken, Tokens};

const HEARD: u8 = 1;
const ELSEWHERE: u8 = 2;
const CAME: u8 = 4;
const HAS_TEAM: u8 = 8;
const SET_ASIDE: u8 = 16;
const CALL_TOKEN: u8 = 32;
const REMOTE_TOKEN: u8 = 64;

/// What is packed of a device.
#[derive(Clone, Copy)]
pub(super) struct PackedDevice<'a> {
    pub(super) device: &'a Device,
    pub(super) heard: bool,
    pub(super) elsewhere: bool,
    pub(super) came: bool,
}

impl PackedDevice<'_> {
    /// The device as it is used.
    pub(super) fn known(self) -> KnownDevice {
        KnownDevice {
            heard: self.heard,
            elsewhere: self.elsewhere,
            came: self.came,
            ..KnownDevice::new(self.device.clone().into(), self.device.key().into())
        }
    }
}

impl<'a> From<&'a KnownDevice> for PackedDevice<'a> {
    fn from(known: &'a KnownDevice) -> Self {
        Self {
            device: &known.device,
            heard: known.heard,
            elsewhere: known.elsewhere,
            came: known.came,
        }
    }
}

/// Packs an AOR that has nothing but devices and a mailbox.
pub(super) fn pack<'a>(
    key: &AorKey,
    devices: impl ExactSizeIterator<Item = PackedDevice<'a>>,
    mailbox: Option<&Mailbox>,
    texts: &mut Texts,
) -> Box<[u8]> {
    let mut to = Writer {
        bytes: Vec::with_capacity(256),
        texts,
    };
    to.shared(&key.domain);
    to.text(&key.user);
    to.number(mailbox.is_some().into());
    if let Some(held) = mailbox {
        for count in [held.new, held.saved, held.new_urgent, held.saved_urgent] {
            to.number(count.into());
        }
    }
    to.number(devices.len() as u64);
    devices.for_each(|device| to.device(device));
    to.bytes.into_boxed_slice()
}

/// Whether these bytes are of the AOR with this key.
pub(super) fn is_of(bytes: &[u8], key: &AorKey, texts: &Texts) -> bool {
    let mut from = Reader::new(bytes, texts);
    let domain = from.count();
    texts.is(domain, &key.domain) && *from.text() == *key.user
}

/// Whose bytes they are.
pub(super) fn key(bytes: &[u8], texts: &Texts) -> AorKey {
    Reader::new(bytes, texts).key()
}

/// The AOR as it was packed.
pub(super) fn unpack(bytes: &[u8], texts: &Texts) -> (AorKey, AorEntry) {
    Reader::new(bytes, texts).all()
}

/// The same, and the shared texts are given back.
pub(super) fn take(bytes: &[u8], texts: &mut Texts) -> (AorKey, AorEntry) {
    let mut from = Reader::new(bytes, texts);
    let all = from.all();
    for id in from.used {
        texts.give_back(id);
    }
    all
}

struct Writer<'a> {
    bytes: Vec<u8>,
    texts: &'a mut Texts,
}

impl Writer<'_> {
    /// Seven bits in each byte, the lowest first.
    fn number(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.bytes.push(n.to_le_bytes()[0] | 0x80);
            n >>= 7;
        }
        self.bytes.push(n.to_le_bytes()[0]);
    }

    fn signed(&mut self, n: i64) {
        self.number((n << 1 ^ n >> 63).cast_unsigned());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn shared(&mut self, text: &Arc<str>) {
        let id = self.texts.borrow(text);
        self.number(id.into());
    }

    fn token(&mut self, token: &PushToken) {
        let text = token.expose();
        if let Some(bytes) = from_hex(text) {
            self.number((bytes.len() as u64) << 1 | 1);
            self.bytes.extend_from_slice(&bytes);
        } else {
            self.number((text.len() as u64) << 1);
            self.bytes.extend_from_slice(text.as_bytes());
        }
    }

    fn device(&mut self, known: PackedDevice<'_>) {
        let device = known.device;
        let (call, remote) = (device.push.tokens.call(), device.push.tokens.remote());
        let flags = [
            (known.heard, HEARD),
            (known.elsewhere, ELSEWHERE),
            (known.came, CAME),
            (device.push.team.is_some(), HAS_TEAM),
            (device.set_aside.is_some(), SET_ASIDE),
            (call.is_some(), CALL_TOKEN),
            (remote.is_some(), REMOTE_TOKEN),
        ];
        let flags = flags.iter().filter(|(is_set, _)| *is_set);
        self.bytes.push(flags.fold(0, |all, (_, flag)| all | flag));
        match &device.push.provider {
            Provider::Apns => self.number(0),
            Provider::ApnsSandbox => self.number(1),
            Provider::Fcm => self.number(2),
            Provider::WebPush => self.number(3),
            Provider::Hms => self.number(4),
            Provider::Other(name) => {
                self.number(5);
                self.shared(name);
            }
        }
        self.shared(&device.push.app);
        self.shared(&device.aor.domain);
        self.shared(&device.user_agent);
        if let Some(team) = &device.push.team {
            self.shared(team);
        }
        if let Some(why) = &device.set_aside {
            self.text(why);
        }
        self.text(&device.register_call_id);
        for time in [device.first_seen, device.last_seen, device.changed] {
            self.signed(time);
        }
        call.into_iter().chain(remote).for_each(|token| self.token(token));
    }
}

/// Reads what [`Writer`] has written.
struct Reader<'a> {
    bytes: &'a [u8],
    texts: &'a Texts,
    used: Vec<TextId>,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8], texts: &'a Texts) -> Self {
        Self {
            bytes,
            texts,
            used: Vec::new(),
        }
    }

    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.bytes.split_first() else {
            return 0;
        };
        self.bytes = rest;
        *first
    }

    fn number(&mut self) -> u64 {
        let mut n = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte();
            n |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        n
    }

    fn signed(&mut self) -> i64 {
        let n = self.number();
        (n >> 1).cast_signed() ^ -(n & 1).cast_signed()
    }

    fn count(&mut self) -> u32 {
        u32::try_from(self.number()).unwrap_or_default()
    }

    fn some(&mut self, length: u64) -> &'a [u8] {
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(self.bytes.len());
        let (some, rest) = self.bytes.split_at(length);
        self.bytes = rest;
        some
    }

    fn text(&mut self) -> &'a str {
        let length = self.number();
        str::from_utf8(self.some(length)).unwrap_or_default()
    }

    fn id(&mut self) -> TextId {
        let id = self.count();
        self.used.push(id);
        id
    }

    fn shared(&mut self) -> Arc<str> {
        let id = self.id();
        self.texts.get(id)
    }

    fn token(&mut self) -> PushToken {
        let length = self.number();
        let bytes = self.some(length >> 1);
        if length & 1 == 1 {
            PushToken::new(to_hex(bytes))
        } else {
            PushToken::new(str::from_utf8(bytes).unwrap_or_default())
        }
    }

    fn key(&mut self) -> AorKey {
        let domain = self.shared();
        AorKey::new(self.text().into(), domain)
    }

    fn all(&mut self) -> (AorKey, AorEntry) {
        let key = self.key();
        let has_mailbox = self.number() == 1;
        let mailbox = has_mailbox.then(|| Mailbox {
            new: self.count(),
            saved: self.count(),
            new_urgent: self.count(),
            saved_urgent: self.count(),
        });
        let devices = self.number();
        let entry = AorEntry {
            devices: (0..devices).filter_map(|_| self.device(&key)).collect(),
            mailbox,
            ..AorEntry::default()
        };
        (key, entry)
    }

    fn device(&mut self, key: &AorKey) -> Option<KnownDevice> {
        let flags = self.byte();
        let provider = match self.number() {
            0 => Provider::Apns,
            1 => Provider::ApnsSandbox,
            2 => Provider::Fcm,
            3 => Provider::WebPush,
            4 => Provider::Hms,
            _ => Provider::Other(self.shared()),
        };
        let app = self.shared();
        // The user is the same (`AorKey::of`).
        let aor = Aor {
            user: key.user.clone(),
            domain: self.shared(),
        };
        let user_agent = self.shared();
        let team = (flags & HAS_TEAM != 0).then(|| self.shared());
        let set_aside = (flags & SET_ASIDE != 0).then(|| self.text().into());
        let register_call_id = self.text().into();
        let (first_seen, last_seen, changed) = (self.signed(), self.signed(), self.signed());
        let call = (flags & CALL_TOKEN != 0).then(|| self.token());
        let remote = (flags & REMOTE_TOKEN != 0).then(|| self.token());
        let device = Device {
            aor,
            push: PushParams {
                provider,
                app,
                team,
                tokens: Tokens::new(call, remote)?,
            },
            user_agent,
            register_call_id,
            first_seen,
            last_seen,
            set_aside,
            changed,
        };
        let key = device.key();
        Some(KnownDevice {
            heard: flags & HEARD != 0,
            elsewhere: flags & ELSEWHERE != 0,
            came: flags & CAME != 0,
            ..KnownDevice::new(device.into(), key.into())
        })
    }
}

/// The bytes of a text in lower-case hexadecimal digits.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[a, b]| Some(digit(*a)? << 4 | digit(*b)?)).collect()
}

fn to_hex(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from(if n < 10 { b'0' + n } else { b'a' + n - 10 });
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text() -> impl Strategy<Value = Arc<str>> {
        ".{0,40}".prop_map(Arc::from)
    }

    fn token() -> impl Strategy<Value = PushToken> {
        prop_oneof!["([0-9a-f]{2}){0,80}", "[0-9a-f]{1,9}", "[0-9a-zA-Z:_-]{1,200}"].prop_map(PushToken::new)
    }

    prop_compose! {
        fn device()(
            domain in text(), provider in prop_oneof![
                Just("apns"), Just("apns.dev"), Just("fcm"), Just("webpush"), Just("hms"), Just("other"),
            ],
            app in text(), team in proptest::option::of(text()), user_agent in text(), register_call_id in text(),
            call in token(), remote in proptest::option::of(token()), is_swapped: bool,
            times: (i64, i64, i64), set_aside in proptest::option::of(text()),
        ) -> Device {
            let (call, remote) = if is_swapped { (remote, Some(call)) } else { (Some(call), remote) };
            Device {
                aor: Aor::new("u", domain),
                push: PushParams {
                    provider: Provider::from_name(provider),
                    app,
                    team,
                    tokens: Tokens::new(call, remote).unwrap(),
                },
                user_agent,
                register_call_id,
                first_seen: times.0,
                last_seen: times.1,
                set_aside,
                changed: times.2,
            }
        }
    }

    proptest! {
        #[test]
        fn everything_comes_back_as_it_was(
            devices in proptest::collection::vec((device(), any::<(bool, bool, bool)>()), 0..4),
            counts in proptest::option::of(any::<(u32, u32, u32, u32)>()),
            domain in text(),
        ) {
            let mailbox = counts.map(|(new, saved, new_urgent, saved_urgent)| Mailbox { new, saved, new_urgent, saved_urgent });
            let key = AorKey::new("u".into(), domain);
            let mut texts = Texts::default();
            let all = devices.iter().map(|(device, (heard, elsewhere, came))| PackedDevice {
                device,
                heard: *heard,
                elsewhere: *elsewhere,
                came: *came,
            });
            let bytes = pack(&key, all, mailbox.as_ref(), &mut texts);
            prop_assert!(is_of(&bytes, &key, &texts));
            let (found, entry) = take(&bytes, &mut texts);
            prop_assert_eq!(&found, &key);
            prop_assert_eq!(entry.mailbox, mailbox);
            let back: Vec<_> = entry
                .devices
                .iter()
                .map(|d| ((*d.device).clone(), (d.heard, d.elsewhere, d.came)))
                .collect();
            prop_assert_eq!(back, devices);
            for known in &entry.devices {
                prop_assert_eq!(&*known.key, &known.device.key());
            }
            // Nothing is kept that nobody uses.
            let unused = texts.borrow(&"new".into());
            prop_assert!(!texts.is(unused, "old") && texts.is(unused, "new"));
        }
    }
}
