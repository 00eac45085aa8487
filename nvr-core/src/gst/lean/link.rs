//! A connection: looked up, made, and read without waiting.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use url::{Host, Url};

use super::failure::{Failure, FailureKind};
use super::tls;

/// Addresses of a name that are tried.
const MOST_ADDRESSES: usize = 4;
/// Kernel buffer: two ticks of a camera of 16 Mbit/s with its bookkeeping, and room for a large keyframe.
const RECEIVE_BYTES: usize = 2 << 20;

/// What one read gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Got {
    /// So many bytes at the beginning of the buffer.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// The peer closed.
    End,
}

/// A connected socket, with TLS if the address wants it.
#[derive(Debug)]
pub(super) struct Link {
    tcp: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// To be sent.
    output: Vec<u8>,
    /// Size of the kernel's receive buffer, where it stays as it is.
    buffer_bytes: Option<usize>,
}

impl Link {
    /// Looks the host up and connects. Blocks: `timeout` for each address, and as long as the resolver likes.
    ///
    /// # Errors
    /// `Unreachable` when nobody answers.
    pub(super) fn connect(
        url: &Url,
        timeout: Duration,
        tls: Option<&Arc<ClientConfig>>,
    ) -> Result<Self, Failure> {
        let unreachable = |what: String| Failure::new(FailureKind::Unreachable, what);
        let port = url
            .port()
            .unwrap_or(if url.scheme() == "rtsps" { 322 } else { 554 });
        let (addresses, name): (Vec<SocketAddr>, _) = match url.host() {
            Some(Host::Domain(name)) => {
                let found = (name, port)
                    .to_socket_addrs()
                    .map_err(|e| unreachable(format!("{name} is not known ({e})")))?;
                (found.collect(), ServerName::try_from(name.to_owned()).ok())
            }
            Some(Host::Ipv4(ip)) => (
                vec![(ip, port).into()],
                Some(ServerName::from(std::net::IpAddr::from(ip))),
            ),
            Some(Host::Ipv6(ip)) => (
                vec![(ip, port).into()],
                Some(ServerName::from(std::net::IpAddr::from(ip))),
            ),
            None => return Err(unreachable("the address has no host".into())),
        };
        let mut last = unreachable("the name has no address".into());
        for address in addresses.into_iter().take(MOST_ADDRESSES) {
            match open(address, timeout) {
                Ok((tcp, buffer_bytes)) => {
                    let tls = match (tls, &name) {
                        (None, _) => None,
                        (Some(config), Some(name)) => Some(Box::new(
                            ClientConnection::new(config.clone(), name.clone())
                                .map_err(|e| tls::failure(&e))?,
                        )),
                        (Some(_), None) => {
                            return Err(unreachable(
                                "the host's name cannot stand in a certificate".into(),
                            ));
                        }
                    };
                    return Ok(Self {
                        tcp,
                        tls,
                        output: Vec::new(),
                        buffer_bytes,
                    });
                }
                Err(e) => last = unreachable(format!("{address}: {e}")),
            }
        }
        Err(last)
    }

    pub(super) const fn socket(&self) -> &TcpStream {
        &self.tcp
    }

    /// What the kernel keeps between two reads, now.
    pub(super) fn buffer_bytes(&self) -> usize {
        self.buffer_bytes
            .unwrap_or_else(|| SockRef::from(&self.tcp).recv_buffer_size().unwrap_or(0))
    }

    /// Reads once, without waiting.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<Got, Failure> {
        let Some(tls) = &mut self.tls else {
            return got(self.tcp.read(buffer));
        };
        loop {
            match tls.reader().read(buffer) {
                Ok(0) => return Ok(Got::End),
                Ok(n) => return Ok(Got::Bytes(n)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                // Closed without a farewell, as many cameras do.
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(Got::End),
                Err(e) => return Err(broken(&e)),
            }
            match tls.read_tls(&mut self.tcp) {
                Ok(_) => {
                    if let Err(e) = tls.process_new_packets() {
                        // The alert that tells the peer.
                        let _ = tls.write_tls(&mut self.tcp);
                        return Err(tls::failure(&e));
                    }
                }
                other => return got(other),
            }
        }
    }

    /// Queues bytes to be sent.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if let Some(tls) = &mut self.tls {
            return tls.writer().write_all(bytes).map_err(|e| broken(&e));
        }
        self.output.extend_from_slice(bytes);
        Ok(())
    }

    /// Sends what is queued as far as it goes. Whether something is left.
    pub(super) fn flush(&mut self) -> Result<bool, Failure> {
        loop {
            let sent = match &mut self.tls {
                Some(tls) if tls.wants_write() => tls.write_tls(&mut self.tcp),
                Some(_) => return Ok(false),
                None if self.output.is_empty() => return Ok(false),
                None => self.tcp.write(&self.output).inspect(|n| {
                    self.output.drain(..*n);
                }),
            };
            match sent {
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(e) => return Err(broken(&e)),
            }
        }
    }

    pub(super) const fn is_tls(&self) -> bool {
        self.tls.is_some()
    }
}

fn got(result: io::Result<usize>) -> Result<Got, Failure> {
    match result {
        Ok(0) => Ok(Got::End),
        Ok(n) => Ok(Got::Bytes(n)),
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
            Ok(Got::Nothing)
        }
        Err(e) => Err(broken(&e)),
    }
}

fn broken(e: &io::Error) -> Failure {
    Failure::new(FailureKind::Broken, e.to_string())
}

/// A connected socket that does not block, and the size of its buffer if that is fixed.
fn open(address: SocketAddr, timeout: Duration) -> io::Result<(TcpStream, Option<usize>)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    let fixed = enlarge(&socket);
    socket.connect_timeout(&address.into(), timeout)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    let size = fixed.then(|| socket.recv_buffer_size().unwrap_or(0));
    Ok((socket.into(), size))
}

/// Makes the receive buffer hold what comes within a tick. Where the system does not allow it, the size is left to
/// the kernel, which enlarges it as it sees need and further than a user may. Whether it is fixed now.
fn enlarge(socket: &Socket) -> bool {
    if rustix::net::sockopt::set_socket_recv_buffer_size_force(socket, RECEIVE_BYTES).is_ok() {
        return true;
    }
    let most = std::fs::read_to_string("/proc/sys/net/core/rmem_max")
        .ok()
        .and_then(|t| t.trim().parse::<usize>().ok());
    most.is_some_and(|most| most >= RECEIVE_BYTES) && socket.set_recv_buffer_size(RECEIVE_BYTES).is_ok()
}
