//! The call is held at one FreeSWITCH, and the phone is registered at the other.

use fswake_test_support::sip::Script;
use fswake_test_support::site::Settings;

use crate::steps::{answers, call, hang_up, sleeper};
use crate::{Pair, site};

crate::trials![phone_that_registers_at_the_other_freeswitch_is_woken_and_connected];

async fn phone_that_registers_at_the_other_freeswitch_is_woken_and_connected(pair: Pair) {
    let site = site(&pair, Settings::default()).await;
    for (held, registered) in pair.both_ways() {
        let user = site.fs.new_user();
        let phone = sleeper(&site, registered, &user, answers(100)).await;
        let call = call(&site, held, &user).await;
        assert_eq!(call.outcome().await, 200, "{}", phone.story());
        phone.on_the_line().await;
        eprintln!("INVITE {:?} after the REGISTER", phone.invited_after());
        assert_eq!((phone.invites(), site.pushes().len()), (1, 1));
        hang_up(&call, &phone).await;
        let _ = Script::default();
    }
}
