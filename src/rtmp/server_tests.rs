use std::collections::BTreeSet;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsConnector, client};

use super::super::world::World;
use super::*;
use crate::base::Limits;

/// A server on a loopback port that the system chose.
async fn start(limits: impl FnOnce(&mut Limits), tls: Option<TlsAcceptor>) -> (World, SocketAddr) {
    let mut world = World::open().await;
    limits(Arc::make_mut(&mut world.context.limits));
    let server = Server::new(world.context.clone(), world.tasks.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = world.stop.clone();
    world.tasks.spawn(async move { server.serve(listener, tls, stop).await });
    (world, address)
}

const HELLO_BYTES: usize = 1 + 1_536;

/// Says hello and answers how many bytes came back, or why none did.
async fn hello(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin)) -> io::Result<usize> {
    stream.write_all(&[&[3][..], &[0; HELLO_BYTES - 1]].concat()).await?;
    let mut reply = vec![0; 1 + 2 * 1_536];
    stream.read_exact(&mut reply).await
}

#[tokio::test]
async fn a_handshake_over_tcp_and_an_end() {
    let (world, address) = start(|_| {}, None).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    hello(&mut stream).await.unwrap();
    world.stop.cancel();
    world.tasks.close();
    world.tasks.wait().await;
    TcpStream::connect(address).await.unwrap_err();
}

// R41: what is too much is reset before a word.
#[tokio::test]
async fn connections_above_the_limits_are_reset() {
    let (_world, address) = start(|limits| limits.rtmp_connections_per_address_max = 2, None).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        hello(&mut stream).await.unwrap();
        open.push(stream);
    }
    let mut refused = TcpStream::connect(address).await.unwrap();
    let error = hello(&mut refused).await.unwrap_err().kind();
    let reset = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
    assert!(reset.contains(&error), "{error:?}");

    open.pop();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        if hello(&mut stream).await.is_ok() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("the slot was not given back");
}

fn certificate() -> (TlsAcceptor, TlsConnector) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let chain = vec![made.cert.der().clone()];
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.clone(), key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(chain[0].clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (TlsAcceptor::from(Arc::new(server)), TlsConnector::from(Arc::new(client)))
}

async fn dial_tls(
    connector: &TlsConnector,
    address: SocketAddr,
) -> io::Result<client::TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    connector.connect(ServerName::try_from("localhost").unwrap(), stream).await
}

// R51: RTMP within TLS, and plain RTMP on its port closed at once.
#[tokio::test]
async fn rtmps() {
    let (acceptor, connector) = certificate();
    let (world, address) = start(|_| {}, Some(acceptor)).await;
    let mut stream = dial_tls(&connector, address).await.unwrap();
    hello(&mut stream).await.unwrap();
    // RTMP without TLS on that port is closed, and a whole C0 and C1 is more than it takes: the
    // first byte tells.
    let mut plain = TcpStream::connect(address).await.unwrap();
    hello(&mut plain).await.unwrap_err();
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(&[3, 0, 0, 0, 0]).await.unwrap();
    let mut rest = Vec::new();
    let closed = time::timeout(Duration::from_secs(5), slow.read_to_end(&mut rest)).await;
    let _ = closed.expect("closed at once, not when the handshake has taken too long");
    let ended =
        r#"rtmp_connections_ended_total{stage="accept",reason="tls_failed",blame="peer"} 2"#;
    assert!(world.metrics().contains(ended), "{}", world.metrics());
}

// R46: the system gives up on a peer whose link is down as soon as we would call it stale.
#[tokio::test]
async fn sockets_give_up_on_a_vanished_peer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap());
    let (near, _) = (near.await.unwrap(), listener.accept().await.unwrap());
    tune(&near, Duration::from_secs(10));
    let socket = SockRef::from(&near);
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(10)));
    assert!(socket.tcp_nodelay().unwrap());
}

