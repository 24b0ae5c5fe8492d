//! The whole daemon: the `fswake` binary as a separate process, between stand-ins for FreeSWITCH, Apple and Google that
//! speak the real protocols on loopback sockets.
//!
//! | module | tests |
//! |---|---|
//! | `refresh` | pushes that refresh registrations |
//! | `voicemail` | voicemail pushes |
//! | `wake` | a sleeping phone is woken and connected, by both routings and both providers |
//! | `waking` | wakes that are in progress, shared, or over |
//! | `bindings` | the end of registrations, and fswake's questions to FreeSWITCH about them |
//! | `lookup` | queries to FreeSWITCH's directory: whose number was dialled, who rings |
//! | `bridge` | caller and phone are connected: when, by which command, and what happens if that fails |
//! | `child` | what a leg takes over from its call: variables, caller, roles |
//! | `ends` | what the dialplan's own `bridge` gets from the phones |
//! | `taken` | calls that others take while they are held |
//! | `without_async` | calls that `socket` without `async` holds |
//! | `pickup_race` | pick-ups at the same time as the phone's answer |
//! | `outcomes` | phones that decline, never register, or cannot be woken |
//! | `fail_open` | faults around fswake |
//! | `crash` | what happens to calls when fswake is killed or the caller hangs up |
//! | `files` | files as editors save them |
//! | `tokens` | what counts as a token, and which app it belongs to |
//! | `webpush`, `hms` | phones that are woken by web push, and Huawei's phones |
//! | `doctor`, `truth`, `routing`, `trace` | operators' commands, with the daemon and without it |
//! | `drain` | stopping, and notifications to systemd |
//! | `handover` | one process takes over from another |
//! | `bad_peers` | strangers on the port for held calls |
//! | `gateway` | an operator's gateway, and parameters with configured names |
//! | `hostile` | text from the network that tries to inject commands |
//! | `notifications` | pushes without a call, requested and answered by events |
//! | `page` | the status page in a browser (`browser`) |
//! | `reload` | credentials and configuration that change in a running daemon |
//! | `setup` | mistakes in the configuration, and apps that are not configured |
//! | `shared` | daemons that share a store in PostgreSQL |
//! | `idle` | an idle daemon |
//! | `import` | data imported from mod_apn |
//! | `variables` | channel variables that change a call |
//! | `harness` | the setup of every test |
//!
//! Every test ends with checks by the harness: all commands to FreeSWITCH were valid, and no line that the daemon
//! logged at level debug contains a token or a control character.

mod bad_peers;
mod bindings;
mod bridge;
#[path = "../common/browser.rs"]
mod browser;
mod child;
mod crash;
mod dead_host;
mod doctor;
mod drain;
mod ends;
mod fail_open;
mod files;
mod gateway;
mod handover;
mod harness;
mod hms;
mod hostile;
mod idle;
mod import;
mod lookup;
mod nodes;
mod notifications;
mod outcomes;
mod page;
mod pickup_race;
mod refresh;
mod reload;
mod routing;
mod setup;
mod shared;
mod shared_journal;
mod shared_rights;
mod taken;
mod tokens;
mod trace;
mod truth;
mod variables;
mod voicemail;
mod wake;
mod waking;
mod webpush;
mod without_async;
