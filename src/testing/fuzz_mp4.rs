//! Fuzz entry point from samples to boxes: what is written is read by a demuxer that is not ours.

use shiguredo_mp4::demux::Fmp4SegmentDemuxer;

use super::clips;
use super::script::Script;
use crate::media::fmp4::{Sample, TrackRun, init_segment, track_id, write_part};
use crate::media::{Format, TrackKind};

const SAMPLES_MAX: u8 = 40;

/// A broadcast's init segment, then parts of any samples of its tracks.
///
/// # Panics
/// When the demuxer refuses a part, or finds another sample than was written.
pub fn fmp4(script: &[u8]) {
    let mut script = Script::new(script);
    let format = match script.below(3) {
        0 => clips::video_format(),
        1 => clips::audio_format(),
        _ => clips::format(),
    };
    let mut demuxer = Fmp4SegmentDemuxer::new();
    demuxer.handle_init_segment(&init_segment(&format)).expect("an init segment");
    let mut bases = [u64::from(script.number()), u64::from(script.number()) << 8];
    let mut sequence = script.number();
    while !script.is_empty() {
        let runs = runs(&mut script, &format, &mut bases);
        if runs.is_empty() {
            return;
        }
        let part = write_part(sequence, &runs);
        assert_eq!(read(&mut demuxer, &part), written(&runs));
        sequence = sequence.wrapping_add(1);
    }
}

/// A run of samples for each track that has any; a track's next run begins where this one ends.
fn runs<'a>(script: &mut Script<'a>, format: &Format, bases: &mut [u64; 2]) -> Vec<TrackRun<'a>> {
    let tracks =
        [(TrackKind::Video, format.video.is_some()), (TrackKind::Audio, format.audio.is_some())];
    let mut runs = Vec::new();
    for ((track, there), base) in tracks.into_iter().zip(bases) {
        let count = script.below(SAMPLES_MAX);
        let samples: Vec<_> = (0..count).map(|_| sample(script, track)).collect();
        let length = samples.iter().map(|sample| u64::from(sample.duration)).sum::<u64>();
        if there && count > 0 {
            runs.push(TrackRun { track, base: *base, samples });
            *base += length;
        }
    }
    runs
}

fn sample<'a>(script: &mut Script<'a>, track: TrackKind) -> Sample<'a> {
    let how = script.byte();
    let video = track == TrackKind::Video;
    // Mostly usual lengths, now and then any.
    let duration = if how & 7 == 0 { script.number() >> 4 } else { u32::from(how) * 20 };
    let composition = if video && how & 8 != 0 { i32::from(script.byte()) * 300 } else { 0 };
    let sync = !video || how & 16 == 0;
    let size = usize::from(how >> 5) * 30;
    Sample { duration: duration.max(1), composition, sync, payload: script.take(size) }
}

/// Track, decode time, length, offset, whether it stands alone, and bytes of each sample.
type Told = (u32, u64, u32, Option<i64>, bool, Vec<u8>);

fn written(runs: &[TrackRun<'_>]) -> Vec<Told> {
    let mut told = Vec::new();
    for run in runs {
        let mut at = run.base;
        for sample in &run.samples {
            let offset = i64::from(sample.composition);
            let offset = (run.track == TrackKind::Video).then_some(offset);
            let (id, bytes) = (track_id(run.track), sample.payload.to_vec());
            told.push((id, at, sample.duration, offset, sample.sync, bytes));
            at += u64::from(sample.duration);
        }
    }
    told.sort();
    told
}

fn read(demuxer: &mut Fmp4SegmentDemuxer, part: &[u8]) -> Vec<Told> {
    let samples = demuxer.handle_media_segment(part).expect("a part");
    let mut told: Vec<_> = samples
        .iter()
        .map(|sample| {
            let at = usize::try_from(sample.data_offset).expect("within memory");
            let bytes = part.get(at..at + sample.data_size).expect("within the part").to_vec();
            let offset = sample.composition_time_offset;
            let (id, length) = (sample.track.track_id, sample.duration);
            (id, sample.timestamp, length, offset, sample.keyframe, bytes)
        })
        .collect();
    told.sort();
    told
}
