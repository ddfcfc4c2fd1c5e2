use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use shiguredo_mp4::boxes::{
    AudioSampleEntryFields, Brand, DinfBox, EsdsBox, FtypBox, HdlrBox, MdhdBox, MdiaBox,
    MediaHeader, MinfBox, MoovBox, Mp4aBox, MvexBox, MvhdBox, SampleEntry, SmhdBox, StblBox,
    StcoBox, StscBox, StsdBox, StszBox, SttsBox, TkhdBox, TrakBox, TrexBox, UnknownBox,
    VisualSampleEntryFields, VmhdBox,
};
use shiguredo_mp4::descriptors::{
    DecoderConfigDescriptor, DecoderSpecificInfo, EsDescriptor, SlConfigDescriptor,
};
use shiguredo_mp4::{
    BoxSize, BoxType, Either, Encode, FixedPointNumber, LanguageCode, Mp4FileTime, SampleFlags,
    Uint,
};

use super::{VIDEO_TIMESCALE, track_id};
use crate::media::{AudioCodec, AudioConfig, Format, TrackKind, VideoCodec, VideoConfig};

/// `objectTypeIndication` of MPEG-1 audio, that is MP3 (registered at mp4ra.org).
const OBJECT_TYPE_MP3: u8 = 0x6b;

/// The header of every segment of `format`: `ftyp`, then a `moov` with one empty `trak` for each
/// track (draft-pantos-hls-rfc8216bis 3.1.2; H49, H50). The codec records go in as they were
/// received, so what the decoder is told is what the encoder said.
pub fn init_segment(format: &Format) -> Bytes {
    let ftyp = FtypBox {
        major_brand: Brand::ISO6,
        minor_version: 0,
        compatible_brands: vec![Brand::ISO6, Brand::MP41],
    };
    let mut traks = Vec::new();
    let mut ids = Vec::new();
    if let Some(video) = &format.video {
        traks.push(video_trak(video));
        ids.push(track_id(TrackKind::Video));
    }
    if let Some(audio) = &format.audio {
        traks.push(audio_trak(audio));
        ids.push(track_id(TrackKind::Audio));
    }
    let moov = MoovBox {
        mvhd_box: MvhdBox {
            creation_time: Mp4FileTime::from_secs(0),
            modification_time: Mp4FileTime::from_secs(0),
            timescale: NonZeroU32::new(1_000).expect("1000 is not zero"),
            duration: 0,
            rate: MvhdBox::DEFAULT_RATE,
            volume: MvhdBox::DEFAULT_VOLUME,
            matrix: MvhdBox::DEFAULT_MATRIX,
            next_track_id: track_id(TrackKind::Audio) + 1,
        },
        trak_boxes: traks,
        mvex_box: Some(MvexBox {
            mehd_box: None,
            trex_boxes: ids.into_iter().map(trex).collect(),
            unknown_boxes: Vec::new(),
        }),
        unknown_boxes: Vec::new(),
    };
    let mut bytes = encode(&ftyp);
    bytes.extend_from_slice(&encode(&moov));
    Bytes::from(bytes)
}

fn encode(part: &impl Encode) -> Vec<u8> {
    part.encode_to_vec().expect("boxes of bounded size encode into a growing buffer")
}

fn trex(track_id: u32) -> TrexBox {
    TrexBox {
        track_id,
        default_sample_description_index: 1,
        default_sample_duration: 0,
        default_sample_size: 0,
        default_sample_flags: SampleFlags::empty(),
    }
}

fn video_trak(video: &VideoConfig) -> TrakBox {
    let tkhd = TkhdBox {
        width: FixedPointNumber::new(signed(video.width), 0),
        height: FixedPointNumber::new(signed(video.height), 0),
        ..tkhd(TrackKind::Video)
    };
    let header = MediaHeader::Vmhd(VmhdBox { graphicsmode: 0, opcolor: [0; 3] });
    trak(tkhd, VIDEO_TIMESCALE, HdlrBox::HANDLER_TYPE_VIDE, header, video_entry(video))
}

