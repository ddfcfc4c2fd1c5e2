use proptest::prelude::*;
use rml_rtmp::chunk_io::{ChunkDeserializer, ChunkSerializer};
use rml_rtmp::messages::MessagePayload;
use rml_rtmp::time::RtmpTimestamp;

use super::super::chunk::EXTENDED;
use super::*;

/// Feeds `bytes` in pieces of `step`; yields the messages and what stopped the reader.
fn read_in_steps(
    wire: &mut Wire,
    bytes: &[u8],
    step: usize,
) -> (Vec<Message>, Result<(), WireError>) {
    let (mut input, mut messages) = (BytesMut::new(), Vec::new());
    for piece in bytes.chunks(step.max(1)) {
        input.extend_from_slice(piece);
        loop {
            match wire.handle_bytes(&mut input, MonoTime::ZERO) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Err(error)),
            }
        }
        assert!(input.len() <= 18, "{} bytes left unread", input.len());
    }
    (messages, Ok(()))
}

fn publishing() -> Wire {
    let mut wire = Wire::new(&Limits::default());
    wire.raise_ceilings();
    wire
}

fn read(bytes: &[u8]) -> (Vec<Message>, Result<(), WireError>) {
    read_in_steps(&mut publishing(), bytes, usize::MAX)
}

fn stops_with(bytes: &[u8]) -> WireError {
    read(bytes).1.expect_err("the reader must stop")
}

/// A type 0 chunk with as much payload as given; `length` is what the header claims.
fn full(csid: u8, timestamp: u32, length: u32, kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![csid];
    bytes.extend(&timestamp.min(EXTENDED).to_be_bytes()[1..]);
    bytes.extend(&length.to_be_bytes()[1..]);
    bytes.extend([kind, 1, 0, 0, 0]);
    if timestamp >= EXTENDED {
        bytes.extend(timestamp.to_be_bytes());
    }
    bytes.extend(payload);
    bytes
}

fn repeat(csid: u8, payload: &[u8]) -> Vec<u8> {
    [&[0xC0 | csid], payload].concat()
}

fn set_chunk_size(size: u32) -> Vec<u8> {
    full(2, 0, 4, 1, &size.to_be_bytes())
}

fn numbered(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|i| seed.wrapping_add(i.to_le_bytes()[0])).collect()
}

// R5, Q4: messages that interleave keep their own bytes, kinds and times.
#[test]
fn an_audio_message_between_the_chunks_of_a_video_message() {
    for audio_bytes in [50_usize, 120, 128] {
        let (video, audio) = (numbered(300, 1), numbered(audio_bytes, 100));
        let length = u32::try_from(audio_bytes).unwrap();
        let bytes = [
            full(4, 40, 300, 9, &video[..128]),
            full(5, 41, length, 8, &audio),
            repeat(4, &video[128..256]),
            repeat(4, &video[256..]),
        ]
        .concat();
        for step in 1..bytes.len() {
            let (messages, end) = read_in_steps(&mut publishing(), &bytes, step);
            assert_eq!(end, Ok(()));
            assert_eq!((&messages[0].payload[..], messages[0].timestamp), (&audio[..], 41));
            assert_eq!((&messages[1].payload[..], messages[1].timestamp), (&video[..], 40));
        }
    }
}

// R6, Q5: a shorter message begun on a chunk stream in mid-message.
#[test]
fn a_new_header_in_mid_message_ends_the_connection() {
    let begun = full(4, 0, 300, 9, &[0; 128]);
    for next in [full(4, 0, 10, 9, &[0; 10]), vec![0x44, 0, 0, 0, 0, 0, 9, 9], vec![0x84, 0, 0, 0]]
    {
        assert_eq!(
            stops_with(&[begun.clone(), next].concat()),
            WireError::HeaderInMessage { chunk_stream: 4 }
        );
    }
}

// R7: a header that leans on one that never came ends the connection.
#[test]
fn a_compressed_header_needs_a_full_one_before_it() {
    for first in [0x44, 0x84, 0xC4] {
        let bytes = [first, 0, 0, 0, 0, 0, 0, 9];
        assert_eq!(stops_with(&bytes), WireError::NoHeader { chunk_stream: 4 });
    }
}