// R51: handshakes have a limit, and each its time.
#[tokio::test]
async fn tls_handshakes_have_a_limit_and_a_time() {
    let (acceptor, connector) = certificate();
    let one = |limits: &mut Limits| {
        limits.tls_handshakes_max = 1;
        limits.tls_handshake_time_max = LONG;
    };
    let (world, address) = start(one, Some(acceptor.clone())).await;
    // A silent one holds the only place as long as it may stay.
    let silent = TcpStream::connect(address).await.unwrap();
    dial_tls(&connector, address).await.unwrap_err();
    drop(silent);
    ended(&world, "tls_failed").await;
    dial_tls(&connector, address).await.unwrap();

    let (_world, address) = start(brief, Some(acceptor)).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut rest = Vec::new();
    assert_eq!(silent.read_to_end(&mut rest).await.unwrap(), 0);
}

/// Longer than a test takes on a machine that has much else to do.
const LONG: Duration = Duration::from_secs(60);

/// Over before anybody who is silent is waited for.
fn brief(limits: &mut Limits) {
    limits.tls_handshake_time_max = Duration::from_millis(50);
}

/// R56: what ends connections at the door, over real sockets, and what only a socket can do.
pub(in crate::rtmp) async fn causes_at_the_door() -> BTreeSet<&'static str> {
    let (acceptor, connector) = certificate();
    let mut seen = BTreeSet::new();
    let (world, address) = start(|limits| limits.rtmp_connections_max = 1, None).await;
    seen.insert(second(world, address, "connections_full").await);
    let (world, address) = start(|limits| limits.rtmp_connections_per_address_max = 1, None).await;
    seen.insert(second(world, address, "address_full").await);
    let (world, address) = start(|limits| limits.rtmp_accepts_per_second_max = 1, None).await;
    seen.insert(hasty(&world, address).await);
    let (world, address) = start(|_| {}, None).await;
    seen.insert(second(world, address, "broken").await);
    let one = |limits: &mut Limits| {
        limits.tls_handshakes_max = 1;
        limits.tls_handshake_time_max = LONG;
    };
    let (world, address) = start(one, Some(acceptor.clone())).await;
    let mut stranger = TcpStream::connect(address).await.unwrap();
    hello(&mut stranger).await.unwrap_err();
    seen.insert(ended(&world, "tls_failed").await);
    let _silent = TcpStream::connect(address).await.unwrap();
    dial_tls(&connector, address).await.unwrap_err();
    seen.insert(ended(&world, "tls_busy").await);
    let (world, address) = start(brief, Some(acceptor)).await;
    let _silent = TcpStream::connect(address).await.unwrap();
    seen.insert(ended(&world, "tls_timeout").await);
    seen
}

/// Two peers, of which the second shakes hands if it may and then resets its connection.
async fn second(world: World, address: SocketAddr, reason: &'static str) -> &'static str {
    let mut first = TcpStream::connect(address).await.unwrap();
    hello(&mut first).await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();
    let _ = hello(&mut second).await;
    reset(second);
    ended(&world, reason).await
}

/// Dials again and again until two of its connections fell into one second.
async fn hasty(world: &World, address: SocketAddr) -> &'static str {
    let (reason, soon) = ("accept_rate", time::Instant::now() + LONG);
    while !is_counted(world, reason) {
        assert!(time::Instant::now() < soon, "{}", world.metrics());
        drop(TcpStream::connect(address).await.unwrap());
        tokio::task::yield_now().await;
    }
    reason
}

/// Waits until a connection was counted as ended for this reason.
async fn ended(world: &World, reason: &'static str) -> &'static str {
    let soon = time::Instant::now() + LONG;
    while !is_counted(world, reason) {
        assert!(time::Instant::now() < soon, "{reason}:\n{}", world.metrics());
        tokio::task::yield_now().await;
    }
    reason
}

fn is_counted(world: &World, reason: &str) -> bool {
    world.metrics().contains(&format!("reason=\"{reason}\""))
}