fn audio_trak(audio: &AudioConfig) -> TrakBox {
    let tkhd = TkhdBox { volume: TkhdBox::DEFAULT_AUDIO_VOLUME, ..tkhd(TrackKind::Audio) };
    let header = MediaHeader::Smhd(SmhdBox { balance: SmhdBox::DEFAULT_BALANCE });
    trak(tkhd, audio.sample_rate, HdlrBox::HANDLER_TYPE_SOUN, header, audio_entry(audio))
}

fn tkhd(kind: TrackKind) -> TkhdBox {
    TkhdBox {
        flag_track_enabled: true,
        flag_track_in_movie: true,
        flag_track_in_preview: false,
        flag_track_size_is_aspect_ratio: false,
        creation_time: Mp4FileTime::from_secs(0),
        modification_time: Mp4FileTime::from_secs(0),
        track_id: track_id(kind),
        duration: 0,
        layer: TkhdBox::DEFAULT_LAYER,
        alternate_group: TkhdBox::DEFAULT_ALTERNATE_GROUP,
        volume: TkhdBox::DEFAULT_VIDEO_VOLUME,
        matrix: TkhdBox::DEFAULT_MATRIX,
        width: FixedPointNumber::new(0, 0),
        height: FixedPointNumber::new(0, 0),
    }
}

fn trak(
    tkhd_box: TkhdBox,
    timescale: u32,
    handler_type: [u8; 4],
    header: MediaHeader,
    entry: SampleEntry,
) -> TrakBox {
    let stbl_box = StblBox {
        stsd_box: StsdBox { entries: vec![entry] },
        stts_box: SttsBox { entries: Vec::new() },
        ctts_box: None,
        cslg_box: None,
        stsc_box: StscBox { entries: Vec::new() },
        stsz_box: StszBox::Variable { entry_sizes: Vec::new() },
        stco_or_co64_box: Either::A(StcoBox { chunk_offsets: Vec::new() }),
        stss_box: None,
        sdtp_box: None,
        unknown_boxes: Vec::new(),
    };
    let mdia_box = MdiaBox {
        mdhd_box: MdhdBox {
            creation_time: Mp4FileTime::from_secs(0),
            modification_time: Mp4FileTime::from_secs(0),
            timescale: NonZeroU32::new(timescale).unwrap_or(NonZeroU32::MIN),
            duration: 0,
            language: LanguageCode::new(*b"und").expect("three small letters"),
        },
        hdlr_box: HdlrBox { handler_type, name: b"\0".to_vec() },
        minf_box: MinfBox {
            media_header: Some(header),
            dinf_box: DinfBox::LOCAL_FILE,
            stbl_box,
            unknown_boxes: Vec::new(),
        },
        unknown_boxes: Vec::new(),
    };
    TrakBox { tkhd_box, edts_box: None, mdia_box, unknown_boxes: Vec::new() }
}

/// A visual sample entry around the configuration record as received. The typed entries of the
/// library would parse the record and write it again, perhaps not the same.
fn video_entry(video: &VideoConfig) -> SampleEntry {
    let (entry, config) = match video.codec {
        VideoCodec::Avc => (*b"avc1", *b"avcC"),
        VideoCodec::Hevc => (*b"hvc1", *b"hvcC"),
        VideoCodec::Av1 => (*b"av01", *b"av1C"),
        VideoCodec::Vp9 => (*b"vp09", *b"vpcC"),
    };
    let fields = VisualSampleEntryFields {
        data_reference_index: NonZeroU16::MIN,
        width: video.width,
        height: video.height,
        horizresolution: VisualSampleEntryFields::DEFAULT_HORIZRESOLUTION,
        vertresolution: VisualSampleEntryFields::DEFAULT_VERTRESOLUTION,
        frame_count: VisualSampleEntryFields::DEFAULT_FRAME_COUNT,
        compressorname: VisualSampleEntryFields::NULL_COMPRESSORNAME,
        depth: VisualSampleEntryFields::DEFAULT_DEPTH,
    };
    raw_entry(entry, encode(&fields), &raw_box(config, &video.record))
}

