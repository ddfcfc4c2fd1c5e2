//! What a frame is: FLV and Enhanced RTMP tags, codec configurations, the timeline, fMP4 boxes.
//! No socket, no clock, no playlist. Read [`Frame`] first, then [`Intake`], which turns a
//! publisher's messages into frames.

pub mod fmp4;
mod frame;

mod cursor;
mod enhanced;
mod flv;
mod flv_file;
mod tag_error;

mod bits;
mod config_error;
mod nal;
mod picture;

pub mod aac;
mod ac3;
pub mod av1;
pub mod avc;
mod codec;
pub mod flac;
pub mod hevc;
mod hevc_sets;
mod mp3;
pub mod opus;
pub mod vp9;

mod grid;
mod lane;
mod timeline;
mod unwrap;

mod intake;

pub use config_error::ConfigError;
pub use flv::{AudioContent, AudioPacket, AudioTag, Packets, VideoContent, VideoPacket, VideoTag};
pub use flv_file::{FlvFileError, FlvReader, FlvTag, FlvTagKind};
pub use frame::{
    AudioCodec, AudioConfig, Format, Frame, Stored, TrackKind, VideoCodec, VideoConfig,
};
pub use intake::{Intake, IntakeError, MetadataHint, Notice};
pub use tag_error::{FourCc, TagError};
