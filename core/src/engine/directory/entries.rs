//! All AORs: those that something happens to as they are used, all others packed.

use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::OnceLock;

use super::entry::{AorEntry, AorKey, AorMap};
use super::packed::{self, PackedDevice};
use super::texts::Texts;
use crate::engine::ids::IdMap;
use crate::types::{Device, Moment};

/// The place of an AOR. It changes when the AOR is forgotten and known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u32);

/// All AORs.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries {
    /// Where each is, by the hash of its key.
    places: IdMap<u64, Place>,
    /// Where those are whose hash is another AOR's too.
    others: AorMap<Place>,
    slots: Vec<Slot>,
    free: Vec<Place>,
    texts: Texts,
    /// Those that may have come to rest.
    touched: Vec<Place>,
}

/// One AOR; none if the slot is free.
#[derive(Clone, Default)]
struct Slot {
    awake: Option<Box<Open>>,
    resting: Option<Resting>,
}

/// An AOR as it is used.
type Open = (AorKey, AorEntry);

/// An AOR at rest.
#[derive(Clone)]
struct Resting {
    packed: Box<[u8]>,
    /// Set if somebody has read it.
    read: OnceLock<Box<Open>>,
}

/// Without the bytes, which have tokens in them.
impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let packed = self.resting.as_ref().map(|resting| resting.packed.len());
        f.debug_struct("Slot")
            .field("awake", &self.awake)
            .field("packed", &packed)
            .finish()
    }
}

impl Slot {
    fn packed(packed: Box<[u8]>) -> Self {
        Self {
            awake: None,
            resting: Some(Resting {
                packed,
                read: OnceLock::new(),
            }),
        }
    }

    fn is_of(&self, key: &AorKey, texts: &Texts) -> bool {
        let is_awake = self.awake.as_ref().is_some_and(|open| open.0 == *key);
        is_awake
            || self
                .resting
                .as_ref()
                .is_some_and(|r| packed::is_of(&r.packed, key, texts))
    }

    fn key(&self, texts: &Texts) -> Option<AorKey> {
        let awake = self.awake.as_ref().map(|open| open.0.clone());
        awake.or_else(|| self.resting.as_ref().map(|r| packed::key(&r.packed, texts)))
    }

    fn read(&self, texts: &Texts) -> Option<&Open> {
        if let Some(Resting { packed, read }) = &self.resting {
            return Some(read.get_or_init(|| Box::new(packed::unpack(packed, texts))));
        }
        self.awake.as_deref()
    }

    /// What it has, for somebody who looks once: no open copy stays.
    fn see<T>(&self, texts: &Texts, look: impl FnOnce(&Open) -> T) -> Option<T> {
        match &self.resting {
            Some(resting) => Some(look(&packed::unpack(&resting.packed, texts))),
            None => self.awake.as_deref().map(look),
        }
    }

    /// Wakes it if it is at rest.
    fn wake(&mut self, texts: &mut Texts) -> Option<&mut Open> {
        if let Some(resting) = self.resting.take() {
            self.awake = Some(Box::new(packed::take(&resting.packed, texts)));
        }
        self.awake.as_deref_mut()
    }

    /// Packs it if it is at rest.
    fn rest(&mut self, now: Moment, texts: &mut Texts) {
        if let Some(resting) = &mut self.resting {
            resting.read = OnceLock::new();
        }
        if let Some(open) = self.awake.take_if(|open| open.1.is_at_rest(now)) {
            let devices = open.1.devices.iter().map(PackedDevice::from);
            *self = Self::packed(packed::pack(&open.0, devices, open.1.mailbox.as_ref(), texts));
        }
    }
}

impl Entries {
    /// What an AOR has.
    pub(super) fn get(&self, key: &AorKey) -> Option<&AorEntry> {
        let slot = self.slot(self.place(key)?)?;
        slot.read(&self.texts).map(|(_, entry)| entry)
    }

    /// What an AOR has, unless it is at rest: then it has no bindings, and nobody waits for it.
    pub(super) fn open(&self, key: &AorKey) -> Option<&AorEntry> {
        let open = self.slot(self.place(key)?)?.awake.as_deref()?;
        Some(&open.1)
    }

