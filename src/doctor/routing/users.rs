//! Users with known devices, and where their dial-strings lead.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::dialstring::{Destination, leads};
use super::limits::{self, Limit};
use crate::doctor::check::{Check, first_of};
use crate::doctor::esl::Session;
use crate::esl::encode::{self, Argument};
use crate::types::{Device, Printable};

/// How many users' dial-strings are read at most, the same number in each domain.
const MOST: usize = 40;

/// One user.
#[derive(Debug)]
pub(super) struct Callee {
    pub name: String,
    pub domain: String,
    pub leads: Destination,
}

/// The users that were asked for.
#[derive(Debug, Default)]
pub(super) struct Users {
    pub all: Vec<Callee>,
    /// A domain's own dial-string, if no user's leads on.
    pub domains: BTreeMap<String, Destination>,
    /// The contexts of their own calls (`user_context`): those of a site, and most callees are callers too.
    pub begin_in: BTreeSet<String>,
    /// Time limits that dial-strings set for their loopbacks, and whose dial-strings do.
    pub limits: BTreeMap<Limit, Vec<String>>,
}

impl Users {
    /// Asks FreeSWITCH for the dial-strings of users with known devices.
    pub(super) async fn ask(session: &mut Session, known: &[Device]) -> Self {
        let mut found = Self::default();
        for (user, domain) in sample(known) {
            let label = format!("{user}@{domain}");
            let command = encode::ask_dial_string(&label);
            let dial_string = session.api(&command).await.unwrap_or_default();
            let leads = leads(&dial_string);
            let begins = session.api(&encode::ask_variable(&label, "user_context")).await;
            found.keep_limit(&dial_string, || label);
            found.begin_in.extend(begins.ok().filter(|context| !context.is_empty()));
            found.all.push(Callee {
                name: user,
                domain,
                leads,
            });
        }
        let led: BTreeSet<&str> = found
            .all
            .iter()
            .filter(|u| matches!(u.leads, Destination::To(_)))
            .map(|u| u.domain.as_str())
            .collect();
        let others: BTreeSet<&str> = found.all.iter().map(|u| u.domain.as_str()).collect();
        let others: Vec<String> = others.difference(&led).map(|domain| (*domain).to_owned()).collect();
        for domain in others {
            let Some(word) = Argument::new(&domain) else { continue };
            let answer = session.api(&encode::ask_dial_string_of_domain(word)).await;
            let answer = answer.unwrap_or_default();
            let of_domain = leads(&answer);
            found.keep_limit(&answer, || domain.clone());
            found.domains.insert(domain, of_domain);
        }
        found
    }

    fn keep_limit(&mut self, dial_string: &str, whose: impl FnOnce() -> String) {
        if let Some(limit) = limits::of_dial_string(dial_string, |leg| matches!(leads(leg), Destination::To(_))) {
            self.limits.entry(limit).or_default().push(whose());
        }
    }

    /// Dial-strings that end the wait before fswake does.
    pub(super) fn cut_short(&self, max_wait: Duration) -> Vec<Check> {
        let short = self.limits.iter().filter(|(limit, _)| limit.is_shorter_than(max_wait));
        short
            .map(|(limit, whose)| {
                let whose: Vec<String> = whose.iter().map(|name| Printable(name).to_string()).collect();
                let place = format!(" in the dial-string of {}", first_of(&whose, 3));
                limit.finding("dial-string".into(), &place, max_wait)
            })
            .collect()
    }

    /// Every context that one of their dial-strings names.
    pub(super) fn contexts(&self) -> impl Iterator<Item = &str> {
        let of_users = self.all.iter().map(|u| &u.leads);
        of_users.chain(self.domains.values()).flat_map(names)
    }
}

pub(super) fn names(leads: &Destination) -> impl Iterator<Item = &str> {
    let names: &[String] = if let Destination::To(names) = leads { names } else { &[] };
    names.iter().map(String::as_str)
}

/// One user of each domain, then a second one of each, and so on.
fn sample(known: &[Device]) -> Vec<(String, String)> {
    let mut domains: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for device in known {
        let domain = device.aor.domain.to_ascii_lowercase();
        if let Some(user) = Argument::new(&device.aor.user).filter(|_| Argument::new(&domain).is_some()) {
            domains.entry(domain).or_default().insert(user.as_str());
        }
    }
    let mut rounds: Vec<(usize, String, String)> = Vec::new();
    for (domain, users) in domains {
        let users = users.into_iter().enumerate().take(MOST);
        rounds.extend(users.map(|(round, user)| (round, domain.clone(), user.to_owned())));
    }
    rounds.sort();
    let taken = rounds.into_iter().take(MOST);
    taken.map(|(_, domain, user)| (user, domain)).collect()
}
