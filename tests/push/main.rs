//! The push providers against stand-ins of APNs, FCM and a gateway, over real sockets, TLS, HTTP/2 and HTTP/1.1.

mod apns;
mod apns_auth;
mod apns_faults;
mod fcm;
mod http;
mod http_auth;
mod http_hostile;
mod http_requests;
mod probe;
mod renewal;
mod setup;
mod support;
