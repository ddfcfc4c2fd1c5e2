//! What the publishers send: frames of the size and rate of a 2.5 Mbit/s broadcast. Pictures are
//! filler behind true codec configurations, which a server that does not decode cannot tell from
//! the real thing. Every frame carries a stamp: its number, found again in what viewers get.

use bytes::{Bytes, BytesMut};
use ghostlight::media::{AudioContent, AudioTag, FlvReader, FlvTagKind, VideoContent, VideoTag};

/// Frames in a group: a keyframe each 2 s.
pub(crate) const GROUP_FRAMES: u64 = 60;
/// Video frames a second.
pub(crate) const FRAME_RATE: u64 = 30;
/// AAC frames have 1,024 samples; there are 48,000 samples a second.
const SAMPLE_RATE: u64 = 48_000;
const FRAME_SAMPLES: u64 = 1_024;
/// Audio of about 96 kbit/s.
const AUDIO_BYTES: usize = 256;
/// A keyframe weighs as much as this many other frames.
const KEY_WEIGHT: u64 = 5;
/// Stands in front of a frame's number, written as 8 hexadecimal digits.
const STAMP: &[u8] = b"ghost-stamp:";
const STAMP_DIGITS: usize = 8;

/// One message in the order of sending.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Piece {
    Key,
    Inter,
    Audio,
}

/// Message bodies, made once and stamped as they leave.
#[derive(Debug)]
pub(crate) struct Clip {
    pub video_config: Bytes,
    pub audio_config: Bytes,
    key: Template,
    inter: Template,
    audio: Template,
}

#[derive(Debug)]
struct Template {
    body: Bytes,
    stamp_at: usize,
}

impl Clip {
    /// A clip of this rate, with the codec configurations of the demo clip.
    pub(crate) fn new(bits_per_second: u64) -> Self {
        let (video_config, audio_config) = demo_configs();
        let audio_rate = u64::try_from(AUDIO_BYTES).expect("small") * SAMPLE_RATE / FRAME_SAMPLES;
        let group_bytes = (bits_per_second / 8 - audio_rate) * GROUP_FRAMES / FRAME_RATE;
        let inter_bytes = group_bytes / (GROUP_FRAMES - 1 + KEY_WEIGHT);
        let inter = usize::try_from(inter_bytes).expect("a frame fits into memory");
        let key = usize::try_from(inter_bytes * KEY_WEIGHT).expect("a frame fits into memory");
        Self {
            video_config,
            audio_config,
            key: picture(0x17, 0x65, key),
            inter: picture(0x27, 0x41, inter),
            audio: Template::new(&[0xAF, 1], AUDIO_BYTES),
        }
    }

    /// The body of message number `number`.
    pub(crate) fn body(&self, piece: Piece, number: u32) -> Bytes {
        match piece {
            Piece::Key => self.key.stamped(number),
            Piece::Inter => self.inter.stamped(number),
            Piece::Audio => self.audio.stamped(number),
        }
    }
}

impl Template {
    fn new(head: &[u8], bytes: usize) -> Self {
        let mut body = head.to_vec();
        let stamp_at = body.len() + STAMP.len();
        body.extend(STAMP);
        body.extend([b'0'; STAMP_DIGITS]);
        // Bytes that look like coded data and hold no start code.
        let filler = (0_u8..=126).cycle().map(|n| 0x80 | n.wrapping_mul(37));
        let missing = bytes.saturating_sub(body.len());
        body.extend(filler.take(missing));
        Self { body: body.into(), stamp_at }
    }

    fn stamped(&self, number: u32) -> Bytes {
        let mut body = BytesMut::from(self.body.as_ref());
        if let Some(digits) = body.get_mut(self.stamp_at..self.stamp_at + STAMP_DIGITS) {
            digits.copy_from_slice(format!("{number:08x}").as_bytes());
        }
        body.freeze()
    }
}

/// A video message of one NAL unit behind its four-byte length.
fn picture(tag: u8, nal: u8, bytes: usize) -> Template {
    let length = u32::try_from(bytes - 9).expect("a frame is short");
    let [a, b, c, d] = length.to_be_bytes();
    Template::new(&[tag, 1, 0, 0, 0, a, b, c, d, nal], bytes)
}

/// The numbers of the frames in a part or segment, as they lie in it.
pub(crate) fn stamps(media: &[u8]) -> Vec<u32> {
    let mut found = Vec::new();
    let mut rest = media;
    while let Some(at) = rest.windows(STAMP.len()).position(|window| window == STAMP) {
        let behind = rest.get(at + STAMP.len()..).unwrap_or_default();
        let digits = behind.get(..STAMP_DIGITS).and_then(|digits| std::str::from_utf8(digits).ok());
        found.extend(digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()));
        rest = behind;
    }
    found
}

/// Message number `n` of a broadcast, for every `n` in order: what it is and when it is due, in
/// microseconds of media time.
pub(crate) fn schedule() -> impl Iterator<Item = (Piece, u64)> {
    let (mut pictures, mut sounds) = (0_u64, 0_u64);
    std::iter::from_fn(move || {
        let picture_at = pictures * 1_000_000 / FRAME_RATE;
        let sound_at = sounds * 1_000_000 * FRAME_SAMPLES / SAMPLE_RATE;
        if sound_at < picture_at {
            sounds += 1;
            return Some((Piece::Audio, sound_at));
        }
        let piece = if pictures % GROUP_FRAMES == 0 { Piece::Key } else { Piece::Inter };
        pictures += 1;
        Some((piece, picture_at))
    })
}

fn demo_configs() -> (Bytes, Bytes) {
    let demo = Bytes::from_static(include_bytes!("../../tests/data/demo.flv"));
    let reader = FlvReader::new(demo, usize::MAX).expect("the demo clip is an FLV file");
    let (mut video, mut audio) = (None, None);
    for tag in reader.map_while(Result::ok) {
        match tag.kind {
            FlvTagKind::Script => {}
            FlvTagKind::Video if video.is_none() => {
                let read = VideoTag::parse(tag.body.clone()).expect("a video tag");
                let first = read.packets.iter().next();
                if first.is_some_and(|p| matches!(p.content, VideoContent::Config(_))) {
                    video = Some(tag.body);
                }
            }
            FlvTagKind::Audio if audio.is_none() => {
                let read = AudioTag::parse(tag.body.clone()).expect("an audio tag");
                let first = read.packets.iter().next();
                if first.is_some_and(|p| matches!(p.content, AudioContent::Config(_))) {
                    audio = Some(tag.body);
                }
            }
            FlvTagKind::Video | FlvTagKind::Audio => {}
        }
    }
    (video.expect("the clip has video"), audio.expect("the clip has audio"))
}
