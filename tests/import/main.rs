//! From mod_apn to fswake: real files, real SQLite, a real PostgreSQL.
//!
//! | module | what |
//! |---|---|
//! | `conf` | what is read of apn.conf.xml, well-formed or not |
//! | `tokens` | which rows become which devices |
//! | `store` | what the store takes, and what it keeps |

mod conf;
mod store;
mod tokens;
