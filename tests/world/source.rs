//! A broadcaster: one encoder, and the network between it and the server.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use ghostlight::rtmp::Writer;
use ghostlight::rtmp::amf::{self, Value};
use ghostlight::testing::dice::Dice;
use tokio::io::{AsyncReadExt, AsyncWrite, DuplexStream, ReadHalf, WriteHalf, split};
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::camera::Camera;
use super::chunks::{Chunks, chunk};
use super::plan::Act;
use super::stage::Stage;

/// How long after a disturbance everything must be as before: the server may judge a jump for a
/// second and wait for a track for three.
const RECOVERY: u64 = 8_000;
/// What the network takes of an encoder at once.
const PIPE_BYTES: usize = 64 * 1024;
/// What an encoder keeps of what the network does not take.
const QUEUE_BYTES_MAX: usize = 4 << 20;
const REDIAL_MIN: u64 = 2_000;
const REDIAL_MAX: u64 = 10_000;

pub(crate) async fn run(stage: Arc<Stage>, index: usize) {
    let Some(plan) = stage.plan.channels.get(index).cloned() else { return };
    let mut source = Source {
        dice: Dice::fork(stage.plan.seed, 1_000 + u64::try_from(index).unwrap_or(0)),
        events: plan.events.clone().into(),
        plan,
        index,
        link: None,
        ghost: None,
        dial_at: 0,
        redial: REDIAL_MIN,
        stalled_until: 0,
        port: 0,
        stage,
    };
    source.dial_at = source.plan.begin;
    source.stage.set_absent(index);
    source.work().await;
}

struct Source {
    stage: Arc<Stage>,
    index: usize,
    plan: super::plan::Channel,
    events: std::collections::VecDeque<(u64, Act)>,
    dice: Dice,
    link: Option<Link>,
    /// A connection that was replaced and still sends, until then.
    ghost: Option<(Link, u64)>,
    dial_at: u64,
    redial: u64,
    stalled_until: u64,
    port: u16,
}

impl Source {
    async fn work(&mut self) {
        loop {
            let now = self.stage.millis();
            if self.stage.plan.millis <= now || self.stage.over.is_cancelled() {
                return;
            }
            while self.events.front().is_some_and(|(at, _)| *at <= now) {
                if let Some((_, act)) = self.events.pop_front() {
                    self.act(&act, now).await;
                }
            }
            if self.link.is_none() && self.dial_at <= now {
                self.dial(now).await;
            }
            self.send(now).await;
            let next = now + self.dice.even(20..=40);
            self.stage.sleep_until(next / 2 * 2).await;
        }
    }

    async fn act(&mut self, act: &Act, now: u64) {
        let recovered = now + RECOVERY;
        let Some(link) = &mut self.link else { return };
        self.stage.note(&format!("act: {}", act.name()));
        self.stage.disturb(self.index, recovered);
        let camera = &mut link.camera;
        match *act {
            Act::Stall { millis } => {
                self.stalled_until = now + millis;
                self.stage.disturb(self.index, recovered + millis);
            }
            Act::Starve { millis } => {
                camera.starved_until = now + millis;
                self.stage.disturb(self.index, recovered + millis);
            }
            Act::Mute { picture, millis } => {
                camera.muted_until[usize::from(picture)] = now + millis;
                self.stage.disturb(self.index, recovered + millis);
            }
            Act::NoKeyframe { millis } => {
                camera.frozen_until = now + millis;
                self.stage.disturb(self.index, recovered + millis);
            }
            Act::Jump { millis } => camera.jump(millis),
            Act::OddStamp { millis } => camera.make_one_odd(millis),
            Act::Format => camera.change_format(),
            Act::Flood => camera.hurry(20_000),
            Act::Cut { away } => self.leave(now + away),
            Act::Vanish { away } => {
                if let Some(link) = self.link.take() {
                    self.ghost = Some((link.silenced(), now + away + 60_000));
                }
                self.leave(now + away);
            }
            Act::TakeOver { overlap } => {
                let old = self.link.take();
                self.dial(now).await;
                match (self.link.is_some(), old) {
                    (true, Some(old)) => self.ghost = Some((old, now + overlap)),
                    (_, old) => self.link = old,
                }
                self.stage.disturb(self.index, recovered + overlap);
            }
            Act::Finish { away } => {
                link.push(&farewell());
                link.flush(&mut self.dice).await;
                self.leave(now + away);
            }
            Act::Nonsense { away } => {
                link.push(&[0xff; 64]);
                link.flush(&mut self.dice).await;
                yield_now().await;
                self.leave(now + away);
            }
        }
    }