// R14, Q6: Abort frees the chunk stream it names and no other.
#[test]
fn abort_discards_one_unfinished_message() {
    let abort = full(2, 0, 4, 2, &4_u32.to_be_bytes());
    let bytes = [
        full(4, 0, 300, 9, &[1; 128]),
        full(5, 0, 200, 8, &[2; 128]),
        abort.clone(),
        abort,
        full(4, 7, 3, 9, b"new"),
        repeat(5, &[2; 72]),
    ]
    .concat();
    let (messages, end) = read(&bytes);
    assert_eq!(end, Ok(()));
    assert_eq!(&messages[0].payload[..], b"new");
    assert_eq!(&messages[1].payload[..], [2; 200]);
}

// R8, Q15: every size from 1 on is taken; 0 and the top bit are not.
#[test]
fn chunk_sizes() {
    for bad in [0, 0x8000_0000, 0xFFFF_FFFF] {
        assert_eq!(stops_with(&set_chunk_size(bad)), WireError::ChunkSize(bad));
    }
    for good in [1_u32, 2, 127, 128, 129, 4_096, 0x7FFF_FFFF] {
        let size = usize::try_from(good).unwrap();
        let payload = numbered(500, 3);
        let mut bytes = [set_chunk_size(good), full(4, 0, 500, 9, &[])].concat();
        for (index, chunk) in payload.chunks(size).enumerate() {
            if index > 0 {
                bytes.push(0xC4);
            }
            bytes.extend(chunk);
        }
        let (messages, end) = read(&bytes);
        assert_eq!((end, &messages[0].payload[..]), (Ok(()), &payload[..]), "{good}");
    }
    assert_eq!(stops_with(&full(2, 0, 3, 1, &[0, 1, 0])), WireError::ControlTooShort { got: 3 });
}

// R8: a Set Chunk Size counts from the next chunk on, also inside another message.
#[test]
fn a_chunk_size_set_in_the_middle_of_a_message() {
    let payload = numbered(400, 9);
    let bytes = [
        full(4, 0, 400, 9, &payload[..128]),
        set_chunk_size(200),
        repeat(4, &payload[128..328]),
        set_chunk_size(10_000),
        repeat(4, &payload[328..]),
    ]
    .concat();
    let (messages, end) = read(&bytes);
    assert_eq!((end, &messages[0].payload[..]), (Ok(()), &payload[..]));
}

// R8: chunks that cost more than they carry have a budget for each second.
#[test]
fn tiny_chunks_have_a_budget_by_the_second() {
    let limits = Limits { tiny_chunks_per_second_max: 50, ..Limits::default() };
    let mut wire = Wire::new(&limits);
    let message = |n: usize| {
        let tail: Vec<u8> = (1..n).flat_map(|_| [0xC4, 7]).collect();
        [full(4, 0, u32::try_from(n).unwrap(), 9, &[7]), tail].concat()
    };
    let mut input = BytesMut::from(&[set_chunk_size(1), message(40)].concat()[..]);
    let mut now = MonoTime::ZERO + std::time::Duration::from_secs(5);
    assert!(wire.handle_bytes(&mut input, now).unwrap().is_some());
    now = now + std::time::Duration::from_millis(999);
    input.extend_from_slice(&message(40));
    assert_eq!(wire.handle_bytes(&mut input, now), Err(WireError::TinyChunks { max: 50 }));

    let mut wire = Wire::new(&limits);
    let mut input = BytesMut::from(&set_chunk_size(1)[..]);
    for second in 0..10 {
        let now = MonoTime::ZERO + std::time::Duration::from_secs(second);
        input.extend_from_slice(&message(51));
        assert!(wire.handle_bytes(&mut input, now).unwrap().is_some());
    }
}

// R4, R26: messages are small before a key is accepted, and have a ceiling after it.
#[test]
fn ceilings_rise_when_publish_is_accepted() {
    let limits = Limits::default();
    let mut wire = Wire::new(&limits);
    let at = u32::try_from(limits.message_before_publish_bytes_max).unwrap();
    let header = |csid, length| BytesMut::from(&full(csid, 0, length, 9, &[])[..]);
    assert_eq!(wire.handle_bytes(&mut header(4, at), MonoTime::ZERO), Ok(None));
    let too_long = WireError::MessageTooLong {
        length: limits.message_before_publish_bytes_max + 1,
        max: limits.message_before_publish_bytes_max,
    };
    let mut wire = Wire::new(&limits);
    assert_eq!(wire.handle_bytes(&mut header(4, at + 1), MonoTime::ZERO), Err(too_long));

    let mut wire = publishing();
    let at = u32::try_from(limits.message_bytes_max).unwrap();
    assert_eq!(wire.handle_bytes(&mut header(4, at), MonoTime::ZERO), Ok(None));
    let mut wire = publishing();
    wire.handle_bytes(&mut header(4, at + 1), MonoTime::ZERO).unwrap_err();
}