fn audio_entry(audio: &AudioConfig) -> SampleEntry {
    let fields = AudioSampleEntryFields {
        data_reference_index: NonZeroU16::MIN,
        channelcount: u16::from(audio.channels),
        samplesize: AudioSampleEntryFields::DEFAULT_SAMPLESIZE,
        // 16 bits are too few for 88.2 kHz and above: the codec record tells (14496-12 12.2.3).
        samplerate: FixedPointNumber::new(u16::try_from(audio.sample_rate).unwrap_or(0), 0),
    };
    match audio.codec {
        AudioCodec::Aac => {
            let asc = DecoderSpecificInfo { payload: audio.record.to_vec() };
            let object_type = DecoderConfigDescriptor::OBJECT_TYPE_INDICATION_AUDIO_ISO_IEC_14496_3;
            mp4a(fields, object_type, Some(asc))
        }
        AudioCodec::Mp3 => mp4a(fields, OBJECT_TYPE_MP3, None),
        AudioCodec::Opus => raw_entry(*b"Opus", encode(&fields), &raw_box(*b"dOps", &audio.record)),
        AudioCodec::Flac => {
            raw_entry(*b"fLaC", encode(&fields), &raw_box(*b"dfLa", &flac_blocks(&audio.record)))
        }
        AudioCodec::Ac3 => raw_entry(*b"ac-3", encode(&fields), &raw_box(*b"dac3", &audio.record)),
        AudioCodec::Eac3 => raw_entry(*b"ec-3", encode(&fields), &raw_box(*b"dec3", &audio.record)),
    }
}

fn mp4a(
    audio: AudioSampleEntryFields,
    object_type_indication: u8,
    dec_specific_info: Option<DecoderSpecificInfo>,
) -> SampleEntry {
    let es = EsDescriptor {
        es_id: EsDescriptor::MIN_ES_ID,
        stream_priority: EsDescriptor::LOWEST_STREAM_PRIORITY,
        depends_on_es_id: None,
        url_string: None,
        ocr_es_id: None,
        dec_config_descr: DecoderConfigDescriptor {
            object_type_indication,
            stream_type: DecoderConfigDescriptor::STREAM_TYPE_AUDIO,
            up_stream: DecoderConfigDescriptor::UP_STREAM_FALSE,
            buffer_size_db: Uint::new(0),
            max_bitrate: 0,
            avg_bitrate: 0,
            dec_specific_info,
        },
        sl_config_descr: SlConfigDescriptor,
    };
    SampleEntry::Mp4a(Mp4aBox { audio, esds_box: EsdsBox { es }, unknown_boxes: Vec::new() })
}

/// The content of `dfLa`: version and flags, then the one metadata block STREAMINFO, marked as
/// the last (Encapsulation of FLAC in ISO Base Media File Format 3.3.2).
fn flac_blocks(streaminfo: &[u8]) -> Vec<u8> {
    let length = u32::try_from(streaminfo.len()).unwrap_or(0) & 0x00ff_ffff;
    let mut blocks = vec![0; 4];
    blocks.extend_from_slice(&(0x8000_0000 | length).to_be_bytes());
    blocks.extend_from_slice(streaminfo);
    blocks
}

fn raw_entry(kind: [u8; 4], mut payload: Vec<u8>, config: &[u8]) -> SampleEntry {
    payload.extend_from_slice(config);
    SampleEntry::Unknown(unknown(kind, payload))
}

fn raw_box(kind: [u8; 4], payload: &[u8]) -> Vec<u8> {
    encode(&unknown(kind, payload.to_vec()))
}

fn unknown(kind: [u8; 4], payload: Vec<u8>) -> UnknownBox {
    let box_type = BoxType::Normal(kind);
    let bytes = u64::try_from(payload.len()).expect("lengths fit 64 bits");
    UnknownBox { box_type, box_size: BoxSize::with_payload_size(box_type, bytes), payload }
}

fn signed(pixels: u16) -> i16 {
    i16::try_from(pixels).unwrap_or(i16::MAX)
}

#[cfg(test)]
mod tests {
    use shiguredo_mp4::Decode;

    use super::*;

    fn avc() -> VideoConfig {
        VideoConfig {
            codec: VideoCodec::Avc,
            record: Bytes::from_static(&[
                1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 4, 0x67, 0x64, 0, 0x1f, 1, 0, 2, 0x68, 0xee, 0xfd,
                0xf8, 0xf8, 0,
            ]),
            codec_string: "avc1.64001f".into(),
            width: 1280,
            height: 720,
            frame_rate: Some((30, 1)),
        }
    }

