//! What reading chunks costs: our reader beside the public library's, on the same bytes. The
//! sizes are those of audio, of a small and of a large video frame.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ghostlight::base::{Limits, MonoTime};
use ghostlight::rtmp::Wire;
use rml_rtmp::chunk_io::{ChunkDeserializer, ChunkSerializer};
use rml_rtmp::messages::MessagePayload;
use rml_rtmp::time::RtmpTimestamp;

const MESSAGES: u32 = 200;
/// What one read of a socket brings.
const READ_BYTES: usize = 32 * 1_024;

fn chunks(chunk_bytes: u32, payload_bytes: usize) -> Vec<u8> {
    let mut serializer = ChunkSerializer::new();
    let start = serializer.set_max_chunk_size(chunk_bytes, RtmpTimestamp::new(0));
    let mut bytes = start.expect("a legal chunk size").bytes;
    for index in 0..MESSAGES {
        let message = MessagePayload {
            timestamp: RtmpTimestamp::new(index * 33),
            type_id: 9,
            message_stream_id: 1,
            data: Bytes::from(vec![7; payload_bytes]),
        };
        let packet = serializer.serialize(&message, false, false).expect("a short message");
        bytes.extend(packet.bytes);
    }
    bytes
}

fn ours(bytes: &[u8]) -> u32 {
    let mut wire = Wire::new(&Limits::default());
    wire.raise_ceilings();
    let (mut input, mut count) = (BytesMut::with_capacity(2 * READ_BYTES), 0);
    for piece in bytes.chunks(READ_BYTES) {
        input.extend_from_slice(piece);
        while let Some(message) = wire.handle_bytes(&mut input, MonoTime::ZERO).expect("good") {
            black_box(message);
            count += 1;
        }
    }
    count
}

fn theirs(bytes: &[u8]) -> u32 {
    let (mut reader, mut count) = (ChunkDeserializer::new(), 0);
    for mut piece in bytes.chunks(READ_BYTES) {
        while let Some(message) = reader.get_next_message(piece).expect("good") {
            piece = &[];
            if message.type_id == 1 {
                let size = message.data.first_chunk().copied().map(u32::from_be_bytes);
                let size = usize::try_from(size.expect("four bytes")).expect("32 bits fit");
                reader.set_max_chunk_size(size).expect("a legal chunk size");
            } else {
                count += 1;
            }
            black_box(message);
        }
    }
    count
}

fn read(criterion: &mut Criterion) {
    for (chunk_bytes, payload_bytes) in
        [(128, 300), (128, 20_000), (4_096, 300), (4_096, 20_000), (4_096, 120_000)]
    {
        let bytes = chunks(chunk_bytes, payload_bytes);
        assert_eq!((ours(&bytes), theirs(&bytes)), (MESSAGES, MESSAGES));
        let name = format!("{payload_bytes} B in chunks of {chunk_bytes} B");
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(u64::try_from(bytes.len()).expect("fits")));
        group.bench_function("wire", |bench| bench.iter(|| ours(&bytes)));
        group.bench_function("rml_rtmp", |bench| bench.iter(|| theirs(&bytes)));
        group.finish();
    }
}

criterion_group!(benches, read);
criterion_main!(benches);