// R4: many messages begun and none finished.
#[test]
fn unfinished_messages_have_a_ceiling_together() {
    let limits = Limits::default();
    let chunk = |csid| full(csid, 0, 8 * 1024, 9, &[0; 128]);
    let mut wire = Wire::new(&limits);
    let (_, end) = read_in_steps(&mut wire, &[chunk(4), chunk(5)].concat(), 1_000);
    assert_eq!(end, Ok(()));
    let (_, end) = read_in_steps(&mut wire, &chunk(6), 1_000);
    let max = limits.partial_before_publish_bytes_max;
    assert_eq!(end, Err(WireError::PartialTooLarge { bytes: 24 * 1024, max }));
}

// R4: the ceiling that counts once `publish` was accepted.
#[test]
fn unfinished_messages_of_a_publisher_have_a_ceiling_together() {
    let limits = Limits::default();
    let length = u32::try_from(limits.message_bytes_max).unwrap();
    let chunk = |csid| full(csid, 0, length, 9, &[0; 128]);
    let mut wire = publishing();
    assert_eq!(read_in_steps(&mut wire, &chunk(4), 1_000).1, Ok(()));
    let (bytes, max) = (2 * limits.message_bytes_max, limits.partial_bytes_max);
    let end = read_in_steps(&mut wire, &chunk(5), 1_000).1;
    assert_eq!(end, Err(WireError::PartialTooLarge { bytes, max }));
}

// R5: there are 64 chunk streams and no more.
#[test]
fn sixty_four_chunk_streams_and_no_more() {
    // Ids from 64 on take two bytes in the basic header, from 320 on three.
    let with_id = |id: u32| {
        let [_, rest @ ..] = &full(0, 0, 1, 9, b"x")[..] else { unreachable!() };
        let basic = match id {
            2..64 => vec![u8::try_from(id).unwrap()],
            64..320 => vec![0, u8::try_from(id - 64).unwrap()],
            _ => [vec![1], u16::try_from(id - 64).unwrap().to_le_bytes().to_vec()].concat(),
        };
        [&basic[..], rest].concat()
    };
    let ids = (3..40).chain(64..80).chain(310..320).chain([65_599]);
    let mut bytes: Vec<u8> = ids.clone().flat_map(with_id).collect();
    let (messages, end) = read(&bytes);
    assert_eq!((messages.len(), end), (64, Ok(())));
    for step in [1, 2, 3, 5] {
        assert_eq!(read_in_steps(&mut publishing(), &bytes, step).0, messages);
    }
    bytes.extend(with_id(400));
    assert_eq!(stops_with(&bytes), WireError::TooManyChunkStreams { max: 64 });
}

// R9, R10, Q7, Q8: both habits, three chunk sizes, every cut.
#[test]
fn extended_timestamps_repeated_or_not() {
    let start = EXTENDED - 50;
    for chunk_bytes in [128_usize, 200, 4_096] {
        for repeats in [true, false] {
            let mut bytes = set_chunk_size(u32::try_from(chunk_bytes).unwrap());
            let payloads: Vec<_> = (0..4).map(|i| numbered(450, i * 50)).collect();
            for (payload, step) in payloads.iter().zip(0_u32..) {
                let timestamp = start + step * 25;
                bytes.extend(full(4, timestamp, 450, 9, &[]));
                for (index, chunk) in payload.chunks(chunk_bytes).enumerate() {
                    if index > 0 {
                        bytes.push(0xC4);
                    }
                    if index > 0 && repeats && timestamp >= EXTENDED {
                        bytes.extend(timestamp.to_be_bytes());
                    }
                    bytes.extend(chunk);
                }
            }
            for step in [1, 2, 3, 7, 64, usize::MAX] {
                let (messages, end) = read_in_steps(&mut publishing(), &bytes, step);
                assert_eq!((messages.len(), end), (4, Ok(())), "{chunk_bytes} {repeats} {step}");
                for ((message, payload), index) in messages.iter().zip(&payloads).zip(0_u32..) {
                    assert_eq!(message.payload, payload);
                    assert_eq!(message.timestamp, start + index * 25);
                }
            }
        }
    }
}

