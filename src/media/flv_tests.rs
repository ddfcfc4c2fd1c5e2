use super::*;
use crate::media::FourCc;

fn bytes(parts: &[&[u8]]) -> Bytes {
    parts.concat().into()
}

fn video(parts: &[&[u8]]) -> Result<Vec<VideoPacket>, TagError> {
    VideoTag::parse(bytes(parts)).map(|tag| tag.packets.into_iter().collect())
}

fn audio(parts: &[&[u8]]) -> Result<Vec<AudioPacket>, TagError> {
    AudioTag::parse(bytes(parts)).map(|tag| tag.packets.into_iter().collect())
}

fn frame(track: u8, codec: VideoCodec, composition_millis: i32, payload: &[u8]) -> VideoPacket {
    let payload = Bytes::copy_from_slice(payload);
    let content = VideoContent::Frame { composition_millis, payload };
    VideoPacket { track, codec, keyframe: true, content }
}

#[test]
fn a_classic_avc_frame_is_a_slice_of_its_message() {
    let body = bytes(&[&[0x17, 1, 0xff, 0xff, 0xfe], b"nal"]);
    let tag = VideoTag::parse(body.clone()).unwrap();
    let packet = tag.packets.iter().next().unwrap();
    assert_eq!(packet, &frame(0, VideoCodec::Avc, -2, b"nal"));
    let VideoContent::Frame { payload, .. } = &packet.content else { panic!("{packet:?}") };
    assert_eq!(payload.as_ptr(), body[5..].as_ptr());
}

#[test]
fn classic_tags() {
    let config = VideoContent::Config(Bytes::from_static(b"avcC"));
    assert_eq!(video(&[&[0x17, 0, 0, 0, 0], b"avcC"]).unwrap()[0].content, config);
    assert_eq!(video(&[&[0x17, 2, 0, 0, 0]]).unwrap()[0].content, VideoContent::End);
    assert_eq!(video(&[&[0x17, 2]]).unwrap()[0].content, VideoContent::End);
    assert!(!video(&[&[0x27, 1, 0, 0, 0]]).unwrap()[0].keyframe);
    assert_eq!(video(&[&[0x1c, 1, 0, 0, 0]]).unwrap()[0].codec, VideoCodec::Hevc);
    assert_eq!(video(&[&[0x57, 0]]).unwrap(), []);
    assert_eq!(
        audio(&[&[0xaf, 0], b"asc"]).unwrap()[0].content,
        AudioContent::Config("asc".into())
    );
    assert_eq!(audio(&[&[0x2f], b"mp3"]).unwrap()[0].codec, AudioCodec::Mp3);
}

// R52: an unknown codec is named by its FourCC.
#[test]
fn an_unknown_codec_is_named() {
    assert_eq!(video(&[&[0x12, 0]]), Err(TagError::VideoCodec(2)));
    assert_eq!(audio(&[&[0xb0, 0]]), Err(TagError::AudioCodec(11)));
    let error = video(&[&[0x90], b"vvc1"]).unwrap_err();
    assert_eq!(error, TagError::VideoFourCc(FourCc(*b"vvc1")));
    assert!(error.is_unsupported_codec());
    assert!(error.to_string().contains("vvc1"), "{error}");
    let odd = audio(&[&[0x91], &[0, b'\n', 0xff, b'a']]).unwrap_err();
    assert!(odd.to_string().contains(r"\x00\n\xffa"), "{odd}");
}

#[test]
fn enhanced_frames_carry_a_composition_time_only_where_the_codec_reorders() {
    let hevc = video(&[&[0x91], b"hvc1", &[0, 0, 40], b"x"]);
    assert_eq!(hevc, Ok(vec![frame(0, VideoCodec::Hevc, 40, b"x")]));
    let plain = video(&[&[0x93], b"avc1", b"x"]);
    assert_eq!(plain, Ok(vec![frame(0, VideoCodec::Avc, 0, b"x")]));
    let av1 = video(&[&[0x91], b"av01", b"obu"]);
    assert_eq!(av1, Ok(vec![frame(0, VideoCodec::Av1, 0, b"obu")]));
    let opus = audio(&[&[0x91], b"Opus", b"x"]).unwrap();
    assert_eq!(opus[0].content, AudioContent::Frame("x".into()));
}