    fn leave(&mut self, until: u64) {
        self.link = None;
        self.stalled_until = 0;
        self.dial_at = until;
        self.stage.set_absent(self.index);
    }

    async fn dial(&mut self, now: u64) {
        let Some((channel, key)) = self.stage.channels.get(self.index).cloned() else { return };
        self.port += 1;
        let address = format!("192.0.2.{}:{}", self.index + 1, self.port);
        let goes_on = self.stage.registry.find(&channel).is_some();
        let closed = self.stage.is_closed();
        let camera = Camera::begin(self.plan.camera.clone(), self.port, now);
        let link = Link::dial(&self.stage, &address, key.reveal(), camera, &mut self.dice).await;
        match link {
            Ok(link) => {
                self.stage.check_admission(goes_on, closed);
                self.stage.note(if goes_on { "publish: goes on" } else { "publish: new" });
                self.link = Some(link);
                self.redial = REDIAL_MIN;
                self.stage.set_present(self.index, now + RECOVERY);
            }
            Err(why) => {
                self.stage.note(&format!("publish refused: {why}"));
                self.dial_at = now + self.redial;
                self.redial = (self.redial * 3 / 2).min(REDIAL_MAX) / 2 * 2;
            }
        }
    }

    async fn send(&mut self, now: u64) {
        if let Some((ghost, until)) = &mut self.ghost {
            ghost.record(now, &mut self.dice);
            ghost.flush(&mut self.dice).await;
            if *until <= now || ghost.is_closed() {
                self.ghost = None;
            }
        }
        let Some(link) = &mut self.link else { return };
        link.record(now, &mut self.dice);
        if now < self.stalled_until {
            return;
        }
        link.flush(&mut self.dice).await;
        if !link.pending.is_empty() {
            self.stage.disturb(self.index, now + RECOVERY);
        }
        if link.is_closed() || QUEUE_BYTES_MAX < link.pending.len() {
            if self.stage.is_well(self.index, now) && !self.stage.may_end_publishers() {
                self.stage.fail("X6: a publisher that did nothing wrong was let go");
            }
            self.stage.note("publisher let go by the server");
            self.leave(now + REDIAL_MIN);
        }
    }
}

/// One connection of the encoder.
struct Link {
    writer: WriteHalf<DuplexStream>,
    heard: watch::Receiver<Heard>,
    chunks: Chunks,
    camera: Camera,
    silent: bool,
    pending: Vec<u8>,
}

/// What the server said.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Heard {
    Nothing,
    Accepted,
    Refused(String),
    Closed,
}

impl Link {
    /// Connects and publishes; why not, if so.
    async fn dial(
        stage: &Arc<Stage>,
        address: &str,
        key: &str,
        camera: Camera,
        dice: &mut Dice,
    ) -> Result<Self, String> {
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        stage.rtmp.serve_stream(far, address.parse().expect("an address"), &stage.stop);
        let (reader, writer) = split(near);
        let (tell, heard) = watch::channel(Heard::Nothing);
        stage.people.spawn(listen(reader, tell));
        let (chunks, announced) = Chunks::begin(camera.chunk_bytes());
        let mut link = Self { writer, heard, chunks, camera, silent: false, pending: Vec::new() };
        link.push(&[&[3][..], &[0; 2 * 1_536]].concat());
        link.push(&hello(key));
        let answered = async {
            loop {
                link.flush(dice).await;
                let now = link.heard.borrow_and_update().clone();
                match now {
                    Heard::Nothing => {}
                    Heard::Accepted => return Ok(()),
                    Heard::Refused(why) => return Err(why),
                    Heard::Closed => return Err("closed".to_owned()),
                }
                if link.heard.changed().await.is_err() {
                    return Err("closed".to_owned());
                }
            }
        };
        timeout(Duration::from_secs(30), answered).await.map_err(|_| "no answer".to_owned())??;
        link.push(&announced);
        if link.camera.sends_metadata() {
            link.push(&metadata());
        }
        Ok(link)
    }

