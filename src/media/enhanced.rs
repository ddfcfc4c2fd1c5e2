//! Enhanced RTMP v2: ExVideoTagHeader and ExAudioTagHeader with their bodies, ModEx and
//! multitrack. All tracks of a message are parsed, so a fault in any of them is found.

use super::cursor::Cursor;
use super::flv::{
    AudioContent, AudioPacket, AudioTag, FrameType, Packets, VideoContent, VideoPacket, VideoTag,
};
use super::tag_error::{FourCc, TagError};
use super::{AudioCodec, VideoCodec};

/// "A modifier or extension follows", in both kinds of tag.
const MOD_EX: u8 = 7;
/// The one modifier defined so far.
const MOD_EX_NANOSECONDS: u8 = 0;
/// A nanosecond offset stays below a millisecond, which the timestamp itself counts.
const NANOS_MAX: u32 = 999_999;
const VIDEO_MULTITRACK: u8 = 6;
const AUDIO_MULTITRACK: u8 = 5;

/// How the tracks of a multitrack message follow each other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Multitrack {
    /// One track, to the end of the message.
    One,
    /// Several of one codec, each with its length.
    Many,
    /// Several, each with its codec and length.
    ManyCodecs,
}

impl Multitrack {
    fn parse(nibble: u8) -> Result<Self, TagError> {
        match nibble {
            0 => Ok(Self::One),
            1 => Ok(Self::Many),
            2 => Ok(Self::ManyCodecs),
            other => Err(TagError::MultitrackType(other)),
        }
    }
}

/// Reads past the ModEx blocks in front of a packet; answers the nanosecond offset and the type
/// of the packet behind them.
fn skip_mod_ex(first: u8, cursor: &mut Cursor) -> Result<(u32, u8), TagError> {
    let mut packet_type = first;
    let mut nanos = 0;
    while packet_type == MOD_EX {
        let mut len = usize::from(cursor.byte()?) + 1;
        if len == 256 {
            len = usize::from(cursor.u16()?) + 1;
        }
        let mut content = Cursor::new(cursor.take(len)?);
        let types = cursor.byte()?;
        if types >> 4 == MOD_EX_NANOSECONDS {
            // Sooner nothing than a wrong time: an offset of less than three bytes is skipped.
            nanos = content.u24().map_or(nanos, |offset| offset.min(NANOS_MAX));
        }
        packet_type = types & 0x0f;
    }
    Ok((nanos, packet_type))
}

/// Calls `track` with the codec, id and bytes of every track of a message.
fn for_each_track<C: Copy>(
    cursor: &mut Cursor,
    multitrack: Option<Multitrack>,
    codec_of: impl Fn(FourCc) -> Result<C, TagError>,
    mut track: impl FnMut(C, u8, Cursor) -> Result<(), TagError>,
) -> Result<(), TagError> {
    let layout = match multitrack {
        None => {
            let codec = codec_of(FourCc(cursor.array()?))?;
            return track(codec, 0, Cursor::new(cursor.rest()));
        }
        Some(layout) => layout,
    };
    let shared = match layout {
        Multitrack::One | Multitrack::Many => Some(codec_of(FourCc(cursor.array()?))?),
        Multitrack::ManyCodecs => None,
    };
    loop {
        let codec = match shared {
            Some(codec) => codec,
            None => codec_of(FourCc(cursor.array()?))?,
        };
        let id = cursor.byte()?;
        let body = match layout {
            Multitrack::One => cursor.rest(),
            Multitrack::Many | Multitrack::ManyCodecs => {
                let len = usize::try_from(cursor.u24()?).unwrap_or(usize::MAX);
                cursor.take(len)?
            }
        };
        track(codec, id, Cursor::new(body))?;
        if cursor.is_empty() {
            return Ok(());
        }
    }
}

