use bytes::{BufMut, Bytes, BytesMut};

use super::track_id;
use crate::media::TrackKind;

/// `sample_flags` (14496-12 8.8.3.1): depends on no other sample.
const SYNC: u32 = 0x0200_0000;
/// `sample_flags`: depends on others, and is no sync sample.
const NOT_SYNC: u32 = 0x0101_0000;

/// `tf_flags`: offsets count from the start of the `moof`; default sample flags are present.
const TFHD_FLAGS: u32 = 0x02_0020;
/// `tr_flags`: data offset, then for each sample its duration and size.
const TRUN_AUDIO: u32 = 0x00_0301;
/// `tr_flags`: the same, then for each sample its flags and composition offset.
const TRUN_VIDEO: u32 = 0x00_0f01;

const MFHD_BYTES: usize = 16;
const TFHD_BYTES: usize = 20;
const TFDT_BYTES: usize = 20;
const TRUN_HEAD_BYTES: usize = 20;
const BOX_HEAD_BYTES: usize = 8;

/// One frame as it stands in a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample<'a> {
    /// In ticks of the track, above zero.
    pub duration: u32,
    /// Presentation minus decode time, in ticks.
    pub composition: i32,
    /// Decodable alone.
    pub sync: bool,
    pub payload: &'a [u8],
}

/// The samples of one track in one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackRun<'a> {
    pub track: TrackKind,
    /// Decode time of the first sample, in ticks of the track.
    pub base: u64,
    pub samples: Vec<Sample<'a>>,
}

impl TrackRun<'_> {
    const fn sample_entry_bytes(&self) -> usize {
        match self.track {
            TrackKind::Video => 16,
            TrackKind::Audio => 8,
        }
    }

    const fn trun_bytes(&self) -> usize {
        TRUN_HEAD_BYTES + self.samples.len() * self.sample_entry_bytes()
    }

    const fn traf_bytes(&self) -> usize {
        BOX_HEAD_BYTES + TFHD_BYTES + TFDT_BYTES + self.trun_bytes()
    }

    fn payload_bytes(&self) -> usize {
        self.samples.iter().map(|sample| sample.payload.len()).sum()
    }
}

/// Writes one part: a `moof` with one `traf` for each of `runs`, and the `mdat` with their
/// samples in the same order (14496-12 8.8; H51, H55). `sequence` is the part's number. One
/// allocation of exact size, every byte written once.
///
/// A part must stay below 2 GiB, which the segmenter's byte limit sees to.
pub fn write_part(sequence: u32, runs: &[TrackRun<'_>]) -> Bytes {
    let moof = BOX_HEAD_BYTES + MFHD_BYTES + runs.iter().map(TrackRun::traf_bytes).sum::<usize>();
    let mdat = BOX_HEAD_BYTES + runs.iter().map(TrackRun::payload_bytes).sum::<usize>();
    let mut out = BytesMut::with_capacity(moof + mdat);

    put_box(&mut out, moof, b"moof");
    put_box(&mut out, MFHD_BYTES, b"mfhd");
    out.put_u32(0);
    out.put_u32(sequence);

    let mut data_offset = moof + BOX_HEAD_BYTES;
    for run in runs {
        put_traf(&mut out, run, data_offset);
        data_offset += run.payload_bytes();
    }

    put_box(&mut out, mdat, b"mdat");
    for sample in runs.iter().flat_map(|run| &run.samples) {
        out.put_slice(sample.payload);
    }
    debug_assert_eq!(out.len(), moof + mdat, "the part was measured before it was written");
    out.freeze()
}

fn put_traf(out: &mut BytesMut, run: &TrackRun<'_>, data_offset: usize) {
    put_box(out, run.traf_bytes(), b"traf");

    put_box(out, TFHD_BYTES, b"tfhd");
    out.put_u32(TFHD_FLAGS);
    out.put_u32(track_id(run.track));
    out.put_u32(SYNC);

    put_box(out, TFDT_BYTES, b"tfdt");
    out.put_u32(0x0100_0000); // version 1: 64 bits
    out.put_u64(run.base);

    put_box(out, run.trun_bytes(), b"trun");
    let (version_and_flags, full) = match run.track {
        TrackKind::Video => (0x0100_0000 | TRUN_VIDEO, true), // version 1: signed offsets
        TrackKind::Audio => (TRUN_AUDIO, false),
    };
    out.put_u32(version_and_flags);
    out.put_u32(size(run.samples.len()));
    out.put_u32(size(data_offset));
    for sample in &run.samples {
        out.put_u32(sample.duration);
        out.put_u32(size(sample.payload.len()));
        if full {
            out.put_u32(if sample.sync { SYNC } else { NOT_SYNC });
            out.put_i32(sample.composition);
        }
    }
}

fn put_box(out: &mut BytesMut, bytes: usize, kind: &[u8; 4]) {
    out.put_u32(size(bytes));
    out.put_slice(kind);
}

fn size(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a part is below 2 GiB: the segmenter cuts by bytes too")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::fmp4::reader;

    fn sample(duration: u32, composition: i32, sync: bool, payload: &[u8]) -> Sample<'_> {
        Sample { duration, composition, sync, payload }
    }

    fn two_tracks() -> Vec<TrackRun<'static>> {
        vec![
            TrackRun {
                track: TrackKind::Video,
                base: 0x1_0000_0001,
                samples: vec![sample(3000, 6000, true, b"key"), sample(3000, 0, false, b"delta")],
            },
            TrackRun {
                track: TrackKind::Audio,
                base: 1024,
                samples: vec![sample(1024, 0, true, b"aac1"), sample(1024, 0, true, b"aac22")],
            },
        ]
    }

    #[test]
    fn a_part_reads_back() {
        // H51, H55: decode times, lengths and offsets read back as they were written.
        let runs = two_tracks();
        let part = write_part(7, &runs);
        let read = reader::read_part(&part).expect("well formed");
        assert_eq!(read.sequence, 7);
        assert_eq!(read.runs, runs);
    }

    #[test]
    fn a_part_is_one_allocation_of_its_size() {
        let part = write_part(1, &two_tracks());
        let held = part.try_into_mut().expect("nobody else holds it");
        assert_eq!(held.capacity(), held.len());
    }

    #[test]
    fn another_reader_finds_the_same_samples() {
        use shiguredo_mp4::boxes::MoofBox;
        use shiguredo_mp4::{BaseBox, Decode};

        let part = write_part(7, &two_tracks());
        let (moof, used) = MoofBox::decode(&part).expect("a moof");
        assert_eq!(moof.mfhd_box.sequence_number, 7);
        assert_eq!(moof.traf_boxes.len(), 2);
        assert!(moof.traf_boxes.iter().all(|traf| traf.tfhd_box.default_base_is_moof));
        assert!(moof.children().all(|child| !child.is_unknown_box()));
        let video = &moof.traf_boxes[0];
        assert_eq!(
            video.tfdt_box.as_ref().map(|tfdt| tfdt.base_media_decode_time),
            Some(1 << 32 | 1)
        );
        let offset = video.trun_boxes[0].data_offset.expect("an offset");
        let offset = usize::try_from(offset).expect("inside the part");
        assert_eq!(&part[offset..offset + 3], b"key");
        assert_eq!(offset, used + 8);
    }
}
