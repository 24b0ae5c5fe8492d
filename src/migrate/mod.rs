//! From mod_apn to fswake: its configuration becomes ours, its tokens become devices.
//!
//! ```text
//! apn.conf.xml --apn_conf (preprocess, entities)--> ApnConf --convert--> fswake.toml, files of secrets, notes
//! push_tokens  --source (dsn, sqlite, postgres)-->  rows    --tokens---> devices, refusals --store::import--> store
//! ```
//!
//! Pure but for [`source`], which reads.

pub mod apn_conf;
pub mod convert;
mod entities;
pub mod preprocess;
pub mod source;
pub mod tokens;
