use std::sync::Arc;

use bytes::Bytes;

use super::waiting::ComingPart;

/// What stands behind a media name.
#[derive(Debug)]
pub enum Media {
    /// All of it, ready to go out at line speed.
    Ready(MediaBody),
    /// The part that the playlist hints at. The deadline is the caller's.
    Hinted(ComingPart),
    /// Missing media; the playlist says so.
    Gap,
    /// Was there once.
    Gone,
    Unknown,
}

/// The bytes of an init segment, a segment or a part, shared with everybody who asks.
#[derive(Clone, Debug)]
pub struct MediaBody {
    /// In the order in which they go out.
    pub chunks: Arc<[Bytes]>,
    /// Bytes in all.
    pub len: u64,
    pub kind: MediaKind,
    /// The broadcast has no video.
    pub audio_only: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    Init,
    Segment,
    Part,
}

impl MediaBody {
    pub(super) fn new(chunks: Arc<[Bytes]>, kind: MediaKind, audio_only: bool) -> Self {
        let len = chunks.iter().map(Bytes::len).sum::<usize>();
        let len = u64::try_from(len).expect("a length in memory fits in 64 bits");
        Self { chunks, len, kind, audio_only }
    }
}
