//! Any bytes on a viewer's connection: a server without sockets, its clock standing still until
//! everybody waits.

use std::cell::Cell;
use std::sync::{Arc, Once};
use std::time::Duration;

use ghostlight::accounts::Keys;
use ghostlight::base::{BroadcastId, ChannelId, Clock, Limits, WallTime};
use ghostlight::gate::Policy;
use ghostlight::http::{Context, Metrics, Readiness, Server, Settings};
use ghostlight::hub::{self, Registry};
use ghostlight::live::Directory;
use ghostlight::store;
use ghostlight::testing::clock::RuntimeClock;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Longer than the server lets any connection be silent.
const PATIENCE: Duration = Duration::from_secs(3_600);

thread_local! {
    /// The runtime catches the panics of its tasks; here they are counted.
    static PANICS: Cell<u32> = const { Cell::new(0) };
}

/// Takes any bytes as what a viewer sends, in the pieces that the first byte says.
pub(super) fn http(bytes: &[u8]) {
    let Some((&how, bytes)) = bytes.split_first() else { return };
    count_panics();
    let before = PANICS.get();
    let said = runtime().block_on(converse(bytes, usize::from(how) * 16 + 1));
    assert_eq!(PANICS.get(), before, "a task panicked");
    if !bytes.starts_with(b"PRI * HTTP/2") && !said.is_empty() {
        assert!(said.starts_with(b"HTTP/1."), "{:?}", String::from_utf8_lossy(&said));
    }
    let ours = said.windows(13).any(|line| line == b"HTTP/1.1 500 ");
    assert!(!ours, "{}", String::from_utf8_lossy(&said));
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true).build().expect("a runtime")
}

fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.set(PANICS.get() + 1);
            usual(panic);
        }));
    });
}

/// Everything the server answers until it closes the connection.
async fn converse(bytes: &[u8], step: usize) -> Vec<u8> {
    let (server, stop) = (server().await, CancellationToken::new());
    let (ours, theirs) = duplex(64 * 1_024);
    server.serve_stream(theirs, None, &stop);
    let (mut reads, mut writes) = tokio::io::split(ours);
    let mut said = Vec::new();
    let send = async {
        for piece in bytes.chunks(step) {
            // The server may hang up at any byte.
            if writes.write_all(piece).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        let _ = writes.shutdown().await;
    };
    let listen = tokio::time::timeout(PATIENCE, reads.read_to_end(&mut said));
    let ((), closed) = tokio::join!(send, listen);
    assert!(closed.is_ok(), "the connection never ends");
    said
}

async fn server() -> Server {
    let start = WallTime::from_unix_millis(1_795_248_000_000);
    let clock: Arc<dyn Clock> = Arc::new(RuntimeClock::starting_at(start));
    let store = store::in_memory();
    let channel = ChannelId::parse("demo").expect("a good name");
    store.create_channel(&channel, start).await.expect("an empty store");
    let limits = Limits::default();
    let registry = Registry::new(limits.clone(), hub::Settings::default(), BroadcastId::new(1_000));
    let context = Context {
        settings: Settings::default(),
        limits: Arc::new(limits),
        keys: Keys::open(store, clock.now()).await.expect("an empty store"),
        clock,
        directory: Directory::new(),
        policy: watch::channel(Arc::new(Policy::default())).1,
        readiness: Readiness::new(),
        pressure: registry.pressure().clone(),
        metrics: Metrics::new(&mut prometheus_client::registry::Registry::default()),
    };
    Server::new(context, TaskTracker::new())
}

#[test]
fn a_good_request_is_answered() {
    let said = runtime().block_on(converse(b"GET /demo HTTP/1.1\r\nHost: x\r\n\r\n", 1));
    assert!(said.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&said));
}
