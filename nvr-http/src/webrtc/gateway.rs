//! The sockets, and which packet belongs to which viewer.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use nvr_core::config::HttpConfig;
use nvr_core::{Error, ErrorKind, Result};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::tcp;
use crate::auth::Viewer;

/// Most addresses of this machine that are offered.
const ADDRESSES: usize = 8;
/// Packets that wait for a viewer's task; beyond that they are dropped, as on any network.
const WAITING: usize = 256;
/// Viewers at once.
const SESSIONS: usize = 64;
/// The largest packet that is read.
const MTU: usize = 2048;
/// What the kernel may hold of a burst.
const SEND_BUFFER: usize = 2 << 20;

/// The way that a packet came, which is the way back.
#[derive(Clone, Debug)]
pub(super) enum Link {
    Udp,
    Tcp(mpsc::Sender<Bytes>),
}

/// A packet for a viewer.
#[derive(Debug)]
pub(super) struct Packet {
    pub(super) link: Link,
    pub(super) from: SocketAddr,
    /// The local address that it came to.
    pub(super) to: SocketAddr,
    pub(super) data: Bytes,
}

/// How the gateway reaches a viewer's task.
#[derive(Debug)]
struct Route {
    /// Who began it: nobody else may end it.
    owner: Viewer,
    packets: mpsc::Sender<Packet>,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
pub(super) struct Routes {
    by_id: HashMap<String, Route>,
    /// By local user name of ICE, to the id.
    by_name: HashMap<String, String>,
    /// By address of the peer.
    by_address: HashMap<SocketAddr, String>,
}

#[derive(Debug)]
struct Bound {
    address: SocketAddr,
    socket: Arc<UdpSocket>,
    stop: CancellationToken,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Gateway {
    on: bool,
    listen: IpAddr,
    port: u16,
    public: Vec<IpAddr>,
    routes: Arc<Mutex<Routes>>,
    bound: tokio::sync::Mutex<Vec<Bound>>,
}

/// Where a viewer can reach us.
#[derive(Debug)]
pub(super) struct Places {
    /// Addresses of this machine, with ports.
    pub(super) local: Vec<(SocketAddr, Arc<UdpSocket>)>,
    /// Addresses that others know us by.
    pub(super) public: Vec<SocketAddr>,
}

impl Gateway {
    /// Nothing is opened before somebody watches.
    pub(crate) fn new(config: &HttpConfig) -> Self {
        Self {
            on: config.webrtc,
            listen: config.listen.ip(),
            port: config.webrtc_port,
            public: config.public_addresses.clone(),
            routes: Arc::default(),
            bound: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) const fn is_on(&self) -> bool {
        self.on
    }

    fn routes(&self) -> std::sync::MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens what is not open yet, and says where we are. The machine's addresses may have changed since.
    pub(super) async fn places(&self) -> Result<Places> {
        let mut bound = self.bound.lock().await;
        let wanted = self.addresses();
        bound.retain(|b| {
            let keep = wanted.contains(&b.address.ip());
            if !keep {
                b.stop.cancel();
            }
            keep
        });
        let mut fault = None;
        for ip in wanted {
            if bound.iter().any(|b| b.address.ip() == ip) {
                continue;
            }
            // One port for all: the one that the first took, where any will do.
            let port = if self.port == 0 {
                bound.first().map_or(0, |b| b.address.port())
            } else {
                self.port
            };
            match self.bind(SocketAddr::new(ip, port)).await {
                Ok(new) => bound.push(new),
                Err(e) => {
                    tracing::warn!(address = %SocketAddr::new(ip, port), error = %e, "WebRTC cannot listen there");
                    fault = Some(e);
                }
            }
        }
        let Some(first) = bound.first() else {
            let mut error = Error::new(ErrorKind::Unavailable, "WebRTC has no address to listen at")
                .with_hint("see `listen` and `webrtc_port` of [http]");
            if let Some(e) = fault {
                error = error.with_source(e);
            }
            return Err(error);
        };
        let port = first.address.port();
        Ok(Places {
            local: bound.iter().map(|b| (b.address, Arc::clone(&b.socket))).collect(),
            public: self.public.iter().map(|ip| SocketAddr::new(*ip, port)).collect(),
        })
    }

    /// The addresses that the HTTP server is reached at.
    fn addresses(&self) -> Vec<IpAddr> {
        if !self.listen.is_unspecified() {
            return vec![self.listen];
        }
        let mut all: Vec<IpAddr> = if_addrs::get_if_addrs()
            .unwrap_or_default()
            .into_iter()
            .map(|i| i.ip())
            .filter(|ip| match ip {
                IpAddr::V4(ip) => !ip.is_link_local(),
                // Link-local ones need a scope, which a candidate cannot have.
                IpAddr::V6(ip) => self.listen.is_ipv6() && !ip.is_unicast_link_local(),
            })
            .collect();
        // The loopback last: it is of use to a browser on this machine only.
        all.sort_by_key(|ip| (ip.is_loopback(), ip.is_ipv6()));
        all.truncate(ADDRESSES);
        all
    }

    async fn bind(&self, address: SocketAddr) -> std::io::Result<Bound> {
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::DGRAM, None)?;
        // As much as the system allows of it.
        let _ = socket.set_send_buffer_size(SEND_BUFFER);
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let socket = Arc::new(UdpSocket::from_std(socket.into())?);
        let address = socket.local_addr()?;
        let stop = CancellationToken::new();
        // TCP is for those whose network lets nothing else through; without it the rest works.
        match TcpListener::bind(address).await {
            Ok(listener) => {
                tokio::spawn(tcp::accept(
                    listener,
                    Arc::downgrade(&self.routes),
                    address,
                    stop.clone(),
                    deliver_from_tcp,
                ));
            }
            Err(e) => tracing::warn!(%address, error = %e, "no WebRTC by TCP"),
        }
        tokio::spawn(receive(
            Arc::clone(&socket),
            address,
            Arc::downgrade(&self.routes),
            stop.clone(),
        ));
        Ok(Bound {
            address,
            socket,
            stop,
        })
    }

