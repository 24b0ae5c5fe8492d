//! Keeps FreeSWITCH's events coming in time.

use std::convert::Infallible;
use std::time::Duration;

use freeswitch_esl_tokio::{EslClient, EslCommand};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

/// How often FreeSWITCH is nudged while a held call waits for a REGISTER. It looks at its event queue only every 20 ms
/// unless something arrives from fswake (mod_event_socket.c, `read_packet`; measured with 1.10.12).
const NUDGE: Duration = Duration::from_millis(1);
/// How long the first steps of a call go undisturbed.
const HEAD_START: Duration = Duration::from_millis(2);
/// After this much silence the connection is checked.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Makes FreeSWITCH look at its event queue while a call waits, and notices a connection that died silently.
///
/// An unknown command works like a lone line feed, and its reply sets the pace.
pub(super) async fn nudge(client: &EslClient, mut waiting: watch::Receiver<usize>) -> Infallible {
    let mut idle = interval(KEEPALIVE);
    idle.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut tick = interval(NUDGE);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = idle.tick() => {}
            () = next_nudge(&mut tick, &mut waiting) => {}
        }
        if client.send_command(EslCommand::NoOp).await.is_err() {
            // The events end then; their receiver first handles those that are left.
            let _ = client.disconnect().await;
            return std::future::pending().await;
        }
    }
}

/// The next moment at which a nudge helps; pending while no call waits.
async fn next_nudge(tick: &mut tokio::time::Interval, waiting: &mut watch::Receiver<usize>) {
    if *waiting.borrow_and_update() == 0 {
        if waiting.wait_for(|calls| *calls > 0).await.is_err() {
            // The driver's loop has ended, and with it the daemon.
            return std::future::pending().await;
        }
        // A new call has its push to send first.
        tokio::time::sleep(HEAD_START).await;
    }
    tick.tick().await;
}
