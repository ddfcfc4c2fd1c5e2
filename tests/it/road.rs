//! The road of a frame from a peer's chunks to what is cut, on one thread and without a socket.

use std::sync::Arc;

use bytes::BytesMut;
use ghostlight::base::{
    BroadcastId, ChannelId, ConnId, KeyId, Limits, MediaSeq, MonoTime, Now, Rival, WallTime,
};
use ghostlight::gate::{Admission, Latch, Policy};
use ghostlight::hls::{self, Cut, Segmenter};
use ghostlight::hub::{self, EndReason, Publication, Publisher, Registry, Subscription};
use ghostlight::media::{Frame, Intake};
use ghostlight::rtmp::{MessageKind, Wire};

/// 2026-11-21T08:00:00Z
const START: WallTime = WallTime::from_unix_millis(1_795_248_000_000);

/// One broadcast, as connections and a packager carry it.
pub(crate) struct Road {
    registry: Registry,
    pub(crate) wire: Wire,
    pub(crate) input: BytesMut,
    pub(crate) intake: Intake,
    publication: Option<Publication>,
    subscription: Subscription,
    pub(crate) segmenter: Segmenter,
    pub(crate) frames: Vec<Arc<Frame>>,
    pub(crate) cuts: Vec<Cut>,
}

impl Road {
    pub(crate) fn new() -> Self {
        let limits = Limits::default();
        let registry = Registry::new(limits.clone(), hub::Settings::default(), BroadcastId::new(1));
        let publication = publish(&registry, Admission::Start, MonoTime::ZERO);
        let settings = hls::Settings::default();
        Self {
            wire: wire(),
            input: BytesMut::new(),
            intake: Intake::new(&limits),
            subscription: publication.broadcast().subscribe(),
            publication: Some(publication),
            registry,
            segmenter: Segmenter::new(&settings, &limits, MediaSeq(1), START),
            frames: Vec::new(),
            cuts: Vec::new(),
        }
    }

    /// The connection breaks.
    pub(crate) fn lose(&mut self, now: MonoTime) {
        if let Some(publication) = self.publication.take() {
            publication.finish(EndReason::Lost, now);
        }
    }

    /// The publisher speaks on a new connection; one that is still open is taken over.
    pub(crate) fn reconnect(&mut self, now: MonoTime) {
        let admission =
            if self.publication.is_some() { Admission::Start } else { Admission::Resume };
        self.publication = Some(publish(&self.registry, admission, now));
        (self.wire, self.intake) = (wire(), Intake::new(&Limits::default()));
        self.input.clear();
    }

    /// From the read buffer into the ring, and out of it into `frames`.
    pub(crate) fn ingest(&mut self, now: MonoTime) {
        let publication = self.publication.as_mut().expect("a publisher is there");
        while let Some(message) = self.wire.handle_bytes(&mut self.input, now).expect("good chunks")
        {
            let (at, body) = (message.timestamp, message.payload);
            if message.kind == MessageKind::Video {
                self.intake.handle_video(at, body, now)
            } else {
                self.intake.handle_audio(at, body, now)
            }
            .expect("good media");
            while let Some(frame) = self.intake.next_frame() {
                publication.write(frame, now).expect("the one writer");
            }
        }
        while self.subscription.try_batch(&mut self.frames).is_some() {}
    }

    /// From `frames`, which stay, into `cuts`.
    pub(crate) fn cut(&mut self) {
        for frame in &self.frames {
            self.segmenter.push(frame, &mut self.cuts);
        }
    }
}

fn wire() -> Wire {
    let mut wire = Wire::new(&Limits::default());
    wire.raise_ceilings();
    wire
}

fn publish(registry: &Registry, admission: Admission, mono: MonoTime) -> Publication {
    let now = Now { mono, wall: START + mono.since_start() };
    let channel = ChannelId::parse("road").expect("a good name");
    let policy = Policy::new(None, Latch::default());
    let permit = policy.admit(&channel, admission, now.wall).expect("nothing is closed");
    let peer = "127.0.0.1:1".parse().expect("an address");
    let publisher = Publisher {
        conn: ConnId(1),
        key: KeyId::new("k"),
        rival: Rival::default(),
        peer,
        encoder: None,
    };
    registry.start(permit, publisher, now).expect("a free channel")
}