// R9: an encoder that omits the field must not have to send more to get its message through.
#[test]
fn the_end_of_a_message_without_the_repeated_field_is_not_held_back() {
    let timestamp = 0x0102_0304;
    for last in [&b"x"[..], b"xy", &[1, 2, 9]] {
        let length = 128 + u32::try_from(last.len()).unwrap();
        let bytes = [full(4, timestamp, length, 9, &[0; 128]), repeat(4, last)].concat();
        assert_eq!(read(&bytes).0.len(), 1, "{last:?}");
    }
}

// R10, Q7: an extended delta below 0xFFFFFF is a delta like any other.
#[test]
fn an_extended_delta_may_be_small() {
    let mut bytes = full(4, 1_000, 1, 9, b"a");
    bytes.extend([0x44, 0xFF, 0xFF, 0xFF, 0, 0, 1, 9, 0, 0, 0, 40, b'b']);
    bytes.extend([0x84, 0xFF, 0xFF, 0xFF, 0, 0, 0, 2, b'c']);
    // A type 3 chunk that begins a message repeats the last delta.
    bytes.extend([0xC4, 0, 0, 0, 2, b'd']);
    let times: Vec<_> = read(&bytes).0.iter().map(|message| message.timestamp).collect();
    assert_eq!(times, [1_000, 1_040, 1_042, 1_044]);
}

// R11: a time past 32 bits begins again at zero.
#[test]
fn timestamps_wrap_at_32_bits() {
    let mut bytes = full(4, u32::MAX - 9, 1, 9, b"a");
    bytes.extend([0x84, 0, 0, 20, b'b']);
    let times: Vec<_> = read(&bytes).0.iter().map(|message| message.timestamp).collect();
    assert_eq!(times, [u32::MAX - 9, 10]);
}

#[test]
fn a_type_3_chunk_after_a_type_0_adds_its_timestamp() {
    // RTMP 5.3.1.2.4
    let bytes = [full(4, 33, 1, 9, b"a"), repeat(4, b"b"), repeat(4, b"c")].concat();
    let times: Vec<_> = read(&bytes).0.iter().map(|message| message.timestamp).collect();
    assert_eq!(times, [33, 66, 99]);
}

#[test]
fn empty_messages_are_messages() {
    let bytes = [full(4, 0, 0, 9, b""), repeat(4, b""), full(3, 0, 0, 20, b"")].concat();
    let (messages, end) = read(&bytes);
    assert_eq!((messages.len(), end), (3, Ok(())));
}

#[test]
fn a_payload_is_held_in_an_allocation_of_its_own_size() {
    for length in [1_u32, 127, 128, 129, 20_000] {
        let mut bytes = set_chunk_size(1_000);
        bytes.extend(full(4, 0, length, 9, &[]));
        for index in 0..length {
            if index > 0 && index % 1_000 == 0 {
                bytes.push(0xC4);
            }
            bytes.push(1);
        }
        let (mut messages, _) = read_in_steps(&mut publishing(), &bytes, 700);
        let payload = messages.remove(0).payload.try_into_mut().expect("nobody else holds it");
        assert_eq!(payload.capacity(), usize::try_from(length).unwrap());
    }
}

#[derive(Clone, Debug)]
struct Sent {
    kind: u8,
    step: u32,
    payload: Vec<u8>,
}

fn sent() -> impl Strategy<Value = Sent> {
    let step = prop_oneof![Just(0), Just(33), 0..2_000_u32, Just(EXTENDED), any::<u32>()];
    (prop_oneof![Just(8_u8), Just(9), Just(18), Just(20)], step, 1..700_usize, any::<u8>())
        .prop_map(|(kind, step, length, seed)| Sent { kind, step, payload: numbered(length, seed) })
}

