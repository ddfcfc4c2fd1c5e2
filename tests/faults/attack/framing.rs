//! What peers without a key put into chunks and commands.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::wire::{
    AGGREGATE, CHUNK_BYTES, COMMAND, DATA, Peer, SET_CHUNK_SIZE, UNKNOWN, USER_CONTROL, VIDEO, amf,
    chunk, command, message,
};
use super::{Crowd, Street, address};

/// Attackers of each kind.
const EACH: usize = 20;

/// The cause of each drop, and what a peer sends to earn it.
fn floods() -> Vec<(&'static str, Vec<u8>)> {
    let streams = (0..=64).flat_map(|id: u8| {
        [&[0, id][..], chunk(0, 1, UNKNOWN, &[0]).split_off(1).as_slice()].concat()
    });
    let whole = |kind, body: &[u8]| message(kind, 0, body, CHUNK_BYTES);
    let tiny = message(UNKNOWN, 0, &[0; 16_000], 1).repeat(12);
    let claiming =
        |array: &[u8]| whole(COMMAND, &command("sing", 1.0, &[amf::NULL, array])).repeat(21);
    // Audio without a byte in it.
    let part = [8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11];
    vec![
        // R5: chunk streams over the limit of 64.
        ("wire_chunk_streams", streams.collect()),
        // R6: another header within a message.
        (
            "wire_header_in_message",
            [chunk(4, 300, VIDEO, &[0; 128]), chunk(4, 10, VIDEO, &[0; 10])].concat(),
        ),
        // R7: a compressed header without one before it.
        ("wire_no_header", vec![0xC4]),
        // R8: chunks of no byte, of more than there can be, and so many of one byte that reading
        // them costs more than what they bring.
        ("wire_chunk_size", chunk(2, 4, SET_CHUNK_SIZE, &[0; 4])),
        ("wire_chunk_size", chunk(2, 4, SET_CHUNK_SIZE, &[0x80, 0, 0, 0])),
        ("wire_tiny_chunks", [chunk(2, 4, SET_CHUNK_SIZE, &[0, 0, 0, 1]), tiny].concat()),
        // R4: more than a peer without a key may send, in one message or in many at once.
        ("wire_message_too_long", chunk(4, 0xFF_FFFF, VIDEO, &[])),
        ("wire_message_too_long", chunk(4, 16 * 1_024 + 1, DATA, &[0; 128])),
        (
            "wire_partial_too_large",
            (4..9).flat_map(|id| chunk(id, 8_000, VIDEO, &[0; 128])).collect(),
        ),
        // R14: a control message too short for what it says.
        ("wire_control_too_short", chunk(2, 3, 2, &[0; 3])),
        // R28: objects in objects, and more values than a message may have.
        ("amf_too_deep", whole(DATA, &[3, 0, 1, b'a'].repeat(3_200))),
        ("amf_too_many_values", whole(COMMAND, &[5; 16_000])),
        // R29: arrays that claim four thousand million entries and have one.
        ("too_many_errors", claiming(&[10, 0xFF, 0xFF, 0xFF, 0xFF, 5])),
        ("too_many_errors", claiming(&[8, 0xFF, 0xFF, 0xFF, 0xFF, 0, 1, b'a', 5, 0, 0, 9])),
        // R14: more in an aggregate than it may hold.
        ("aggregate_parts", whole(AGGREGATE, &part.repeat(1_001))),
        // R32: 20 commands that cannot be answered, and one more.
        ("too_many_errors", whole(COMMAND, &command("sing", 1.0, &[amf::NULL])).repeat(21)),
    ]
}

/// R4, R5, R6, R7, R8, R14, R28, R29, R32: whatever a peer without a key sends too much of is the
/// reason it is dropped for, and nobody else's.
#[test]
fn floods_of_chunks_and_commands_are_dropped_by_name() {
    let mut street = Street::open(&[("rtmp_accepts_per_second_max", "2000")]);
    let rtmp = street.stage.rtmp;
    let mut dropped = BTreeMap::<_, usize>::new();
    for (cause, bytes) in floods() {
        street.under(async {
            for number in 0..EACH {
                let mut peer = Peer::open(rtmp, address(number)).await.expect("a handshake");
                // The server may stop reading before we have said it all.
                let _ = peer.send(&bytes).await;
                peer.until_closed().await;
            }
        });
        *dropped.entry(cause).or_default() += EACH;
        street.assert_dropped(cause, dropped[cause]);
    }
    street.close(Crowd { newcomers: 20, ..Crowd::default() });
}

/// R12, R13: somebody who asks and asks and never reads an answer is let go, before the answers
/// fill more than they may.
#[test]
fn questions_whose_answers_nobody_reads_have_an_end() {
    const QUESTIONS_MAX: usize = 2_000_000;
    const AT_ONCE: usize = 20_000;
    let mut street = Street::open(&[("send_stall_max", "5s")]);
    let pings = message(USER_CONTROL, 0, &[0, 6, 0, 0, 0, 1], CHUNK_BYTES).repeat(AT_ONCE);
    let refused = street.under(async {
        let mut peer = Peer::open(street.stage.rtmp, address(0)).await.expect("a handshake");
        for _ in 0..QUESTIONS_MAX / AT_ONCE {
            if peer.send(&pings).await.is_err() {
                return true;
            }
        }
        false
    });
    assert!(refused, "it answers all of them");
    street.assert_dropped("write_stalled", 1);
    street.close(Crowd { newcomers: 1, ..Crowd::default() });
}

/// Every input that broke the public RTMP library (Q1 to Q16), as a peer would send it.
fn known_inputs() -> Vec<(String, Vec<u8>)> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let mut inputs = Vec::new();
    for target in ["wire", "conn", "amf"] {
        for entry in fs::read_dir(corpus.join(target)).expect("a corpus") {
            let path = entry.expect("an input").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            let bytes = fs::read(&path).expect("readable");
            if !name.starts_with('q') {
                continue;
            }
            let bytes = match target {
                // Values are the body of a command and of a data message.
                "amf" => [COMMAND, DATA].map(|kind| message(kind, 0, &bytes, CHUNK_BYTES)).concat(),
                // The first byte says in which pieces the fuzzer hands over the rest.
                _ => bytes.get(1..).unwrap_or_default().to_vec(),
            };
            inputs.push((format!("{target}/{name}"), bytes));
        }
    }
    inputs
}

/// F36: the inputs (Q1 to Q15) that made the public library panic, abort or mix up payloads end no
/// connection but their own, and those of them that are harmless end not even that.
#[test]
fn inputs_that_broke_the_library_harm_nobody() {
    let inputs = known_inputs();
    assert!(20 <= inputs.len(), "the corpus has them: {inputs:?}");
    let mut street = Street::open(&[("rtmp_accepts_per_second_max", "2000")]);
    let rtmp = street.stage.rtmp;
    street.under(async {
        for round in 0..EACH {
            for (name, bytes) in &inputs {
                let mut peer = Peer::open(rtmp, address(round)).await.expect(name);
                // The server may stop reading before we have said it all.
                let _ = peer.send(bytes).await;
                peer.leave().await;
            }
        }
    });
    // Q1 and Q9 are recognised for what they are.
    street.stage.wait_until("the ends are counted", |stage| stage.metric("rtmp_connections") == 5);
    for cause in ["amf_too_deep", "amf_too_many_values", "wire_message_too_long"] {
        assert!(0 < street.stage.drops(cause), "{cause}");
    }
    street.close(Crowd { newcomers: 20, ..Crowd::default() });
}
