//! Caller id and connected identity on both phones.

use super::words::*;

pub fn rows() -> Vec<Row> {
    vec![
        row(2, "caller_of_the_directory").steps(shown()),
        row(2, "caller_names_itself")
            .display("\"Jürgen Größe\" ")
            .before(&[
                ("unset", "effective_caller_id_name"),
                ("unset", "effective_caller_id_number"),
            ])
            .steps(shown()),
        row(2, "effective_caller_id")
            .before(&[
                ("set", "effective_caller_id_number=4711"),
                ("set", "effective_caller_id_name=Reception"),
            ])
            .steps(shown()),
        row(2, "effective_caller_id_utf_8")
            .before(&[("set", "effective_caller_id_name=Jürgen Größe")])
            .steps(shown()),
        row(2, "name_with_quotes_and_commas")
            .before(&[("set", "effective_caller_id_name=Doe, Jane 'JJ' (x=1;y)")])
            .steps(shown()),
        row(2, "sip_cid_type_pid_exported")
            .before(&[("export", "sip_cid_type=pid")])
            .steps(shown()),
        row(2, "sip_cid_type_none_exported")
            .before(&[("export", "sip_cid_type=none")])
            .steps(shown()),
        row(2, "sip_cid_type_pid_set")
            .before(&[("set", "sip_cid_type=pid")])
            .steps(shown()),
        row(2, "caller_sends_p_asserted_identity")
            .header("P-Asserted-Identity", "\"Trunk\" <sip:4930123@trunk.test>")
            .steps(shown()),
        row(2, "caller_sends_p_preferred_identity")
            .header("P-Preferred-Identity", "<sip:4930123@trunk.test>")
            .steps(shown()),
        row(2, "caller_sends_remote_party_id")
            .header(
                "Remote-Party-ID",
                "\"Trunk\" <sip:4930123@trunk.test>;party=calling;screen=yes;privacy=off",
            )
            .steps(shown()),
        row(2, "privacy_id").header("Privacy", "id").steps(shown()),
        row(2, "privacy_with_p_asserted_identity")
            .header("Privacy", "id")
            .header("P-Asserted-Identity", "<sip:4930123@trunk.test>")
            .steps(shown()),
        row(2, "remote_party_id_with_full_privacy")
            .header("Remote-Party-ID", "<sip:4930123@trunk.test>;party=calling;privacy=full")
            .steps(shown()),
        trunk("trunk_sends_nothing").steps(shown()),
        trunk("trunk_sends_p_asserted_identity")
            .header("P-Asserted-Identity", "\"Trunk\" <sip:4930123@trunk.test>")
            .steps(shown()),
        trunk("trunk_sends_two_p_asserted_identities")
            .header(
                "P-Asserted-Identity",
                "\"Trunk\" <sip:4930123@trunk.test>, <tel:+4930123>",
            )
            .steps(shown()),
        trunk("trunk_sends_p_asserted_identity_and_pid_is_set")
            .header("P-Asserted-Identity", "\"Trunk\" <sip:4930123@trunk.test>")
            .before(&[("set", "sip_cid_type=pid")])
            .steps(shown()),
        trunk("trunk_sends_p_preferred_identity")
            .header("P-Preferred-Identity", "<sip:4930123@trunk.test>")
            .steps(shown()),
        trunk("trunk_sends_remote_party_id")
            .header(
                "Remote-Party-ID",
                "\"Trunk\" <sip:4930123@trunk.test>;party=calling;screen=yes;privacy=off",
            )
            .steps(shown()),
        trunk("trunk_sends_remote_party_id_and_none_is_set")
            .header("Remote-Party-ID", "<sip:4930123@trunk.test>;party=calling;privacy=off")
            .before(&[("set", "sip_cid_type=none")])
            .steps(shown()),
        trunk("trunk_privacy_id").header("Privacy", "id").steps(shown()),
        trunk("trunk_privacy_id_and_user")
            .header("Privacy", "id;user")
            .steps(shown()),
        trunk("trunk_privacy_with_p_asserted_identity")
            .header("Privacy", "id")
            .header("P-Asserted-Identity", "<sip:4930123@trunk.test>")
            .steps(shown()),
        trunk("trunk_remote_party_id_with_full_privacy")
            .header("Remote-Party-ID", "<sip:4930123@trunk.test>;party=calling;privacy=full")
            .steps(shown()),
        trunk("trunk_remote_party_id_hides_its_name")
            .header("Remote-Party-ID", "\"Trunk\" <sip:4930123@trunk.test>;privacy=name")
            .steps(shown()),
        trunk("trunk_is_anonymous")
            .display("\"Anonymous\" ")
            .header("P-Asserted-Identity", "\"Trunk\" <sip:4930123@trunk.test>")
            .header("Privacy", "id")
            .steps(shown()),
        trunk("trunk_call_is_hidden_by_the_dialplan")
            .before(&[("privacy", "full")])
            .steps(shown()),
        row(2, "profile_that_asserts_identities").asserting().steps(shown()),
        trunk("trunk_and_a_profile_that_asserts_identities")
            .asserting()
            .header("P-Asserted-Identity", "\"Trunk\" <sip:4930123@trunk.test>")
            .steps(shown()),
        row(2, "rpid_exported_to_a_profile_that_asserts_identities")
            .asserting()
            .before(&[("export", "sip_cid_type=rpid")])
            .steps(shown()),
        row(3, "profile_that_does_not_say_who_has_answered")
            .asserting()
            .steps(up())
            .steps([
                See("200", AnswerHeader("P-Asserted-Identity")),
                Wait(2600),
                See("callee shows", Display(Callee)),
            ]),
        row(3, "callee_as_the_caller_shows_it").steps(up()).steps([
            See("200", AnswerHeader("Remote-Party-ID")),
            See("200 has", AnswerHeader("P-Asserted-Identity")),
            Wait(2600),
            See("caller shows", Display(Caller)),
            See("callee shows", Display(Callee)),
        ]),
        row(3, "callee_that_is_confirmed_first_as_the_caller_shows_it")
            .before(&[
                ("set", "group_confirm_key=exec"),
                ("set", "group_confirm_file=sleep 400"),
            ])
            .steps(up())
            .steps([
                Wait(2600),
                See("caller shows", Display(Caller)),
                See("callee shows", Display(Callee)),
                See("caller hears", Hears(Caller, 400)),
                See("callee hears", Hears(Callee, 400)),
            ]),
    ]
}

/// Neither dialplan nor directory sets the caller's number, so the number that the phone itself sends is shown.
fn trunk(name: &'static str) -> Row {
    row(2, name).before(&[
        ("unset", "effective_caller_id_name"),
        ("unset", "effective_caller_id_number"),
    ])
}

fn shown() -> Vec<Step> {
    vec![
        Until(Up(Callee)),
        See("From", Header(Callee, "From")),
        See("To", Header(Callee, "To")),
        See("RPID", Header(Callee, "Remote-Party-ID")),
        See("PAI", Header(Callee, "P-Asserted-Identity")),
        See("PPI", Header(Callee, "P-Preferred-Identity")),
        See("Privacy", Header(Callee, "Privacy")),
    ]
}
