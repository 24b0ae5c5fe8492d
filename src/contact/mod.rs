//! Contact parser and writer (RFC 3261 section 20.10, RFC 8599).
