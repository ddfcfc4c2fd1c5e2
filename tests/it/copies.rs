//! What one frame costs on its road from the read buffer to the playlist window, in allocations
//! and in bytes: a payload is copied from the read buffer into its message and from there into
//! its part, and nowhere else. The counter stands in for the allocator of this binary and counts
//! for each thread alone.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use allocation_counter::{AllocationInfo, measure};
use bytes::{Bytes, BytesMut};
use ghostlight::base::{MediaSeq, MonoTime};
use ghostlight::hls::{Cut, Found, Window};
use ghostlight::media::Frame;
use ghostlight::rtmp::Writer;
use ghostlight::testing::clips;

use crate::road::Road;

/// Pictures a second, and pictures from keyframe to keyframe.
const RATE: u32 = 30;
const GOP: u32 = 60;
const PICTURE_BYTES: usize = 10_000;
const SOUND_BYTES: usize = 340;
/// What one read of a socket brings at the most.
const READ_BYTES: usize = 32 * 1_024;
const WINDOW: Duration = Duration::from_secs(30);

/// The queues have grown to their size by then, and every later buffer has been used once.
const WARM_SECONDS: u32 = 30;
const COUNTED_SECONDS: u32 = 20;

/// All bytes of a frame that are not its payload: the `Arc<Frame>` and the tag's header.
const BESIDE_PAYLOAD_BYTES_MAX: u64 = 96;
/// The part's bytes and the count of who shares them (the ring is the first), its `Arc<Part>`, and
/// the lists of its samples.
const PART_ALLOCATIONS_MAX: u64 = 8;
const BESIDE_PART_BYTES_MAX: u64 = 1_000;

/// What a stretch of media cost.
#[derive(Debug, Default)]
struct Costs {
    frames: u64,
    payload_bytes: u64,
    parts: u64,
    part_bytes: u64,
    /// From the read buffer into the ring and out of it.
    ingest: AllocationInfo,
    /// From frames to parts.
    cut: AllocationInfo,
}

impl Costs {
    /// Takes chunks that arrive at `now`, as a socket would bring them.
    fn carry(&mut self, chunks: &[u8], now: MonoTime, road: &mut Road, window: &mut Window) {
        for piece in chunks.chunks(READ_BYTES) {
            road.input.extend_from_slice(piece);
            self.ingest += measure(|| road.ingest(now));
            self.cut += measure(|| road.cut());
            self.note(&road.frames, &road.cuts);
            road.frames.clear();
            road.cuts.drain(..).for_each(|cut| window.apply(cut, now));
            window.note_version();
        }
    }

    fn note(&mut self, frames: &[Arc<Frame>], cuts: &[Cut]) {
        let size = |bytes: &Bytes| u64::try_from(bytes.len()).expect("a small number");
        for frame in frames {
            self.frames += 1;
            self.payload_bytes += size(&frame.payload);
        }
        for cut in cuts {
            if let Cut::Part(part) = cut {
                self.parts += 1;
                self.part_bytes += size(&part.bytes);
            }
        }
    }
}

/// A second of video and of the sound beside it, in chunks.
fn second(writer: &mut Writer, at: u32, bodies: &[Bytes; 3]) -> Vec<(MonoTime, Vec<u8>)> {
    let [key, inter, sound] = bodies;
    let mut ticks = Vec::new();
    for picture in at * RATE..(at + 1) * RATE {
        let millis = picture * 1_000 / RATE;
        let body = if picture.is_multiple_of(GOP) { key } else { inter };
        writer.raw(millis, 9, 1, body.clone());
        // Frames of 1,024 samples at 48 kHz come every 64/3 ms.
        let due = |tick: u32| (tick * 1_000 / RATE * 3).div_ceil(64);
        for index in due(picture)..due(picture + 1) {
            writer.raw(index * 64 / 3, 8, 1, sound.clone());
        }
        let now = MonoTime::from_start(Duration::from_millis(millis.into()));
        ticks.push((now, writer.take()));
    }
    ticks
}

/// A road on which everything was used before, and the window at its end.
struct Warm {
    road: Road,
    window: Window,
    writer: Writer,
}

impl Warm {
    fn new() -> Self {
        let (mut road, mut writer) = (Road::new(), Writer::new());
        road.input = BytesMut::with_capacity(2 * READ_BYTES);
        writer.set_chunk_size(4_096);
        writer.raw(0, 9, 1, clips::avc_config());
        writer.raw(0, 8, 1, clips::aac_config());
        let mut warm = Self { road, window: Window::new(WINDOW, usize::MAX), writer };
        warm.play(0..WARM_SECONDS);
        warm
    }

