//! A change of a device as a row of PostgreSQL.

use std::borrow::Cow;
use std::sync::Arc;

use tokio_postgres::Row;

use crate::engine::DeviceChange;
use crate::types::{Aor, Device, DeviceKey, Provider, PushParams, PushToken, Tokens};

/// What [`read`] reads, in its order.
pub(super) const COLUMNS: &str = "provider, app, token, aor_user, aor_domain, team, call_token, remote_token, user_agent, \
                                  register_call_id, first_seen, last_seen, set_aside, changed, dropped";

/// PostgreSQL's text cannot have zero bytes, and a User-Agent may. They are escaped with this character, as is the
/// character itself.
const ESCAPE: char = '\u{1a}';

/// Text without zero bytes.
pub(super) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', ESCAPE]) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\0' => escaped.extend([ESCAPE, '0']),
            ESCAPE => escaped.extend([ESCAPE, ESCAPE]),
            c => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

/// The original text.
pub(super) fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains(ESCAPE) {
        return Cow::Borrowed(text);
    }
    let mut unescaped = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ESCAPE => match chars.next() {
                Some('0') => unescaped.push('\0'),
                Some(other) => unescaped.push(other),
                None => {}
            },
            c => unescaped.push(c),
        }
    }
    Cow::Owned(unescaped)
}

/// Changes by column, so that one statement writes many.
#[derive(Default)]
pub(super) struct Columns<'a> {
    pub(super) digest: Vec<Vec<u8>>,
    pub(super) texts: [Vec<Option<Cow<'a, str>>>; 11],
    pub(super) first_seen: Vec<i64>,
    pub(super) last_seen: Vec<i64>,
    pub(super) changed: Vec<i64>,
    pub(super) dropped: Vec<bool>,
}

impl<'a> Columns<'a> {
    /// Sorted by key, so that two daemons which write the same rows cannot deadlock.
    pub(super) fn new(changes: impl Iterator<Item = &'a DeviceChange>) -> Self {
        let mut rows: Vec<_> = changes.map(|change| (change.key().digest(), change)).collect();
        rows.sort_unstable_by_key(|(digest, _)| *digest);
        let mut columns = Self::default();
        for (digest, change) in rows {
            columns.digest.push(digest.to_vec());
            columns.changed.push(change.changed());
            columns.add(change);
        }
        columns
    }

    fn add(&mut self, change: &'a DeviceChange) {
        let (aor, provider, app, token) = match change {
            DeviceChange::Kept(device) => (
                &device.aor,
                &device.push.provider,
                &device.push.app,
                device.push.token(),
            ),
            DeviceChange::Dropped { key, .. } => (&key.aor, &key.provider, &key.app, &key.token),
        };
        let device = match change {
            DeviceChange::Kept(device) => Some(&**device),
            DeviceChange::Dropped { .. } => None,
        };
        let tokens = device.map(|device| &device.push.tokens);
        let texts = [
            Some(provider.name()),
            Some(app),
            Some(token.expose()),
            Some(&aor.user),
            Some(&aor.domain),
            device.and_then(|d| d.push.team.as_deref()),
            tokens.and_then(Tokens::call).map(PushToken::expose),
            tokens.and_then(Tokens::remote).map(PushToken::expose),
            Some(device.map_or("", |d| &d.user_agent)),
            Some(device.map_or("", |d| &d.register_call_id)),
            device.and_then(|d| d.set_aside.as_deref()),
        ];
        for (column, text) in self.texts.iter_mut().zip(texts) {
            column.push(text.map(escaped));
        }
        self.first_seen.push(device.map_or(0, |d| d.first_seen));
        self.last_seen.push(device.map_or(0, |d| d.last_seen));
        self.dropped.push(device.is_none());
    }
}

/// The change in a row; `None` for a row that fswake never writes.
pub(super) fn read(row: &Row) -> Result<Option<DeviceChange>, tokio_postgres::Error> {
    let text = |column: usize| row.try_get::<_, &str>(column).map(unescaped);
    let maybe = |column: usize| {
        let text = row.try_get::<_, Option<&str>>(column)?;
        Ok::<_, tokio_postgres::Error>(text.map(|text| Arc::<str>::from(unescaped(text))))
    };
    let provider = Provider::from_name(&text(0)?);
    let app: Arc<str> = text(1)?.into();
    let aor = Aor::new(text(3)?, text(4)?);
    let changed = row.try_get(13)?;
    if row.try_get(14)? {
        let token = PushToken::new(text(2)?);
        let key = DeviceKey {
            aor,
            provider,
            app,
            token,
        };
        return Ok(Some(DeviceChange::Dropped { key, changed }));
    }
    let Some(tokens) = Tokens::new(maybe(6)?.map(PushToken::new), maybe(7)?.map(PushToken::new)) else {
        return Ok(None);
    };
    let device = Device {
        aor,
        push: PushParams {
            provider,
            app,
            team: maybe(5)?,
            tokens,
        },
        user_agent: text(8)?.into(),
        register_call_id: text(9)?.into(),
        first_seen: row.try_get(10)?,
        last_seen: row.try_get(11)?,
        set_aside: maybe(12)?,
        changed,
    };
    Ok(Some(DeviceChange::Kept(device.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_with_zero_bytes_comes_back_as_it_was() {
        for text in ["", "plain", "\0", "\u{1a}", "a\0b\u{1a}0\u{1a}\0", "\u{1a}\u{1a}0"] {
            let escaped = escaped(text);
            assert!(!escaped.contains('\0'));
            assert_eq!(unescaped(&escaped), text);
        }
    }
}
