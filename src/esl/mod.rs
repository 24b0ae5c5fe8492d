//! The event socket: FreeSWITCH's events in, commands out.
//!
//! | module | what it does |
//! |---|---|
//! | [`decode`], [`encode`], [`originate`] | pure: headers to events, orders to command texts |
//! | [`options`] | pure: the variables by which a call sets how fswake treats it |
//! | [`other_leg`] | pure: what FreeSWITCH itself rings next to a held channel |
//! | [`inherit`] | pure: what a leg inherits from its parent channel |
//! | [`inbound`] | fswake's connection to FreeSWITCH: registrations, with reconnection |
//! | `prepare` | the first commands on fswake's own connection |
//! | [`queues`] | what the driver's loop has for that connection |
//! | `nudge` | keeps FreeSWITCH's events coming in time |
//! | [`outbound`] | FreeSWITCH's connections to us: one per held call |
//! | [`registrations`] | pure: FreeSWITCH's registration events |
//! | [`answers`] | sends the answers to notifications, on a separate connection |
//! | [`notifications`] | pure: pushes that FreeSWITCH's events ask for, and their answers |
//! | [`voicemail`] | pure: what a mailbox holds |
//! | [`resync`], [`listing`] | registrations as FreeSWITCH lists them: all after a reconnect, and of profiles that start |
//! | [`user_registrations`] | one user's registrations, if an event is ambiguous |
//! | [`link`] | one connection of a held call: commands, replies, events |
//! | [`users`], [`directory`] | questions to FreeSWITCH's directory: whose number, who rings; a user's variables |
//! | `query` | a connection of fswake that asks, and gets no events |
//! | `frame` | the format of messages on the socket, for `link` and `query` |
//! | [`nodes`] | the FreeSWITCHes, while fswake runs; which of them a held call is of |
//! | `bonds`, [`bond_watch`] | channels that end when the FreeSWITCH at their far end is gone |
//! | [`peers`] | the other fswakes of a cluster: what they have pushed; who does what only one has to do |
//! | [`leg_token`] | pure: signed headers of legs from one FreeSWITCH to another |
//! | [`event_socket`] | short questions and orders, on few connections |
//! | `endpoint` | where FreeSWITCH's event socket is, how to log in, and how its events are parsed |
//! | `job` | which leg a `bgapi` job was for |

pub mod answers;
pub mod bond_watch;
mod bonds;
mod dead_host;
pub mod decode;
pub mod directory;
mod early_events;
pub mod encode;
mod endpoint;
pub mod event_socket;
mod frame;
pub mod inbound;
pub mod inherit;
mod job;
pub mod leg_token;
pub mod link;
pub mod listing;
pub mod nodes;
pub mod notifications;
mod nudge;
pub mod options;
pub mod originate;
pub mod other_leg;
pub mod outbound;
pub mod peers;
mod prepare;
mod query;
pub mod queues;
pub mod registrations;
pub mod resync;
pub mod user_registrations;
pub mod users;
pub mod voicemail;
