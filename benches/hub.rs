//! What one frame costs the publisher, by number of readers: `cargo bench --bench hub`.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ghostlight::base::{
    BroadcastId, ChannelId, ConnId, KeyId, Limits, MediaTime, MonoTime, Now, Rival, WallTime,
};
use ghostlight::gate::{Admission, Latch, Policy};
use ghostlight::hub::{Publication, Publisher, Registry, Settings};
use ghostlight::media::{Format, Frame, TrackKind};

fn publication() -> Publication {
    let now = Now { mono: MonoTime::ZERO, wall: WallTime::from_unix_millis(1_790_000_000_000) };
    let channel = ChannelId::parse("bench").expect("a good name");
    let gate = Policy::new(None, Latch::default());
    let permit = gate.admit(&channel, Admission::Start, now.wall).expect("nothing is closed");
    let registry = Registry::new(Limits::default(), Settings::default(), BroadcastId::new(1));
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

fn frame(millis: i64, format: &Arc<Format>, payload: &Bytes) -> Frame {
    let at = MediaTime::from_millis(millis);
    Frame {
        track: TrackKind::Audio,
        dts: at,
        pts: at,
        keyframe: true,
        run: 0,
        format: format.clone(),
        payload: payload.clone(),
    }
}

/// Readers that hold a place and are not scheduled: what is measured is the writer.
fn write(c: &mut Criterion) {
    let mut group = c.benchmark_group("write");
    let format = Arc::new(Format { video: None, audio: None });
    let payload = Bytes::from(vec![0; 10_000]);
    for readers in [0_usize, 1, 100, 10_000] {
        let mut publication = publication();
        let held: Vec<_> = (0..readers).map(|_| publication.broadcast().subscribe()).collect();
        let mut millis = 0;
        group.bench_function(BenchmarkId::from_parameter(readers), |b| {
            b.iter(|| {
                millis += 33;
                let frame = frame(millis, &format, &payload);
                publication.write(black_box(frame), MonoTime::ZERO).expect("it is the one writer");
            });
        });
        drop(held);
    }
    group.finish();
}

criterion_group!(benches, write);
criterion_main!(benches);
