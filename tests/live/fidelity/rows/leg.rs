//! The leg inherits from the call: variables, headers, hooks.

use super::words::*;

pub fn rows() -> Vec<Row> {
    vec![
        row(2, "headers_of_the_caller")
            .header("X-Ticket", "17")
            .header("P-Charging-Vector", "icid-value=1")
            .header("Diversion", "<sip:4930999@trunk.test>;reason=unconditional")
            .header("History-Info", "<sip:4930999@trunk.test>;index=1")
            .header("Alert-Info", "<http://example.org/ring>")
            .header("Call-Info", "<sip:x>;answer-after=0")
            .steps([
                Until(Up(Callee)),
                See("X-Ticket", Header(Callee, "X-Ticket")),
                See("P-Charging-Vector", Header(Callee, "P-Charging-Vector")),
                See("Diversion", Header(Callee, "Diversion")),
                See("History-Info", Header(Callee, "History-Info")),
                See("Alert-Info", Header(Callee, "Alert-Info")),
                See("Call-Info", Header(Callee, "Call-Info")),
                See("Max-Forwards", Header(Callee, "Max-Forwards")),
            ]),
        row(2, "sip_copy_custom_headers_false")
            .header("X-Ticket", "17")
            .before(&[("set", "sip_copy_custom_headers=false")])
            .steps([Until(Up(Callee)), See("X-Ticket", Header(Callee, "X-Ticket"))]),
        row(2, "sip_h_set").before(&[("set", "sip_h_X-Own=yes")]).steps(own()),
        row(2, "sip_h_exported")
            .before(&[("export", "sip_h_X-Own=yes")])
            .steps(own()),
        row(2, "sip_h_exported_to_the_leg_only")
            .before(&[("export", "nolocal:sip_h_X-Own=yes")])
            .steps(own()),
        row(2, "hostile_header_value")
            .before(&[("export", "sip_h_X-Own=a,b}c[d]'e\\f")])
            .steps(own()),
        row(2, "alert_info_exported")
            .before(&[("export", "alert_info=http://example.org/ring")])
            .steps([Until(Up(Callee)), See("Alert-Info", Header(Callee, "Alert-Info"))]),
        row(2, "sip_auto_answer_exported")
            .before(&[("export", "sip_auto_answer=true")])
            .steps([
                Until(Up(Callee)),
                See("Call-Info", Header(Callee, "Call-Info")),
                See("Alert-Info", Header(Callee, "Alert-Info")),
            ]),
        row(2, "variables_of_the_leg")
            .before(&[
                ("export", "fid_exported=1"),
                ("export", "nolocal:fid_nolocal=2"),
                ("set", "fid_set=3"),
            ])
            .variables(&[("fid_directory", "of {1}")])
            .steps(up())
            .steps([
                See("exported", Variable(Callee, "fid_exported")),
                See("nolocal", Variable(Callee, "fid_nolocal")),
                See("nolocal on the caller", Variable(Caller, "fid_nolocal")),
                See("set", Variable(Callee, "fid_set")),
                See("directory", Variable(Callee, "fid_directory")),
                See("accountcode", Variable(Callee, "accountcode")),
                See("user_context", Variable(Callee, "user_context")),
                See("dialed_user", Variable(Callee, "dialed_user")),
                See("presence_id", Variable(Callee, "presence_id")),
                See("originating_leg_uuid", Variable(Callee, "originating_leg_uuid")),
                See("signal_bond", Variable(Caller, "signal_bond")),
            ]),
        row(2, "variables_of_the_caller").steps(up()).steps([
            See("originate_disposition", Variable(Caller, "originate_disposition")),
            See("DIALSTATUS", Variable(Caller, "DIALSTATUS")),
            See("current_application", Variable(Caller, "current_application")),
            See("bridge_channel", Variable(Caller, "bridge_channel")),
            See("absolute_codec_string", Variable(Caller, "absolute_codec_string")),
        ]),
        row(2, "execute_on_answer_of_the_leg")
            .before(&[("export", "nolocal:execute_on_answer=set fid_hook=ran")])
            .steps(up())
            .steps([
                See("on the leg", Variable(Callee, "fid_hook")),
                See("on the caller", Variable(Caller, "fid_hook")),
            ]),
        row(2, "execute_on_ring_of_the_leg")
            .before(&[("export", "nolocal:execute_on_ring=set_global fid-{id}-hook=ran")])
            .steps(up())
            .steps([See("hook", Left("hook"))]),
        row(2, "api_on_answer_of_the_leg")
            .before(&[("export", "nolocal:api_on_answer=global_setvar fid-{id}-hook=ran")])
            .steps(up())
            .steps([See("hook", Left("hook"))]),
        row(2, "recording_of_the_leg")
            .before(&[(
                "export",
                "nolocal:execute_on_answer=record_session ${recordings_dir}/fid-{id}-leg.wav",
            )])
            .steps(up())
            .steps([Wait(1600)])
            .steps(over())
            .steps([Wait(500), See("recording", Recorded("leg"))]),
        row(2, "recording_of_the_caller")
            .before(&[("record_session", "${recordings_dir}/fid-{id}-caller.wav")])
            .steps(up())
            .steps([Wait(1600)])
            .steps(over())
            .steps([Wait(500), See("recording", Recorded("caller"))]),
        row(2, "hooks_of_the_caller")
            .before(&[
                ("set", "execute_on_answer=set fid_hook=ran"),
                ("set", "api_on_answer=global_setvar fid-{id}-hook=ran"),
            ])
            .steps(up())
            .steps([See("execute", Variable(Caller, "fid_hook")), See("api", Left("hook"))]),
        row(2, "bridge_pre_execute")
            .before(&[
                ("set", "bridge_pre_execute_aleg_app=set"),
                ("set", "bridge_pre_execute_aleg_data=fid_a=ran"),
                ("set", "bridge_pre_execute_bleg_app=set"),
                ("set", "bridge_pre_execute_bleg_data=fid_b=ran"),
            ])
            .steps(up())
            .steps([See("A", Variable(Caller, "fid_a")), See("B", Variable(Callee, "fid_b"))]),
    ]
}

fn own() -> Vec<Step> {
    vec![Until(Up(Callee)), See("X-Own", Header(Callee, "X-Own"))]
}
