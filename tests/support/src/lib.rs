//! Stand-ins for the remote ends of fswake: APNs, FCM, Huawei, push services of the web, an operator's push gateway,
//! SIP phones; and a real FreeSWITCH and a real Kamailio for the live tests.

#![allow(clippy::missing_panics_doc, reason = "a stand-in that cannot go on fails its test")]
// A stand-in that cannot start must end the test.

pub mod apns;
pub mod baresip;
pub mod daemon;
pub mod fcm;
pub mod freeswitch;
pub mod gateway;
pub mod hms;
pub mod http1;
pub mod http2;
pub mod kamailio;
pub mod process;
pub mod proxy;
pub mod realfs;
pub mod sip;
pub mod site;
pub mod skipped;
pub mod tls;
pub mod vendors;
pub mod webpush;
pub mod webpush_testing;
