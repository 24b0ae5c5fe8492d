//! The whole daemon: the `fswake` binary as its own process, between stand-ins for FreeSWITCH, Apple and Google that
//! speak the real protocols on loopback sockets.
//!
//! | module | what |
//! |---|---|
//! | `refresh` | registrations that are refreshed by a push |
//! | `voicemail` | what a mailbox holds, pushed |
//! | `wake` | a sleeping phone is woken and connected, whichever way its call and its push come |
//! | `waking` | wakes that are under way, shared, or over |
//! | `bindings` | registrations that end, and what FreeSWITCH is asked then |
//! | `lookup` | what only FreeSWITCH's directory knows: whose number was dialled, who rings |
//! | `bridge` | caller and phone are connected: when, by whom, and what if not |
//! | `child` | what a leg has of its call: variables, caller, roles |
//! | `ends` | what the dialplan's own `bridge` learns of the phones |
//! | `taken` | calls that somebody else takes while they are held |
//! | `without_async` | calls that `socket` without `async` holds |
//! | `sleep_hold` | calls that FreeSWITCH's application `sleep` holds |
//! | `pickup_race` | pick-ups that cross the answer of the caller's phone |
//! | `outcomes` | who declined, who never came, who cannot be woken |
//! | `fail_open` | what breaks around fswake |
//! | `crash` | what happens to calls when fswake itself is killed, or the caller hangs up |
//! | `files` | files as editors save them |
//! | `tokens` | what a token is, and whose app it is |
//! | `webpush`, `hms` | phones that are woken by web push, and those of Huawei |
//! | `doctor`, `truth`, `routing`, `trace` | operators' commands, with the daemon and without it |
//! | `drain` | stopping, and what systemd is notified of |
//! | `bad_peers` | strangers on the port for held calls |
//! | `gateway` | phones that are woken through an operator's gateway, and by parameters of the operator's names |
//! | `hostile` | text from the network that would like to be a command |
//! | `notifications` | pushes that are no call's: what FreeSWITCH's events ask for, and what they are answered |
//! | `page` | the status page in a browser (`browser`) |
//! | `reload` | credentials and configuration that change while it runs |
//! | `setup` | mistakes of configuration, and apps that nobody configured |
//! | `idle` | a daemon that has nothing to do |
//! | `import` | what came from mod_apn |
//! | `variables` | what a call asks for by its channel variables |
//! | `harness` | the stage of every test |
//!
//! Every test ends with the stage's own checks: FreeSWITCH was sent nothing that it would not have understood, and no
//! token and no control character is in any line that the daemon logged at level debug.

mod bad_peers;
mod bindings;
mod bridge;
#[path = "../common/browser.rs"]
mod browser;
mod child;
mod crash;
mod doctor;
mod drain;
mod ends;
mod fail_open;
mod files;
mod gateway;
mod harness;
mod hms;
mod hostile;
mod idle;
mod import;
mod lookup;
mod notifications;
mod outcomes;
mod page;
mod pickup_race;
mod refresh;
mod reload;
mod routing;
mod setup;
mod sleep_hold;
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
