use std::io;
use std::path::Path;

use bytes::Bytes;

use crate::media::{
    AudioContent, AudioTag, FlvFileError, FlvReader, FlvTag, FlvTagKind, VideoContent, VideoTag,
};

/// Longest tag that is read: what a message of RTMP can hold.
const TAG_BYTES_MAX: usize = 0xFF_FFFF;
/// Longest file that is read; it lies in memory while it plays.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Why a file cannot be played.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReelError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Flv(#[from] FlvFileError),
    #[error("the file is empty")]
    Empty,
    #[error("the file has {got} bytes, at most {FILE_BYTES_MAX} can be played")]
    TooLong { got: u64 },
    #[error("the FLV file holds no whole picture and no sound")]
    NoMedia,
}

/// The tags of an FLV file that lies in memory.
#[derive(Debug)]
pub(crate) struct Reel {
    file: Bytes,
    reader: FlvReader,
    truncated: bool,
}

/// A whole file from the disk.
pub(super) async fn read(path: &Path) -> Result<Bytes, ReelError> {
    let got = tokio::fs::metadata(path).await?.len();
    if got > FILE_BYTES_MAX {
        return Err(ReelError::TooLong { got });
    }
    Ok(Bytes::from(tokio::fs::read(path).await?))
}

impl Reel {
    /// Reads up to the first picture or sound, so that what cannot be played is known before a
    /// server hears of it.
    pub(crate) fn new(file: Bytes) -> Result<Self, ReelError> {
        if file.is_empty() {
            return Err(ReelError::Empty);
        }
        let reader = FlvReader::new(file.clone(), TAG_BYTES_MAX)?;
        let mut reel = Self { file, reader: reader.clone(), truncated: false };
        loop {
            match reel.next_tag()? {
                None => return Err(ReelError::NoMedia),
                Some(tag) if tag.kind == FlvTagKind::Script => {}
                Some(_) => break,
            }
        }
        Ok(Self { reader, ..reel })
    }

    /// The next tag, or `None` at the end, also where the end cuts a tag off.
    pub(crate) fn next_tag(&mut self) -> Result<Option<FlvTag>, ReelError> {
        match self.reader.next() {
            None => Ok(None),
            Some(Ok(tag)) => Ok(Some(tag)),
            Some(Err(FlvFileError::Truncated { .. })) => {
                self.truncated = true;
                Ok(None)
            }
            Some(Err(error)) => Err(error.into()),
        }
    }

    /// Back to the beginning.
    pub(crate) fn rewind(&mut self) -> Result<(), ReelError> {
        self.reader = FlvReader::new(self.file.clone(), TAG_BYTES_MAX)?;
        Ok(())
    }

    /// Length of the file.
    pub(crate) fn bytes(&self) -> usize {
        self.file.len()
    }

    /// How far the file has been read.
    pub(crate) fn position(&self) -> usize {
        self.reader.position()
    }

    /// Whether the file was found to end in the middle of a tag.
    pub(crate) fn is_truncated(&self) -> bool {
        self.truncated
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
            FlvTagKind::Video => match VideoTag::parse(tag.body.clone()) {
                Ok(video) => match video.packets.iter().next().map(|packet| &packet.content) {
                    Some(VideoContent::Config(_)) => Self::Setup,
                    Some(VideoContent::End) => Self::End,
                    Some(VideoContent::Frame { .. }) | None => Self::Frame,
                },
                Err(_) => Self::Frame,
            },
            FlvTagKind::Audio => match AudioTag::parse(tag.body.clone()) {
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

    fn play(reel: &mut Reel, round: &mut Round) -> Vec<(FlvTagKind, Content, u64)> {
        let mut placed = Vec::new();
        while let Some(tag) = reel.next_tag().expect("a whole clip") {
            if let Some(media) = round.place(&tag) {
                placed.push((tag.kind, Content::of(&tag), media));
            }
        }
        placed
    }

    #[test]
    fn the_clip_loops_without_a_seam() {
        let mut reel = Reel::new(Bytes::from_static(CLIP)).expect("a clip");
        let mut round = Round::new(true);
        let mut all = Vec::new();
        for _ in 0..3 {
            all.extend(play(&mut reel, &mut round));
            reel.rewind().expect("memory");
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

    #[test]
    fn once_means_with_its_end() {
        let mut reel = Reel::new(Bytes::from_static(CLIP)).expect("a clip");
        let all = play(&mut reel, &mut Round::new(false));
        assert!(all.iter().any(|(_, content, _)| *content == Content::End));
        assert!(!reel.is_truncated());
        assert_eq!(reel.position(), reel.bytes());
    }

    #[test]
    fn what_cannot_be_played_is_known_at_once() {
        let error = |bytes| Reel::new(Bytes::from_static(bytes)).expect_err("an error").to_string();
        assert_eq!(error(b""), "the file is empty");
        assert_eq!(error(b"RIFF...."), "this is no FLV file: it does not start with FLV");
        assert_eq!(error(&CLIP[..200]), "the FLV file holds no whole picture and no sound");
    }

    #[test]
    fn a_cut_file_is_played_as_far_as_it_is_whole() {
        let mut reel = Reel::new(Bytes::from_static(&CLIP[..100_000])).expect("a clip");
        assert!(!play(&mut reel, &mut Round::new(false)).is_empty());
        assert!(reel.is_truncated());
    }
}
