//! Encoders that things happen to: processes that can be killed and stopped, and a crowd of small
//! ones that come back by themselves as real ones do.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ghostlight::base::{Limits, SystemClock};
use ghostlight::rtmp::client::{ClientError, Link, MediaKind, Target};
use ghostlight::testing::clips;
use tokio_util::sync::CancellationToken;

use crate::stage::{PATIENCE, binary, signal};

const CLIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/demo.flv");

/// `ghostlight publish` with the demo clip in a loop. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Encoder(Child);

impl Encoder {
    pub(crate) fn start(target: &Target) -> Self {
        Self::start_with(&[], target)
    }

    /// `launcher` are the words of a command that becomes the encoder.
    pub(crate) fn start_with(launcher: &[String], target: &Target) -> Self {
        let mut words = launcher.to_vec();
        words.extend([binary(), "publish".to_owned(), CLIP.to_owned(), "--loop".to_owned()]);
        words.extend(["--to".to_owned(), address(target)]);
        let (program, rest) = words.split_first().expect("the encoder at least");
        let mut command = Command::new(program);
        command.args(rest).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Self(command.spawn().expect("it starts"))
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.0.id(), name);
    }

    /// Ends it without a goodbye of its own; the kernel still closes its socket.
    pub(crate) fn kill(mut self) {
        self.0.kill().expect("it is ours");
        self.0.wait().expect("it ends");
    }

    /// Waits until it leaves by itself and answers what it complained of.
    pub(crate) fn complaint(mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        while self.0.try_wait().expect("it is ours").is_none() {
            assert!(Instant::now() < deadline, "the encoder does not leave");
            thread::sleep(Duration::from_millis(20));
        }
        let text = self.0.stderr.take().map(std::io::read_to_string);
        text.expect("a pipe").expect("text")
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // It may have left already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The address with the key in it.
fn address(target: &Target) -> String {
    format!("rtmp://{}/{}/{}", target.authority(), target.app, target.key.reveal())
}

/// How long a member of a crowd waits before it tries again.
const RETRY: Duration = Duration::from_millis(500);
const FRAME: Duration = Duration::from_millis(100);
/// Frames from keyframe to keyframe.
const GOP: u32 = 20;

/// Many small encoders in one thread. Each connects again half a second after it was cut off.
#[derive(Debug)]
pub(crate) struct Crowd {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    live: AtomicUsize,
    /// Where to connect instead of the address in the target.
    via: Mutex<Option<SocketAddr>>,
    /// How publications ended, counted.
    ends: Mutex<BTreeMap<String, usize>>,
    stop: CancellationToken,
}

impl Shared {
    fn note_end(&self, end: &ClientError) {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        *ends.entry(end.to_string()).or_default() += 1;
    }
}

impl Crowd {
    pub(crate) fn start(targets: Vec<Target>, via: Option<SocketAddr>) -> Self {
        let shared = Arc::new(Shared { via: Mutex::new(via), ..Shared::default() });
        let inside = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                for target in targets {
                    let shared = Arc::clone(&inside);
                    tokio::spawn(async move { publish_for_ever(&target, &shared).await });
                }
                inside.stop.cancelled().await;
            });
        });
        Self { shared, thread: Some(thread) }
    }

    /// Where the next connections go; `None` is the server itself.
    pub(crate) fn go_via(&self, via: Option<SocketAddr>) {
        *self.shared.via.lock().unwrap_or_else(PoisonError::into_inner) = via;
    }

    /// Encoders whose publication was accepted and has not ended.
    pub(crate) fn live(&self) -> usize {
        self.shared.live.load(Ordering::SeqCst)
    }

    /// Waits until so many are live, and answers how long that took.
    pub(crate) fn wait_for(&self, count: usize) -> Duration {
        let begun = Instant::now();
        while self.live() != count {
            assert!(begun.elapsed() < PATIENCE, "{} are live: {:#?}", self.live(), self.ends());
            thread::sleep(Duration::from_millis(10));
        }
        begun.elapsed()
    }

    pub(crate) fn ends(&self) -> BTreeMap<String, usize> {
        self.shared.ends.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.shared.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic there has printed itself.
            let _ = thread.join();
        }
    }
}

async fn publish_for_ever(target: &Target, shared: &Shared) {
    loop {
        let mut target = target.clone();
        if let Some(via) = *shared.via.lock().unwrap_or_else(PoisonError::into_inner) {
            (target.host, target.port) = (via.ip().to_string(), via.port());
        }
        let clock = Arc::new(SystemClock::new());
        let end = match Link::open(target, &Limits::default(), clock).await {
            Ok(link) => {
                shared.live.fetch_add(1, Ordering::SeqCst);
                let end = publish(link).await;
                shared.live.fetch_sub(1, Ordering::SeqCst);
                end
            }
            Err(error) => error,
        };
        shared.note_end(&end);
        tokio::time::sleep(RETRY).await;
    }
}

/// Publishes in real time until something ends it, and answers what.
async fn publish(mut link: Link) -> ClientError {
    let sent: Result<(), ClientError> = async {
        link.write(MediaKind::Metadata, 0, only_video()).await?;
        link.write(MediaKind::Video, 0, clips::avc_config()).await?;
        let start = tokio::time::Instant::now();
        for frame in 0_u32.. {
            let due = FRAME * frame;
            link.listen_until(start + due).await?;
            let stamp = u32::try_from(due.as_millis()).unwrap_or(u32::MAX);
            let body = clips::avc_frame(frame % GOP == 0, 500);
            link.write(MediaKind::Video, stamp, body).await?;
        }
        Ok(())
    }
    .await;
    sent.expect_err("it has no end")
}

/// `onMetaData` that names a video codec and none of audio, so that nobody waits for sound.
fn only_video() -> Bytes {
    let mut body = vec![2, 0, 10];
    body.extend(b"onMetaData");
    body.extend([8, 0, 0, 0, 1, 0, 12]);
    body.extend(b"videocodecid\0");
    body.extend(7_f64.to_be_bytes());
    body.extend([0, 0, 9]);
    body.into()
}
