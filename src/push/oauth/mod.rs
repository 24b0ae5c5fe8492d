//! Access tokens of OAuth 2.0: Google's for a service account; Huawei's, and those of gateways, for a client.

pub(crate) mod access;
pub(crate) mod authorized;
pub(crate) mod client;
mod grant;
