//! From mod_apn to fswake: real files, real SQLite, a real PostgreSQL.
//!
//! | module | what |
//! |---|---|
//! | `command` | the command as an operator runs it |
//! | `failures` | runs that fail, are killed, or would overwrite something |
//! | `golden` | configurations, and their conversions |
//! | `postgres` | tokens in a private PostgreSQL server |
//! | `conf` | what is read of apn.conf.xml, well-formed or not |
//! | `tokens` | which rows become which devices |
//! | `store` | what the store takes, and what it keeps |

mod command;
mod conf;
mod failures;
mod golden;
mod postgres;
mod store;
mod tokens;
