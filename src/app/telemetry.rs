use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io;
use std::panic::{self, PanicHookInfo};
use std::thread;

use tracing::{Level, error};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use super::lines::Lines;
use crate::config::LogFormat;

/// The target of what a panic says.
const PANIC: &str = "panic";

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
        let (layer, filter) = reload::Layer::new(targets(filter)?);
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
        // Standard error itself may be a pipe that nobody reads, and whoever panics would wait.
        panic::set_hook(Box::new(report_panic));
        Ok(Self { filter, lines })
    }

    /// Puts another filter in force.
    pub(super) fn change_filter(&self, filter: &str) -> anyhow::Result<()> {
        self.filter.reload(targets(filter)?)?;
        Ok(())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.lines.finish();
    }
}

/// What a filter lets through, and every panic: nothing else says that one happened.
fn targets(filter: &str) -> anyhow::Result<Targets> {
    Ok(filter.parse::<Targets>()?.with_target(PANIC, Level::ERROR))
}

/// Says in the log what would have gone to standard error.
fn report_panic(panic: &PanicHookInfo<'_>) {
    let at = panic.location().map(tracing::field::display);
    let thread = thread::current();
    let name = thread.name().unwrap_or("unnamed");
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured)
        .then(|| tracing::field::display(backtrace));
    error!(target: PANIC, at, thread = name, backtrace, "a defect: {}", message_of(panic.payload()));
}

/// What a panic was given to say.
fn message_of(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    /// What was logged.
    #[derive(Clone, Debug, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Page {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    /// F40: a panic is a line of the log, whose reader stops nobody, and no write of its own.
    #[test]
    fn a_panic_is_a_line_of_the_log() {
        let page = Page::default();
        let subscriber = tracing_subscriber::registry()
            .with(fmt::layer().with_writer(page.clone()).with_ansi(false));
        // The hook is the whole process's; other tests keep theirs.
        let (here, before) = (thread::current().id(), Arc::new(panic::take_hook()));
        let others = Arc::clone(&before);
        panic::set_hook(Box::new(move |panic| match thread::current().id() == here {
            true => report_panic(panic),
            false => others(panic),
        }));
        tracing::subscriber::with_default(subscriber, || {
            for said in ["plain", "formatted"] {
                let panics = || if said == "plain" { panic!("plain") } else { panic!("{said}") };
                assert!(panic::catch_unwind(panics).is_err());
            }
        });
        panic::set_hook(Box::new(move |panic| before(panic)));
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.matches("ERROR").count(), 2, "{text}");
        for said in ["a defect: plain", "a defect: formatted", "src/app/telemetry.rs:"] {
            assert!(text.contains(said), "{said} in {text}");
        }
    }
}