    /// Enters a viewer. `name` is its local user name of ICE.
    pub(super) fn enter(
        &self,
        id: &str,
        name: &str,
        owner: Viewer,
        stop: CancellationToken,
    ) -> Result<mpsc::Receiver<Packet>> {
        let (packets, incoming) = mpsc::channel(WAITING);
        let mut routes = self.routes();
        if routes.by_id.len() >= SESSIONS {
            return Err(Error::new(
                ErrorKind::Busy,
                "as many as allowed are watching by WebRTC",
            ));
        }
        routes.by_name.insert(name.to_owned(), id.to_owned());
        routes.by_id.insert(id.to_owned(), Route { owner, packets, stop });
        Ok(incoming)
    }

    /// A viewer is gone.
    pub(super) fn leave(&self, id: &str) {
        let mut routes = self.routes();
        routes.by_id.remove(id);
        routes.by_name.retain(|_, of| of != id);
        routes.by_address.retain(|_, of| of != id);
    }

    /// Whether this is a session of `who`.
    pub(crate) fn knows(&self, id: &str, who: &Viewer) -> bool {
        self.routes().by_id.get(id).is_some_and(|r| r.owner.is_same(who))
    }

    /// Ends a session of `who`; false when there is none of that id.
    pub(crate) fn end(&self, id: &str, who: &Viewer) -> bool {
        match self.routes().by_id.get(id) {
            Some(route) if route.owner.is_same(who) => {
                route.stop.cancel();
                true
            }
            _ => false,
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        for bound in self.bound.get_mut() {
            bound.stop.cancel();
        }
    }
}

/// Reads a socket until it is not needed any more.
async fn receive(
    socket: Arc<UdpSocket>,
    to: SocketAddr,
    routes: Weak<Mutex<Routes>>,
    stop: CancellationToken,
) {
    let mut buffer = vec![0u8; MTU];
    loop {
        let received = tokio::select! {
            () = stop.cancelled() => return,
            received = socket.recv_from(&mut buffer) => received,
        };
        // An error here is an ICMP answer to something that was sent.
        let Ok((len, from)) = received else { continue };
        let Some(routes) = routes.upgrade() else { return };
        deliver(
            &routes,
            Packet {
                link: Link::Udp,
                from,
                to,
                data: Bytes::copy_from_slice(&buffer[..len]),
            },
        );
    }
}

/// Hands a packet to whom it belongs; false when nobody knows it.
fn deliver(routes: &Mutex<Routes>, packet: Packet) -> bool {
    let mut routes = routes.lock().unwrap_or_else(PoisonError::into_inner);
    let id = match user_name(&packet.data) {
        Some(name) => {
            let local = name.split(':').next().unwrap_or_default();
            let Some(id) = routes.by_name.get(local).cloned() else {
                return false;
            };
            // Addresses of one viewer are few; a flood of invented ones must not fill the table.
            let own = routes.by_address.values().filter(|of| **of == id).count();
            if own < 32 || routes.by_address.contains_key(&packet.from) {
                routes.by_address.insert(packet.from, id.clone());
            }
            id
        }
        None => match routes.by_address.get(&packet.from) {
            Some(id) => id.clone(),
            None => return false,
        },
    };
    let Some(route) = routes.by_id.get(&id) else {
        return false;
    };
    let _ = route.packets.try_send(packet);
    true
}

pub(super) fn deliver_from_tcp(routes: &Mutex<Routes>, packet: Packet) -> bool {
    deliver(routes, packet)
}

pub(super) type Routing = Mutex<Routes>;

/// The user name of a STUN binding request (RFC 8489, 5 and 14.3).
fn user_name(data: &[u8]) -> Option<&str> {
    const BINDING_REQUEST: [u8; 2] = [0, 1];
    const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
    const USERNAME: u16 = 6;
    if data.get(..2)? != BINDING_REQUEST || data.get(4..8)? != COOKIE {
        return None;
    }
    let mut rest = data.get(20..)?;
    while rest.len() >= 4 {
        let kind = u16::from_be_bytes([rest[0], rest[1]]);
        let len = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        let value = rest.get(4..4 + len)?;
        if kind == USERNAME {
            return std::str::from_utf8(value).ok();
        }
        rest = rest.get(4 + len.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_for_who_began_it() {
        use nvr_core::accounts::Identity;
        let somebody = |name: &str| {
            let mut identity = Identity::open();
            identity.user = Some(name.parse().unwrap());
            Viewer(Arc::new(identity))
        };
        let (vera, otto) = (somebody("vera"), somebody("otto"));
        let nobody = Viewer(Arc::new(Identity::open()));
        let gateway = Gateway::new(&HttpConfig::default());
        let stop = CancellationToken::new();
        let _packets = gateway.enter("id", "name", vera.clone(), stop.clone()).unwrap();
        for other in [&otto, &nobody] {
            assert!(!gateway.knows("id", other) && !gateway.end("id", other));
        }
        assert!(!stop.is_cancelled());
        assert!(!gateway.end("another", &vera));
        assert!(gateway.knows("id", &vera) && gateway.end("id", &vera));
        assert!(stop.is_cancelled());
    }

    #[test]
    fn the_user_name_of_a_request() {
        let mut request = vec![0, 1, 0, 20, 0x21, 0x12, 0xa4, 0x42];
        request.extend([7; 12]);
        // An attribute with padding before it.
        request.extend([0x80, 0x22, 0, 3, b'x', b'y', b'z', 0]);
        request.extend([0, 6, 0, 5]);
        request.extend(b"ab:cd\0\0\0");
        assert_eq!(user_name(&request), Some("ab:cd"));
        for cut in 0..request.len() - 3 {
            assert_eq!(user_name(&request[..cut]), None, "{cut}");
        }
        request[0] = 1;
        assert_eq!(user_name(&request), None, "an answer has none");
    }
}
