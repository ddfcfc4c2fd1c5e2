use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

use super::address::Address;
use super::reach::Reach;

/// What HTTP is spoken over.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A connection that stands.
pub struct Link {
    pub io: Box<dyn Io>,
    /// HTTP/2 was agreed upon.
    pub h2: bool,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("h2", &self.h2).finish_non_exhaustive()
    }
}

/// A connection on its way.
pub type Dialling = Pin<Box<dyn Future<Output = io::Result<Link>> + Send>>;

/// How a connection to the host of an address is made. Tests connect within the process.
pub type Dial = Arc<dyn Fn(Address) -> Dialling + Send + Sync>;

/// Over the network, with the certificates this system trusts (or `SSL_CERT_FILE` names). What
/// begins at a public address does not go on to a private one, unless that is allowed.
pub(super) fn network(allow_private: bool) -> Dial {
    let roots = rustls_native_certs::load_native_certs().certs;
    let mut trusted = RootCertStore::empty();
    trusted.add_parsable_certificates(roots);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider speaks the default versions");
    let mut config = config.with_root_certificates(trusted).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let reach = Arc::new(Reach::new(allow_private));
    Arc::new(move |address| Box::pin(connect(address, connector.clone(), Arc::clone(&reach))))
}

async fn connect(address: Address, tls: TlsConnector, reach: Arc<Reach>) -> io::Result<Link> {
    let found = lookup_host((address.host(), address.port())).await?.collect();
    let tcp = TcpStream::connect(&*reach.admit(found)?).await?;
    tcp.set_nodelay(true)?;
    if !address.is_encrypted() {
        return Ok(Link { io: Box::new(tcp), h2: false });
    }
    let name = ServerName::try_from(address.host().to_owned()).map_err(io::Error::other)?;
    let stream = tls.connect(name, tcp).await?;
    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok(Link { io: Box::new(stream), h2 })
}
