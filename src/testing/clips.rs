//! Small pieces of media: real configuration records, frames that carry the right headers around
//! made-up content, and the tag bodies a publisher would send them in.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use crate::base::MediaTime;
use crate::media::{Format, Frame, TrackKind, aac, avc};

/// 320x180 at 30 frames a second, `avc1.64000d`, by x264.
const AVC_RECORD: &[u8] = &[
    0x01, 0x64, 0x00, 0x0d, 0xff, 0xe1, 0x00, 0x1a, 0x67, 0x64, 0x00, 0x0d, 0xac, 0xd9, 0x41, 0x41,
    0x9f, 0x9f, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x42,
    0x99, 0x60, 0x01, 0x00, 0x06, 0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0, 0xfd, 0xf8, 0xf8, 0x00,
];
/// 322x182 at 30 frames a second, `hvc1.1.6.L60.90`, by x265.
const HEVC_RECORD: &[u8] = &[
    0x01, 0x01, 0x60, 0x00, 0x00, 0x00, 0x90, 0x00, 0x00, 0x00, 0x00, 0x00, 0x3c, 0xf0, 0x00, 0xfc,
    0xfd, 0xf8, 0xf8, 0x00, 0x00, 0x0f, 0x03, 0x20, 0x00, 0x01, 0x00, 0x18, 0x40, 0x01, 0x0c, 0x01,
    0xff, 0xff, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00,
    0x3c, 0x95, 0x98, 0x09, 0x21, 0x00, 0x01, 0x00, 0x2a, 0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00,
    0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00, 0x3c, 0xa0, 0x0a, 0x48, 0x0b, 0x9c,
    0x95, 0x96, 0x56, 0x69, 0x24, 0xca, 0xf0, 0x16, 0x80, 0x80, 0x00, 0x00, 0x03, 0x00, 0x80, 0x00,
    0x00, 0x0f, 0x04, 0x22, 0x00, 0x01, 0x00, 0x07, 0x44, 0x01, 0xc1, 0x72, 0xb4, 0x62, 0x40,
];
/// 322x182, `av01.0.00M.08`, by SVT-AV1.
const AV1_RECORD: &[u8] = &[
    0x81, 0x00, 0x0c, 0x00, 0x0a, 0x0b, 0x02, 0x00, 0x00, 0x05, 0x61, 0xe8, 0x36, 0xa0, 0x17, 0xc0,
    0x02,
];
/// LC, 48 kHz, stereo.
const AAC_RECORD: &[u8] = &[0x11, 0x90];

/// The content of `avcC`.
pub fn avc_record() -> Bytes {
    Bytes::from_static(AVC_RECORD)
}

/// The content of `hvcC`.
pub fn hevc_record() -> Bytes {
    Bytes::from_static(HEVC_RECORD)
}

/// The content of `av1C`, with its sequence header.
pub fn av1_record() -> Bytes {
    Bytes::from_static(AV1_RECORD)
}

/// A record with another byte at some place, and something behind it.
pub fn spoilt(record: &[u8], tail: &[u8], at: usize, byte: u8) -> Bytes {
    let mut record = [record, tail].concat();
    if let Some(place) = record.get_mut(at) {
        *place = byte;
    }
    record.into()
}

/// The AudioSpecificConfig: AAC-LC, 48 kHz, stereo.
pub fn aac_record() -> Bytes {
    Bytes::from_static(AAC_RECORD)
}

/// A frame's payload of `size` bytes, at least 5: one length-prefixed slice, IDR for a keyframe.
pub fn avc_payload(key: bool, size: usize) -> Bytes {
    let size = size.max(5);
    let mut payload = BytesMut::with_capacity(size);
    payload.put_u32(u32::try_from(size - 4).expect("a test frame is small"));
    payload.put_u8(if key { 0x65 } else { 0x41 });
    payload.resize(size, 0x80);
    payload.freeze()
}

/// The video tag body that carries [`avc_record`].
pub fn avc_config() -> Bytes {
    [&[0x17, 0, 0, 0, 0][..], AVC_RECORD].concat().into()
}

/// A video tag body with a frame of `size` bytes and no composition time.
pub fn avc_frame(key: bool, size: usize) -> Bytes {
    let head = [if key { 0x17 } else { 0x27 }, 1, 0, 0, 0];
    [&head[..], &avc_payload(key, size)].concat().into()
}

/// The audio tag body that carries [`aac_record`].
pub fn aac_config() -> Bytes {
    [&[0xaf, 0][..], AAC_RECORD].concat().into()
}

/// An audio tag body with a raw AAC frame of `size` bytes.
pub fn aac_frame(size: usize) -> Bytes {
    [&[0xaf, 1][..], &vec![0x21; size]].concat().into()
}

/// A tag as it stands in an FLV file: kind 8 audio, 9 video, 18 script; then its size.
pub fn flv_tag(kind: u8, timestamp: u32, body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len()).expect("a test tag is small");
    let [_, s2, s1, s0] = size.to_be_bytes();
    let [t3, t2, t1, t0] = timestamp.to_be_bytes();
    let mut tag = vec![kind, s2, s1, s0, t2, t1, t0, t3, 0, 0, 0];
    tag.extend_from_slice(body);
    tag.extend((size + 11).to_be_bytes());
    tag
}

/// H.264 and AAC, as the two records say.
pub fn format() -> Arc<Format> {
    Arc::new(Format { video: video_format().video.clone(), audio: audio_format().audio.clone() })
}

/// H.264 alone.
pub fn video_format() -> Arc<Format> {
    let video = avc::parse_config(&avc_record()).expect("the clip's record is sound");
    Arc::new(Format { video: Some(video), audio: None })
}

/// AAC alone.
pub fn audio_format() -> Arc<Format> {
    let audio = aac::parse_config(&aac_record()).expect("the clip's record is sound");
    Arc::new(Format { video: None, audio: Some(audio) })
}

/// A video frame of run 0 with `size` bytes, shown when decoded.
pub fn video_frame(format: &Arc<Format>, millis: i64, key: bool, size: usize) -> Frame {
    let time = MediaTime::from_millis(millis);
    Frame {
        track: TrackKind::Video,
        dts: time,
        pts: time,
        keyframe: key,
        run: 0,
        format: Arc::clone(format),
        payload: avc_payload(key, size),
    }
}

/// An audio frame of run 0 with `size` bytes: number `index` on the 48 kHz grid of 1,024 samples.
pub fn audio_frame(format: &Arc<Format>, index: i64, size: usize) -> Frame {
    let time = MediaTime::from_ticks(index * 1_024, 48_000);
    Frame {
        track: TrackKind::Audio,
        dts: time,
        pts: time,
        keyframe: true,
        run: 0,
        format: Arc::clone(format),
        payload: vec![0x21; size].into(),
    }
}
