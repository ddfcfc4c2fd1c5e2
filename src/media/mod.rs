//! What a frame is: FLV and Enhanced RTMP tags, codec configurations, the timeline, fMP4 boxes.
//! No socket, no clock, no playlist. Read [`Frame`] first, then [`Intake`], which turns a
//! publisher's messages into frames.

pub mod fmp4;
mod frame;

pub use frame::{AudioCodec, AudioConfig, Format, Frame, TrackKind, VideoCodec, VideoConfig};
