//! `fswake-import-mod-apn`: mod_apn's configuration becomes fswake's, its tokens become devices.
//!
//! It is a program of its own (`src/bin`), because a site uses it once: nothing of it is in the daemon.
//!
//! ```text
//! apn.conf.xml --apn_conf (xml: variables, entities)--> ApnConf --convert--> fswake.toml, files of secrets, notes
//! push_tokens  --source (dsn, sqlite, postgres)-->  rows    --tokens---> devices, refusals --store::import--> store
//! ```
//!
//! Pure but for [`source`], which reads.

pub mod apn_conf;
mod command;
pub mod convert;
mod report;
pub mod source;
pub mod tokens;

pub use command::ImportModApn;
