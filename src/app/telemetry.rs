use std::io;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use super::lines::Lines;
use crate::config::LogFormat;

/// The running log. When it goes, what waits to be written is written first.
#[derive(Debug)]
pub(super) struct Log {
    filter: reload::Handle<Targets, Registry>,
    lines: Lines,
}

impl Log {
    /// Starts logging to standard error, so that standard output stays free for what a person or
    /// a script asked for.
    pub(super) fn start(format: LogFormat, filter: &str) -> anyhow::Result<Self> {
        let (layer, filter) = reload::Layer::new(filter.parse::<Targets>()?);
        let lines = Lines::start(io::stderr())?;
        let queue = lines.clone();
        let writer = move || queue.clone();
        let formatted = match format {
            LogFormat::Text => fmt::layer()
                .with_writer(writer)
                .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
                .boxed(),
            LogFormat::Json => fmt::layer()
                .json()
                .with_ansi(false)
                .flatten_event(true)
                .with_current_span(false)
                .with_writer(writer)
                .boxed(),
        };
        tracing_subscriber::registry().with(layer).with(formatted).try_init()?;
        Ok(Self { filter, lines })
    }

    /// Puts another filter in force.
    pub(super) fn change_filter(&self, filter: &str) -> anyhow::Result<()> {
        self.filter.reload(filter.parse::<Targets>()?)?;
        Ok(())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.lines.finish();
    }
}
