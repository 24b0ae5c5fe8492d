//! Stand-ins for the remote ends of fswake: FreeSWITCH, APNs, FCM.

pub mod freeswitch;
