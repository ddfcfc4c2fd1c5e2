//! Any bytes on a viewer's connection: a server without sockets, its clock standing still until
//! everybody waits.

use std::cell::Cell;
use std::sync::{Arc, Once, OnceLock};
use std::time::Duration;

use ghostlight::accounts::Keys;
use ghostlight::base::{BroadcastId, ChannelId, Clock, Limits, WallTime};
use ghostlight::gate::Policy;
use ghostlight::http::{Context, Metrics, Readiness, Server, Settings, Tls};
use ghostlight::hub::{self, Registry};
use ghostlight::live::Directory;
use ghostlight::store;
use ghostlight::testing::clock::RuntimeClock;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
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
    let said = runtime().block_on(converse(bytes, usize::from(how) * 16 + 1, None));
    assert_eq!(PANICS.get(), before, "a task panicked");
    if !bytes.starts_with(b"PRI * HTTP/2") && !said.is_empty() {
        assert!(said.starts_with(b"HTTP/1."), "{:?}", String::from_utf8_lossy(&said));
    }
    let ours = said.windows(13).any(|line| line == b"HTTP/1.1 500 ");
    assert!(!ours, "{}", String::from_utf8_lossy(&said));
}

/// HTTP/2 frames of any kinds on any streams, in steps of four bytes: kind, flags, stream, and how
/// much of what follows is in it. The first byte says in which pieces they arrive.
pub(super) fn h2(script: &[u8]) {
    /// `GET /demo/index.m3u8` by the static table (RFC 7541, appendix A) and one literal path.
    const REQUEST: &[u8] = b"\x82\x86\x41\x01x\x04\x10/demo/index.m3u8";
    let Some((&how, mut script)) = script.split_first() else { return };
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let mut bytes = [&[how], &preface[..]].concat();
    while let [kind, flags, stream, length, rest @ ..] = script {
        let (payload, rest) = rest.split_at(rest.len().min((*length).into()));
        script = rest;
        // A good request is rare among any bytes, so every fourth header block is one.
        let good = *kind % 10 == 1 && flags % 4 == 1;
        let payload = if good { REQUEST } else { payload };
        let length = u32::try_from(payload.len()).expect("a byte").to_be_bytes();
        let flags = if good { 0x04 | flags & 1 } else { *flags };
        bytes.extend(length.into_iter().skip(1));
        bytes.extend([kind % 11, flags, 0, 0, 0, stream % 9]);
        bytes.extend(payload);
    }
    http(&bytes);
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
async fn converse(bytes: &[u8], step: usize, tls: Option<Tls>) -> Vec<u8> {
    let (server, stop) = (server().await, CancellationToken::new());
    let (ours, theirs) = duplex(64 * 1_024);
    server.serve_stream(theirs, tls, &stop);
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

/// A handshake of TLS in records and pieces of any size: the first two bytes say which. What the
/// server makes of it must not depend on them.
pub(super) fn tls(bytes: &[u8]) {
    let [record, piece, hello @ ..] = bytes else { return };
    // What follows the first message may not share its record (RFC 8446, 5.1), so there is none.
    let &[_, high, middle, low, ..] = hello else { return };
    let length = u32::from_be_bytes([0, high, middle, low]) + 4;
    let length = usize::try_from(length).expect("24 bits");
    let hello = hello.get(..length).unwrap_or(hello);
    let answer = |record: usize, piece: usize| {
        let mut sent = Vec::new();
        for fragment in hello.chunks(record) {
            sent.extend([22, 3, 1]);
            sent.extend(u16::try_from(fragment.len()).expect("a fragment").to_be_bytes());
            sent.extend(fragment);
        }
        let said = runtime().block_on(converse(&sent, piece, Some(acceptor())));
        // What kind of record comes back; of an alert, also which.
        said.first()
            .map(|&kind| (kind, if kind == 21 { said.get(5..7).map(<[u8]>::to_vec) } else { None }))
    };
    count_panics();
    let before = PANICS.get();
    let whole = answer(16_384, usize::MAX);
    assert_eq!(answer(usize::from(*record) + 1, usize::from(*piece) + 1), whole);
    assert!(whole.as_ref().is_none_or(|(kind, _)| [21, 22].contains(kind)), "{whole:?}");
    assert_eq!(PANICS.get(), before, "a task panicked");
}

/// One certificate for all inputs: making it takes longer than a handshake.
fn acceptor() -> Tls {
    static CONFIG: OnceLock<Arc<ServerConfig>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let names = ["localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key);
        Arc::new(config.expect("a key that fits"))
    });
    Tls::new(Arc::clone(config), &Limits::default())
}

/// A client's first words, whatever it draws by lot.
fn hello() -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut record = Vec::new();
    client.write_tls(&mut record).expect("memory");
    record.split_off(5)
}

#[test]
fn a_good_hello_is_answered_however_it_is_cut() {
    for (record, piece) in [(0, 0), (6, 255), (255, 6)] {
        let bytes = [&[record, piece][..], &hello()].concat();
        tls(&bytes);
    }
    let hello = hello();
    let length = u16::try_from(hello.len()).expect("a short hello").to_be_bytes();
    let whole = [&[22, 3, 1][..], &length, &hello].concat();
    let said = runtime().block_on(converse(&whole, 7, Some(acceptor())));
    assert_eq!(said.first(), Some(&22), "a hello comes back");
}

#[test]
fn a_good_request_is_answered() {
    let said = runtime().block_on(converse(b"GET /demo HTTP/1.1\r\nHost: x\r\n\r\n", 1, None));
    assert!(said.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&said));
}
