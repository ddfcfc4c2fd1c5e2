use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections the kernel may hold for us before we accept them.
const BACKLOG: i32 = 4_096;

/// Why a port could not be opened, as one line that names the port and the setting.
#[derive(Debug, thiserror::Error)]
pub(super) enum ListenError {
    #[error(
        "port {port} is taken: another program already listens on {addr}. Choose another with \
         {flag} ADDRESS or {key} in the configuration"
    )]
    Taken { addr: SocketAddr, port: u16, flag: &'static str, key: &'static str },
    #[error(
        "port {port} may not be opened without privileges: {addr}. Choose one above 1023 with \
         {flag} ADDRESS or {key} in the configuration"
    )]
    NotAllowed { addr: SocketAddr, port: u16, flag: &'static str, key: &'static str },
    #[error("cannot listen on {addr} ({flag}, {key}): {cause}")]
    Other { addr: SocketAddr, flag: &'static str, key: &'static str, cause: io::Error },
}

/// Sockets that a service manager opened for us before we started (systemd socket activation).
/// One is used for a listener when it is bound to the listener's port.
#[derive(Debug, Default)]
pub(super) struct Inherited(Vec<TcpListener>);

impl Inherited {
    pub(super) fn from_service_manager() -> Self {
        let mut passed = listenfd::ListenFd::from_env();
        let all = (0..passed.len()).filter_map(|n| passed.take_tcp_listener(n).ok().flatten());
        Self(all.collect())
    }

    fn take(&mut self, port: u16) -> Option<TcpListener> {
        let bound = |l: &TcpListener| l.local_addr().is_ok_and(|a| a.port() == port);
        let index = self.0.iter().position(bound)?;
        Some(self.0.swap_remove(index))
    }
}

/// Opens a listening socket that does not block, or takes the inherited one of the same port.
pub(super) fn listen(
    inherited: &mut Inherited,
    addr: SocketAddr,
    flag: &'static str,
    key: &'static str,
) -> Result<TcpListener, ListenError> {
    let opened = inherited.take(addr.port()).map_or_else(|| bind(addr), Ok);
    opened.and_then(nonblocking).map_err(|cause| {
        let port = addr.port();
        if cause.kind() == io::ErrorKind::AddrInUse {
            ListenError::Taken { addr, port, flag, key }
        } else if cause.kind() == io::ErrorKind::PermissionDenied {
            ListenError::NotAllowed { addr, port, flag, key }
        } else {
            ListenError::Other { addr, flag, key, cause }
        }
    })
}

fn nonblocking(listener: TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the old connections of the port to be forgotten.
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_one_line_with_port_and_setting() {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = first.local_addr().unwrap();
        let error = listen(&mut Inherited::default(), addr, "--rtmp", "rtmp.listen").unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with(&format!("port {} is taken", addr.port())), "{text}");
        assert!(text.contains("--rtmp") && text.contains("rtmp.listen"), "{text}");
        assert!(!text.contains('\n'));
    }

    #[test]
    fn an_inherited_socket_serves_its_port() {
        let passed = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = passed.local_addr().unwrap();
        let mut inherited = Inherited(vec![passed]);
        listen(&mut inherited, addr, "--http", "http.listen").unwrap();
        assert!(inherited.0.is_empty());
    }
}
