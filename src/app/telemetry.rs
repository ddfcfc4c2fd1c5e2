use std::io;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::LogFormat;

/// The log's filter while the server runs.
#[derive(Debug)]
pub(super) struct LogFilter(reload::Handle<Targets, Registry>);

impl LogFilter {
    /// Puts another filter in force.
    pub(super) fn change(&self, filter: &str) -> anyhow::Result<()> {
        self.0.reload(filter.parse::<Targets>()?)?;
        Ok(())
    }
}

/// Starts logging to standard error, so that standard output stays free for what a person or a
/// script asked for.
pub(super) fn start_log(format: LogFormat, filter: &str) -> anyhow::Result<LogFilter> {
    let (filter, handle) = reload::Layer::new(filter.parse::<Targets>()?);
    let lines = match format {
        LogFormat::Text => fmt::layer()
            .with_writer(io::stderr)
            .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
            .boxed(),
        LogFormat::Json => fmt::layer()
            .json()
            .with_ansi(false)
            .flatten_event(true)
            .with_current_span(false)
            .with_writer(io::stderr)
            .boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).try_init()?;
    Ok(LogFilter(handle))
}