    fn aac() -> AudioConfig {
        AudioConfig {
            codec: AudioCodec::Aac,
            record: Bytes::from_static(&[0x12, 0x08, 0x56, 0xe5, 0x00]),
            codec_string: "mp4a.40.2".into(),
            sample_rate: 48_000,
            channels: 2,
            samples_per_frame: Some(1024),
        }
    }

    fn moov(format: &Format) -> MoovBox {
        let bytes = init_segment(format);
        let (ftyp, used) = FtypBox::decode(&bytes).expect("ftyp first");
        assert_eq!(ftyp.major_brand, Brand::ISO6);
        let (moov, more) = MoovBox::decode(&bytes[used..]).expect("then moov");
        assert_eq!(used + more, bytes.len(), "and nothing else");
        moov
    }

    fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
        bytes.windows(wanted.len()).any(|window| window == wanted)
    }

    #[test]
    fn a_trak_and_a_trex_for_each_track_and_no_sample() {
        // H49, H50: the tracks, no durations, a movie extends box, and no sample.
        let moov = moov(&Format { video: Some(avc()), audio: Some(aac()) });
        assert_eq!(moov.mvhd_box.duration, 0);
        let ids: Vec<u32> = moov.trak_boxes.iter().map(|trak| trak.tkhd_box.track_id).collect();
        assert_eq!(ids, [1, 2]);
        let mvex = moov.mvex_box.expect("fragmented");
        assert_eq!(mvex.trex_boxes.iter().map(|trex| trex.track_id).collect::<Vec<_>>(), ids);
        let scales: Vec<u32> =
            moov.trak_boxes.iter().map(|trak| trak.mdia_box.mdhd_box.timescale.get()).collect();
        assert_eq!(scales, [90_000, 48_000]);
        for trak in &moov.trak_boxes {
            let stbl = &trak.mdia_box.minf_box.stbl_box;
            assert_eq!(trak.tkhd_box.duration, 0);
            assert_eq!(trak.mdia_box.mdhd_box.duration, 0);
            assert!(stbl.stts_box.entries.is_empty());
            assert_eq!(stbl.stsz_box, StszBox::Variable { entry_sizes: Vec::new() });
            assert!(trak.edts_box.is_none(), "H59: no edit list invented");
        }
    }

    #[test]
    fn one_track_alone() {
        let video = moov(&Format { video: Some(avc()), audio: None });
        assert_eq!(video.trak_boxes.len(), 1);
        let audio = moov(&Format { video: None, audio: Some(aac()) });
        assert_eq!(audio.trak_boxes.len(), 1);
        assert_eq!(audio.trak_boxes[0].tkhd_box.track_id, 2);
    }

    #[test]
    fn records_go_in_as_received() {
        // H60: the records of the encoder go in as they were received.
        let bytes = init_segment(&Format { video: Some(avc()), audio: Some(aac()) });
        assert!(contains(&bytes, &avc().record));
        assert!(contains(&bytes, &aac().record));
        for (codec, entry, config) in [
            (VideoCodec::Hevc, b"hvc1", b"hvcC"),
            (VideoCodec::Av1, b"av01", b"av1C"),
            (VideoCodec::Vp9, b"vp09", b"vpcC"),
        ] {
            let record = Bytes::from_static(b"the record");
            let video = VideoConfig { codec, record, ..avc() };
            let bytes = init_segment(&Format { video: Some(video), audio: None });
            assert!(contains(&bytes, entry));
            assert!(contains(&bytes, &[&config[..], b"the record"].concat()));
        }
        for (codec, wanted) in [
            (AudioCodec::Opus, &b"dOpsthe record"[..]),
            (AudioCodec::Flac, b"dfLa\0\0\0\0\x80\0\0\nthe record"),
            (AudioCodec::Ac3, b"dac3the record"),
            (AudioCodec::Eac3, b"dec3the record"),
            (AudioCodec::Mp3, &[0x6b, 0x15]),
        ] {
            let record = Bytes::from_static(b"the record");
            let audio = AudioConfig { codec, record, sample_rate: 96_000, ..aac() };
            let bytes = init_segment(&Format { video: None, audio: Some(audio) });
            assert!(contains(&bytes, wanted), "{codec:?}");
        }
    }
}