    /// The same connection, from which nothing comes any more.
    fn silenced(mut self) -> Self {
        self.silent = true;
        self
    }

    /// The encoder's work up to now.
    fn record(&mut self, now: u64, dice: &mut Dice) {
        let messages = self.camera.take_due(now, dice);
        if !self.silent {
            let bytes = self.chunks.write(&messages, dice);
            self.push(&bytes);
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// Gives the network what it takes, in pieces of any size.
    async fn flush(&mut self, dice: &mut Dice) {
        while !self.pending.is_empty() {
            let whole = self.pending.len();
            let cut = dice.chance(30).then(|| 1 + dice.below(u64::try_from(whole).unwrap_or(1)));
            let piece = cut.and_then(|cut| usize::try_from(cut).ok()).unwrap_or(whole).min(whole);
            let writer = &mut self.writer;
            let bytes = &self.pending[..piece];
            let sent = poll_fn(|cx| match Pin::new(&mut *writer).poll_write(cx, bytes) {
                Poll::Ready(Ok(sent)) => Poll::Ready(sent),
                // A server that has closed is heard by the reader.
                Poll::Ready(Err(_)) | Poll::Pending => Poll::Ready(0),
            })
            .await;
            if sent == 0 {
                return;
            }
            self.pending.drain(..sent);
            if sent < whole {
                yield_now().await;
            }
        }
    }

    fn is_closed(&self) -> bool {
        *self.heard.borrow() == Heard::Closed
    }
}

/// Reads all that the server says until it closes.
async fn listen(mut reader: ReadHalf<DuplexStream>, tell: watch::Sender<Heard>) {
    let (mut text, mut piece) = (Vec::<u8>::new(), [0; 4_096]);
    loop {
        let count = tokio::select! {
            biased;
            // The encoder has hung up, and with this half the connection is gone.
            () = tell.closed() => return,
            read = reader.read(&mut piece) => match read {
                Ok(count @ 1..) => count,
                Ok(0) | Err(_) => break,
            },
        };
        if *tell.borrow() != Heard::Nothing {
            continue;
        }
        text.extend(&piece[..count]);
        if has(&text, "NetStream.Publish.Start") {
            tell.send_replace(Heard::Accepted);
        } else if has(&text, "error") {
            let codes = ["BadName", "Denied", "Rejected", "Failed"];
            let code = codes.into_iter().find(|code| has(&text, code)).unwrap_or("other");
            tell.send_replace(Heard::Refused(code.to_owned()));
        }
    }
    tell.send_if_modified(|heard| {
        let refused = matches!(heard, Heard::Refused(_));
        if !refused {
            *heard = Heard::Closed;
        }
        !refused
    });
}

fn has(text: &[u8], word: &str) -> bool {
    text.windows(word.len()).any(|part| part == word.as_bytes())
}

fn hello(key: &str) -> Vec<u8> {
    let mut writer = Writer::new();
    let app = Value::object([("app", "live".into())]);
    writer.command(0, &["connect".into(), 1.0.into(), app]);
    writer.command(0, &["createStream".into(), 2.0.into(), Value::Null]);
    writer.command(1, &["publish".into(), 5.0.into(), Value::Null, key.into(), "live".into()]);
    writer.take()
}

/// The encoder ends its stream; no longer than any chunk.
fn farewell() -> Vec<u8> {
    let values = ["deleteStream".into(), 6.0.into(), Value::Null, 1.0.into()];
    chunk(3, 20, 0, &amf::render(&values))
}

fn metadata() -> Vec<u8> {
    let object = Value::object([("encoder", "world".into())]);
    chunk(5, 18, 1, &amf::render(&["onMetaData".into(), object]))
}
