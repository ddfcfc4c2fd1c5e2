//! Fuzz entry points that write before they read: tags of Enhanced RTMP and frames of NAL units
//! are put together by the script, so what the readers must find is known.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::clips;
use super::script::Script;
use crate::base::{Limits, MediaSeq, WallTime};
use crate::hls::{Cut, SEGMENT_TARGET_MAX, Segmenter, Settings};
use crate::media::{
    AudioCodec, AudioContent, AudioPacket, AudioTag, Frame, VideoCodec, VideoContent, VideoPacket,
    VideoTag, avc, hevc,
};

const VIDEO_CODECS: [(&[u8; 4], VideoCodec); 4] = [
    (b"avc1", VideoCodec::Avc),
    (b"hvc1", VideoCodec::Hevc),
    (b"av01", VideoCodec::Av1),
    (b"vp09", VideoCodec::Vp9),
];
const AUDIO_CODECS: [(&[u8; 4], AudioCodec); 6] = [
    (b"mp4a", AudioCodec::Aac),
    (b"Opus", AudioCodec::Opus),
    (b".mp3", AudioCodec::Mp3),
    (b"fLaC", AudioCodec::Flac),
    (b"ac-3", AudioCodec::Ac3),
    (b"ec-3", AudioCodec::Eac3),
];

/// A video or audio tag of Enhanced RTMP: extensions, layout of the tracks, and their content.
///
/// # Panics
/// When the reader finds another thing than was written, or more in a tag that was cut.
pub fn enhanced(script: &[u8]) {
    let mut script = Script::new(script);
    let (tag, count) = if script.below(2) == 0 { video(&mut script) } else { audio(&mut script) };
    let cut = usize::from(script.byte()) * tag.len() / 256;
    let cut = Bytes::copy_from_slice(tag.get(..cut).unwrap_or_default());
    let video = VideoTag::parse(cut.clone()).map_or(0, |tag| tag.packets.iter().count());
    let audio = AudioTag::parse(cut).map_or(0, |tag| tag.packets.iter().count());
    assert!(video.max(audio) <= count.max(1), "{video} and {audio} packets of {count} written");
}

/// Answers the tag and how many packets it holds.
fn video(script: &mut Script<'_>) -> (Vec<u8>, usize) {
    let keyframe = script.below(2) == 0;
    let kind = script.below(6);
    let mut expected = Vec::new();
    let head = if keyframe { 0x90 } else { 0xa0 };
    let (tag, nanos) = write_tag(script, head, (kind, 6), &VIDEO_CODECS, |script, track, codec| {
        let (mut written, payload) = (Vec::new(), script.body());
        let content = match kind {
            0 => Some(VideoContent::Config(payload.clone())),
            1 if matches!(codec, VideoCodec::Avc | VideoCodec::Hevc) => {
                let offset = script.number().cast_signed() >> 8;
                written.extend(offset.to_be_bytes().into_iter().skip(1));
                Some(VideoContent::Frame { composition_millis: offset, payload: payload.clone() })
            }
            1 | 3 => Some(VideoContent::Frame { composition_millis: 0, payload: payload.clone() }),
            2 => Some(VideoContent::End),
            _ => None,
        };
        expected.extend(content.map(|content| VideoPacket { track, codec, keyframe, content }));
        written.extend(payload);
        written
    });
    let read = VideoTag::parse(Bytes::copy_from_slice(&tag)).expect("a good tag");
    assert_eq!(read.nanos, nanos);
    assert_eq!(read.packets.into_iter().collect::<Vec<_>>(), expected);
    (tag, expected.len())
}

fn audio(script: &mut Script<'_>) -> (Vec<u8>, usize) {
    let kind = script.pick(&[0, 1, 2, 4], 0);
    let mut expected = Vec::new();
    let (tag, nanos) = write_tag(script, 0x90, (kind, 5), &AUDIO_CODECS, |script, track, codec| {
        let payload = script.body();
        let content = match kind {
            0 => Some(AudioContent::Config(payload.clone())),
            1 => Some(AudioContent::Frame(payload.clone())),
            2 => Some(AudioContent::End),
            _ => None,
        };
        expected.extend(content.map(|content| AudioPacket { track, codec, content }));
        payload.to_vec()
    });
    let read = AudioTag::parse(Bytes::copy_from_slice(&tag)).expect("a good tag");
    assert_eq!(read.nanos, nanos);
    assert_eq!(read.packets.into_iter().collect::<Vec<_>>(), expected);
    (tag, expected.len())
}

impl Script<'_> {
    fn body(&mut self) -> Bytes {
        let count = usize::from(self.byte());
        Bytes::copy_from_slice(self.take(count))
    }
}

