//! The names of all metrics. docs/METRICS.md describes each; a test compares the two.

/// Declares [`Name`]: each metric with its name and its help.
macro_rules! names {
    ($($variant:ident $name:literal $help:literal)*) => {
        /// Every metric that there is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Name {
            $(#[doc = $help] $variant,)*
        }

        impl Name {
            /// All of them, in the order of `/metrics`.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As it is written in `/metrics`; histograms have `_bucket`, `_sum` and `_count` of it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// One line about it.
            pub fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)* }
            }
        }
    };
}

names! {
    Calls "fswake_calls_total" "Held calls that are over, by who was called and how they ended"
    HeldCalls "fswake_held_calls" "Calls held now, and wakes asked for with POST /v1/wake"
    HoldSeconds "fswake_hold_seconds" "How long calls were held, by how they ended"
    WakeRequests "fswake_wake_requests_total" "Wakes asked for with POST /v1/wake that are over, by how they ended"
    WakeRequestSeconds "fswake_wake_request_seconds" "How long those took, by how they ended"
    CallToPush "fswake_call_to_push_seconds" "From the call's arrival to its first push being handed to the provider's connection"
    PushToRegister "fswake_push_to_register_seconds" "From a call push to the REGISTER of the phone that it woke"
    RegisterToInvite "fswake_register_to_invite_seconds" "From that REGISTER to the INVITE being ordered from FreeSWITCH"
    Pushes "fswake_pushes_total" "Pushes that have ended, by app, kind and outcome"
    PushSeconds "fswake_push_seconds" "How long the provider took to take or refuse a push, retries included"
    PushesUnderWay "fswake_pushes_under_way" "Pushes whose outcome is awaited"
    PushesUnserved "fswake_pushes_unserved_total" "Pushes that were not sent because no app serves the device"
    PushesLimited "fswake_pushes_limited_total" "Call pushes that were not sent because a rate limit was reached"
    PushesShared "fswake_pushes_shared_total" "Call pushes that were spared because another call had just pushed the device"
    Wakes "fswake_wakes_total" "Devices pushed for a call that is over, by outcome; bounced: pushed, and never registered"
    LateRegistration "fswake_late_registration_seconds" "Phones that registered only when the call was over: how much too late"
    Refreshes "fswake_refreshes_total" "Refresh pushes by what came of them: registered, or expired without a REGISTER"
    Registrations "fswake_registrations_total" "REGISTERs received, by whether they brought a push token"
    UnknownApp "fswake_unknown_app_devices_total" "REGISTERs of devices whose app is not configured: they cannot be woken"
    Devices "fswake_devices" "Devices that are known"
    DevicesForgotten "fswake_devices_forgotten_total" "Devices forgotten, by why"
    AppProblem "fswake_app_problem" "1 while an app has this problem"
    CertificateExpiry "fswake_certificate_expiry_timestamp_seconds" "When the app's certificate ends, in seconds since 1970"
    EslUp "fswake_esl_up" "1 while the connection to FreeSWITCH's event socket is up"
    NodeUp "fswake_node_up" "1 while this FreeSWITCH is connected and its registrations were read"
    NodeHeldCalls "fswake_node_held_calls" "Calls held now at this FreeSWITCH"
    NodeRegistrations "fswake_node_registrations_total" "REGISTERs at this FreeSWITCH"
    StoreFailing "fswake_store_failing" "1 while the store cannot be written"
    StoreQueued "fswake_store_queued" "Changes that wait in memory to be written"
    StoreDropped "fswake_store_dropped_total" "Changes lost because the store could not be written for too long"
    SharedFailing "fswake_shared_store_failing" "1 while the store that several daemons share cannot be used"
    SharedNotified "fswake_shared_store_notified" "1 while PostgreSQL notifies of other daemons' changes; 0: they are read every 2 s"
    SharedWaiting "fswake_shared_store_waiting" "Changes that wait in this daemon's file for the shared store, while that cannot be used"
    SharedChanges "fswake_shared_store_changes_total" "Changes sent to the shared store, received from it, and refused by it for good"
    JournalFailing "fswake_shared_journal_failing" "1 while the journal's lines cannot be exchanged with the shared store"
    JournalWaiting "fswake_shared_journal_waiting" "Journal lines that wait in this daemon's file for the shared store, while that cannot be used"
    JournalLines "fswake_shared_journal_lines_total" "Journal lines sent to the shared store, received from it, and refused by it for good"
    InputsWaiting "fswake_inputs_waiting" "Events and questions that wait for the daemon's loop"
    StartTime "fswake_start_time_seconds" "When the daemon started, in seconds since 1970"
    BuildInfo "fswake_build_info" "1; the version is a label"
}
