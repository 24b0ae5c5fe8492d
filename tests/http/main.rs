//! The HTTP interface and the subcommands that use it: the real daemon between stand-ins, and hostile askers.
//!
//! | module | what |
//! |---|---|
//! | `answers` | answers, and that they match the OpenAPI document |
//! | `metrics` | what is counted, and that docs, dashboard and alerts speak of nothing else |
//! | `board` | docs/grafana.json against Grafana's schema |
//! | `guard` | who may ask |
//! | `hostile` | slow, huge and broken requests |
//! | `gateway` | wakes that are asked for, and registrations that are told |
//! | `kamailio` | gateway/kamailio.cfg on a real Kamailio |
//! | `cli` | `fswake devices`, `calls`, `apps` |
//! | `site` | the interface as a test asks it |
//! | `schema` | a value against a schema of the document |

mod answers;
mod board;
mod cli;
mod gateway;
mod guard;
#[path = "../daemon/harness.rs"]
#[allow(dead_code, reason = "shared with tests/daemon, which uses all of it")]
mod harness;
mod hostile;
mod kamailio;
mod metrics;
mod schema;
mod site;
