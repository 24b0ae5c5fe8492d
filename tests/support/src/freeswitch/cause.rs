//! Hangup causes: their Q.850 numbers, how SIP failures map to them, and the Reason sent to phones.

/// FreeSWITCH's number of a cause. Numbers above 127 are its own.
fn number(cause: &str) -> u16 {
    match cause {
        "UNALLOCATED_NUMBER" => 1,
        "NO_ROUTE_DESTINATION" => 3,
        "NORMAL_CLEARING" => 16,
        "USER_BUSY" => 17,
        "NO_USER_RESPONSE" => 18,
        "NO_ANSWER" => 19,
        "SUBSCRIBER_ABSENT" => 20,
        "CALL_REJECTED" => 21,
        "NUMBER_CHANGED" => 22,
        "DESTINATION_OUT_OF_ORDER" => 27,
        "NORMAL_TEMPORARY_FAILURE" => 41,
        "SERVICE_UNAVAILABLE" => 63,
        "CHAN_NOT_IMPLEMENTED" => 66,
        "INCOMPATIBLE_DESTINATION" => 88,
        "RECOVERY_ON_TIMER_EXPIRE" => 102,
        "INTERWORKING" => 127,
        "ORIGINATOR_CANCEL" => 487,
        "LOSE_RACE" => 502,
        "PICKED_OFF" => 605,
        _ => 31,
    }
}

/// `variable_hangup_cause_q850`. FreeSWITCH's own causes count as normal clearing.
pub(crate) fn q850(cause: &str) -> u16 {
    let number = number(cause);
    if number < 128 { number } else { 16 }
}

/// Whether FreeSWITCH knows the name. For an unknown one `uuid_kill` uses NORMAL_CLEARING.
pub(crate) fn known(cause: &str) -> bool {
    number(cause) != 31 || cause == "NORMAL_UNSPECIFIED"
}

/// The Reason header of a CANCEL or BYE (mod_sofia.c, `sofia_on_hangup`).
pub(crate) fn reason(cause: &str, sip_reason: Option<&str>) -> String {
    match (sip_reason, number(cause)) {
        (Some(text), _) => text.to_owned(),
        (None, _) if cause == "LOSE_RACE" || cause == "PICKED_OFF" => {
            "SIP;cause=200;text=\"Call completed elsewhere\"".to_owned()
        }
        (None, number @ 1..128) => format!("Q.850;cause={number};text=\"{cause}\""),
        (None, number) => format!("SIP;cause={number};text=\"{cause}\""),
    }
}

/// The cause for a phone's failure response (sofia_glue.c, `sofia_glue_sip_cause_to_freeswitch`).
pub(crate) fn from_sip(status: u16) -> &'static str {
    match status {
        401 | 402 | 403 | 407 | 603 | 608 => "CALL_REJECTED",
        404 => "UNALLOCATED_NUMBER",
        485 | 604 => "NO_ROUTE_DESTINATION",
        408 | 504 => "RECOVERY_ON_TIMER_EXPIRE",
        410 => "NUMBER_CHANGED",
        480 => "NO_USER_RESPONSE",
        400 | 481 | 500 | 503 => "NORMAL_TEMPORARY_FAILURE",
        486 | 600 => "USER_BUSY",
        488 | 606 => "INCOMPATIBLE_DESTINATION",
        487 => "ORIGINATOR_CANCEL",
        405 => "SERVICE_UNAVAILABLE",
        413 | 414 | 416 | 420 | 421 | 423 | 505 | 513 => "INTERWORKING",
        _ => "NORMAL_UNSPECIFIED",
    }
}

/// The reason phrase of a SIP status.
pub(crate) fn phrase(status: u16) -> &'static str {
    match status {
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        480 => "Temporarily Unavailable",
        486 => "Busy Here",
        487 => "CANCEL",
        488 => "Not Acceptable Here",
        503 => "Service Unavailable",
        600 => "Busy Everywhere",
        603 => "Decline",
        _ => "Failure",
    }
}
