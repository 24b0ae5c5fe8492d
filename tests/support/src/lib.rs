//! Stand-ins for the remote ends of fswake: FreeSWITCH, APNs, FCM.

pub mod apns;
pub mod fcm;
pub mod freeswitch;
pub mod http2;
pub mod proxy;
pub mod tls;
