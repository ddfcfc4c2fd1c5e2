//! What one answer costs on a connection, in allocations: the request's head, the library's own
//! state for one exchange, and the answer's fields. The connection itself keeps nothing of it.

use std::sync::Arc;

use allocation_counter::{AllocationInfo, measure};
use ghostlight::base::Limits;
use ghostlight::http::{AdminServer, Metrics, Readiness};
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
/// The first answers also make what later ones find: tables, and the pipe's own buffers.
const WARM: usize = 10;
const COUNTED: u64 = 100;
const ALLOCATIONS_MAX: u64 = 13;
/// The two buffers of 8 KiB with which the library begins, and what else it needs.
const BYTES_MAX: u64 = 21 * 1_024;

async fn ask(io: &mut DuplexStream) {
    io.write_all(REQUEST).await.expect("sent");
    let mut said = [0; 1_024];
    let mut length = 0;
    while !said.get(..length).is_some_and(|said| said.ends_with(b"\r\n\r\nok\n")) {
        let count = io.read(said.get_mut(length..).expect("room")).await.expect("an answer");
        assert_ne!(count, 0, "closed too early");
        length += count;
    }
}

fn count(runtime: &Runtime, io: &mut DuplexStream) -> AllocationInfo {
    measure(|| {
        runtime.block_on(async {
            for _ in 0..COUNTED {
                ask(io).await
            }
        })
    })
}

#[test]
fn an_answer_costs_a_few_allocations() {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _entered = runtime.enter();
    let metrics = Metrics::new(&mut Registry::default());
    let encoder = Box::new(String::new);
    let limits = Arc::new(Limits::default());
    let server = AdminServer::new(encoder, Readiness::new(), metrics, limits, TaskTracker::new());
    let (mut ours, theirs) = duplex(4 * 1_024);
    server.serve_stream(theirs, &CancellationToken::new());
    runtime.block_on(async {
        for _ in 0..WARM {
            ask(&mut ours).await
        }
    });

    let costs = count(&runtime, &mut ours);
    let (allocations, bytes) = (costs.count_total / COUNTED, costs.bytes_total / COUNTED);
    assert!(allocations <= ALLOCATIONS_MAX, "{allocations}");
    assert!(bytes <= BYTES_MAX, "{bytes}");
    assert_eq!(costs.count_current, 0, "nothing of an answer stays");
}
