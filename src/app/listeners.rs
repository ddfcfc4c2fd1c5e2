use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use super::listen::{Inherited, ListenError, listen};
use super::tls::{Certificate, TlsError};
use crate::config::Config;

/// Every listening socket, opened before anything is promised.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) http: TcpListener,
    pub(super) https: Option<TcpListener>,
    pub(super) rtmp: TcpListener,
    pub(super) rtmps: Option<TcpListener>,
    pub(super) admin: TcpListener,
}

impl Listeners {
    /// The encrypted ones only where there is a certificate.
    pub(super) fn open(config: &Config, encrypted: bool) -> Result<Self, ListenError> {
        let mut inherited = Inherited::from_service_manager();
        let mut open = |addr, flag, key| listen(&mut inherited, addr, flag, key);
        let http = open(config.http_listen, "--http", "http.listen")?;
        let rtmp = open(config.rtmp_listen, "--rtmp", "rtmp.listen")?;
        let admin = open(config.admin_listen, "--admin", "admin.listen")?;
        let rtmps = match encrypted {
            true => Some(open(config.rtmps_listen, "--rtmps", "rtmp.tls_listen")?),
            false => None,
        };
        let https = match config.https_listen {
            Some(addr) => Some(open(addr, "GHOSTLIGHT_HTTP_TLS_LISTEN", "http.tls_listen")?),
            None => None,
        };
        Ok(Self { http, https, rtmp, rtmps, admin })
    }
}

/// The configured certificate, if there is one.
pub(super) fn open_certificate(config: &Config) -> Result<Option<Arc<Certificate>>, TlsError> {
    let files = config.tls_certificate.as_deref().zip(config.tls_key.as_deref());
    files.map(|(chain, key): (&Path, &Path)| Certificate::load(chain, key)).transpose()
}
