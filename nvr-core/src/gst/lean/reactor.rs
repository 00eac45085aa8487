//! The threads that serve the connections of all cameras of a recorder.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use gst::prelude::*;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};

use super::failure::{Failure, FailureKind};
use super::link::Link;
use super::session::{Live, Next, Open, Session, State};
use super::tls;
use crate::gst::guard::guarded;

/// How often the sockets of cameras that only record are read. What a crash can cost is this, plus a quarter of a
/// chunk, plus a frame; see `writer/cuts.rs`.
pub(super) const TICK_NS: i64 = 250_000_000;
/// Part of a tick after which a camera is read whose socket would overflow.
pub(super) const SHARE: i64 = 4;
/// For a server to take the connection, each of its addresses.
const CONNECT: Duration = Duration::from_secs(5);
/// For name lookup and connecting in all.
const CONNECT_ALL_NS: i64 = 15_000_000_000;
/// Of one read; the larger, the fewer.
const READ_BYTES: usize = 256 << 10;
/// Key of the inbox in epoll.
const INBOX: u64 = u64::MAX;

/// Serves connections in one or two threads, which start with the first one. Cheap to clone; the threads end with
/// the last clone.
#[derive(Debug, Clone, Default)]
pub struct Reactor(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    workers: OnceLock<Result<Vec<Arc<Inbox>>, String>>,
    next_id: AtomicU64,
    tls: Arc<tls::Configs>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(Ok(workers)) = self.workers.get() {
            for w in workers {
                w.put(Command::Stop);
            }
        }
    }
}

/// Where a worker finds what it is to do.
#[derive(Debug)]
struct Inbox {
    commands: Mutex<Vec<Command>>,
    bell: OwnedFd,
}

#[derive(Debug)]
enum Command {
    Open(u64, Box<Open>),
    Connected(u64, u32, Result<Box<Link>, Failure>),
    Look(u64),
    Close(u64),
    Stop,
}

