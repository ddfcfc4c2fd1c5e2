use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::watchdog::Protocol;
use crate::base::Limits;

/// The application protocols a peer may choose from, best first (W50).
pub const ALPN: [&str; 2] = ["h2", "http/1.1"];

/// Encryption for a listener.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    handshakes: Arc<Semaphore>,
}

/// Why a connection did not get as far as HTTP.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error("too many TLS handshakes at once")]
    Busy,
    #[error("the TLS handshake took too long")]
    Slow,
    #[error("TLS handshake: {0}")]
    Failed(#[from] std::io::Error),
}

impl TlsError {
    /// The metric label.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Busy => "tls_busy",
            Self::Slow => "tls_slow",
            Self::Failed(_) => "tls_failed",
        }
    }
}

impl Tls {
    /// `config` offers [`ALPN`]; its resolver decides at each handshake which certificate is in
    /// force, so a new one needs no restart.
    pub fn new(config: Arc<ServerConfig>, limits: &Limits) -> Self {
        Self {
            acceptor: TlsAcceptor::from(config),
            handshakes: Arc::new(Semaphore::new(limits.tls_handshakes_max)),
        }
    }

    /// The handshake, bounded in time and in number. Dropping it closes the connection.
    pub(super) async fn accept<S>(
        &self,
        io: S,
        limits: &Limits,
    ) -> Result<(TlsStream<S>, Option<Protocol>), TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let _turn = self.handshakes.try_acquire().map_err(|_| TlsError::Busy)?;
        // On the heap: the state of a handshake is large and short-lived.
        let handshake = Box::pin(self.acceptor.accept(io));
        let stream = timeout(limits.tls_handshake_time_max, handshake)
            .await
            .map_err(|_| TlsError::Slow)??;
        let protocol = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Some(Protocol::Http2),
            Some(b"http/1.1") => Some(Protocol::Http1),
            Some(_) | None => None,
        };
        Ok((stream, protocol))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("handshakes", &self.handshakes).finish_non_exhaustive()
    }
}