    /// What the AOR there has.
    pub(super) fn at(&self, place: Place) -> Option<&AorEntry> {
        self.slot(place)?.read(&self.texts).map(|(_, entry)| entry)
    }

    /// What an AOR has, for somebody who looks once.
    pub(super) fn look(&self, key: &AorKey) -> Option<AorEntry> {
        let slot = self.slot(self.place(key)?)?;
        slot.see(&self.texts, |(_, entry)| entry.clone())
    }

    /// What an AOR has, to be changed.
    pub(super) fn get_mut(&mut self, key: &AorKey) -> Option<&mut AorEntry> {
        self.at_mut(self.place(key)?)
    }

    /// What the AOR there has, to be changed.
    pub(super) fn at_mut(&mut self, place: Place) -> Option<&mut AorEntry> {
        self.touched.push(place);
        let open = self.slots.get_mut(place.0 as usize)?.wake(&mut self.texts);
        open.map(|(_, entry)| entry)
    }

    /// What an AOR has. One that is not known is from now on.
    pub(super) fn known(&mut self, key: &AorKey) -> &mut AorEntry {
        let place = self.known_place(key);
        self.touched.push(place);
        let slot = &mut self.slots[place.0 as usize];
        slot.wake(&mut self.texts);
        let open = slot
            .awake
            .get_or_insert_with(|| Box::new((key.clone(), AorEntry::default())));
        &mut open.1
    }

    /// Where an AOR is.
    pub(super) fn place(&self, key: &AorKey) -> Option<Place> {
        let place = *self.places.get(&key.number())?;
        if self.slot(place)?.is_of(key, &self.texts) {
            return Some(place);
        }
        self.others.get(key).copied()
    }

    /// Where an AOR is. One that is not known is from now on.
    pub(super) fn known_place(&mut self, key: &AorKey) -> Place {
        self.place(key).unwrap_or_else(|| {
            let slot = Slot {
                awake: Some(Box::new((key.clone(), AorEntry::default()))),
                resting: None,
            };
            self.add(key, slot)
        })
    }

    /// Who is there.
    pub(super) fn key(&self, place: Place) -> Option<AorKey> {
        self.slot(place)?.key(&self.texts)
    }

    /// Adds a device as it was stored. Returns where its AOR is.
    pub(super) fn restore(&mut self, key: &AorKey, device: &Device, elsewhere: bool) -> Place {
        let restored = PackedDevice {
            device,
            heard: true,
            elsewhere,
            came: false,
        };
        let Some(place) = self.place(key) else {
            let packed = packed::pack(key, std::iter::once(restored), None, &mut self.texts);
            return self.add(key, Slot::packed(packed));
        };
        if let Some(entry) = self.at_mut(place) {
            entry.add(restored.known());
        }
        self.rest(Moment::default());
        place
    }

    /// Forgets an AOR.
    pub(super) fn remove(&mut self, key: &AorKey) -> Option<AorEntry> {
        let place = self.place(key)?;
        if self.others.remove(key).is_none() {
            self.places.remove(&key.number());
            // Another AOR with this hash may be known: it is found by the hash from now on.
            if let Some(other) = self.others.keys().find(|other| other.number() == key.number()).cloned()
                && let Some(place) = self.others.remove(&other)
            {
                self.places.insert(other.number(), place);
            }
        }
        let slot = self.slots.get_mut(place.0 as usize)?;
        slot.wake(&mut self.texts);
        self.free.push(place);
        std::mem::take(slot).awake.map(|open| open.1)
    }

    /// The AORs of which this holds. Those at rest stay packed.
    pub(super) fn keys_of(&self, holds: impl Fn(&AorKey, &AorEntry) -> bool) -> Vec<AorKey> {
        let found = |(key, entry): &Open| holds(key, entry).then(|| key.clone());
        let all = self.slots.iter();
        all.filter_map(|slot| slot.see(&self.texts, found).flatten()).collect()
    }

