//! mod_apn's `push_tokens` as fswake's devices.
//!
//! mod_apn has one row per token and type, which it finds by token, user, realm and app, and never deletes. A device of
//! fswake has both tokens of a phone, and one owner. So rows are cleaned or refused, given to their newest owner, and
//! paired.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use crate::contact::{self, Refusal};
use crate::types::{Aor, Device, Printable, Provider, PushParams, PushToken, TokenFault, Tokens, UnixSeconds};

/// The length of mod_apn's columns: a database that cuts text cuts it here.
const COLUMN: usize = 255;

/// One row of `push_tokens`.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    /// `id`: grows with time.
    pub id: i64,
    /// `token`.
    pub token: String,
    /// `extension`: the user.
    pub user: String,
    /// `realm`: the domain.
    pub realm: String,
    /// `app_id`.
    pub app_id: String,
    /// `type`: `voip` or `im`.
    pub kind: String,
    /// `platform`.
    pub platform: String,
    /// `last_update`; 0 where it is missing. For calls it is the time of the row's insertion: mod_apn never renews it.
    pub last_update: UnixSeconds,
}

/// What a row's token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    Call,
    Message,
}

/// Why a row is not copied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// It is as long as the column.
    #[error("{0} is {COLUMN} characters long, as much as mod_apn's column holds: it may have been cut")]
    Cut(&'static str),
    /// It cannot be a token, an app id or a name.
    #[error("{0} cannot be used: {1}")]
    Unfit(&'static str, Refusal),
    /// An empty field.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// A placeholder for a missing token, or a token that the provider cannot have issued.
    #[error("not a token: {0}")]
    NoToken(TokenFault),
    /// Neither `voip` nor `im`.
    #[error("type {:?}: fswake pushes for calls (voip) and for messages (im)", Printable(.0).to_string())]
    Type(String),
    /// The same token has a newer row of another user.
    #[error("the token now belongs to {0}, whose row is newer")]
    Moved(Aor),
}

/// A row that is not copied: its AOR, its id, and the reason. Never the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRow {
    /// The row's `id`.
    pub id: i64,
    /// Its user and realm.
    pub aor: Aor,
    /// Its token's fingerprint.
    pub fingerprint: String,
    /// Why.
    pub why: Why,
}

impl fmt::Display for RefusedRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "row {} of {}, token {}: {}",
            self.id, self.aor, self.fingerprint, self.why
        )
    }
}

/// The result for all rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenPlan {
    /// The devices, by AOR.
    pub devices: Vec<Device>,
    /// Rows that are not copied, by `id`.
    pub refused: Vec<RefusedRow>,
    /// Rows that repeat a newer row.
    pub merged: usize,
    /// Rows whose values ended with the `>` of the Contact, which mod_apn did not remove.
    pub mended: usize,
    /// AORs with several tokens of one app, so that it is unknown which belong to one phone.
    pub apart: BTreeSet<Aor>,
    /// What most phones of a provider call their platform.
    pub platforms: BTreeMap<Provider, String>,
}

/// A row that can be used.
#[derive(Clone)]
struct Fit {
    id: i64,
    aor: Aor,
    provider: Provider,
    app: String,
    kind: Kind,
    token: PushToken,
    last_update: UnixSeconds,
    /// The `id` of its first row: when the token came.
    came: i64,
}

impl Fit {
    fn age(&self) -> (UnixSeconds, i64) {
        (self.last_update, self.id)
    }
}

/// Turns rows into devices. `now` is the time of the copy. The time to live of a device that no REGISTER renews counts
/// from it, because mod_apn's own times are unreliable.
pub fn plan(rows: Vec<Row>, now: UnixSeconds) -> TokenPlan {
    let mut plan = TokenPlan::default();
    let mut fit = Vec::with_capacity(rows.len());
    let mut words: BTreeMap<(Provider, String), usize> = BTreeMap::new();
    for row in rows {
        let named = |why| RefusedRow {
            id: row.id,
            aor: Aor::new(row.user.as_str(), row.realm.as_str()),
            fingerprint: PushToken::new(row.token.as_str()).fingerprint(),
            why,
        };
        match examine(&row, now) {
            Ok((row, platform, mended)) => {
                plan.mended += usize::from(mended);
                *words.entry((row.provider.clone(), platform)).or_default() += 1;
                fit.push(row);
            }
            Err(why) => plan.refused.push(named(why)),
        }
    }
    let mut words: Vec<_> = words.into_iter().filter(|((_, word), _)| !word.is_empty()).collect();
    words.sort_by_key(|(_, count)| *count);
    plan.platforms = words.into_iter().map(|(word, _)| word).collect();
    let owned = give_to_newest(fit, &mut plan);
    let mut phones: BTreeMap<(Aor, Provider, String), Vec<Fit>> = BTreeMap::new();
    for row in owned {
        let key = (row.aor.clone(), row.provider.clone(), row.app.clone());
        phones.entry(key).or_default().push(row);
    }
    for ((aor, ..), rows) in phones {
        if pair(rows, now, &mut plan.devices) {
            plan.apart.insert(aor);
        }
    }
    plan.refused.sort_by_key(|r| r.id);
    plan
}

