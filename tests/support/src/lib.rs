//! Stand-ins for the remote ends of fswake: FreeSWITCH, APNs, FCM.

// A stand-in that cannot start has to end the test, and that is all there is to say about it.
#![allow(clippy::missing_panics_doc)]

pub mod apns;
pub mod fcm;
pub mod freeswitch;
pub mod http2;
pub mod proxy;
pub mod tls;