/// Reads the multitrack byte where there is one; answers the layout and the real packet type.
fn unwrap_multitrack(
    packet_type: u8,
    marker: u8,
    cursor: &mut Cursor,
) -> Result<(Option<Multitrack>, u8), TagError> {
    if packet_type != marker {
        return Ok((None, packet_type));
    }
    let byte = cursor.byte()?;
    let inner = byte & 0x0f;
    if inner == marker {
        return Err(TagError::NestedMultitrack);
    }
    Ok((Some(Multitrack::parse(byte >> 4)?), inner))
}

pub(super) fn parse_video(
    kind: FrameType,
    packet_type: u8,
    mut cursor: Cursor,
) -> Result<VideoTag, TagError> {
    const METADATA: u8 = 4;
    let (nanos, packet_type) = skip_mod_ex(packet_type, &mut cursor)?;
    let mut packets = Packets::none();
    if kind == FrameType::Command && packet_type != METADATA {
        return Ok(VideoTag { nanos, packets });
    }
    let (multitrack, packet_type) = unwrap_multitrack(packet_type, VIDEO_MULTITRACK, &mut cursor)?;
    for_each_track(&mut cursor, multitrack, video_codec, |codec, track, mut body| {
        let content = match packet_type {
            0 => VideoContent::Config(body.rest()),
            1 => {
                let composition_millis = match codec {
                    VideoCodec::Avc | VideoCodec::Hevc => body.i24()?,
                    VideoCodec::Av1 | VideoCodec::Vp9 => 0,
                };
                VideoContent::Frame { composition_millis, payload: body.rest() }
            }
            2 => VideoContent::End,
            3 => VideoContent::Frame { composition_millis: 0, payload: body.rest() },
            // HDR metadata, and AV1's descriptor for MPEG-2 TS: nothing we pass on.
            METADATA | 5 => return Ok(()),
            other => return Err(TagError::PacketType(other)),
        };
        packets.push(VideoPacket { track, codec, keyframe: kind == FrameType::Key, content });
        Ok(())
    })?;
    Ok(VideoTag { nanos, packets })
}

pub(super) fn parse_audio(packet_type: u8, mut cursor: Cursor) -> Result<AudioTag, TagError> {
    let (nanos, packet_type) = skip_mod_ex(packet_type, &mut cursor)?;
    let (multitrack, packet_type) = unwrap_multitrack(packet_type, AUDIO_MULTITRACK, &mut cursor)?;
    let mut packets = Packets::none();
    for_each_track(&mut cursor, multitrack, audio_codec, |codec, track, mut body| {
        let content = match packet_type {
            0 => AudioContent::Config(body.rest()),
            1 => AudioContent::Frame(body.rest()),
            2 => AudioContent::End,
            // The order of the channels: the codec's own configuration has it too.
            4 => return Ok(()),
            other => return Err(TagError::PacketType(other)),
        };
        packets.push(AudioPacket { track, codec, content });
        Ok(())
    })?;
    Ok(AudioTag { nanos, packets })
}

fn video_codec(name: FourCc) -> Result<VideoCodec, TagError> {
    match &name.0 {
        b"avc1" => Ok(VideoCodec::Avc),
        b"hvc1" => Ok(VideoCodec::Hevc),
        b"av01" => Ok(VideoCodec::Av1),
        b"vp09" => Ok(VideoCodec::Vp9),
        _ => Err(TagError::VideoFourCc(name)),
    }
}

fn audio_codec(name: FourCc) -> Result<AudioCodec, TagError> {
    match &name.0 {
        b"mp4a" => Ok(AudioCodec::Aac),
        b"Opus" => Ok(AudioCodec::Opus),
        b".mp3" => Ok(AudioCodec::Mp3),
        b"fLaC" => Ok(AudioCodec::Flac),
        b"ac-3" => Ok(AudioCodec::Ac3),
        b"ec-3" => Ok(AudioCodec::Eac3),
        _ => Err(TagError::AudioFourCc(name)),
    }
}
