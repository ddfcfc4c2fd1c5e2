use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::MediaTime;

/// Which of the two tracks of a broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TrackKind {
    Video,
    Audio,
}

impl TrackKind {
    /// The metric label and log field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Audio => "audio",
        }
    }

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Video => Self::Audio,
            Self::Audio => Self::Video,
        }
    }
}

/// How a video track is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VideoCodec {
    Avc,
    Hevc,
    Av1,
    Vp9,
}

/// How an audio track is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AudioCodec {
    Aac,
    Opus,
    Mp3,
    Flac,
    Ac3,
    Eac3,
}

/// What a decoder needs before the first frame of a video track. Every value comes from the
/// bitstream's own configuration record, never from metadata.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoConfig {
    pub codec: VideoCodec,
    /// The configuration record as received: the content of `avcC`, `hvcC`, `av1C` or `vpcC`.
    pub record: Bytes,
    /// RFC 6381, for example `avc1.64001f`.
    pub codec_string: String,
    /// Cropped, in pixels.
    pub width: u16,
    pub height: u16,
    /// Frames a second where the bitstream states a fixed rate, as a fraction.
    pub frame_rate: Option<(u32, u32)>,
}

/// What a decoder needs before the first frame of an audio track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioConfig {
    pub codec: AudioCodec,
    /// AudioSpecificConfig for AAC (as received), the `dOps` content for Opus, STREAMINFO for
    /// FLAC, the `dac3`/`dec3` content for AC-3; empty for MP3.
    pub record: Bytes,
    /// RFC 6381, for example `mp4a.40.2`.
    pub codec_string: String,
    /// Samples a second: the timescale of the track.
    pub sample_rate: u32,
    pub channels: u8,
    /// Samples in one frame where the codec fixes it: 1024 for AAC-LC, 1152 for MP3.
    pub samples_per_frame: Option<u32>,
}

/// Both configurations of a broadcast at one moment. A frame carries its format; a new one means
/// a new init segment and a DISCONTINUITY.
#[derive(Clone, Debug, PartialEq)]
pub struct Format {
    pub video: Option<VideoConfig>,
    pub audio: Option<AudioConfig>,
}

/// One timed encoded unit of a track; for video an access unit.
#[derive(Clone)]
pub struct Frame {
    pub track: TrackKind,
    /// Decode time. Rises strictly within a track and a run.
    pub dts: MediaTime,
    /// Presentation time.
    pub pts: MediaTime,
    /// Decodable alone. Every audio frame is.
    pub keyframe: bool,
    /// Frames of one run share an unbroken timeline. A new run follows a time jump, a reconnect
    /// or a takeover; it is a DISCONTINUITY.
    pub run: u32,
    /// The format in force. Compare by pointer first: it is shared by all frames until it changes.
    pub format: Arc<Format>,
    /// The coded bytes: length-prefixed NAL units (with lengths as wide as the record says), AV1
    /// OBUs, a raw AAC frame, an Opus packet, and so on. No FLV header.
    pub payload: Bytes,
}

impl Frame {
    /// Sound where there is video: the picture decides where parts, GOPs and lulls begin and end.
    pub fn is_beside_video(&self) -> bool {
        self.track == TrackKind::Audio && self.format.video.is_some()
    }
}

/// Bytes equal to the payload of a frame, in memory that lasts: whoever keeps the frame can share
/// them and let its own go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub track: TrackKind,
    pub run: u32,
    pub dts: MediaTime,
    pub payload: Bytes,
}

impl Stored {
    /// Whether this is the payload of that frame.
    pub fn is_of(&self, frame: &Frame) -> bool {
        let here = (self.track, self.run, self.dts, self.payload.len());
        here == (frame.track, frame.run, frame.dts, frame.payload.len())
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("track", &self.track)
            .field("dts", &self.dts.as_micros())
            .field("pts", &self.pts.as_micros())
            .field("keyframe", &self.keyframe)
            .field("run", &self.run)
            .field("bytes", &self.payload.len())
            .finish()
    }
}
