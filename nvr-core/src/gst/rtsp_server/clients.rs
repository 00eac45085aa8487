//! The clients that are connected: from where, who they are, and how to send them away.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gio::prelude::*;
use glib::translate::{ToGlibPtr as _, from_glib_none};
use gst_rtsp_server::RTSPClient;
use gst_rtsp_server::prelude::*;

use super::{Around, Opened, Peer, Who, lock};

/// What the kernel holds for a client that does not read: of the megabytes that it takes by itself, all would be old.
const SEND_BYTES: usize = 256 << 10;

/// Connections of one address that have not said who they are.
const UNKNOWN_OF_ONE: usize = 8;
/// Looks after which one that has still not said who it is goes: 10 to 15 s.
const UNKNOWN_LOOKS: u32 = 3;

#[derive(Debug)]
pub(super) struct Clients {
    all: Mutex<State>,
    gone: Condvar,
    most: usize,
}

#[derive(Debug, Default)]
struct State {
    clients: HashMap<usize, Client>,
    last: u64,
}

struct Client {
    serial: u64,
    peer: Peer,
    /// Another handle of its socket.
    socket: Option<TcpStream>,
    who: Option<Who>,
    /// How often it was looked at while nobody knew who it is.
    looks: u32,
    sessions: Vec<String>,
    /// What was opened and is not served yet.
    waiting: Option<(String, Opened)>,
    /// The path that is served.
    served: Option<String>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// What one client is known by, also when its memory is another's already.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    key: usize,
    serial: u64,
    pub peer: Peer,
}

fn key(client: &RTSPClient) -> usize {
    client.as_ptr() as usize
}

impl Clients {
    pub(super) fn new(most: usize) -> Self {
        Self {
            all: Mutex::default(),
            gone: Condvar::new(),
            most,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.all)
    }

    pub(super) fn connected(&self) -> usize {
        self.lock().clients.len()
    }

    /// Notes a client that has come. One too many is sent away.
    pub(super) fn enter(around: &Arc<Around>, client: &RTSPClient) {
        let socket = socket_of(client);
        let address = socket.as_ref().and_then(|s| s.peer_addr().ok());
        let peer = Peer {
            address: address.map_or(Ipv4Addr::UNSPECIFIED.into(), |a| a.ip().to_canonical()),
            secure: around.secure,
        };
        {
            let mut state = around.clients.lock();
            if state.clients.len() >= around.clients.most {
                tracing::warn!(peer = %peer.address, "too many RTSP clients: one is sent away");
                shut(socket.as_ref());
            }
            let unknown = state.clients.values().filter(|c| c.who.is_none());
            if unknown.filter(|c| c.peer.address == peer.address).count() >= UNKNOWN_OF_ONE {
                tracing::warn!(peer = %peer.address, "too many RTSP clients that do not say who they are: one is sent away");
                shut(socket.as_ref());
            }
            state.last += 1;
            let client_of = Client {
                serial: state.last,
                peer,
                socket,
                who: None,
                looks: 0,
                sessions: Vec::new(),
                waiting: None,
                served: None,
            };
            state.clients.insert(key(client), client_of);
        }
        let weak = Arc::downgrade(around);
        client.connect_new_session(move |client, session| {
            if let (Some(around), Some(id)) = (weak.upgrade(), session.sessionid())
                && let Some(client) = around.clients.lock().clients.get_mut(&key(client))
            {
                client.sessions.push(id.to_string());
            }
        });
        let weak = Arc::downgrade(around);
        client.connect_closed(move |client| {
            if let Some(around) = weak.upgrade() {
                around.clients.leave(key(client));
            }
        });
        // One that was never begun with is not closed either.
        let (weak, key) = (Arc::downgrade(around), key(client));
        client.add_weak_ref_notify(move || {
            if let Some(around) = weak.upgrade() {
                around.clients.leave(key);
            }
        });
    }

    fn leave(&self, key: usize) {
        // What it waited for ends outside of the lock.
        let gone = self.lock().clients.remove(&key);
        // One that says something else than TLS is given up by GStreamer without being told.
        shut(gone.as_ref().and_then(|c| c.socket.as_ref()));
        drop(gone);
        self.gone.notify_all();
    }

