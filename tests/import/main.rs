//! The import from mod_apn: real files, real SQLite, a real PostgreSQL.
//!
//! | module | tests |
//! |---|---|
//! | `command` | the command as an operator runs it |
//! | `failures` | runs that fail, are killed, or would overwrite something |
//! | `golden` | configurations and their conversions |
//! | `postgres` | tokens in a private PostgreSQL server |
//! | `conf` | parsing apn.conf.xml, well-formed or not |
//! | `tokens` | which rows become which devices |
//! | `store` | which devices the store accepts, and which it keeps |

mod command;
mod conf;
mod failures;
mod golden;
mod postgres;
mod store;
mod tokens;
