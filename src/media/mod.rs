//! What a frame is: FLV and Enhanced RTMP tags, codec configurations, the timeline, fMP4 boxes.
//! No socket, no clock, no playlist. Read [`Frame`] first, then [`VideoTag`] and [`AudioTag`].

pub mod fmp4;
mod frame;

mod cursor;
mod enhanced;
mod flv;
mod tag_error;

mod bits;
mod config_error;
mod nal;
mod picture;

pub mod aac;
pub mod avc;

pub use config_error::ConfigError;
pub use flv::{AudioContent, AudioPacket, AudioTag, Packets, VideoContent, VideoPacket, VideoTag};
pub use frame::{AudioCodec, AudioConfig, Format, Frame, TrackKind, VideoCodec, VideoConfig};
pub use tag_error::{FourCc, TagError};
