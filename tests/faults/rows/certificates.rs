//! Certificates that are replaced, and one that has expired.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, CertifiedKey, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::until;
use crate::neighbours::Neighbours;
use crate::stage::{PATIENCE, Setup};

type Line = StreamOwned<ClientConnection, TcpStream>;

/// A certificate for localhost that is good until the end of that year, in force in `folder`.
fn put_certificate(folder: &Path, until_year: i32) -> CertificateDer<'static> {
    let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(until_year, 12, 31);
    let signing_key = KeyPair::generate().expect("a key");
    let cert = params.self_signed(&signing_key).expect("a certificate");
    let made = CertifiedKey { cert, signing_key };
    fs::write(folder.join("chain.pem"), made.cert.pem()).expect("written");
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).expect("written");
    made.cert.der().clone()
}

/// A viewer who trusts that certificate and no other.
fn connect(addr: SocketAddr, trusted: &CertificateDer<'static>) -> std::io::Result<Line> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).map_err(std::io::Error::other)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().map_err(std::io::Error::other)?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").map_err(std::io::Error::other)?;
    let client = ClientConnection::new(Arc::new(config), name).map_err(std::io::Error::other)?;
    let socket = TcpStream::connect(addr)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut line = StreamOwned::new(client, socket);
    is_served(&mut line)?;
    Ok(line)
}

/// Asks on a connection that may be old.
fn is_served(line: &mut Line) -> std::io::Result<()> {
    line.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut piece = [0; 1_024];
    while !answer.windows(4).any(|window| window == b"\r\n\r\n") {
        match line.read(&mut piece)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => answer.extend(piece.get(..read).unwrap_or_default()),
        }
    }
    if answer.starts_with(b"HTTP/1.1 200 ") {
        Ok(())
    } else {
        Err(std::io::ErrorKind::Other.into())
    }
}

/// F34 and W50: a certificate is replaced, and then replaced by one that has expired. Connections
/// that stand are served on, new ones see the new one, an expired one is served as it is (whoever
/// checks it turns away), and no stream beside them notices.
#[test]
fn a_certificate_is_swapped_and_nobody_is_dropped() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = put_certificate(folder.path(), 2099);
    // Free when it was asked for; nobody else here listens on ports of its own choice.
    let https = TcpListener::bind("127.0.0.1:0").and_then(|held| held.local_addr());
    let https = https.expect("a port");
    let stage = Setup::default()
        .env("GHOSTLIGHT_TLS_CERTIFICATE", &folder.path().join("chain.pem").display().to_string())
        .env("GHOSTLIGHT_TLS_KEY", &folder.path().join("key.pem").display().to_string())
        .env("GHOSTLIGHT_HTTP_TLS_LISTEN", &https.to_string())
        .start();
    let neighbours = Neighbours::start_some(&stage, 2);
    let mut old = connect(https, &first).expect("served with the first");

    let second = put_certificate(folder.path(), 2098);
    stage.signal("HUP");
    let shown = || connect(https, &second).is_ok();
    until("new connections see the second", Duration::from_secs(5), shown);
    assert!(connect(https, &first).is_err(), "the first is gone");
    is_served(&mut old).expect("who is there stays");
    let mut newer = connect(https, &second).expect("served with the second");

    let expired = put_certificate(folder.path(), 2021);
    stage.signal("HUP");
    until("the second is gone", Duration::from_secs(5), || connect(https, &second).is_err());
    let refused = connect(https, &expired).expect_err("a viewer who checks it");
    assert!(refused.to_string().to_lowercase().contains("expired"), "{refused}");
    is_served(&mut old).expect("who is there stays");
    is_served(&mut newer).expect("who is there stays");
    neighbours.assert_untouched();
    stage.assert_healthy();
}
