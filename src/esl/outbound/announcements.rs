//! Calls that FreeSWITCH's application `sleep` holds: the dialplan announces each by an event, and all share a few
//! connections.
//!
//! The dialplan holds a call this way only while a global variable names the holder, which fswake renews and FreeSWITCH
//! removes ([`encode::hold_calls`]). Every connection has a name of its own. So no fswake takes a call of a lost connection
//! or of another fswake: such calls go on in the dialplan when their lease is over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use freeswitch_esl_tokio::{EslCommand, EslError, EslEvent, EslResponse};
use futures_util::future::select_all;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{Instrument, debug, info, info_span, warn};
use uuid::Uuid;

use super::command::{announcement_events, api, filter, shared_events};
use super::connection::Connection;
use super::{Outbound, parent};
use crate::esl::endpoint::{Endpoint, Settings};
use crate::esl::link::{Link, SharedConnection, SharedLink};
use crate::esl::{decode, encode};
use crate::jitter;
use crate::types::CallId;
use crate::words;

/// How many connections calls share. FreeSWITCH reads the commands of a connection in one thread, byte by byte, and gives
/// the processor away after each byte: on a busy machine one thread falls seconds behind (974 of 1,000 calls were lost).
/// Announcements and leases have one more, where nothing else waits.
const CONNECTIONS: usize = 8;
/// How often the holder's name is renewed.
const RENEWAL: Duration = Duration::from_millis(500);
/// The most announcements that may wait; further calls go on when their first lease is over.
const ANNOUNCEMENTS: usize = 4096;
/// Left out for a caller whom `sleep` holds: the channel's thread plays nothing then.
const RINGBACK: &str = "ringback (nothing is played while the application sleep holds a call: use socket for it)";
/// After so many renewals that found another holder's name, a warning says so.
const MOST_OF_OTHERS: u32 = 20;
/// So many late replies in a row are a dead connection: the longest lease is over by then.
const MOST_LATE: u32 = 6;
/// The pause before the next attempt to connect.
const PAUSE: Duration = Duration::from_secs(1);