impl Inbox {
    fn put(&self, command: Command) {
        self.lock().push(command);
        // Full only when it is rung already.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }

    fn take(&self) -> Vec<Command> {
        let mut count = [0u8; 8];
        let _ = rustix::io::read(&self.bell, &mut count);
        std::mem::take(&mut self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Command>> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session; closed when dropped.
#[derive(Debug)]
pub(super) struct Handle {
    id: u64,
    inbox: Arc<Inbox>,
    /// The threads live as long as a session does.
    _reactor: Reactor,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.inbox.put(Command::Close(self.id));
    }
}

impl Reactor {
    /// A reactor without threads yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    #[cfg(test)]
    pub(super) fn trusting(root: Vec<u8>, later: Duration) -> Self {
        Self(Arc::new(Shared {
            workers: OnceLock::new(),
            next_id: AtomicU64::new(0),
            tls: Arc::new(tls::Configs::trusting(root, later)),
        }))
    }

    /// Opens a session. What comes of it is told to its handler.
    ///
    /// # Errors
    /// `Internal` when the threads cannot be started.
    pub(super) fn open(&self, open: Open) -> Result<Handle, Failure> {
        let workers = self
            .0
            .workers
            .get_or_init(|| start_workers(&self.0.tls))
            .as_ref()
            .map_err(|e| Failure::new(FailureKind::Internal, e.clone()))?;
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        let inbox = workers[id as usize % workers.len()].clone();
        let bell = Arc::downgrade(&inbox);
        open.demand.on_first(Some(Box::new(move || {
            if let Some(inbox) = bell.upgrade() {
                inbox.put(Command::Look(id));
            }
        })));
        inbox.put(Command::Open(id, Box::new(open)));
        Ok(Handle {
            id,
            inbox,
            _reactor: self.clone(),
        })
    }
}

fn start_workers(tls: &Arc<tls::Configs>) -> Result<Vec<Arc<Inbox>>, String> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    // One thread reads a hundred cameras; a second is for machines that have others to spare.
    let count = if cores >= 4 { 2 } else { 1 };
    (0..count)
        .map(|n| start_worker(n, tls).map_err(|e| format!("cannot start a network thread: {e}")))
        .collect()
}

fn start_worker(n: usize, tls: &Arc<tls::Configs>) -> std::io::Result<Arc<Inbox>> {
    let inbox = Arc::new(Inbox {
        commands: Mutex::default(),
        bell: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
    });
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let key = epoll::EventData::new_u64(INBOX);
    epoll::add(&epoll, &inbox.bell, key, epoll::EventFlags::IN)?;
    let worker = Worker {
        inbox: inbox.clone(),
        epoll,
        clock: gst::SystemClock::obtain(),
        sessions: HashMap::new(),
        buffer: vec![0; READ_BYTES],
        tls: tls.clone(),
    };
    std::thread::Builder::new()
        .name(format!("nvr-net-{n}"))
        .spawn(move || worker.run())?;
    Ok(inbox)
}

struct Worker {
    inbox: Arc<Inbox>,
    epoll: OwnedFd,
    clock: gst::Clock,
    sessions: HashMap<u64, Session>,
    buffer: Vec<u8>,
    tls: Arc<tls::Configs>,
}

/// What a session is looked at for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// Its socket has something.
    Ready,
    /// It may be time for it.
    Tick,
    /// Somebody came who wants its frames at once.
    Wanted,
}

impl Worker {
    fn run(mut self) {
        let mut ready: Vec<epoll::Event> = Vec::with_capacity(256);
        let mut last_tick = 0;
        loop {
            ready.clear();
            let pause = self.pause(self.now_ns());
            match epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut ready),
                pause.as_ref(),
            ) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => {
                    tracing::error!(error = %e, "waiting for the network failed");
                    return;
                }
            }
            let keys: Vec<u64> = ready.iter().map(|e| e.data.u64()).collect();
            if keys.contains(&INBOX) {
                for command in self.inbox.take() {
                    if !self.obey(command) {
                        return;
                    }
                }
            }
            for id in keys {
                self.look(id, Why::Ready);
            }
            let now_ns = self.now_ns();
            let share = now_ns / (TICK_NS / SHARE);
            if share != last_tick {
                let whole = share / SHARE != last_tick / SHARE;
                last_tick = share;
                self.tick(now_ns, whole);
            }
        }
    }

    fn now_ns(&self) -> i64 {
        i64::try_from(self.clock.time().nseconds()).unwrap_or(i64::MAX)
    }

    /// How long nothing needs to be done: until the next tick, or for ever.
    fn pause(&self, now_ns: i64) -> Option<Timespec> {
        if self.sessions.is_empty() {
            return None;
        }
        let heavy = |s: &Session| matches!(&s.state, State::Live(l) if l.heavy);
        let step = if self.sessions.values().any(heavy) {
            TICK_NS / SHARE
        } else {
            TICK_NS
        };
        Timespec::try_from(Duration::from_nanos((step - now_ns.rem_euclid(step)) as u64)).ok()
    }

    /// Everything that is due by time. `whole`: also what waits for whole ticks.
    fn tick(&mut self, now_ns: i64, whole: bool) {
        let due: Vec<u64> = self
            .sessions
            .iter()
            .filter(|(_, s)| match &s.state {
                State::Live(live) => whole || live.heavy,
                State::Connecting { deadline_ns, .. } => now_ns >= *deadline_ns,
            })
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.look(id, Why::Tick);
        }
    }

    /// Whether to go on.
    fn obey(&mut self, command: Command) -> bool {
        match command {
            Command::Stop => return false,
            Command::Look(id) => self.look(id, Why::Wanted),
            Command::Close(id) => {
                if let Some(mut session) = self.sessions.remove(&id)
                    && let State::Live(live) = &mut session.state
                {
                    live.hang_up();
                }
            }
            Command::Open(id, open) => {
                let mut session = Session::new(*open);
                self.connect(id, &mut session);
                self.sessions.insert(id, session);
            }
            Command::Connected(id, attempt, result) => self.connected(id, attempt, result),
        }
        true
    }

    /// Has a thread connect: resolver and handshake take their time.
    fn connect(&self, id: u64, session: &mut Session) {
        let attempt = session.redirects;
        session.state = State::Connecting {
            deadline_ns: self.now_ns().saturating_add(CONNECT_ALL_NS),
            attempt,
        };
        let (inbox, tls) = (self.inbox.clone(), self.tls.clone());
        let url = session.open.client.url.clone();
        let verify = session.open.verify_tls;
        let span = session.open.span.clone();
        let spawned = std::thread::Builder::new()
            .name("nvr-connect".into())
            .spawn(move || {
                let _about = span.entered();
                let config = match url.scheme() {
                    "rtsps" => tls.get(verify).map(Some),
                    _ => Ok(None),
                };
                let link = config.and_then(|tls| Link::connect(&url, CONNECT, tls.as_ref()));
                inbox.put(Command::Connected(id, attempt, link.map(Box::new)));
            });
        if let Err(e) = spawned {
            let failure = Failure::new(FailureKind::Internal, format!("no thread to connect: {e}"));
            self.inbox.put(Command::Connected(id, attempt, Err(failure)));
        }
    }

    fn connected(&mut self, id: u64, attempt: u32, result: Result<Box<Link>, Failure>) {
        let now_ns = self.now_ns();
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if !matches!(session.state, State::Connecting { attempt: a, .. } if a == attempt) {
            return;
        }
        let link = match result {
            Ok(link) => *link,
            Err(e) => return self.end(id, e),
        };
        let interest = epoll::EventFlags::IN | epoll::EventFlags::RDHUP;
        let key = epoll::EventData::new_u64(id);
        if let Err(e) = epoll::add(&self.epoll, link.socket(), key, interest) {
            return self.end(id, Failure::new(FailureKind::Internal, format!("epoll: {e}")));
        }
        let mut live = Box::new(Live::new(link, session.open.client.clone(), now_ns));
        live.interest = interest;
        session.state = State::Live(live);
        self.look(id, Why::Tick);
    }

    /// Looks after one session.
    fn look(&mut self, id: u64, why: Why) {
        let now_ns = self.now_ns();
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let _about = session.open.span.clone().entered();
        let Open {
            handler,
            demand,
            lazy,
            ..
        } = &mut session.open;
        let live = match &mut session.state {
            State::Live(live) => live,
            State::Connecting { deadline_ns, .. } => {
                if now_ns >= *deadline_ns {
                    let why = "the name could not be looked up and connected to in time";
                    self.end(id, Failure::new(FailureKind::Unreachable, why));
                }
                return;
            }
        };
        let waits = *lazy && !demand.is_there() && live.can_wait(now_ns);
        let mut panicked = None;
        let buffer = &mut self.buffer;
        let next = guarded(
            "network",
            Next::Go,
            |text| panicked = Some(text.to_owned()),
            || {
                if why == Why::Tick && live.due(now_ns) {
                    match live.on_time(&mut **handler, now_ns) {
                        Next::Go => {}
                        over => return over,
                    }
                }
                live.read(buffer, &mut **handler, now_ns, waits)
            },
        );
        if let Some(text) = panicked {
            let failure = Failure::new(FailureKind::Internal, format!("panic: {text}"));
            return self.end(id, failure);
        }
        match next {
            Next::Go => self.watch(id, waits),
            Next::End(failure) => self.end(id, failure),
            Next::Redirect(url) => {
                let Some(mut session) = self.sessions.remove(&id) else {
                    return;
                };
                match session.redirect(url) {
                    Ok(()) => {
                        self.connect(id, &mut session);
                        self.sessions.insert(id, session);
                    }
                    Err(e) => {
                        self.sessions.insert(id, session);
                        self.end(id, e);
                    }
                }
            }
        }
    }

    /// Tells epoll what is waited for: bytes, unless the tick looks after them; the end always.
    fn watch(&mut self, id: u64, waits: bool) {
        let Some(State::Live(live)) = self.sessions.get_mut(&id).map(|s| &mut s.state) else {
            return;
        };
        let mut interest = epoll::EventFlags::RDHUP;
        interest.set(epoll::EventFlags::IN, !waits);
        interest.set(epoll::EventFlags::OUT, live.unsent);
        if interest == live.interest {
            return;
        }
        let key = epoll::EventData::new_u64(id);
        match epoll::modify(&self.epoll, live.link.socket(), key, interest) {
            Ok(()) => live.interest = interest,
            Err(e) => self.end(id, Failure::new(FailureKind::Internal, format!("epoll: {e}"))),
        }
    }

    /// Forgets a session; closing its socket takes it out of epoll.
    fn end(&mut self, id: u64, failure: Failure) {
        if let Some(mut session) = self.sessions.remove(&id) {
            let _about = session.open.span.clone().entered();
            tracing::debug!(url = %session.open.client.url, ?failure, "session over");
            guarded("network", (), |_| {}, || session.open.handler.ended(failure));
        }
    }
}
