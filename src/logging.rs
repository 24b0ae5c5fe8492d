//! Log lines on stderr: pretty, JSON, or for systemd's journal.
//!
//! One event is one line whatever text from the network is in it: line breaks inside are escaped.

pub mod once;
pub mod rate_limit;

use std::fmt;
use std::io::IsTerminal;

use anyhow::{Context, anyhow};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{Format, FormatEvent, FormatFields, Full, Writer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, reload};

use crate::config::{LogConfig, LogFormat};

/// Changes the filter of a process that logs.
pub type SetFilter = Box<dyn Fn(&str) -> anyhow::Result<()> + Send + Sync>;

/// Starts logging for the whole process; fails when it has been started already.
pub fn init(config: &LogConfig) -> anyhow::Result<SetFilter> {
    let (filtered, handle) = reload::Layer::new(filter(&config.filter)?);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let colours = std::io::stderr().is_terminal();
    let lines = match config.format {
        LogFormat::Pretty => lines
            .with_ansi(colours)
            .event_format(OneLine(Format::default().with_ansi(colours)))
            .boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Journald => lines.with_ansi(false).event_format(Journald).boxed(),
    };
    let started = tracing_subscriber::registry().with(filtered).with(lines).try_init();
    started.map_err(|e| anyhow!("logging: {e}"))?;
    Ok(Box::new(move |text| Ok(handle.reload(filter(text)?)?)))
}

fn filter(text: &str) -> anyhow::Result<EnvFilter> {
    // The event socket's crate logs whole commands at debug: dial-strings and, where they are not stripped, tokens.
    let off = "freeswitch_esl_tokio=off".parse().context("log filter")?;
    Ok(EnvFilter::try_new(text).context("log filter")?.add_directive(off))
}

/// The usual format, kept on one line.
struct OneLine(Format<Full>);

impl<S, N> FormatEvent<S, N> for OneLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(ctx, Writer::new(&mut line), event)?;
        write_line(writer, &line)
    }
}

/// sd-daemon(3): the priority in front; the journal adds the time itself.
struct Journald;

impl<S, N> FormatEvent<S, N> for Journald
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        write!(writer, "<{}>", priority(*event.metadata().level()))?;
        let format = Format::default().without_time().with_level(false).with_ansi(false);
        let mut line = String::new();
        format.format_event(ctx, Writer::new(&mut line), event)?;
        write_line(writer, &line)
    }
}

/// syslog(3): err, warning, info, debug.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

fn write_line(mut writer: Writer<'_>, line: &str) -> fmt::Result {
    for c in line.trim_end_matches('\n').chars() {
        match c {
            '\n' => writer.write_str("\\n")?,
            '\r' => writer.write_str("\\r")?,
            c => writer.write_char(c)?,
        }
    }
    writer.write_char('\n')
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What this thread logs meanwhile.
    pub(crate) fn capture(meanwhile: impl FnOnce()) -> String {
        capture_as(plain(), meanwhile)
    }

    fn capture_as(
        format: impl FormatEvent<tracing_subscriber::Registry, tracing_subscriber::fmt::format::DefaultFields>
        + Send
        + Sync
        + 'static,
        meanwhile: impl FnOnce(),
    ) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .event_format(format);
        tracing::subscriber::with_default(subscriber.finish(), meanwhile);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn logged(
        format: impl FormatEvent<tracing_subscriber::Registry, tracing_subscriber::fmt::format::DefaultFields>
        + Send
        + Sync
        + 'static,
    ) -> String {
        capture_as(format, || {
            let _span = tracing::info_span!("call", aor = "a@b").entered();
            tracing::warn!(reason = "x\ny", "held\r\n<0>forged");
        })
    }

    fn plain() -> OneLine {
        OneLine(Format::default().with_ansi(false))
    }

    #[test]
    fn journald_line_has_its_priority_and_is_one_line() {
        let text = logged(Journald);
        assert!(text.starts_with("<4>call{aor=\"a@b\"}: "), "{text}");
        assert!(text.contains("held\\r\\n<0>forged"), "{text}");
        assert_eq!(text.matches('\n').count(), 1);
    }

    #[test]
    fn pretty_line_is_one_line() {
        let text = logged(plain());
        assert!(text.contains(" WARN call"), "{text}");
        assert_eq!(text.matches('\n').count(), 1);
    }
}