impl Outbound {
    /// Takes calls that are announced, while the settings say so.
    pub async fn take_announced_calls(self, mut settings: watch::Receiver<Settings>) {
        let stop = self.stop.clone();
        let has_warned = AtomicBool::new(false);
        loop {
            let current = settings.borrow_and_update().clone();
            let connected = async {
                if current.holds_by_sleep {
                    self.hold_calls(&current.endpoint, &has_warned).await
                } else {
                    std::future::pending().await
                }
            };
            let is_new =
                |now: &Settings| now.holds_by_sleep != current.holds_by_sleep || now.endpoint != current.endpoint;
            tokio::select! {
                () = stop.cancelled(), if !current.holds_by_sleep => return,
                // Nothing changes any more once the daemon drains.
                Ok(_) = settings.wait_for(is_new) => continue,
                ended = connected => {
                    let Err(error) = ended else { return };
                    let reason = words::of_esl(&error);
                    if has_warned.swap(true, Ordering::Relaxed) {
                        debug!(reason, "calls still cannot be held by FreeSWITCH's application sleep");
                    } else {
                        warn!(reason, "calls reach `socket` until fswake can hold them by FreeSWITCH's application sleep again");
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(jitter::upper_half(PAUSE)) => {}
            }
        }
    }

    /// Has calls held until a connection ends. The next loss is worth a warning once it works.
    async fn hold_calls(&self, endpoint: &Endpoint, has_warned: &AtomicBool) -> Result<(), EslError> {
        let (announcements, announced) = mpsc::channel(ANNOUNCEMENTS);
        let connection = SharedConnection::open(endpoint, announcements).await?;
        let commands = [
            api(encode::ASK_EXPANSION.into()),
            filter("Event-Subclass", encode::ANNOUNCEMENT),
            announcement_events(),
        ];
        let replies = subscribe(&connection, &commands).await?;
        let expanded = replies.first().and_then(EslResponse::body).unwrap_or_default();
        if expanded.trim() != "fswake" {
            warn!(
                reason = expanded.trim(),
                "FreeSWITCH runs no command inside another (api-expansion): its application sleep could not be ended"
            );
            return Err(EslError::ConnectionClosed);
        }
        let holder = Uuid::new_v4().simple().to_string();
        let of_calls = connections_of_calls(endpoint, &holder).await?;
        let ends = of_calls.iter().chain([&connection]).map(|one| Box::pin(one.closed()));
        tokio::select! {
            () = self.stop.cancelled() => {
                let _ = connection.send_all(&encode::hold_no_calls(&holder).map(api)).await;
                Ok(())
            }
            error = self.keep_holding(&connection, &holder, has_warned) => Err(error),
            () = self.take_calls(&of_calls, &holder, announced) => Err(EslError::ConnectionClosed),
            _ = select_all(ends) => Err(EslError::ConnectionClosed),
        }
    }

    /// Renews the holder's name.
    async fn keep_holding(&self, connection: &SharedConnection, holder: &str, has_warned: &AtomicBool) -> EslError {
        let mut tick = interval(RENEWAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut renewals, mut others, mut late) = (0, 0, 0);
        loop {
            tick.tick().await;
            let asked = Instant::now();
            let reply = connection.send_all(&[api(encode::ASK_HOLDER.into())]).await;
            self.lease_time.took(asked.elapsed(), Instant::now());
            let known = match reply {
                Ok(replies) => replies
                    .first()
                    .and_then(EslResponse::body)
                    .unwrap_or_default()
                    .trim()
                    .to_owned(),
                // Calls whose lease is long enough are still held.
                Err(EslError::Timeout { .. }) if late < MOST_LATE => {
                    late += 1;
                    continue;
                }
                Err(error) => return error,
            };
            // Most likely an earlier process, whose lease ends soon.
            if !known.is_empty() && !known.starts_with('-') && known != holder {
                others += 1;
                if others == MOST_OF_OTHERS {
                    warn!(
                        "another fswake holds the calls of FreeSWITCH's application sleep: this one takes none of them"
                    );
                }
                continue;
            }
            let commands = encode::hold_calls(holder, renewals, self.lease_time.of_sleeping_calls());
            let commands: Vec<EslCommand> = commands.into_iter().map(api).collect();
            let asked = Instant::now();
            let replies = connection.send_all(&commands).await;
            self.lease_time.took(asked.elapsed(), Instant::now());
            match replies {
                // FreeSWITCH may still carry it out. The next renewal is of the same group, so that one deletes both.
                Err(EslError::Timeout { .. }) if late < MOST_LATE => {
                    late += 1;
                    continue;
                }
                Err(error) => return error,
                // Without a lease no call may be held.
                Ok(replies) if !replies.iter().all(succeeds) => {
                    let _ = connection.send_all(&encode::hold_no_calls(holder).map(api)).await;
                    let refused = replies
                        .iter()
                        .find(|reply| !succeeds(reply))
                        .and_then(EslResponse::body);
                    let reason = refused.unwrap_or_default().trim();
                    warn!(
                        reason,
                        "FreeSWITCH does not run what calls held by its application sleep need"
                    );
                    return EslError::ConnectionClosed;
                }
                Ok(_) if renewals == 0 => {
                    has_warned.store(false, Ordering::Relaxed);
                    info!("calls may be held by FreeSWITCH's application sleep");
                }
                Ok(_) => {}
            }
            (renewals, others, late) = (renewals.wrapping_add(1).max(1), 0, 0);
        }
    }

    /// Shares the announced calls out among these connections.
    async fn take_calls(
        &self,
        connections: &[SharedConnection],
        holder: &str,
        mut announced: mpsc::Receiver<EslEvent>,
    ) {
        let mut next = connections.iter().cycle();
        while let Some(event) = announced.recv().await {
            if event.header_str("Event-Subclass") != Some(encode::ANNOUNCEMENT) {
                continue;
            }
            if event.header_str("variable_fswake_held") != Some(holder) {
                debug!("a call is announced to another fswake");
                continue;
            }
            let Some(connection) = next.next() else { return };
            let (this, connection) = (self.clone(), connection.clone());
            self.tasks
                .spawn(async move { Box::pin(this.take(&connection, event)).await });
        }
    }

    async fn take(self, connection: &SharedConnection, event: EslEvent) {
        let call = CallId(Uuid::new_v4());
        let mut held = match decode::held_channel(|name| event.header_str(name), call, SystemTime::now()) {
            Ok(held) => held,
            Err(reason) => {
                warn!(%reason, "an announced call cannot be held: it goes on when its first lease is over");
                return;
            }
        };
        parent::inherit(&mut held, event.headers().iter());
        if held.ringback.is_played() {
            held.parent.inherited.left_out.push(RINGBACK.to_owned());
        }
        drop(event);
        let holder = held.sleep.as_ref().map_or("", |sleep| &sleep.holder);
        let link = SharedLink::new(connection.clone(), &held.channel, holder);
        if self.tasks.len() > self.most {
            // Dropping the link releases the channel.
            return self.no_room("as many are held as the limit of open files has room for");
        }
        let span = info_span!("call", call.id = %call, aor = %held.call.aor);
        let connection = Connection::new(self, Link::Shared(link), held);
        connection.run().instrument(span).await;
    }
}

async fn connections_of_calls(endpoint: &Endpoint, holder: &str) -> Result<Vec<SharedConnection>, EslError> {
    let commands = [
        filter("Event-Name", "BACKGROUND_JOB"),
        filter(&format!("variable_{}", encode::HOLDER), holder),
        shared_events(),
    ];
    let mut all = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        // Nothing is announced on them.
        let (others, _) = mpsc::channel(1);
        let connection = SharedConnection::open(endpoint, others).await?;
        subscribe(&connection, &commands).await?;
        all.push(connection);
    }
    Ok(all)
}

/// Sends the first commands of a connection.
async fn subscribe(connection: &SharedConnection, commands: &[EslCommand]) -> Result<Vec<EslResponse>, EslError> {
    let replies = connection.send_all(commands).await?;
    let is_refused = |reply: &&EslResponse| reply.body().is_none() && !reply.is_success();
    if let Some(refused) = replies.iter().find(is_refused) {
        let reason = refused.reply_text().unwrap_or_default();
        warn!(
            reason,
            "FreeSWITCH refuses what calls held by its application sleep need"
        );
        return Err(EslError::ConnectionClosed);
    }
    Ok(replies)
}

/// Whether an API command was carried out.
fn succeeds(reply: &EslResponse) -> bool {
    !reply
        .body()
        .is_some_and(|body| body.starts_with("-ERR") || body.starts_with("-USAGE"))
}
