//! Failed or lost connections: the cause, as a value and in words.

use std::error::Error as StdError;
use std::io;

use crate::push::transport::resolver::{NoAddress, NotAllowed};
use crate::push::transport::retry::{TransientFailure, Try};
use crate::types::push::{Fault, KeptBy, OwnRefusal, PushError};
use crate::words::{self, causes};

/// What to do after a connection could not be made or was lost.
pub(crate) fn lost(error: reqwest::Error, is_proxied: bool) -> Try {
    if let Some(NotAllowed(host)) = causes(&error).find_map(<dyn StdError>::downcast_ref) {
        return Try::Refused(PushError::Refused(OwnRefusal::EndpointNotAllowed(host.clone())));
    }
    let fault = if error.is_builder() {
        Some(Fault::Settings)
    } else {
        causes(&error).find_map(fault_of)
    };
    let has_broken = !error.is_connect();
    let has_no_address = causes(&error).any(<dyn StdError>::is::<NoAddress>);
    let reason = in_words(error, is_proxied);
    match fault {
        Some(fault) => Try::Refused(PushError::Misconfigured { fault, reason }),
        None => Try::TransientFailure(TransientFailure {
            kept_by: if has_no_address {
                KeptBy::NoAddress
            } else {
                KeptBy::NoConnection
            },
            reason,
            retry_after: None,
            has_broken,
        }),
    }
}

/// What an operator has to mend: no repetition makes a certificate trusted.
fn fault_of(cause: &(dyn StdError + 'static)) -> Option<Fault> {
    match cause.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(_) => Some(Fault::Untrusted),
        rustls::Error::AlertReceived(rustls::AlertDescription::CertificateExpired) => Some(Fault::CertificateExpired),
        // The provider refuses our certificate, or misses one.
        rustls::Error::AlertReceived(alert) if is_about_certificates(*alert) => Some(Fault::CertificateRefused),
        _ => None,
    }
}

/// RFC 8446 section 6.2; any other alert may be gone at the next try.
fn is_about_certificates(alert: rustls::AlertDescription) -> bool {
    use rustls::AlertDescription as Alert;
    matches!(
        alert,
        Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::CertificateRequired
    )
}

/// What went wrong with a connection, in words. Names the host, never the URL: its path holds the token.
pub(crate) fn in_words(error: reqwest::Error, is_proxied: bool) -> String {
    let to = error.url().and_then(|url| {
        let host = url.host_str()?;
        Some(format!("{host}:{}", url.port_or_known_default()?))
    });
    let to = to.unwrap_or_else(|| "the provider".into());
    let is_connecting = error.is_connect();
    let error = error.without_url();
    let last = causes(&error)
        .last()
        .map_or_else(|| error.to_string(), ToString::to_string);
    let last = without_links(&last);
    if causes(&error).any(<dyn StdError>::is::<NoAddress>) {
        return format!("the name of {to} cannot be resolved: {last}");
    }
    let is_tls = causes(&error).any(<dyn StdError>::is::<rustls::Error>);
    let known = causes(&error).filter_map(of_cause).last();
    // The library has no type for a request that waited for another's attempt to connect.
    let waited = || (last == "request was canceled").then(|| "an attempt to connect has just failed".to_owned());
    let cause = known.or_else(waited).unwrap_or(last);
    if is_connecting && is_proxied && !is_tls {
        return format!("cannot connect to {to} through the proxy: {cause}");
    }
    if is_connecting {
        return format!("cannot connect to {to}: {cause}");
    }
    format!("the connection to {to} broke: {cause}")
}

/// One cause in words, if it is specific enough.
fn of_cause(cause: &(dyn StdError + 'static)) -> Option<String> {
    if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
        return Some(match tls {
            rustls::Error::InvalidCertificate(why) => format!("its certificate is not trusted ({why})"),
            rustls::Error::AlertReceived(alert) if is_about_certificates(*alert) => {
                format!("it refuses the app's certificate ({alert:?})")
            }
            rustls::Error::AlertReceived(alert) => format!("it rejects the TLS connection ({alert:?})"),
            other => format!("TLS: {}", without_links(&other.to_string())),
        });
    }
    let error = cause.downcast_ref::<io::Error>()?;
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Some("the other side closed the connection".into()),
        // It wraps a more specific cause.
        _ if error.raw_os_error().is_none() => None,
        _ => Some(words::of_io(error)),
    }
}

/// A library's text without links to its manual.
fn without_links(text: &str) -> String {
    let words = text.split_whitespace().filter(|word| !word.contains("://"));
    let text = words.collect::<Vec<_>>().join(" ");
    text.trim_end_matches(':').to_owned()
}

#[cfg(test)]
mod tests {
    use reqwest::{Client, Proxy};

    use super::*;
    use crate::push::transport::resolver::SystemResolver;

    #[tokio::test]
    async fn failed_connections_are_told_in_words_with_the_host() {
        let free = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closes = silent.local_addr().unwrap().port();
        tokio::spawn(async move { while silent.accept().await.is_ok() {} });
        let client = || Client::builder().no_proxy().dns_resolver(SystemResolver);
        let failed = async |client: reqwest::ClientBuilder, url: String, is_proxied: bool| {
            let error = client
                .build()
                .unwrap()
                .get(format!("{url}/3/device/secret"))
                .send()
                .await;
            in_words(error.unwrap_err(), is_proxied)
        };
        let refused = failed(client(), format!("https://127.0.0.1:{free}"), false).await;
        assert_eq!(
            refused,
            format!("cannot connect to 127.0.0.1:{free}: connection refused")
        );
        let closed = failed(client(), format!("https://127.0.0.1:{closes}"), false).await;
        assert!(
            closed.starts_with(&format!("cannot connect to 127.0.0.1:{closes}: ")),
            "{closed}"
        );
        let nameless = failed(client(), "https://no-such-host.invalid".into(), false).await;
        assert!(
            nameless.starts_with("the name of no-such-host.invalid:443 cannot be resolved"),
            "{nameless}"
        );
        let proxy = Proxy::all(format!("http://127.0.0.1:{free}")).unwrap();
        let proxied = failed(Client::builder().proxy(proxy), "https://push.example".into(), true).await;
        assert_eq!(
            proxied,
            "cannot connect to push.example:443 through the proxy: connection refused"
        );
        for text in [refused, closed, nameless, proxied] {
            for odd in ["os error", "secret", "client error", "://"] {
                assert!(!text.contains(odd), "{odd} in {text}");
            }
        }
    }
}
