//! What a mailbox holds, as FreeSWITCH's event MESSAGE_WAITING says. Pure.
//!
//! mod_voicemail sends one when a message comes, is heard or deleted, and as the answer to MESSAGE_QUERY (a SUBSCRIBE, or a
//! REGISTER with `send-message-query-on-register`): that one also has the asker's `Call-ID`. FusionPBX's scripts send one for
//! each profile where the user is registered, with `sip:` before the account.

use freeswitch_esl_tokio::EslEvent;

use crate::engine::{Mailbox, MessagesWaiting};
use crate::types::{Aor, UnixSeconds};

/// The event.
pub const EVENT: &str = "MESSAGE_WAITING";

/// Reads an event. `None`: it is another, or does not say how many messages there are.
pub fn read(event: &EslEvent, at: UnixSeconds) -> Option<MessagesWaiting> {
    let header = |name: &str| event.header_str(name).filter(|v| !v.is_empty());
    if header("Event-Name")? != EVENT {
        return None;
    }
    let account = header("MWI-Message-Account")?;
    let account = account.strip_prefix("sip:").unwrap_or(account);
    let (user, domain) = account
        .rsplit_once('@')
        .filter(|(user, domain)| !user.is_empty() && !domain.is_empty())?;
    Some(MessagesWaiting {
        aor: Aor::new(user, domain),
        mailbox: mailbox(header("MWI-Voice-Message")?)?,
        is_answer: ["Call-ID", "call-id", "sub-call-id"]
            .iter()
            .any(|name| header(name).is_some()),
        at,
    })
}

/// `new/saved (new urgent/saved urgent)`; the second pair may be missing.
fn mailbox(text: &str) -> Option<Mailbox> {
    let pair = |text: &str| -> Option<(u32, u32)> {
        let (new, saved) = text.split_once('/')?;
        Some((new.trim().parse().ok()?, saved.trim().parse().ok()?))
    };
    let (all, urgent) = match text.split_once('(') {
        Some((all, urgent)) => (all, Some(urgent.trim_end().strip_suffix(')')?)),
        None => (text, None),
    };
    let (new, saved) = pair(all)?;
    let (new_urgent, saved_urgent) = match urgent {
        Some(urgent) => pair(urgent)?,
        None => (0, 0),
    };
    Some(Mailbox {
        new,
        saved,
        new_urgent,
        saved_urgent,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(headers: &[(&str, &str)]) -> EslEvent {
        let mut event = EslEvent::new();
        event.set_header("Event-Name", EVENT);
        for (name, value) in headers {
            event.set_header(*name, *value);
        }
        event
    }

    fn reported(account: &str, counts: &str) -> Option<MessagesWaiting> {
        let headers = [
            ("MWI-Messages-Waiting", "yes"),
            ("MWI-Message-Account", account),
            ("MWI-Voice-Message", counts),
        ];
        read(&event(&headers), 7)
    }

    #[test]
    fn counts_are_read_as_mod_voicemail_and_fusionpbx_write_them() {
        let all = Mailbox {
            new: 2,
            saved: 1,
            new_urgent: 3,
            saved_urgent: 4,
        };
        let read = reported("1001@fs.test", "2/1 (3/4)").unwrap();
        assert_eq!(
            (read.aor, read.mailbox, read.is_answer),
            (Aor::new("1001", "fs.test"), all, false)
        );
        let read = reported("sip:1001@fs.test", "5/0 (0/0)").unwrap();
        assert_eq!((read.aor, read.mailbox.new), (Aor::new("1001", "fs.test"), 5));
        assert_eq!(reported("1001@fs.test", "1/2").unwrap().mailbox.saved, 2);
    }

    #[test]
    fn answers_to_a_question_are_told_apart() {
        let headers = [
            ("MWI-Message-Account", "1001@fs.test"),
            ("MWI-Voice-Message", "1/0 (0/0)"),
            ("call-id", "subscribe@phone"),
        ];
        assert!(read(&event(&headers), 0).unwrap().is_answer);
    }

    #[test]
    fn what_does_not_say_whose_or_how_many_is_left_alone() {
        for account in ["1001", "@fs.test", "1001@", "sip:"] {
            assert_eq!(reported(account, "1/0"), None, "{account}");
        }
        for counts in ["", "yes", "1", "-1/0", "1/0 (", "1/0 (x/y)", "99999999999/0"] {
            assert_eq!(reported("1001@fs.test", counts), None, "{counts}");
        }
        assert_eq!(read(&event(&[("MWI-Messages-Waiting", "yes")]), 0), None);
    }
}
