use std::io::{self, SeekFrom};
use std::path::Path;

use bytes::BytesMut;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::media::{
    AudioContent, AudioTag, FlvFileError, FlvReader, FlvTag, FlvTagKind, VideoContent, VideoTag,
};

/// What one read of a file takes.
const READ_BYTES: usize = 64 * 1024;

/// Why a file cannot be played.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReelError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Flv(#[from] FlvFileError),
    #[error("the file is empty")]
    Empty,
    #[error("the FLV file holds no audio and no video")]
    NoMedia,
}

/// The tags of an FLV file, from the disk or from the binary itself.
#[derive(Debug)]
pub(crate) struct Reel {
    source: Source,
    bytes: u64,
    position: u64,
    input: BytesMut,
    reader: FlvReader,
    truncated: bool,
}

#[derive(Debug)]
enum Source {
    File(File),
    Memory { all: &'static [u8], rest: &'static [u8] },
}

impl Reel {
    /// Opens a file and reads up to its first picture or sound, so that what cannot be played is
    /// known before a server hears of it.
    pub(crate) async fn open(path: &Path) -> Result<Self, ReelError> {
        let file = File::open(path).await?;
        let bytes = file.metadata().await?.len();
        Self::checked(Source::File(file), bytes).await
    }

    /// A file that is part of the binary.
    pub(crate) async fn embedded(all: &'static [u8]) -> Result<Self, ReelError> {
        let bytes = u64::try_from(all.len()).unwrap_or(u64::MAX);
        Self::checked(Source::Memory { all, rest: all }, bytes).await
    }

    async fn checked(source: Source, bytes: u64) -> Result<Self, ReelError> {
        if bytes == 0 {
            return Err(ReelError::Empty);
        }
        let mut reel = Self {
            source,
            bytes,
            position: 0,
            input: BytesMut::new(),
            reader: FlvReader::new(),
            truncated: false,
        };
        loop {
            match reel.next_tag().await? {
                None => return Err(ReelError::NoMedia),
                Some(tag) if tag.kind == FlvTagKind::Script => {}
                Some(_) => break,
            }
        }
        reel.rewind().await?;
        Ok(reel)
    }

    /// The next tag, or `None` at the end. Not safe to drop half-way.
    pub(crate) async fn next_tag(&mut self) -> Result<Option<FlvTag>, ReelError> {
        loop {
            if let Some(tag) = self.reader.next_tag(&mut self.input)? {
                return Ok(Some(tag));
            }
            let read = self.read().await?;
            if read == 0 {
                self.truncated = self.reader.is_truncated(&self.input);
                return Ok(None);
            }
            self.position = self.position.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        }
    }

    /// Back to the beginning.
    pub(crate) async fn rewind(&mut self) -> Result<(), ReelError> {
        match &mut self.source {
            Source::File(file) => {
                file.seek(SeekFrom::Start(0)).await?;
            }
            Source::Memory { all, rest } => *rest = all,
        }
        self.position = 0;
        self.input.clear();
        self.reader = FlvReader::new();
        Ok(())
    }

    /// Length of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How far the file has been read.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Whether the file was found to end in the middle of a tag.
    pub(crate) fn is_truncated(&self) -> bool {
        self.truncated
    }

    async fn read(&mut self) -> io::Result<usize> {
        match &mut self.source {
            Source::File(file) => {
                self.input.reserve(READ_BYTES);
                file.read_buf(&mut self.input).await
            }
            Source::Memory { rest, .. } => {
                let (piece, left) = rest.split_at(READ_BYTES.min(rest.len()));
                self.input.extend_from_slice(piece);
                *rest = left;
                Ok(piece.len())
            }
        }
    }
}

/// Puts the rounds of a loop one behind the other on one running time.
#[derive(Debug)]
pub(super) struct Round {
    repeat: bool,
    again: bool,
    /// The running time at which this round began.
    start: u64,
    /// The file's first time: a recording need not begin at zero.
    zero: Option<u32>,
    audio: Track,
    video: Track,
}

/// One track of one round, in the file's own time.
#[derive(Clone, Copy, Debug, Default)]
struct Track {
    first: Option<u32>,
    last: u32,
    frames: u64,
}

impl Round {
    pub(super) fn new(repeat: bool) -> Self {
        let (audio, video) = (Track::default(), Track::default());
        Self { repeat, again: false, start: 0, zero: None, audio, video }
    }

    /// The running time of a tag in milliseconds. `None`: leave the tag out, because it would
    /// end the stream in the middle of a loop, or repeat what the first round said.
    pub(super) fn place(&mut self, tag: &FlvTag) -> Option<u64> {
        let content = Content::of(tag);
        let zero = *self.zero.get_or_insert(tag.timestamp);
        match content {
            Content::Setup if self.again => return None,
            Content::End if self.repeat => return None,
            Content::Setup | Content::End => {}
            Content::Frame => match tag.kind {
                FlvTagKind::Audio => self.audio.count(tag.timestamp),
                FlvTagKind::Video => self.video.count(tag.timestamp),
                FlvTagKind::Script => {}
            },
        }
        let since = u64::from(tag.timestamp.saturating_sub(zero));
        Some(self.start.saturating_add(since))
    }

