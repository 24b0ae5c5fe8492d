//! Stand-ins for APNs, FCM, Huawei, web push services, an operator's push gateway, SIP phones and FreeSWITCH. For the
//! live tests, a real FreeSWITCH, a real Kamailio and a real Asterisk.

#![allow(clippy::missing_panics_doc, reason = "a stand-in that fails must fail its test")]
// A stand-in that cannot start must fail the test.

pub mod apns;
pub mod asterisk;
pub mod baresip;
pub mod daemon;
pub mod fcm;
pub mod freeswitch;
pub mod gateway;
pub mod hms;
pub mod http1;
pub mod http2;
pub mod kamailio;
mod oauth;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod realfs;
pub mod sip;
pub mod site;
pub mod skipped;
pub mod tls;
pub mod trials;
pub mod vendors;
pub mod webpush;
pub mod webpush_testing;