/// A whole tag, and the offset in nanoseconds that it states. `kind` is the type of its packets
/// and the type that says "several tracks".
fn write_tag<C: Copy>(
    script: &mut Script<'_>,
    head: u8,
    (kind, several): (u8, u8),
    codecs: &[(&'static [u8; 4], C)],
    mut body: impl FnMut(&mut Script<'_>, u8, C) -> Vec<u8>,
) -> (Vec<u8>, u32) {
    const MOD_EX: u8 = 7;
    let Some(&first) = codecs.first() else { return (Vec::new(), 0) };
    let layout = script.below(4);
    let outer = if layout == 0 { kind } else { several };
    let extensions = script.below(4);
    let mut tag = vec![head | if extensions == 0 { outer } else { MOD_EX }];
    let mut nanos = 0;
    for left in (0..extensions).rev() {
        let next = if left == 0 { outer } else { MOD_EX };
        nanos = write_extension(script, next, &mut tag).unwrap_or(nanos);
    }
    // Layouts 1 to 3: one track, several of one codec, several of any.
    if let Some(layout) = layout.checked_sub(1) {
        tag.push(layout << 4 | kind);
    }
    let mut codec = script.pick(codecs, first);
    if layout < 3 {
        tag.extend(codec.0);
    }
    if layout == 0 {
        tag.extend(body(script, 0, codec.1));
        return (tag, nanos);
    }
    for _ in 0..if layout == 1 { 1 } else { script.below(5) + 1 } {
        if layout == 3 {
            codec = script.pick(codecs, first);
            tag.extend(codec.0);
        }
        let track = script.byte();
        let content = body(script, track, codec.1);
        tag.push(track);
        if layout > 1 {
            let length = u32::try_from(content.len()).unwrap_or_default();
            tag.extend(length.to_be_bytes().into_iter().skip(1));
        }
        tag.extend(content);
    }
    (tag, nanos)
}

/// One extension in front of a packet of type `next`; the offset, where it states one.
fn write_extension(script: &mut Script<'_>, next: u8, tag: &mut Vec<u8>) -> Option<u32> {
    let kind = script.pick(&[0, 0, 1, 15], 0);
    let mut content = script.body().to_vec();
    content.resize(content.len().max(1), 0);
    let length = content.len() - 1;
    match u8::try_from(length) {
        Ok(short) if short < 255 => tag.push(short),
        _ => {
            tag.push(255);
            tag.extend(u16::try_from(length).unwrap_or_default().to_be_bytes());
        }
    }
    tag.extend(&content);
    tag.push(kind << 4 | next);
    let offset = content.first_chunk::<3>().filter(|_| kind == 0);
    offset.map(|&[high, middle, low]| u32::from_be_bytes([0, high, middle, low]).min(999_999))
}

/// A frame of NAL units, with what encoders write between the slices, and then any bytes as one.
///
/// # Panics
/// When the walk finds another keyframe than is there, or what an encoder states of its interval
/// makes a segment longer than we promise.
pub fn nal(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let size = script.pick(&[1, 2, 4], 4);
    let hevc = script.below(2) == 1;
    let (mut frame, mut keyframe) = (Vec::new(), false);
    while !script.is_empty() && frame.len() < 4_000 {
        let unit = unit(&mut script, hevc);
        let length = u32::try_from(unit.len()).unwrap_or_default().to_be_bytes();
        frame.extend(length.into_iter().skip(4 - size));
        keyframe |= unit.first().is_some_and(|&head| starts_a_gop(head, hevc));
        frame.extend(unit);
    }
    let found = |frame: &[u8]| match hevc {
        true => hevc::is_keyframe(frame, size),
        false => avc::is_keyframe(frame, size),
    };
    assert_eq!(found(&frame), Some(keyframe));
    assert_eq!(found(bytes), walk(bytes, size, hevc));
    promise(Bytes::from(frame));
}

/// One unit of at most 255 bytes.
fn unit(script: &mut Script<'_>, hevc: bool) -> Vec<u8> {
    const SETTINGS: &[u8] = b"x264 - core 164 - options: keyint=";
    let kind = script.byte();
    let mut unit = match kind % 4 {
        // Supplemental information: a type and a size, each with as many 0xff as it takes.
        0 => {
            let mut unit = if hevc { vec![39 << 1, 1] } else { vec![6] };
            unit.extend(vec![0xff; usize::from(script.below(4))]);
            unit.extend([5, 40]);
            unit.extend(SETTINGS);
            unit.extend(script.take(12));
            unit
        }
        1 => Vec::new(),
        _ => vec![kind],
    };
    let count = usize::from(script.below(180));
    unit.extend(script.take(count));
    unit
}

/// By the tables of unit types: H.264 7-1 and H.265 7-1.
fn starts_a_gop(head: u8, hevc: bool) -> bool {
    if hevc { (16..=21).contains(&((head >> 1) & 0x3f)) } else { head & 0x1f == 5 }
}

/// The walk, as plainly as it can be written.
fn walk(mut frame: &[u8], size: usize, hevc: bool) -> Option<bool> {
    let mut keyframe = false;
    while !frame.is_empty() {
        let length = frame.get(..size)?.iter().fold(0, |sum, &byte| sum * 256 + usize::from(byte));
        let unit = frame.get(size..size.checked_add(length)?)?;
        keyframe |= unit.first().is_some_and(|&head| starts_a_gop(head, hevc));
        frame = frame.get(size + length..)?;
    }
    Some(keyframe)
}

/// A broadcast that begins with this picture keeps its promises, whatever the picture states.
fn promise(payload: Bytes) {
    let format = clips::video_format();
    let zero = WallTime::from_unix_millis(0);
    let mut segmenter = Segmenter::new(&Settings::default(), &Limits::default(), MediaSeq(1), zero);
    let mut cuts = Vec::new();
    let first = Frame { payload, ..clips::video_frame(&format, 0, true, 5) };
    segmenter.push(&Arc::new(first), &mut cuts);
    for frame in 1..100 {
        let frame = clips::video_frame(&format, frame * 40, frame % 50 == 0, 5);
        segmenter.push(&Arc::new(frame), &mut cuts);
    }
    let targets = cuts.iter().filter_map(|cut| match cut {
        Cut::Targets(targets) => Some(targets.segment),
        Cut::Init(_) | Cut::Open(_) | Cut::Part(_) | Cut::Close { .. } => None,
    });
    for target in targets {
        assert!((Duration::from_secs(1)..=SEGMENT_TARGET_MAX).contains(&target), "{target:?}");
    }
}
