//! `bgapi` jobs that make a leg, recognised by the leg's name in their command.

use crate::types::{CallId, LegId};

/// The held channel's variable with leg N's `originate`, without N.
pub(super) const VARIABLE: &str = "fswake_leg_";

/// The leg whose `originate` has ended, whether it was sent as a whole or prepared.
pub fn leg_of_job<'a>(
    call: CallId,
    command: &str,
    argument: &'a str,
    leg: impl Fn(&'a str) -> Option<LegId>,
) -> Option<LegId> {
    if command == "originate" {
        return leg(argument.strip_prefix("{origination_uuid=")?.split(',').next()?);
    }
    let (_, prepared) = argument.split_once(" originate ${variable_")?;
    let n = prepared.strip_prefix(VARIABLE)?.split_once('}')?.0.parse().ok()?;
    (command == "expand").then_some(LegId { call, n })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const CALL: CallId = CallId(Uuid::nil());

    #[test]
    fn jobs_are_known_by_their_leg() {
        let leg = |n| LegId { call: CALL, n };
        let of = |command, argument| leg_of_job(CALL, command, argument, |id| (id == "u7").then_some(leg(7)));
        assert_eq!(of("originate", "{origination_uuid=u7,x=1}y &park()"), Some(leg(7)));
        assert_eq!(
            of("expand", "uuid:h originate ${variable_fswake_leg_3},x=1}y"),
            Some(leg(3))
        );
        for (command, argument) in [
            ("uuid_kill", "u7 X"),
            ("expand", "uuid:h echo 3"),
            ("expand", "uuid:h originate ${variable_x}}"),
        ] {
            assert_eq!(of(command, argument), None, "{command} {argument}");
        }
    }
}
