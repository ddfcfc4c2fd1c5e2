//! FLV audio and video tag bodies, which are also the payloads of RTMP messages 8 and 9: the
//! classic layout (Adobe FLV 10.1, E.4.2 and E.4.3) here, the Enhanced RTMP layout in
//! [`enhanced`](super::enhanced).

use bytes::Bytes;

use super::cursor::Cursor;
use super::enhanced;
use super::tag_error::TagError;
use super::{AudioCodec, VideoCodec};

/// The top bit of a video tag says that Enhanced RTMP's header follows.
const VIDEO_EX_HEADER: u8 = 0x80;
/// The sound format that says the same of an audio tag.
const AUDIO_EX_HEADER: u8 = 9;

/// What one message holds: most often one packet, more with multitrack, none for a message
/// without media (a seek command, HDR metadata). Needs no allocation for the first packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packets<P> {
    first: Option<P>,
    more: Vec<P>,
}

impl<P> Packets<P> {
    pub(super) fn none() -> Self {
        Self { first: None, more: Vec::new() }
    }

    pub(super) fn push(&mut self, packet: P) {
        match self.first {
            None => self.first = Some(packet),
            Some(_) => self.more.push(packet),
        }
    }

    /// In the order of the message.
    pub fn iter(&self) -> impl Iterator<Item = &P> {
        self.first.iter().chain(&self.more)
    }
}

impl<P> From<P> for Packets<P> {
    fn from(packet: P) -> Self {
        Self { first: Some(packet), more: Vec::new() }
    }
}

impl<P> IntoIterator for Packets<P> {
    type Item = P;
    type IntoIter = std::iter::Chain<std::option::IntoIter<P>, std::vec::IntoIter<P>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.more)
    }
}

/// A video tag body, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoTag {
    /// Added to the message's timestamp: 0 to 999,999 nanoseconds.
    pub nanos: u32,
    pub packets: Packets<VideoPacket>,
}

/// What a video tag says of one track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoPacket {
    /// 0 outside of multitrack.
    pub track: u8,
    pub codec: VideoCodec,
    /// What the tag claims; the bitstream knows better.
    pub keyframe: bool,
    pub content: VideoContent,
}

/// The content of a [`VideoPacket`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VideoContent {
    /// The configuration record: the content of `avcC`, `hvcC`, `av1C` or `vpcC`.
    Config(Bytes),
    Frame {
        /// Presentation minus decode time, in milliseconds.
        composition_millis: i32,
        payload: Bytes,
    },
    End,
}

/// An audio tag body, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioTag {
    /// Added to the message's timestamp: 0 to 999,999 nanoseconds.
    pub nanos: u32,
    pub packets: Packets<AudioPacket>,
}

/// What an audio tag says of one track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioPacket {
    /// 0 outside of multitrack.
    pub track: u8,
    pub codec: AudioCodec,
    pub content: AudioContent,
}

/// The content of an [`AudioPacket`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AudioContent {
    /// AudioSpecificConfig, `OpusHead`, or FLAC's header.
    Config(Bytes),
    Frame(Bytes),
    End,
}

impl VideoContent {
    /// The same content; see [`detach`].
    pub(super) fn detach(self, whole: usize) -> Self {
        match self {
            Self::Config(record) => Self::Config(detach(record, whole)),
            Self::Frame { composition_millis, payload } => {
                Self::Frame { composition_millis, payload: detach(payload, whole) }
            }
            Self::End => Self::End,
        }
    }
}

impl AudioContent {
    /// The same content; see [`detach`].
    pub(super) fn detach(self, whole: usize) -> Self {
        match self {
            Self::Config(record) => Self::Config(detach(record, whole)),
            Self::Frame(payload) => Self::Frame(detach(payload, whole)),
            Self::End => Self::End,
        }
    }
}

/// A slice of less than half of its message of `whole` bytes is copied, so that a little content
/// beside much that nobody wants, such as other tracks, does not keep all of it in memory.
fn detach(slice: Bytes, whole: usize) -> Bytes {
    if slice.len() < whole / 2 { Bytes::copy_from_slice(&slice) } else { slice }
}

impl VideoTag {
    /// Reads a whole tag body; slices share its allocation.
    pub fn parse(body: Bytes) -> Result<Self, TagError> {
        let mut cursor = Cursor::new(body);
        let head = cursor.byte()?;
        let kind = FrameType::of(head >> 4);
        if head & VIDEO_EX_HEADER != 0 {
            return enhanced::parse_video(kind, head & 0x0f, cursor);
        }
        if kind == FrameType::Command {
            return Ok(Self { nanos: 0, packets: Packets::none() });
        }
        let codec = match head & 0x0f {
            7 => VideoCodec::Avc,
            // Not in any standard, but what a generation of HEVC encoders sends.
            12 => VideoCodec::Hevc,
            other => return Err(TagError::VideoCodec(other)),
        };
        let content = match cursor.byte()? {
            0 => {
                cursor.i24()?;
                VideoContent::Config(cursor.rest())
            }
            1 => {
                let composition_millis = cursor.i24()?;
                VideoContent::Frame { composition_millis, payload: cursor.rest() }
            }
            2 => VideoContent::End,
            other => return Err(TagError::PacketType(other)),
        };
        let packet = VideoPacket { track: 0, codec, keyframe: kind == FrameType::Key, content };
        Ok(Self { nanos: 0, packets: packet.into() })
    }
}

impl AudioTag {
    /// Reads a whole tag body; slices share its allocation.
    pub fn parse(body: Bytes) -> Result<Self, TagError> {
        let mut cursor = Cursor::new(body);
        let head = cursor.byte()?;
        let (codec, content) = match head >> 4 {
            AUDIO_EX_HEADER => return enhanced::parse_audio(head & 0x0f, cursor),
            2 | 14 => (AudioCodec::Mp3, AudioContent::Frame(cursor.rest())),
            10 => match cursor.byte()? {
                0 => (AudioCodec::Aac, AudioContent::Config(cursor.rest())),
                1 => (AudioCodec::Aac, AudioContent::Frame(cursor.rest())),
                other => return Err(TagError::PacketType(other)),
            },
            other => return Err(TagError::AudioCodec(other)),
        };
        Ok(Self { nanos: 0, packets: AudioPacket { track: 0, codec, content }.into() })
    }
}

/// The frame type of a video tag, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameType {
    Key,
    Inter,
    Command,
}

impl FrameType {
    /// From the upper four bits of the head; the topmost belongs to Enhanced RTMP.
    fn of(nibble: u8) -> Self {
        match nibble & 0x07 {
            1 | 4 => Self::Key,
            5 => Self::Command,
            _ => Self::Inter,
        }
    }
}

#[cfg(test)]
#[path = "flv_tests.rs"]
mod tests;
