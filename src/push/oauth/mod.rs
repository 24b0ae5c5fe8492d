//! Access tokens of OAuth 2.0: Google's for a service account, Huawei's for a client.

pub(crate) mod access;
pub(crate) mod authorized;
mod grant;
