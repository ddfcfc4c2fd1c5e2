//! What a version of a playlist costs: `cargo bench --bench playlist`.
//!
//! A broadcast with 250 ms parts makes four versions a second, so the cost of 100 broadcasts is
//! 400 times that of one version, each second.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use ghostlight::base::{MediaSeq, MediaTime, MonoTime, WallTime};
use ghostlight::hls::{
    Cut, InitSegment, Part, SegmentStart, Targets, Text, Window, render, render_delta,
};
use ghostlight::media::Format;

const PART: Duration = Duration::from_millis(250);
const PARTS: u64 = 8;

/// A window and the cuts of an endless broadcast.
struct Broadcast {
    window: Window,
    parts: u64,
    bytes: Bytes,
}

impl Broadcast {
    /// One whose playlist has its full length.
    fn running(span: Duration) -> Self {
        let window = Window::new(span, usize::MAX);
        let mut broadcast = Self { window, parts: 0, bytes: Bytes::from_static(&[0; 64]) };
        let segment = Duration::from_secs(2);
        broadcast.apply(Cut::Targets(Targets { segment, part: PART }));
        let format = Arc::new(Format { video: None, audio: None });
        let bytes = broadcast.bytes.clone();
        broadcast.apply(Cut::Init(Arc::new(InitSegment { version: 1, format, bytes })));
        while broadcast.now().since_start() < span + segment * 4 {
            broadcast.part();
        }
        broadcast
    }

    /// One part; every eighth closes its segment.
    fn part(&mut self) {
        let start = MediaTime::from(self.now().since_start());
        if self.parts.is_multiple_of(PARTS) {
            self.apply(Cut::Open(SegmentStart {
                msn: MediaSeq(200_000_000 + self.parts / PARTS),
                start,
                program_date_time: WallTime::from_unix_millis(1_795_248_000_000)
                    + start.to_duration(),
                init: 1,
                discontinuity: false,
                gap: false,
            }));
        }
        self.parts += 1;
        self.apply(Cut::Part(Arc::new(Part {
            number: self.parts,
            start,
            duration: PART.into(),
            independent: self.parts % PARTS == 1,
            gap: false,
            bytes: self.bytes.clone(),
        })));
        if self.parts.is_multiple_of(PARTS) {
            self.apply(Cut::Close { duration: Duration::from_secs(2).into() });
        }
    }

    fn now(&self) -> MonoTime {
        MonoTime::from_start(PART * u32::try_from(self.parts).expect("a short bench"))
    }

    fn apply(&mut self, cut: Cut) {
        self.window.apply(cut, self.now());
        self.window.note_version();
    }

    /// Both forms of the newest version, as the packager makes them.
    fn version(&self) -> (Text, Option<Text>) {
        let text = |plain| Text::new(plain, "1".to_owned());
        let playlist = render(&self.window, None).expect("the targets are known");
        (text(playlist), render_delta(&self.window, None).map(text))
    }
}

fn versions(c: &mut Criterion) {
    for (name, secs) in [("30 s", 30), ("5 min", 300), ("4 h", 14_400)] {
        let mut group = c.benchmark_group(format!("window of {name}"));
        let mut broadcast = Broadcast::running(Duration::from_secs(secs));
        group.bench_function("cut and render", |bench| {
            bench.iter(|| {
                broadcast.part();
                black_box(broadcast.version());
            });
        });
        group.bench_function("cut, render and compress", |bench| {
            bench.iter(|| {
                broadcast.part();
                let (playlist, delta) = broadcast.version();
                black_box(playlist.gzip());
                black_box(delta.as_ref().map(Text::gzip));
            });
        });
        group.finish();
    }
}

criterion_group!(benches, versions);
criterion_main!(benches);
