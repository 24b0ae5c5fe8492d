//! Calls to tokens that a provider no longer knows, or rejects as wrong.

use super::part::{FEW, Finding, Part, SOME_PERCENT, percent};
use crate::doctor::check::{CheckState, first_of};
use crate::journal::{Attempt, Pattern};
use crate::push::PushErrorKind;
use crate::types::{Printable, Provider};

const OF_APPLE: &str = "BadDeviceToken or DeviceTokenNotForTopic: builds from Xcode need provider apns.dev, those from TestFlight and the \
                        App Store apns, and the topic has to be the app's";
const OF_GOOGLE: &str = "SENDER_ID_MISMATCH: the app was built for another Firebase project than the service account's; INVALID_ARGUMENT: \
                         the app sends something else than its FCM token";
const OF_WEB_PUSH: &str =
    "refused subscriptions: the phones have subscribed with another VAPID key than that of vapid-key-file";
const OF_HUAWEI: &str = "80300007: the app was built for another client id than the configured one, or was removed";
const OF_ANOTHER: &str = "refused tokens: the gateway's log says why";
const GONE: &str = "gone tokens: the app has to register with its new token when it is reinstalled";

pub(super) fn stale(parts: &[Part]) -> Finding {
    let stale: Vec<&Attempt> = parts
        .iter()
        .filter(|p| p.pattern == Some(Pattern::StaleTokens))
        .map(|p| &p.attempt)
        .collect();
    let is_wrong = |a: &&&Attempt| a.set_aside.is_some() || matches!(a.refused, Some((PushErrorKind::TokenBad, _)));
    let wrong: Vec<&&Attempt> = stale.iter().filter(is_wrong).collect();
    let pushed = parts.iter().filter(|p| p.attempt.pushes > 0).count();
    // Apps are removed and reinstalled all the time.
    if wrong.is_empty() && (stale.len() < FEW || percent(stale.len(), pushed) < SOME_PERCENT) {
        return None;
    }
    let mut devices: Vec<String> = stale.iter().map(|a| Printable(&a.device).to_string()).collect();
    devices.sort_unstable();
    devices.dedup();
    let gone = stale.len() - wrong.len();
    let seen = format!(
        "works for some: {} calls to tokens that are gone ({gone}) or refused ({}), of {} devices: {}",
        stale.len(),
        wrong.len(),
        devices.len(),
        first_of(&devices, 3)
    );
    let of = |is: fn(&Provider) -> bool| wrong.iter().any(|a| is(&a.provider()));
    let advice = [
        of(Provider::has_topics).then_some(OF_APPLE),
        of(|provider| *provider == Provider::Fcm).then_some(OF_GOOGLE),
        of(|provider| *provider == Provider::WebPush).then_some(OF_WEB_PUSH),
        of(|provider| *provider == Provider::Hms).then_some(OF_HUAWEI),
        of(|provider| matches!(provider, Provider::Other(_))).then_some(OF_ANOTHER),
        (gone > 0).then_some(GONE),
    ];
    let advice: Vec<&str> = advice.into_iter().flatten().collect();
    Some((CheckState::Warning, seen, advice.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_of_the_provider_that_refuses() {
        let part = |device: &str, error| Part {
            attempt: Attempt {
                device: format!("{device}:0badcafe"),
                refused: Some((error, "x".to_owned())),
                pushes: 1,
                ..Attempt::default()
            },
            domain: "d".into(),
            pattern: Some(Pattern::StaleTokens),
        };
        let advice = |parts: &[Part]| stale(parts).unwrap().2;
        let (bad, gone) = (PushErrorKind::TokenBad, PushErrorKind::TokenGone);
        assert_eq!(advice(&[part("apns.dev:com.example.phone", bad)]), OF_APPLE);
        assert_eq!(advice(&[part("fcm:example-phone", bad)]), OF_GOOGLE);
        assert_eq!(advice(&[part("acme:x", bad)]), OF_ANOTHER);
        let all_gone: Vec<Part> = (0..FEW).map(|_| part("fcm:example-phone", gone)).collect();
        assert_eq!(advice(&all_gone), GONE);
        let both = [part("apns:com.example.phone", bad), part("fcm:example-phone", gone)];
        assert_eq!(advice(&both), format!("{OF_APPLE}; {GONE}"));
    }
}
