//! FreeSWITCH's hangup causes, as far as the journal distinguishes them.

/// Causes of FreeSWITCH's own for a leg that it has no route for.
pub(super) fn is_without_a_route(cause: &str) -> bool {
    matches!(
        cause,
        "NO_ROUTE_DESTINATION"
            | "NO_ROUTE_TRANSIT_NET"
            | "DESTINATION_OUT_OF_ORDER"
            | "NETWORK_OUT_OF_ORDER"
            | "NORMAL_TEMPORARY_FAILURE"
            | "INVALID_NUMBER_FORMAT"
            | "INVALID_URL"
            | "INVALID_PROFILE"
            | "INVALID_GATEWAY"
            | "CHAN_NOT_IMPLEMENTED"
    )
}
