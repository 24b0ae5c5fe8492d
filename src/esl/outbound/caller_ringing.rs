//! What the caller hears until somebody answers, as with FreeSWITCH's `bridge` (switch_ivr_originate.c): a 180, or the
//! channel's ringback.

use freeswitch_esl_tokio::EslError;

use super::command::api;
use super::connection::Connection;
use crate::esl::decode::Ringback;

/// The application and argument that play a `ringback`; `None` if there is nothing to play.
///
/// The value is a file, a stream (`local_stream://moh`), a tone (`%(2000,4000,440,480)`), or `silence` with its noise
/// level after a colon. FreeSWITCH sends that noise so that the far end keeps receiving RTP.
fn player(ringback: &str) -> Option<(&'static str, String)> {
    let is_safe = !ringback.is_empty() && ringback.len() <= 1024 && !ringback.chars().any(char::is_control);
    if !is_safe {
        return None;
    }
    let is_file = ringback.starts_with('/') || ringback.contains("://");
    if is_file && !ringback.starts_with("tone_stream://") {
        return Some(("endless_playback", ringback.to_owned()));
    }
    if !is_file && ringback.to_ascii_lowercase().starts_with("silence") {
        let softness = ringback.split_once(':').and_then(|(_, n)| n.parse::<i32>().ok());
        // As in SWITCH_IVR_VERIFY_SILENCE_DIVISOR.
        let softness = softness.filter(|n| *n > 0 || *n == -1).unwrap_or(400);
        return Some(("playback", format!("silence_stream://-1,{softness}")));
    }
    let tone = ringback.strip_prefix("tone_stream://").unwrap_or(ringback);
    let tone = tone.split(";loops=").next().unwrap_or(tone);
    Some(("playback", format!("tone_stream://{tone};loops=-1")))
}

impl Ringback {
    /// Whether the caller gets a sound instead of a 180.
    pub(super) fn is_played(&self) -> bool {
        self.sound.as_deref().and_then(player).is_some()
    }
}

impl Connection {
    /// Starts the caller's ringing.
    pub(super) async fn start_caller_ringing(&mut self) -> Result<(), EslError> {
        if std::mem::replace(&mut self.caller_rings, true) || !self.is_still_held().await {
            return Ok(());
        }
        let player = self.held.ringback.sound.as_deref().and_then(player);
        // Playing would take the thread that serves this connection.
        match player.filter(|_| !self.held.socket.is_static) {
            Some((app, argument)) => self.execute(None, app, argument).await,
            None if self.held.ringback.is_silent => Ok(()),
            None => {
                // Not the application: it would wait for the channel's tick, and appear in records as the call's last
                // application.
                let rings = api(format!("uuid_ring_ready {}", self.held.channel));
                let commands = self
                    .forget_own_hooks(|hook| hook.contains("_on_ring"))
                    .into_iter()
                    .chain([rings])
                    .collect();
                self.all(commands).await?;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tones_files_and_streams_are_played_until_somebody_answers() {
        for (ringback, app, argument) in [
            (
                "%(2000,4000,440,480)",
                "playback",
                "tone_stream://%(2000,4000,440,480);loops=-1",
            ),
            (
                "tone_stream://%(1,2,3);loops=5",
                "playback",
                "tone_stream://%(1,2,3);loops=-1",
            ),
            ("local_stream://moh", "endless_playback", "local_stream://moh"),
            ("/sounds/ring.wav", "endless_playback", "/sounds/ring.wav"),
            ("silence_stream://1000", "endless_playback", "silence_stream://1000"),
            ("silence", "playback", "silence_stream://-1,400"),
            ("Silence:600", "playback", "silence_stream://-1,600"),
            ("silence:-1", "playback", "silence_stream://-1,-1"),
            ("silence:x", "playback", "silence_stream://-1,400"),
        ] {
            assert_eq!(player(ringback), Some((app, argument.to_owned())), "{ringback}");
        }
        for nothing in ["", "a\nbgapi x"] {
            assert_eq!(player(nothing), None, "{nothing:?}");
        }
    }
}
