//! The push providers against stand-ins of APNs and FCM, over real sockets, TLS and HTTP/2.

mod apns;
mod apns_auth;
mod apns_faults;
mod fcm;
mod renewal;
mod setup;
mod support;