    pub(super) fn place(&self, client: &RTSPClient) -> Option<Place> {
        let key = key(client);
        self.lock().clients.get(&key).map(|c| Place {
            key,
            serial: c.serial,
            peer: c.peer,
        })
    }

    fn with<T>(&self, place: Place, f: impl FnOnce(&mut Client) -> T) -> Option<T> {
        let mut state = self.lock();
        let client = state.clients.get_mut(&place.key)?;
        (client.serial == place.serial).then(|| f(client))
    }

    pub(super) fn has_session(&self, place: Place, id: &str) -> bool {
        self.with(place, |c| c.sessions.iter().any(|s| s == id))
            .unwrap_or(false)
    }

    pub(super) fn set_who(&self, place: Place, who: Who) {
        self.with(place, |c| c.who = Some(who));
    }

    /// Who a client turned out to be.
    pub(super) fn who(&self, place: Place) -> Option<Who> {
        self.with(place, |c| c.who.clone())?
    }

    /// Whether a path need not be opened for a client: it was, or is served.
    pub(super) fn is_opened(&self, place: Place, path: &str) -> bool {
        self.with(place, |c| {
            c.waiting.as_ref().is_some_and(|(p, _)| p == path) || c.served.as_deref() == Some(path)
        })
        .unwrap_or(false)
    }

    pub(super) fn put(&self, place: Place, path: String, opened: Opened) {
        let before = self.with(place, |c| c.waiting.replace((path, opened)));
        drop(before);
    }

    /// What was opened for a client.
    pub(super) fn take(&self, place: Place, path: &str) -> Option<Opened> {
        self.with(place, |c| {
            c.served = Some(path.to_owned());
            c.waiting.take_if(|(p, _)| p == path)
        })?
        .map(|(_, opened)| opened)
    }

    /// What a client was served is over.
    pub(super) fn over(&self, place: Place) {
        self.with(place, |c| c.served = None);
    }

    /// Ends the connections that do not say who they are. To be called now and then.
    pub(super) fn send_unknown_away(&self) {
        for client in self.lock().clients.values_mut().filter(|c| c.who.is_none()) {
            client.looks += 1;
            if client.looks >= UNKNOWN_LOOKS {
                tracing::debug!(peer = %client.peer.address, "an RTSP client does not say who it is");
                shut(client.socket.as_ref());
            }
        }
    }

    /// Ends one connection.
    pub(super) fn dismiss(&self, place: Place) {
        self.with(place, |c| shut(c.socket.as_ref()));
    }

    /// Ends all connections and waits until they are gone.
    pub(super) fn send_away(&self, wait: Duration) {
        let state = self.lock();
        for client in state.clients.values() {
            shut(client.socket.as_ref());
        }
        let left = self
            .gone
            .wait_timeout_while(state, wait, |state| !state.clients.is_empty());
        let (left, _) = left.unwrap_or_else(PoisonError::into_inner);
        if !left.clients.is_empty() {
            tracing::warn!(clients = left.clients.len(), "RTSP clients do not go");
        }
    }
}

fn shut(socket: Option<&TcpStream>) {
    if let Some(socket) = socket {
        // One that is gone already is as good.
        let _ = socket.shutdown(Shutdown::Both);
    }
}

/// The socket of a client that has just come.
fn socket_of(client: &RTSPClient) -> Option<TcpStream> {
    // SAFETY: the client has just been made for a connection, and nobody closes it before its thread is begun; so socket and
    // descriptor live while they are looked at here.
    let owned = unsafe {
        let connection = gst_rtsp_server::ffi::gst_rtsp_client_get_connection(client.to_glib_none().0);
        if connection.is_null() {
            return None;
        }
        let socket = gst_rtsp::ffi::gst_rtsp_connection_get_read_socket(connection);
        let socket: Option<gio::Socket> = from_glib_none(socket);
        socket?.fd().try_clone_to_owned().ok()?
    };
    let socket = TcpStream::from(owned);
    if let Err(e) = socket2::SockRef::from(&socket).set_send_buffer_size(SEND_BYTES) {
        tracing::debug!(error = %e, "the kernel buffers more for an RTSP client");
    }
    Some(socket)
}