#[test]
fn messages_without_media_hold_no_packets() {
    assert_eq!(video(&[&[0x94], b"hvc1", b"amf"]), Ok(vec![]));
    assert_eq!(video(&[&[0x95], b"av01", b"ts"]), Ok(vec![]));
    assert_eq!(video(&[&[0xd1, 0]]), Ok(vec![]));
    assert_eq!(audio(&[&[0x94], b"Opus", b"map"]), Ok(vec![]));
}

// R52: offsets below a millisecond are bounded.
#[test]
fn nanosecond_offsets_are_bounded() {
    let tag = |offset: [u8; 3]| {
        let body = bytes(&[&[0x97, 2], &offset, &[0x03], b"avc1", b"x"]);
        VideoTag::parse(body).unwrap()
    };
    assert_eq!(tag([0, 1, 0]).nanos, 256);
    assert_eq!(tag([0xff, 0xff, 0xff]).nanos, 999_999);
    assert_eq!(tag([0, 1, 0]).packets, frame(0, VideoCodec::Avc, 0, b"x").into());

    // An unknown modifier with the long form of the length is skipped.
    let body = bytes(&[&[0x97, 255, 1, 0], &[7; 257], &[0xf3], b"avc1", b"x"]);
    assert_eq!(VideoTag::parse(body).unwrap().packets, tag([0, 0, 0]).packets);
}

// R52: all tracks of a message are read.
#[test]
fn all_tracks_are_read() {
    let one = video(&[&[0x96, 0x03], b"avc1", &[3], b"abc"]);
    assert_eq!(one, Ok(vec![frame(3, VideoCodec::Avc, 0, b"abc")]));
    let many = video(&[&[0x96, 0x13], b"avc1", &[0, 0, 0, 2], b"ab", &[1, 0, 0, 1], b"c"]);
    let expected = vec![frame(0, VideoCodec::Avc, 0, b"ab"), frame(1, VideoCodec::Avc, 0, b"c")];
    assert_eq!(many, Ok(expected));
    let codecs = video(&[&[0x96, 0x23], b"hvc1", &[0, 0, 0, 1, 9], b"av01", &[1, 0, 0, 0]]);
    let expected = vec![frame(0, VideoCodec::Hevc, 0, &[9]), frame(1, VideoCodec::Av1, 0, b"")];
    assert_eq!(codecs, Ok(expected));

    assert_eq!(video(&[&[0x96, 0x06], b"avc1"]), Err(TagError::NestedMultitrack));
    assert_eq!(video(&[&[0x96, 0x33], b"avc1"]), Err(TagError::MultitrackType(3)));
    let cut = video(&[&[0x96, 0x13], b"avc1", &[0, 0, 0, 9], b"ab"]);
    assert_eq!(cut, Err(TagError::Truncated { need: 9, got: 2 }));
    let audio = audio(&[&[0x95, 0x11], b"Opus", &[4, 0, 0, 1, 7]]).unwrap();
    assert_eq!((audio[0].track, audio[0].codec), (4, AudioCodec::Opus));
}

proptest::proptest! {
    #[test]
    fn no_bytes_panic(body: Vec<u8>, enhanced: bool) {
        let mut body = body;
        if let (true, Some(head)) = (enhanced, body.first_mut()) {
            *head |= 0x90;
        }
        let body = Bytes::from(body);
        let _ = VideoTag::parse(body.clone());
        let _ = AudioTag::parse(body);
    }
}

/// A few bytes beside a megabyte of other tracks do not keep the megabyte.
#[test]
fn little_content_lets_go_of_a_large_message() {
    let body = Bytes::from(vec![0; 1_000]);
    let taken = |length| {
        let content = AudioContent::Frame(body.slice(..length)).detach(body.len());
        let AudioContent::Frame(payload) = content else { panic!("still a frame") };
        assert_eq!(payload, body.slice(..length));
        payload.as_ptr() != body.as_ptr()
    };
    assert!(taken(1) && taken(499));
    assert!(!taken(500) && !taken(995));
}
