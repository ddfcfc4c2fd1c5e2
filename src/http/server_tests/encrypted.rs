//! TLS before HTTP.

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::TlsConnector;

use super::super::super::tls::ALPN;
use super::*;

fn certificate() -> (Arc<ServerConfig>, RootCertStore) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = ALPN.iter().map(|name| name.as_bytes().to_vec()).collect();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    (Arc::new(config), roots)
}

fn connector(roots: RootCertStore, protocols: &[&str]) -> TlsConnector {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

/// W50: ALPN picks the protocol; without it the first bytes do.
#[tokio::test]
async fn alpn_picks_the_protocol() {
    let rig = Rig::new(Limits::default());
    let (config, roots) = certificate();
    let tls = Tls::new(config, &rig.door.setting.limits);
    for (protocols, expected) in [
        (&["http/1.1"][..], Some(&b"http/1.1"[..])),
        (&["http/1.1", "h2"], Some(b"h2")),
        (&[], None),
    ] {
        let (ours, theirs) = duplex(64 * 1024);
        rig.door.welcome(theirs, None, Some(tls.clone()), &rig.stop);
        let name = ServerName::try_from("localhost").unwrap();
        let mut io = connector(roots.clone(), protocols).connect(name, ours).await.unwrap();
        assert_eq!(io.get_ref().1.alpn_protocol(), expected);
        if expected == Some(b"h2") {
            continue;
        }
        io.write_all(GET.as_bytes()).await.unwrap();
        let mut said = Vec::new();
        while !said.ends_with(b"ok") {
            assert_ne!(io.read_buf(&mut said).await.unwrap(), 0);
        }
    }
}

/// A viewer whose connection rests when the server stops is told that this was the end, and does
/// not have to wonder what was cut off (RFC 8446, 6.1).
#[tokio::test]
async fn a_resting_connection_is_closed_in_good_order() {
    let rig = Rig::new(Limits::default());
    let (config, roots) = certificate();
    let tls = Tls::new(config, &rig.door.setting.limits);
    let (ours, theirs) = duplex(64 * 1024);
    rig.door.welcome(theirs, None, Some(tls), &rig.stop);
    let name = ServerName::try_from("localhost").unwrap();
    let mut io = connector(roots, &["http/1.1"]).connect(name, ours).await.unwrap();
    io.write_all(GET.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    while !said.ends_with(b"ok") {
        assert_ne!(io.read_buf(&mut said).await.unwrap(), 0);
    }
    rig.stop.cancel();
    assert_eq!(io.read_buf(&mut said).await.expect("a close_notify"), 0);
}

/// W50: a handshake has its time, and there is room for so many at once.
#[tokio::test(start_paused = true)]
async fn handshakes_are_bounded() {
    let rig = Rig::new(Limits { tls_handshakes_max: 1, ..Limits::default() });
    let tls = Tls::new(certificate().0, &rig.door.setting.limits);
    let connect = || {
        let (ours, theirs) = duplex(1024);
        rig.door.welcome(theirs, None, Some(tls.clone()), &rig.stop);
        ours
    };
    let mut slow = connect();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(closes_after(&mut connect()).await, 0);
    assert_eq!(closes_after(&mut slow).await, 9, "ten seconds from its beginning");
}
