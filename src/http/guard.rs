//! Checks who may ask.
//!
//! With a token, only requests that carry it are served. Without one the address is loopback, and any local process may
//! query it, but no web page in an operator's browser:
//!
//! - a page of another site whose name was made to mean 127.0.0.1 (DNS rebinding) sends its own name as `Host`: only
//!   `localhost` and addresses are accepted;
//! - a page that sends a request without reading the answer is recognised by what browsers add (`Origin`,
//!   `Sec-Fetch-Site`). Without these it could change nothing either: no `GET` has an effect, a body must be
//!   `application/json`, and a page may send neither that nor a `DELETE` without a CORS request, which is refused.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

use super::{ProblemDetails, Site};

/// How long making an answer may take.
const LIMIT: Duration = Duration::from_secs(10);
/// The same for a push, which waits for a provider.
const PUSH_LIMIT: Duration = Duration::from_secs(35);
/// The same for a wake, which ends by itself at `wake.max-wait`, ten minutes at most.
const WAKE_LIMIT: Duration = Duration::from_secs(605);
/// Served without a token: liveness, readiness, and the page, which contains no data by itself.
const OPEN: [&str; 3] = ["/", "/healthz", "/readyz"];
/// A browser may load, run and show nothing from an answer; the page sets its own policy.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// Passes a request on, or rejects it. Answers are marked as not for other sites.
pub(super) async fn check(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let mut response = match refusal(&site, &request) {
        Some(problem) => problem.into_response(),
        None => match tokio::time::timeout(limit(&request), next.run(request)).await {
            Ok(response) => response,
            Err(_) => ProblemDetails::new(StatusCode::SERVICE_UNAVAILABLE, "the answer took too long").into_response(),
        },
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(POLICY));
    response
}

fn limit(request: &Request) -> Duration {
    match request.uri().path() {
        "/v1/push" => PUSH_LIMIT,
        "/v1/wake" => WAKE_LIMIT,
        _ => LIMIT,
    }
}

fn refusal(site: &Site, request: &Request) -> Option<ProblemDetails> {
    let headers = request.headers();
    if is_of_another_site(headers, request.method(), request.uri().path()) {
        return Some(ProblemDetails::new(
            StatusCode::FORBIDDEN,
            "cross-site requests are refused",
        ));
    }
    match &site.token {
        Some(token) if !OPEN.contains(&request.uri().path()) && !bears(headers, token.expose()) => {
            Some(ProblemDetails::new(
                StatusCode::UNAUTHORIZED,
                "this needs the header Authorization: Bearer with the token of http.token-file",
            ))
        }
        None if !names_this_host(headers) => Some(ProblemDetails::new(
            StatusCode::MISDIRECTED_REQUEST,
            "without http.token-file the Host must be localhost or an address",
        )),
        _ => None,
    }
}

/// Whether a request carries the token; compared in a time that does not depend on where the two differ.
pub fn bears(headers: &HeaderMap, token: &str) -> bool {
    let Some(given) = headers.get(header::AUTHORIZATION) else {
        return false;
    };
    let Some((scheme, given)) = given.as_bytes().split_at_checked("Bearer ".len()) else {
        return false;
    };
    scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(given.trim_ascii().ct_eq(token.as_bytes()))
}

fn names_this_host(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    host.to_str().is_ok_and(is_localhost_or_address)
}

/// `localhost`, an IPv4 address or an IPv6 address in brackets, with or without a port.
fn is_localhost_or_address(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => (address, port.strip_prefix(':').or(port.is_empty().then_some("0"))),
            None => return false,
        },
        None => host.split_once(':').map_or((host, Some("0")), |(n, p)| (n, Some(p))),
    };
    let is_name = name.eq_ignore_ascii_case("localhost") && !host.starts_with('[');
    let is_address = name
        .parse::<IpAddr>()
        .is_ok_and(|ip| ip.is_ipv6() == host.starts_with('['));
    port.is_some_and(|port| port.parse::<u16>().is_ok()) && (is_name || is_address)
}

/// Whether a browser reports that another site's page sends this. A link to the page itself may be anywhere.
fn is_of_another_site(headers: &HeaderMap, method: &Method, path: &str) -> bool {
    let text = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    let fetched = text("sec-fetch-site").is_some_and(|site| site != b"same-origin" && site != b"none");
    let followed = *method == Method::GET && path == "/" && text("sec-fetch-mode") == Some(b"navigate");
    if fetched && !followed {
        return true;
    }
    let Some(origin) = text("origin") else { return false };
    let host = text("host").unwrap_or_default();
    let same = [&b"http://"[..], b"https://"]
        .iter()
        .any(|scheme| origin.strip_prefix(*scheme) == Some(host));
    !same
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_localhost_and_addresses_name_this_host() {
        for host in [
            "localhost",
            "LOCALHOST:8085",
            "127.0.0.1:8085",
            "[::1]:8085",
            "[::1]",
            "192.0.2.1",
        ] {
            assert!(is_localhost_or_address(host), "{host}");
        }
        for host in [
            "",
            "example.org",
            "localhost.example.org",
            "127.0.0.1.example.org",
            "[localhost]",
            "::1",
            "[127.0.0.1]",
            "127.0.0.1:",
            "127.0.0.1:99999",
            "[::1]x",
            "[::1",
            "user@127.0.0.1",
            "localhost:8085:1",
            "0x7f.1",
        ] {
            assert!(!is_localhost_or_address(host), "{host}");
        }
    }
}