    fn play(&mut self, seconds: Range<u32>) -> Costs {
        let bodies = [
            clips::avc_frame(true, PICTURE_BYTES),
            clips::avc_frame(false, PICTURE_BYTES),
            clips::aac_frame(SOUND_BYTES),
        ];
        let mut costs = Costs::default();
        for (now, chunks) in seconds.flat_map(|at| second(&mut self.writer, at, &bodies)) {
            costs.carry(&chunks, now, &mut self.road, &mut self.window);
        }
        costs
    }

    fn count(&mut self) -> Costs {
        self.play(WARM_SECONDS..WARM_SECONDS + COUNTED_SECONDS)
    }
}

/// The price of a frame of any size: its message and its `Arc<Frame>`. A keyframe's picture is
/// described anew and compared with the format in force, which costs one more.
#[test]
fn a_frame_is_allocated_once_and_shared() {
    let costs = Warm::new().count();
    assert_eq!(costs.frames, 1_537, "as many as went in");
    let keyframes = u64::from(COUNTED_SECONDS * RATE / GOP);
    let allocations = costs.ingest.count_total;
    assert!(allocations <= 2 * costs.frames + keyframes, "{costs:#?}");
    let bytes = costs.ingest.bytes_total;
    assert!(bytes <= costs.payload_bytes + BESIDE_PAYLOAD_BYTES_MAX * costs.frames, "{costs:#?}");
}

/// Frames cost nothing while a part is open; closing it costs the part and a few lists.
#[test]
fn a_part_is_allocated_once_at_its_size() {
    let costs = Warm::new().count();
    assert_eq!(costs.parts, 90, "nine in each two seconds");
    assert!(costs.cut.count_total <= PART_ALLOCATIONS_MAX * costs.parts, "{costs:#?}");
    let bytes = costs.cut.bytes_total;
    assert!(bytes <= costs.part_bytes + BESIDE_PART_BYTES_MAX * costs.parts, "{costs:#?}");
}

#[test]
fn a_payload_lies_in_its_message() {
    let mut road = Road::new();
    let mut writer = Writer::new();
    writer.raw(0, 9, 1, clips::avc_config());
    for picture in 0..100 {
        writer.raw(picture * 40, 9, 1, clips::avc_frame(picture == 0, PICTURE_BYTES));
    }
    road.input.extend_from_slice(&writer.take());
    let mut messages = Vec::new();
    let mut frames = 0;
    while let Some(message) = road.wire.handle_bytes(&mut road.input, MonoTime::ZERO).unwrap() {
        let now = MonoTime::from_start(Duration::from_millis(message.timestamp.into()));
        messages.push(message.payload.as_ptr_range());
        road.intake.handle_video(message.timestamp, message.payload, now).unwrap();
        while let Some(frame) = road.intake.next_frame() {
            let payload = frame.payload.as_ptr_range();
            let inside = |m: &Range<*const u8>| m.start <= payload.start && payload.end <= m.end;
            assert!(messages.iter().any(inside), "frame {frames} lies elsewhere");
            // Kept, so that no later message can lie where this one lay.
            road.frames.push(Arc::new(frame));
            frames += 1;
        }
    }
    assert!(frames > 50, "{frames} frames");
}

/// A segment is the list of its parts, and what viewers fetch is what was cut.
#[test]
fn a_window_hands_out_the_very_parts_that_were_cut() {
    let Warm { window, .. } = Warm::new();
    let media = |found: Found| match found {
        Found::Media(chunks) => chunks,
        Found::Gap | Found::Next | Found::Gone | Found::Unknown => panic!("it is there"),
    };
    let part = |number| media(window.find_part(number))[0].as_ptr();
    let newest = window.edge().closed.map(|(msn, _)| msn).unwrap();
    let last = (1..window.edge().next_part).next_back().unwrap();
    let listed: Vec<_> = (last - 40..=last).map(part).collect();
    for back in 1..4 {
        let chunks = media(window.find_segment(MediaSeq(newest.0 - back)));
        assert_eq!(chunks.len(), 9);
        assert!(chunks.iter().all(|chunk| listed.contains(&chunk.as_ptr())), "{back} before");
    }
}