    /// The end of the file is the beginning of the next round: one frame after the last.
    pub(super) fn begin_again(&mut self) {
        let length = self.audio.length().max(self.video.length()).max(1);
        self.start = self.start.saturating_add(length);
        self.again = true;
        (self.audio, self.video) = (Track::default(), Track::default());
    }
}

impl Track {
    fn count(&mut self, timestamp: u32) {
        self.first.get_or_insert(timestamp);
        self.last = self.last.max(timestamp);
        self.frames += 1;
    }

    /// From the first frame to the end of the last, whose length is taken as the mean.
    fn length(&self) -> u64 {
        let Some(first) = self.first else { return 0 };
        let span = u64::from(self.last.saturating_sub(first));
        let steps = self.frames.saturating_sub(1);
        match steps {
            0 => span,
            steps => span + (span + steps / 2) / steps,
        }
    }
}

/// What a tag is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// Metadata and codec configurations.
    Setup,
    Frame,
    /// The end of a track.
    End,
}

impl Content {
    /// A tag that cannot be read counts as a frame: judging it is the server's business.
    fn of(tag: &FlvTag) -> Self {
        match tag.kind {
            FlvTagKind::Script => Self::Setup,
            FlvTagKind::Video => match VideoTag::parse(&tag.body) {
                Ok(video) => match video.packets.iter().next().map(|packet| &packet.content) {
                    Some(VideoContent::Config(_)) => Self::Setup,
                    Some(VideoContent::End) => Self::End,
                    Some(VideoContent::Frame { .. }) | None => Self::Frame,
                },
                Err(_) => Self::Frame,
            },
            FlvTagKind::Audio => match AudioTag::parse(&tag.body) {
                Ok(audio) => match audio.packets.iter().next().map(|packet| &packet.content) {
                    Some(AudioContent::Config(_)) => Self::Setup,
                    Some(AudioContent::End) => Self::End,
                    Some(AudioContent::Frame(_)) | None => Self::Frame,
                },
                Err(_) => Self::Frame,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::demo::CLIP;

    async fn play(reel: &mut Reel, round: &mut Round) -> Vec<(FlvTagKind, Content, u64)> {
        let mut placed = Vec::new();
        while let Some(tag) = reel.next_tag().await.expect("a whole clip") {
            if let Some(media) = round.place(&tag) {
                placed.push((tag.kind, Content::of(&tag), media));
            }
        }
        placed
    }

    #[tokio::test]
    async fn the_clip_loops_without_a_seam() {
        let mut reel = Reel::embedded(CLIP).await.expect("a clip");
        let mut round = Round::new(true);
        let mut all = Vec::new();
        for _ in 0..3 {
            all.extend(play(&mut reel, &mut round).await);
            reel.rewind().await.expect("memory");
            round.begin_again();
        }
        let setups = all.iter().filter(|(_, content, _)| *content == Content::Setup).count();
        assert_eq!(setups, 3, "metadata and two configurations, once");
        assert!(all.iter().all(|(_, content, _)| *content != Content::End));
        for (kind, steps) in [(FlvTagKind::Video, 33..=34), (FlvTagKind::Audio, 20..=22)] {
            let times: Vec<_> = all
                .iter()
                .filter(|(k, content, _)| *k == kind && *content == Content::Frame)
                .map(|(_, _, media)| *media)
                .collect();
            for pair in times.windows(2) {
                assert!(steps.contains(&(pair[1] - pair[0])), "{kind:?} {pair:?}");
            }
        }
    }

    #[tokio::test]
    async fn once_means_with_its_end() {
        let mut reel = Reel::embedded(CLIP).await.expect("a clip");
        let all = play(&mut reel, &mut Round::new(false)).await;
        assert!(all.iter().any(|(_, content, _)| *content == Content::End));
        assert!(!reel.is_truncated());
        assert_eq!(reel.position(), reel.bytes());
    }

    #[tokio::test]
    async fn what_cannot_be_played_is_known_at_once() {
        let error = async |bytes| Reel::embedded(bytes).await.expect_err("an error").to_string();
        assert_eq!(error(b"").await, "the file is empty");
        assert_eq!(error(b"RIFF....").await, "this is no FLV file");
        assert_eq!(error(&CLIP[..200]).await, "the FLV file holds no audio and no video");
    }

    #[tokio::test]
    async fn a_cut_file_is_played_as_far_as_it_is_whole() {
        let mut reel = Reel::embedded(&CLIP[..100_000]).await.expect("a clip");
        assert!(!play(&mut reel, &mut Round::new(false)).await.is_empty());
        assert!(reel.is_truncated());
    }
}