    /// All AORs, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&AorKey, &AorEntry)> {
        let all = self.slots.iter().filter_map(|slot| slot.read(&self.texts));
        all.map(|(key, entry)| (key, entry))
    }

    /// Those that are not at rest, to be changed. Only they have bindings.
    pub(super) fn awake(&mut self) -> impl Iterator<Item = (&AorKey, &mut AorEntry)> {
        let awake = self.slots.iter_mut().filter_map(|slot| slot.awake.as_deref_mut());
        awake.map(|(key, entry)| (&*key, entry))
    }

    /// Packs the AORs that were changed last, and are at rest now.
    pub(super) fn rest(&mut self, now: Moment) {
        while let Some(place) = self.touched.pop() {
            if let Some(slot) = self.slots.get_mut(place.0 as usize) {
                slot.rest(now, &mut self.texts);
            }
        }
    }

    /// An AOR is read or changed now, and may be at rest afterwards.
    pub(super) fn touch(&mut self, key: &AorKey) {
        let place = self.place(key);
        self.touched.extend(place);
    }

    fn slot(&self, place: Place) -> Option<&Slot> {
        self.slots.get(place.0 as usize)
    }

    fn add(&mut self, key: &AorKey, slot: Slot) -> Place {
        let place = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            Place(u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX))
        });
        self.slots[place.0 as usize] = slot;
        match self.places.entry(key.number()) {
            Entry::Vacant(vacant) => _ = vacant.insert(place),
            Entry::Occupied(_) => _ = self.others.insert(key.clone(), place),
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Aor, Provider, PushParams, PushToken, Tokens};

    fn device(user: &str) -> Device {
        Device {
            aor: Aor::new(user, "d"),
            push: PushParams {
                provider: Provider::Fcm,
                app: "app".into(),
                team: None,
                tokens: Tokens::Call(PushToken::new(user)),
            },
            user_agent: "".into(),
            register_call_id: "".into(),
            first_seen: 0,
            last_seen: 0,
            set_aside: None,
            changed: 0,
        }
    }

    fn tokens(entry: Option<&AorEntry>) -> Vec<String> {
        let devices = entry.map_or(&[][..], |entry| &entry.devices);
        devices.iter().map(|d| d.key.token.expose().to_owned()).collect()
    }

    /// One in 2^64 pairs: no test of the engine sees it.
    #[test]
    fn aors_with_the_same_hash_are_kept_apart() {
        let mut entries = Entries::default();
        let keys = ["a", "b", "c"].map(|user| AorKey::with_hash(user, 7));
        let places = keys
            .each_ref()
            .map(|key| entries.restore(key, &device(&key.aor().user), false));
        for (key, place) in keys.iter().zip(places) {
            let user = key.aor().user.to_string();
            assert_eq!(tokens(entries.get(key)), [user]);
            assert_eq!(entries.place(key), Some(place));
            assert_eq!(entries.key(place).map(|key| key.aor()), Some(key.aor()));
        }
        assert!(entries.get(&AorKey::with_hash("d", 7)).is_none());
        // The first one is found by the hash; without it, another is.
        assert!(entries.remove(&keys[0]).is_some() && entries.get(&keys[0]).is_none());
        assert_eq!(tokens(entries.get(&keys[1])), ["b"]);
        assert_eq!(tokens(entries.get(&keys[2])), ["c"]);
        assert!(entries.remove(&keys[2]).is_some() && entries.remove(&keys[1]).is_some());
        assert_eq!(entries.iter().count() + entries.places.len() + entries.others.len(), 0);
        // The places are used again.
        assert!(entries.known_place(&keys[1]).0 < 3);
    }

    #[test]
    fn aor_is_packed_when_nothing_happens_to_it_and_stays_in_its_place() {
        let mut entries = Entries::default();
        let key = AorKey::new("a".into(), "d".into());
        let place = entries.restore(&key, &device("a"), false);
        let is_packed = |entries: &Entries| entries.slots[0].resting.is_some();
        assert!(is_packed(&entries));
        let another = entries.look(&key).unwrap().devices[0].clone();
        entries.known(&key).add(another);
        assert!(!is_packed(&entries));
        entries.rest(Moment::default());
        assert!(is_packed(&entries));
        assert_eq!((entries.place(&key), tokens(entries.get(&key)).len()), (Some(place), 2));
        // Whoever reads it leaves an open copy, until the event is over.
        assert!(entries.slots[0].resting.as_ref().unwrap().read.get().is_some());
        entries.touch(&key);
        entries.rest(Moment::default());
        assert!(entries.slots[0].resting.as_ref().unwrap().read.get().is_none());
    }
}
