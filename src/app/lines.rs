//! Log lines on their way to whoever reads them. A full disk or a reader that has stopped must
//! not stop the server, so whoever logs leaves the line here and goes on; a thread of its own
//! writes. What finds no room, or cannot be written, is lost and counted.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;

/// Bytes that wait to be written.
const WAITING_BYTES_MAX: usize = 1024 * 1024;
/// How long the end of the process waits for them.
const END_WAIT_MAX: Duration = Duration::from_millis(500);

/// How long a pipe that is full, and does not wait by itself, is left alone.
const FULL_PAUSE: Duration = Duration::from_millis(10);

/// A process has one log, and so one count of what it lost.
static LOST: LazyLock<Counter> = LazyLock::new(Counter::default);

/// Lines lost so far in this process.
pub(super) fn lost() -> Counter {
    LOST.clone()
}

/// Where log lines are left. Cloning shares it.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    queue: Arc<Queue>,
    lost: Counter,
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    /// There is something to write, or nothing any more.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    writing: bool,
}

impl Lines {
    /// Begins to write to `out` in a thread of its own, which lives as long as the process.
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        Self::counting(out, lost())
    }

    fn counting(out: impl Write + Send + 'static, lost: Counter) -> io::Result<Self> {
        let lines = Self { queue: Arc::default(), lost };
        let mut writer =
            Writer { queue: lines.queue.clone(), lost: lines.lost.clone(), out, torn: false };
        thread::Builder::new().name("log".to_owned()).spawn(move || writer.run())?;
        Ok(lines)
    }

    /// Waits until everything is written, but not for ever.
    pub(super) fn finish(&self) {
        let busy = |state: &mut State| state.writing || !state.waiting.is_empty();
        let state = self.queue.lock();
        let _ = self.queue.changed.wait_timeout_while(state, END_WAIT_MAX, busy);
    }
}

impl Write for Lines {
    /// Takes one whole line, or loses it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.queue.lock();
        if state.waiting.len() + line.len() <= WAITING_BYTES_MAX {
            state.waiting.extend_from_slice(line);
            self.queue.changed.notify_all();
        } else {
            self.lost.inc();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for lines and takes all there are.
    fn take(&self) -> Vec<u8> {
        let mut state = self.lock();
        state.writing = false;
        self.changed.notify_all();
        let nothing = |state: &mut State| state.waiting.is_empty();
        let waited = self.changed.wait_while(state, nothing);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.writing = true;
        std::mem::take(&mut state.waiting)
    }
}

/// The other end of the queue.
struct Writer<W> {
    queue: Arc<Queue>,
    lost: Counter,
    out: W,
    /// What was written last ended within a line.
    torn: bool,
}

impl<W: Write> Writer<W> {
    fn run(&mut self) {
        let mut told = 0;
        loop {
            let lines = self.queue.take();
            let written = self.write(lines);
            let lost = self.lost.get();
            if written && told < lost {
                // Through the front door, in the form that all lines have.
                tracing::warn!(lines = lost - told, "log lines were lost");
                told = lost;
            }
        }
    }

    /// Whether all lines were written; those that were not are counted.
    fn write(&mut self, mut lines: Vec<u8>) -> bool {
        let line_bytes = lines.len();
        if self.torn {
            lines.insert(0, b'\n');
        }
        let mut rest = lines.as_slice();
        while !rest.is_empty() {
            match self.out.write(rest) {
                Ok(written @ 1..) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A pipe that somebody else made so, and that is full: this thread is here to wait.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    thread::sleep(FULL_PAUSE)
                }
                Ok(0) | Err(_) => break,
            }
        }
        let (written, lost) = lines.split_at(lines.len() - rest.len());
        self.torn = written.last().map_or(self.torn, |last| *last != b'\n');
        // The end of the torn line, which is counted already, is no line.
        let lost = lost.get(lost.len().saturating_sub(line_bytes)..).unwrap_or_default();
        let lost = lost.iter().filter(|byte| **byte == b'\n').count();
        self.lost.inc_by(u64::try_from(lost).unwrap_or(u64::MAX));
        rest.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver, SyncSender};

    use super::*;

    /// Takes as many bytes as it was given leave for; none is a full disk.
    struct Disk {
        room: Arc<Mutex<usize>>,
        text: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut room = self.room.lock().unwrap();
            if *room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let taken = bytes.len().min(*room);
            *room -= taken;
            self.text.lock().unwrap().extend(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// F40: a full disk loses lines, which are counted, and when there is room again lines come
    /// again, each in a line of its own.
    #[test]
    fn a_full_disk_loses_lines_and_counts_them() {
        let (room, text) = (Arc::new(Mutex::new(9)), Arc::<Mutex<Vec<u8>>>::default());
        let disk = Disk { room: room.clone(), text: text.clone() };
        let mut lines = Lines::counting(disk, Counter::default()).unwrap();
        for line in ["first\n", "second\n", "third\n"] {
            lines.write_all(line.as_bytes()).unwrap();
            lines.finish();
        }
        assert_eq!(lines.lost.get(), 2);
        *room.lock().unwrap() = 1_000;
        lines.write_all(b"fourth\n").unwrap();
        lines.finish();
        assert_eq!(lines.lost.get(), 2);
        assert_eq!(*text.lock().unwrap(), b"first\nsec\nfourth\n");
    }

    /// Says what it is asked to write and waits for leave.
    struct Slow {
        asked: SyncSender<usize>,
        leave: Receiver<()>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.asked.send(bytes.len()).map_err(io::Error::other)?;
            self.leave.recv().map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// F40: a reader that takes nothing stops nobody, and costs no more than its queue.
    #[test]
    fn a_slow_reader_holds_nobody_up() {
        let ((asked, was_asked), (give, leave)) = (mpsc::sync_channel(9), mpsc::channel());
        let mut lines = Lines::counting(Slow { asked, leave }, Counter::default()).unwrap();
        let line = [&[b'x'; 1_023][..], b"\n"].concat();
        lines.write_all(&line).unwrap();
        assert_eq!(was_asked.recv().unwrap(), line.len());
        let more = 2 * WAITING_BYTES_MAX / line.len();
        for _ in 0..more {
            lines.write_all(&line).unwrap();
        }
        assert_eq!(lines.lost.get(), u64::try_from(more / 2).unwrap());
        give.send(()).unwrap();
        assert_eq!(was_asked.recv().unwrap(), WAITING_BYTES_MAX);
        give.send(()).unwrap();
        lines.finish();
        assert!(lines.queue.lock().waiting.is_empty());
    }
}