/// What rml's serializer makes of one message, cut into its chunks.
fn chunks_of(packet: &[u8], payload_bytes: usize, chunk_bytes: usize) -> Vec<Vec<u8>> {
    let (mut rest, mut left, mut chunks) = (packet, payload_bytes, Vec::new());
    while !rest.is_empty() {
        let take = left.min(chunk_bytes);
        // A header is what stands between two chunks' payloads: find its length from the end.
        let later: usize = left - take;
        let header = if later == 0 {
            rest.len() - take
        } else {
            let short = [11, 7, 3, 0][usize::from(rest[0] >> 6)] + 1;
            // Only the first chunk can carry a timestamp field; continuations copy its extension.
            let continuations = later.div_ceil(chunk_bytes);
            let plain = short + take + later + continuations;
            short + (rest.len() - plain) / (continuations + 1)
        };
        let (chunk, tail) = rest.split_at(header + take);
        chunks.push(chunk.to_vec());
        (rest, left) = (tail, later);
    }
    chunks
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    // R5, R9: whatever rml's serializer writes, interleaved and cut at will, is read back.
    #[test]
    fn any_interleaving_gives_the_same_messages(
        sent in proptest::collection::vec(sent(), 1..20),
        chunk_bytes in prop_oneof![Just(32_u32), Just(128), Just(129), Just(4_096)],
        turns in proptest::collection::vec(0..4_usize, 200),
        step in 1..3_000_usize,
    ) {
        let mut serializer = ChunkSerializer::new();
        let start = serializer.set_max_chunk_size(chunk_bytes, RtmpTimestamp::new(0)).unwrap();
        let size = usize::try_from(chunk_bytes).unwrap();

        let (mut clocks, mut expected) = ([0_u32; 4], vec![Vec::new(); 4]);
        let mut queues = vec![std::collections::VecDeque::new(); 4];
        for message in &sent {
            let lane = [8, 9, 18, 20].iter().position(|&kind| kind == message.kind).unwrap();
            clocks[lane] = clocks[lane].wrapping_add(message.step);
            let packet = serializer.serialize(&MessagePayload {
                timestamp: RtmpTimestamp::new(clocks[lane]),
                type_id: message.kind,
                message_stream_id: 1,
                data: Bytes::from(message.payload.clone()),
            }, false, false).unwrap();
            queues[lane].extend(chunks_of(&packet.bytes, message.payload.len(), size));
            expected[lane].push((clocks[lane], message.payload.clone()));
        }

        let mut bytes = start.bytes;
        for turn in turns.into_iter().chain((0..4).flat_map(|lane| [lane].repeat(1_000))) {
            bytes.extend(queues[turn].pop_front().unwrap_or_default());
        }
        let (messages, end) = read_in_steps(&mut publishing(), &bytes, step);
        prop_assert_eq!(end, Ok(()));
        for (kind, expected) in [8_u8, 9, 18, 20].into_iter().zip(expected) {
            let got: Vec<_> = messages
                .iter()
                .filter(|message| message.kind == MessageKind::from(kind))
                .map(|message| (message.timestamp, message.payload.to_vec()))
                .collect();
            prop_assert_eq!(got, expected);
        }
    }

    // Z19: without interleaving, rml's own reader agrees.
    #[test]
    fn the_public_library_reads_the_same(sent in proptest::collection::vec(sent(), 1..12)) {
        let mut serializer = ChunkSerializer::new();
        let mut theirs = ChunkDeserializer::new();
        let (mut clock, mut bytes) = (0_u32, Vec::new());
        for message in &sent {
            clock = clock.wrapping_add(message.step % 10_000);
            let packet = serializer.serialize(&MessagePayload {
                timestamp: RtmpTimestamp::new(clock),
                type_id: message.kind,
                message_stream_id: 1,
                data: Bytes::from(message.payload.clone()),
            }, false, false).unwrap();
            bytes.extend(packet.bytes);
        }
        let (ours, end) = read(&bytes);
        prop_assert_eq!(end, Ok(()));
        let mut next = theirs.get_next_message(&bytes).unwrap();
        for message in ours {
            let other = next.expect("theirs has it too");
            prop_assert_eq!(message.timestamp, other.timestamp.value);
            prop_assert_eq!(message.payload, other.data);
            next = theirs.get_next_message(&[]).unwrap();
        }
        prop_assert!(next.is_none());
    }

    // Z2: nothing a peer sends panics, and the way it is cut changes nothing.
    #[test]
    fn random_bytes_end_in_messages_or_one_error(
        bytes in proptest::collection::vec(any::<u8>(), 0..2_000),
        step in 1..50_usize,
    ) {
        let whole = read(&bytes);
        prop_assert_eq!(read_in_steps(&mut publishing(), &bytes, step), whole);
    }
}
