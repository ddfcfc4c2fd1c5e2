//! FLV files (Adobe FLV 10.1, annex E): a header, then tags, each followed by its size.

use bytes::Bytes;

use super::cursor::Cursor;
use crate::base::Blame;

/// Bytes of the file header, and of a tag's header.
const FILE_HEAD: usize = 9;
const TAG_HEAD: usize = 11;
/// What is written behind each tag.
const TAG_SIZE: usize = 4;

/// Reads an FLV file that lies in memory. Yields one tag after the other; the first error ends
/// it. A last tag that is cut off, as a killed recorder leaves it, is an error of its own kind.
#[derive(Clone, Debug)]
pub struct FlvReader {
    file: Bytes,
    position: usize,
    tag_bytes_max: usize,
    failed: bool,
}

/// One tag of the file: what RTMP sends as one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlvTag {
    pub kind: FlvTagKind,
    /// Milliseconds.
    pub timestamp: u32,
    /// A slice of the file.
    pub body: Bytes,
}

/// What a tag holds. Tags of other kinds are skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlvTagKind {
    Audio,
    Video,
    /// AMF0: `onMetaData` and its like.
    Script,
}

/// Why a file could not be read on; positions are bytes from its start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlvFileError {
    #[error("this is no FLV file: it does not start with FLV")]
    Magic,
    #[error("FLV version {0} is unknown")]
    Version(u8),
    #[error("the FLV header says it has {0} bytes")]
    HeaderSize(u32),
    #[error("the file ends within a tag at byte {at}: {need} bytes needed, {got} there")]
    Truncated { at: usize, need: usize, got: usize },
    #[error("the tag at byte {at} has {size} bytes, at most {max} are allowed")]
    TagTooLarge { at: usize, size: usize, max: usize },
    #[error("the tag at byte {at} is encrypted")]
    Encrypted { at: usize },
}

impl FlvFileError {
    /// A file is always somebody else's.
    pub fn blame(&self) -> Blame {
        Blame::Peer
    }
}

impl FlvReader {
    /// Checks the header. `tag_bytes_max` bounds one tag's body.
    pub fn new(file: Bytes, tag_bytes_max: usize) -> Result<Self, FlvFileError> {
        if !file.starts_with(b"FLV") {
            return Err(FlvFileError::Magic);
        }
        let got = file.len();
        let short = FlvFileError::Truncated { at: 0, need: FILE_HEAD, got };
        let &[_, _, _, version, _flags, a, b, c, d] = file.first_chunk().ok_or(short)?;
        if version != 1 {
            return Err(FlvFileError::Version(version));
        }
        let stated = u32::from_be_bytes([a, b, c, d]);
        let head = usize::try_from(stated).unwrap_or(usize::MAX);
        if head < FILE_HEAD || head > got {
            return Err(FlvFileError::HeaderSize(stated));
        }
        let position = head.saturating_add(TAG_SIZE);
        Ok(Self { file, position, tag_bytes_max, failed: false })
    }

    /// How far the file was read, in bytes.
    pub fn position(&self) -> usize {
        self.position.min(self.file.len())
    }

    /// The next tag of any kind, or `None` behind the last.
    fn read_tag(&mut self) -> Result<Option<(u8, FlvTag)>, FlvFileError> {
        const FILTER: u8 = 0x20;
        let at = self.position;
        if at >= self.file.len() {
            return Ok(None);
        }
        let mut cursor = Cursor::new(self.file.slice(at..));
        let cut = |need, got| FlvFileError::Truncated { at, need, got };
        let head = cursor.array::<TAG_HEAD>().map_err(|short| cut(TAG_HEAD, short.got))?;
        let [kind, s2, s1, s0, t2, t1, t0, t3, _, _, _] = head;
        let size = usize::try_from(u32::from_be_bytes([0, s2, s1, s0])).unwrap_or(usize::MAX);
        if size > self.tag_bytes_max {
            return Err(FlvFileError::TagTooLarge { at, size, max: self.tag_bytes_max });
        }
        if kind & FILTER != 0 {
            return Err(FlvFileError::Encrypted { at });
        }
        let body = cursor.take(size).map_err(|short| cut(TAG_HEAD + size, TAG_HEAD + short.got))?;
        // The size that follows is not checked: recorders write it wrong, and nobody who reads
        // forward needs it.
        self.position = at + TAG_HEAD + size + TAG_SIZE;
        let timestamp = u32::from_be_bytes([t3, t2, t1, t0]);
        Ok(Some((kind & 0x1f, FlvTag { kind: FlvTagKind::Script, timestamp, body })))
    }
}

