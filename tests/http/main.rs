//! The HTTP interface and the subcommands that use it: the real daemon between stand-ins, and hostile clients.
//!
//! | module | tests |
//! |---|---|
//! | `answers` | answers, against the OpenAPI document |
//! | `metrics` | metrics, and that docs, dashboard and alerts name the same ones |
//! | `board` | docs/grafana.json against Grafana's schema |
//! | `guard` | access |
//! | `hostile` | slow, huge and broken requests |
//! | `gateway` | wakes on request, and registrations reported by other servers |
//! | `stored` | an answered registration is in the store |
//! | `kamailio` | gateway/kamailio.cfg on a real Kamailio |
//! | `asterisk` | gateway/asterisk on a real Asterisk |
//! | `cli` | `fswake devices`, `calls`, `apps` |
//! | `site` | a client for the tests |
//! | `schema` | checks a value against a schema of the document |

mod answers;
mod asterisk;
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
mod stored;
