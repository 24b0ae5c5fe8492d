//! App ids as phones send them, and as operators configure them.
//!
//! Apple's is `TEAM.bundle.id.service&service` in RFC 8599 (section 14.5). Apps leave out the team or the service, and
//! teams are not always ten characters. So the configured ids decide what a phone's means.

use super::Provider;

/// Whether an app id that a phone sent (less everything from `&` on) stands for the one that is configured: it is the
/// same, or for Apple what is left of it without service, without team, or without both.
///
/// # Examples
/// ```
/// use fswake_core::types::Provider;
/// use fswake_core::types::app_id::stands_for;
///
/// assert!(stands_for(&Provider::Apns, "DEF123GHIJ.com.example.acme.voip", "com.example.acme"));
/// assert!(!stands_for(&Provider::Fcm, "x.acme-1234", "acme-1234"));
/// ```
pub fn stands_for(provider: &Provider, sent: &str, configured: &str) -> bool {
    if sent == configured {
        return true;
    }
    if !provider.has_topics() {
        return false;
    }
    let is_it = |id: &str| id == configured || id.split_once('.').is_some_and(|(_, bundle)| bundle == configured);
    is_it(sent) || is_it(without_service(sent))
}

/// The configured id that one of these stands for: the first that is configured as it is, else the first that is one
/// with a team or a service.
pub fn find<'a>(
    provider: &Provider,
    sent: &[&str],
    configured: &(impl Iterator<Item = &'a str> + Clone),
) -> Option<&'a str> {
    let exact = sent.iter().find_map(|sent| configured.clone().find(|id| id == sent));
    exact.or_else(|| {
        sent.iter()
            .find_map(|sent| configured.clone().find(|id| stands_for(provider, sent, id)))
    })
}

/// The team and the bundle id of an id without service, if no configured id decides: a team is a first label of
/// capitals and digits (a bundle id begins with a domain's top level, in small letters).
pub fn split_team(id: &str) -> (Option<&str>, &str) {
    let is_team =
        |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    match id.split_once('.') {
        Some((team, bundle)) if is_team(team) && !bundle.is_empty() => (Some(team), bundle),
        _ => (None, id),
    }
}

/// An id without the service at its end.
fn without_service(id: &str) -> &str {
    id.strip_suffix(".voip").or(id.strip_suffix(".remote")).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_id_is_found_in_what_apples_phones_send() {
        let apple = |sent| stands_for(&Provider::Apns, sent, "com.example.phone");
        for sent in [
            "com.example.phone",
            "com.example.phone.voip",
            "com.example.phone.remote",
            "TEAMID1234.com.example.phone",
            "ABCD1234.com.example.phone",
            "ABCD1234.com.example.phone.voip",
            "acme.com.example.phone.voip",
        ] {
            assert!(apple(sent), "{sent}");
        }
        for other in [
            "",
            "example.phone",
            "com.example.phone2",
            "a.b.com.example.phone",
            "com.example",
        ] {
            assert!(!apple(other), "{other}");
        }
    }

    #[test]
    fn ids_of_others_are_compared_as_they_are() {
        assert!(stands_for(&Provider::Fcm, "acme-1", "acme-1"));
        assert!(!stands_for(&Provider::Fcm, "x.acme-1", "acme-1"));
        assert!(!stands_for(&Provider::Fcm, "acme-1.voip", "acme-1"));
    }

    #[test]
    fn teams_are_first_labels_of_capitals_and_digits() {
        assert_eq!(
            split_team("ABCD1234.com.example.phone"),
            (Some("ABCD1234"), "com.example.phone")
        );
        for whole in ["com.example.phone", "Com.example", "ABCD1234", "ABCD1234.", ".a", ""] {
            assert_eq!(split_team(whole), (None, whole));
        }
    }
}