/// Checks a row like a Contact. Also returns its platform's name, and whether its values had to be repaired.
fn examine(row: &Row, now: UnixSeconds) -> Result<(Fit, String, bool), Why> {
    let mut mended = false;
    let mut field = |name, value: &str, optional: bool| -> Result<String, Why> {
        // mod_apn ends a value only at `;`, so the last one of a Contact keeps the bracket and what follows it.
        let value = if let Some((value, _)) = value.split_once('>') {
            mended = true;
            value
        } else {
            value
        };
        if value.is_empty() && !optional {
            return Err(Why::Empty(name));
        }
        if value.chars().count() >= COLUMN {
            return Err(Why::Cut(name));
        }
        let decoded = contact::decode(value).map_err(|why| Why::Unfit(name, why))?;
        Ok(decoded.into_owned())
    };
    let kind = match row.kind.trim().to_ascii_lowercase().as_str() {
        "voip" => Kind::Call,
        "im" => Kind::Message,
        _ => return Err(Why::Type(row.kind.clone())),
    };
    let token = field("the token", &row.token, false)?;
    let app = field("the app id", &row.app_id, true)?;
    let platform = field("the platform", &row.platform, true)?;
    let provider = contact::provider_of_platform(&platform, &[&token]);
    let token = PushToken::read(&provider, &token).map_err(Why::NoToken)?;
    let name = |name, value: &str| match value {
        "" => Err(Why::Empty(name)),
        cut if cut.chars().count() >= COLUMN => Err(Why::Cut(name)),
        odd if odd.contains(|c: char| c.is_whitespace() || c.is_control() || c == char::REPLACEMENT_CHARACTER) => {
            Err(Why::Unfit(name, Refusal::BadCharacter))
        }
        good => Ok(good.to_owned()),
    };
    let aor = Aor::new(name("the user", &row.user)?, name("the realm", &row.realm)?);
    let fit = Fit {
        id: row.id,
        aor,
        provider,
        app,
        kind,
        token,
        last_update: row.last_update.clamp(0, now),
        came: row.id,
    };
    Ok((fit, platform, mended))
}

/// Among rows with the same token of one app, the newest decides the owner. The owner's other rows of the same type are
/// merged into it.
fn give_to_newest(rows: Vec<Fit>, plan: &mut TokenPlan) -> Vec<Fit> {
    type Token = (Provider, String, PushToken);
    let token = |row: &Fit| -> Token { (row.provider.clone(), row.app.clone(), row.token.clone()) };
    let mut owners: HashMap<Token, (UnixSeconds, i64, Aor)> = HashMap::new();
    for row in &rows {
        let claim = (row.last_update, row.id, row.aor.clone());
        let owner = owners.entry(token(row)).or_insert_with(|| claim.clone());
        if (owner.0, owner.1) < (claim.0, claim.1) {
            *owner = claim;
        }
    }
    let mut newest: HashMap<(Token, Kind), Fit> = HashMap::new();
    for row in rows {
        let key = token(&row);
        let owner = owners
            .get(&key)
            .map(|(.., aor)| aor)
            .filter(|aor| !same_aor(aor, &row.aor));
        if let Some(owner) = owner {
            plan.refused.push(RefusedRow {
                id: row.id,
                aor: row.aor.clone(),
                fingerprint: row.token.fingerprint(),
                why: Why::Moved(owner.clone()),
            });
            continue;
        }
        match newest.entry((key, row.kind)) {
            std::collections::hash_map::Entry::Vacant(free) => drop(free.insert(row)),
            std::collections::hash_map::Entry::Occupied(mut other) => {
                plan.merged += 1;
                let came = other.get().came.min(row.came);
                if other.get().age() < row.age() {
                    other.insert(row);
                }
                other.get_mut().came = came;
            }
        }
    }
    let mut rows: Vec<_> = newest.into_values().collect();
    rows.sort_by_key(|row| row.id);
    rows
}

fn same_aor(a: &Aor, b: &Aor) -> bool {
    a.user == b.user && a.domain.eq_ignore_ascii_case(&b.domain)
}

/// Makes devices from one user's tokens of one app. A call token and a message token belong to one phone if they are
/// the only ones, if they are equal, or if one came right after the other, as mod_apn writes the rows of one REGISTER.
/// All others are separate devices until their phones register; in that case it returns `true`.
fn pair(rows: Vec<Fit>, now: UnixSeconds, devices: &mut Vec<Device>) -> bool {
    let (calls, mut messages): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.kind == Kind::Call);
    let only = calls.len() == 1 && messages.len() == 1;
    let shared: BTreeSet<_> = calls.iter().map(|row| row.token.clone()).collect();
    let mut alone = Vec::new();
    for call in calls {
        let same = messages.iter().position(|m| m.token == call.token);
        let next = || {
            let other = |m: &Fit| m.came == call.came + 1 && !shared.contains(&m.token);
            messages.iter().position(other)
        };
        match same.or_else(next).or(only.then_some(0)) {
            Some(at) => {
                let message = messages.remove(at);
                devices.extend(device(&[call, message], now));
            }
            None => alone.push(call),
        }
    }
    let apart = !alone.is_empty() && !messages.is_empty();
    for row in alone.iter().chain(&messages) {
        devices.extend(device(std::slice::from_ref(row), now));
    }
    apart
}

/// One device of at most one row of each kind.
fn device(rows: &[Fit], now: UnixSeconds) -> Option<Device> {
    let newest = rows.iter().max_by_key(|row| row.age())?;
    let token = |kind| rows.iter().find(|row| row.kind == kind).map(|row| row.token.clone());
    Some(Device {
        aor: newest.aor.clone(),
        push: PushParams {
            provider: newest.provider.clone(),
            app: newest.app.as_str().into(),
            team: None,
            tokens: Tokens::new(token(Kind::Call), token(Kind::Message))?,
        },
        user_agent: "".into(),
        register_call_id: "".into(),
        first_seen: now,
        last_seen: newest.last_update,
        set_aside: None,
        changed: newest.last_update.saturating_mul(1_000_000),
    })
}
