//! The push providers against stand-ins of APNs, FCM, Huawei, push services of the web and a gateway, over real sockets, TLS, HTTP/2 and HTTP/1.1.

mod any_http;
mod apns;
mod apns_auth;
mod apns_faults;
mod fcm;
mod half_answers;
mod hms;
mod http;
mod http_auth;
mod http_hostile;
mod http_oauth;
mod http_requests;
mod pkcs12;
mod probe;
mod recipes;
mod renewal;
mod setup;
mod support;
mod webpush;
