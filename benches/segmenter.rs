//! What cutting costs: a minute of one broadcast, 30 frames and 47 audio frames a second at
//! 2.5 Mbit/s, from frames to parts. Throughput counts frames of both tracks.

use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ghostlight::base::{Limits, MediaSeq, MediaTime, WallTime};
use ghostlight::hls::{Segmenter, Settings};
use ghostlight::media::{
    AudioCodec, AudioConfig, Format, Frame, TrackKind, VideoCodec, VideoConfig,
};

const SECONDS: i64 = 60;
const RATE: i64 = 30;
const FRAME_BYTES: usize = 10_000;

fn format() -> Arc<Format> {
    let video = VideoConfig {
        codec: VideoCodec::Avc,
        record: Bytes::from_static(&[1, 0x64, 0, 0x1f, 0xff, 0xe0, 0]),
        codec_string: "avc1.64001f".into(),
        width: 1280,
        height: 720,
        frame_rate: Some((30, 1)),
    };
    let audio = AudioConfig {
        codec: AudioCodec::Aac,
        record: Bytes::from_static(&[0x11, 0x90]),
        codec_string: "mp4a.40.2".into(),
        sample_rate: 48_000,
        channels: 2,
        samples_per_frame: Some(1024),
    };
    Arc::new(Format { video: Some(video), audio: Some(audio) })
}

/// Frames as RTMP brings them: decode times in whole milliseconds, in order over both tracks.
fn frames() -> Vec<Arc<Frame>> {
    let format = format();
    let frame = |track, at: i64, keyframe, bytes| {
        let dts = MediaTime::from_millis(at);
        let payload = Bytes::from(vec![0; bytes]);
        Arc::new(Frame {
            track,
            dts,
            pts: dts,
            keyframe,
            run: 0,
            format: Arc::clone(&format),
            payload,
        })
    };
    let video = (0..SECONDS * RATE)
        .map(|n| frame(TrackKind::Video, n * 1_000 / RATE, n % (2 * RATE) == 0, FRAME_BYTES));
    let audio =
        (0..SECONDS * 48_000 / 1_024).map(|n| frame(TrackKind::Audio, n * 64 / 3, true, 340));
    let mut frames: Vec<_> = video.chain(audio).collect();
    frames.sort_by_key(|frame| frame.dts);
    frames
}

fn cut(c: &mut Criterion) {
    let frames = frames();
    let mut group = c.benchmark_group("segmenter");
    group.throughput(Throughput::Elements(u64::try_from(frames.len()).unwrap_or(0)));
    group.bench_function("cut a minute", |bencher| {
        bencher.iter(|| {
            let zero = WallTime::from_unix_millis(0);
            let mut segmenter =
                Segmenter::new(&Settings::default(), &Limits::default(), MediaSeq(1), zero);
            let mut cuts = Vec::new();
            for frame in &frames {
                segmenter.push(frame, &mut cuts);
                cuts.clear();
            }
        });
    });
    group.finish();
}

criterion_group!(benches, cut);
criterion_main!(benches);
