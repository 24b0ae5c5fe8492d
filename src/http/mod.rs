//! What operators and programs ask the running daemon: HTTP on loopback, or anywhere with a token.
//!
//! ```text
//! serve (sockets, limits) -> guard (who may ask) -> routes -> calls, devices, wakes, apps, attention, health,
//!                                                              |  wake, registrations (for other SIP servers)
//!                                                              |  control: the driver's loop, in slices
//!                                                              |  journal, store: SQLite, read-only
//! ```
//!
//! It runs on a thread of its own, and never delays a call: it asks the loop one bounded question at a time, and
//! reading the store takes no lock that the writer needs. Clients may be hostile: heads, bodies, connections and their
//! time are limited ([`serve`]), and a web page in an operator's browser gets nothing ([`guard`]).

mod apps;
mod attention;
mod cache;
mod calls;
mod census;
mod cluster;
mod devices;
pub mod guard;
mod health;
mod metrics;
mod openapi;
mod page;
mod place;
mod problem;
mod push;
mod registrations;
pub mod serve;
mod site;
mod summary;
mod wake;
mod wakes;

use std::sync::Arc;

use axum::Router;
use axum::routing::{delete, get, post};

pub use self::cache::{CensusCache, SummaryCache};
pub use self::openapi::DOCUMENT;
pub use self::problem::ProblemDetails;
pub(crate) use self::push::PushBody;
pub use self::site::Site;

/// Makes the table of routes and the router from one list, so that they cannot differ.
macro_rules! routes {
    ($($method:ident $path:literal $handler:path),* $(,)?) => {
        /// Every route, as method and path; the OpenAPI document describes the same.
        pub const ROUTES: &[(&str, &str)] = &[$((stringify!($method), $path)),*];

        fn table() -> Router<Arc<Site>> {
            Router::new()$(.route($path, $method($handler)))*
        }
    };
}

routes! {
    get "/" page::show,
    get "/healthz" health::alive,
    get "/metrics" metrics::text,
    get "/readyz" health::ready,
    get "/v1/apps" apps::list,
    get "/v1/attention" attention::list,
    get "/v1/calls" calls::held,
    get "/v1/cluster" cluster::show,
    get "/v1/devices" devices::list,
    get "/v1/devices/{id}" devices::show,
    delete "/v1/devices/{id}" devices::forget,
    get "/v1/openapi.json" openapi::document,
    post "/v1/push" push::send,
    post "/v1/registrations" registrations::tell,
    get "/v1/summary" summary::show,
    post "/v1/wake" wake::wake,
    get "/v1/wakes" wakes::recent,
    get "/v1/wakes/{call}" wakes::timeline,
}

/// The whole interface.
pub fn router(site: Arc<Site>) -> Router {
    table()
        .fallback(problem::no_such_thing)
        .method_not_allowed_fallback(problem::wrong_method)
        .layer(axum::middleware::from_fn_with_state(site.clone(), guard::check))
        .with_state(site)
}