impl Iterator for FlvReader {
    type Item = Result<FlvTag, FlvFileError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed {
            let (kind, tag) = match self.read_tag() {
                Ok(tag) => tag?,
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            };
            let kind = match kind {
                8 => FlvTagKind::Audio,
                9 => FlvTagKind::Video,
                18 => FlvTagKind::Script,
                _ => continue,
            };
            return Some(Ok(FlvTag { kind, ..tag }));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::clips;

    const HEAD: [u8; 13] = [b'F', b'L', b'V', 1, 5, 0, 0, 0, 9, 0, 0, 0, 0];

    fn file(tags: &[(u8, u32, &[u8])]) -> Bytes {
        let mut file = HEAD.to_vec();
        for &(kind, timestamp, body) in tags {
            file.extend(clips::flv_tag(kind, timestamp, body));
        }
        file.into()
    }

    fn read(file: &Bytes) -> Vec<Result<FlvTag, FlvFileError>> {
        FlvReader::new(file.clone(), 100).unwrap().collect()
    }

    fn tag(kind: FlvTagKind, timestamp: u32, body: &'static [u8]) -> FlvTag {
        FlvTag { kind, timestamp, body: Bytes::from_static(body) }
    }

    #[test]
    fn tags_in_order_with_all_32_bits_of_their_time() {
        let file = file(&[(18, 0, b"meta"), (9, 0xfedc_ba98, b"v"), (7, 1, b"?"), (8, 2, b"")]);
        let expected = [
            Ok(tag(FlvTagKind::Script, 0, b"meta")),
            Ok(tag(FlvTagKind::Video, 0xfedc_ba98, b"v")),
            Ok(tag(FlvTagKind::Audio, 2, b"")),
        ];
        assert_eq!(read(&file), expected);
    }

    #[test]
    fn a_wrong_previous_tag_size_is_no_matter() {
        let mut bytes = file(&[(9, 0, b"v"), (8, 0, b"a")]).to_vec();
        for at in [9, 13 + 12, 13 + 13] {
            bytes[at] = 0xff;
        }
        assert_eq!(read(&bytes.into()).len(), 2);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let new = |bytes: &[u8]| FlvReader::new(Bytes::copy_from_slice(bytes), 100).unwrap_err();
        assert_eq!(new(b"MP4"), FlvFileError::Magic);
        assert_eq!(new(b"FLV\x01"), FlvFileError::Truncated { at: 0, need: 9, got: 4 });
        assert_eq!(new(b"FLV\x02\x05\0\0\0\x09"), FlvFileError::Version(2));
        assert_eq!(new(b"FLV\x01\x05\0\0\0\x08"), FlvFileError::HeaderSize(8));

        let whole = file(&[(9, 0, b"video")]);
        let cut = FlvFileError::Truncated { at: 13, need: 16, got: 14 };
        assert_eq!(read(&whole.slice(..13 + 14)), [Err(cut)]);
        let cut = FlvFileError::Truncated { at: 13, need: 11, got: 3 };
        assert_eq!(read(&whole.slice(..13 + 3)), [Err(cut)]);
        // The size behind the last tag may be missing.
        assert!(read(&whole.slice(..13 + 16))[0].is_ok());

        let large = file(&[(9, 0, &[0; 101])]);
        assert_eq!(read(&large), [Err(FlvFileError::TagTooLarge { at: 13, size: 101, max: 100 })]);
        assert_eq!(read(&file(&[(0x29, 0, b"v")])), [Err(FlvFileError::Encrypted { at: 13 })]);
    }

    proptest::proptest! {
        #[test]
        fn no_file_panics(tail: Vec<u8>) {
            let file = Bytes::from([&HEAD[..], &tail].concat());
            assert!(read(&file).len() <= tail.len() / TAG_HEAD + 1);
        }
    }
}
