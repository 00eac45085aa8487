//! One connection to a camera, from its first request to its end.

use std::sync::Arc;

use url::Url;

use super::demand::Demand;
use super::failure::{Failure, FailureKind};
use super::link::{Got, Link};
use super::reactor::{SHARE, TICK_NS};
use crate::rtsp::{Client, ClientOptions, Event, TrackKind, redirect};
use crate::source::Credentials;

/// After the tracks are known, a stream is read at once for so long: its time line is fitted to the arrival of the
/// first packets.
const SETTLE_NS: i64 = 2_000_000_000;
/// Bytes that one connection may bring before others have their turn.
const TURN_BYTES: usize = 4 << 20;
/// What is held of a stream that has not come to the present yet.
const MOST_HELD_BYTES: usize = 16 << 20;

/// What a session is told to open.
#[derive(Debug)]
pub(super) struct Open {
    pub client: ClientOptions,
    pub verify_tls: bool,
    /// Whether it is read on the tick while nobody wants its frames at once.
    pub lazy: bool,
    pub demand: Arc<Demand>,
    /// What is logged about it belongs to this.
    pub span: tracing::Span,
    pub handler: Box<dyn Handler>,
}

/// Takes what a session brings. Called in a reactor's thread, which serves other cameras, too: it must not wait.
pub(super) trait Handler: Send + std::fmt::Debug {
    /// News, in order.
    ///
    /// # Errors
    /// Ends the session.
    fn event(&mut self, event: Event) -> Result<(), Failure>;
    /// What came in one go is over. `more`: the next is expected at once.
    ///
    /// # Errors
    /// Ends the session.
    fn flush(&mut self, more: bool) -> Result<(), Failure>;
    /// The session is over; last call.
    fn ended(&mut self, why: Failure);
}

/// Whether a session goes on.
#[derive(Debug)]
pub(super) enum Next {
    Go,
    /// Connect anew, to another address.
    Redirect(Url),
    /// It is over, and why.
    End(Failure),
}

/// A connection that stands.
#[derive(Debug)]
pub(super) struct Live {
    pub link: Link,
    client: Client,
    events: Vec<Event>,
    /// Units of a stream that has not come to the present yet, and their bytes: their times are settled when it has.
    held: Option<(Vec<Event>, usize)>,
    /// When the tracks came.
    tracks_at_ns: Option<i64>,
    /// It is read four times in a tick: its buffer would not hold more.
    pub heavy: bool,
    /// When it was weighed last, and the bytes since.
    weighed: (i64, usize),
    /// Something waits to be sent.
    pub unsent: bool,
    /// What epoll was told.
    pub interest: rustix::event::epoll::EventFlags,
}

impl Live {
    pub(super) fn new(link: Link, options: ClientOptions, now_ns: i64) -> Self {
        Self {
            link,
            client: Client::new(options, now_ns),
            events: Vec::new(),
            held: Some((Vec::new(), 0)),
            tracks_at_ns: None,
            heavy: false,
            weighed: (now_ns, 0),
            unsent: false,
            interest: rustix::event::epoll::EventFlags::empty(),
        }
    }

    /// Whether it may wait for the tick.
    pub(super) fn can_wait(&self, now_ns: i64) -> bool {
        self.tracks_at_ns
            .is_some_and(|at| now_ns.saturating_sub(at) > SETTLE_NS)
    }

    pub(super) fn due(&self, now_ns: i64) -> bool {
        self.client.next_timeout_ns().is_some_and(|t| t <= now_ns)
    }

    /// Reads what is there. `waits`: it will not be read again before the next tick.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        handler: &mut dyn Handler,
        now_ns: i64,
        waits: bool,
    ) -> Next {
        let mut taken = 0;
        let end = loop {
            match self.link.read(buffer) {
                Ok(Got::Bytes(n)) => {
                    taken += n;
                    let result = self.client.input(&buffer[..n], now_ns, &mut self.events);
                    match self.pass_on(handler, now_ns) {
                        Next::Go => {}
                        over => return self.last_words(over, handler),
                    }
                    if let Err(e) = self.settle(handler, now_ns) {
                        return Next::End(e);
                    }
                    if let Err(e) = result {
                        break Some(Failure::from(e));
                    }
                    // A short read has emptied a plain socket; another would only say so.
                    if (n < buffer.len() && !self.link.is_tls()) || taken >= TURN_BYTES {
                        break None;
                    }
                }
                Ok(Got::Nothing) => break None,
                Ok(Got::End) => {
                    let kind = if self.tracks_at_ns.is_some() {
                        FailureKind::Ended
                    } else {
                        FailureKind::Unreachable
                    };
                    break Some(Failure::new(kind, "the camera closed the connection"));
                }
                Err(e) => break Some(e),
            }
        };
        if let Err(e) = self.settle(handler, now_ns) {
            return Next::End(e);
        }
        self.weigh(taken, now_ns);
        if let Err(e) = handler.flush(!waits) {
            return Next::End(e);
        }
        match end {
            Some(e) => Next::End(e),
            None => self.write(),
        }
    }

    /// Whether a tick brings more than a quarter of what the kernel holds, by what came since the last read.
    fn weigh(&mut self, taken: usize, now_ns: i64) {
        self.weighed.1 += taken;
        let (since_ns, bytes) = self.weighed;
        let passed_ns = now_ns.saturating_sub(since_ns);
        // Over less, a keyframe would seem to be the rule.
        if passed_ns < TICK_NS / SHARE {
            return;
        }
        self.weighed = (now_ns, 0);
        self.heavy = is_heavy(bytes, passed_ns, self.link.buffer_bytes());
    }

    /// Deadlines, keep-alive, reports.
    pub(super) fn on_time(&mut self, handler: &mut dyn Handler, now_ns: i64) -> Next {
        let result = self.client.on_time(now_ns, &mut self.events);
        match self.pass_on(handler, now_ns) {
            Next::Go => {}
            over => return self.last_words(over, handler),
        }
        if let Err(e) = handler.flush(true) {
            return Next::End(e);
        }
        match result {
            Ok(()) => self.write(),
            Err(e) => Next::End(e.into()),
        }
    }

    /// Sends what the client has to say.
    pub(super) fn write(&mut self) -> Next {
        let bytes = self.client.take_output();
        let sent = self.link.send(&bytes).and_then(|()| self.link.flush());
        match sent {
            Ok(unsent) => {
                self.unsent = unsent;
                Next::Go
            }
            Err(e) => Next::End(e),
        }
    }

    /// Says goodbye, as far as that goes without waiting.
    pub(super) fn hang_up(&mut self) {
        self.client.teardown();
        let _ = self.write();
    }

    /// Hands out what was held, once its times are settled.
    fn settle(&mut self, handler: &mut dyn Handler, now_ns: i64) -> Result<(), Failure> {
        let much = self
            .held
            .as_ref()
            .is_some_and(|(_, bytes)| *bytes > MOST_HELD_BYTES);
        if self.tracks_at_ns.is_none() || (self.client.catching_up(now_ns) && !much) {
            return Ok(());
        }
        let Some((held, _)) = self.held.take() else {
            return Ok(());
        };
        let (video_ns, audio_ns) = self.client.settle_times();
        for mut event in held {
            if let Event::Unit(unit) = &mut event {
                let shift = match unit.track {
                    TrackKind::Video => video_ns,
                    TrackKind::Audio => audio_ns,
                };
                unit.pts_ns = unit.pts_ns.saturating_add(shift);
            }
            handler.event(event)?;
        }
        Ok(())
    }

    fn last_words(&mut self, over: Next, handler: &mut dyn Handler) -> Next {
        let _ = handler.flush(true);
        let _ = self.write();
        over
    }

    fn pass_on(&mut self, handler: &mut dyn Handler, now_ns: i64) -> Next {
        for event in self.events.drain(..) {
            match event {
                Event::Redirect(url) => return Next::Redirect(url),
                Event::Ended(why) => return Next::End(Failure::new(FailureKind::Ended, why)),
                event => {
                    if let Event::Tracks(_) = &event {
                        self.tracks_at_ns = Some(now_ns);
                    } else if let Some((held, bytes)) = &mut self.held {
                        if let Event::Unit(unit) = &event {
                            *bytes += unit.data.len();
                        }
                        held.push(event);
                        continue;
                    }
                    if let Err(e) = handler.event(event) {
                        return Next::End(e);
                    }
                }
            }
        }
        Next::Go
    }
}

/// Whether what came in so many nanoseconds is, over a whole tick, more than a quarter of the kernel's buffer: its
/// bookkeeping takes as much again, and a keyframe comes at once.
fn is_heavy(bytes: usize, passed_ns: i64, buffer_bytes: usize) -> bool {
    bytes as i128 * i128::from(TICK_NS) > buffer_bytes as i128 / 4 * i128::from(passed_ns)
}

/// A session in a reactor's books.
#[derive(Debug)]
pub(super) struct Session {
    pub open: Open,
    /// The address that was configured, and the credentials for it.
    home: Url,
    login: Option<Credentials>,
    pub redirects: u32,
    pub state: State,
}

#[derive(Debug)]
pub(super) enum State {
    /// A thread looks the name up and connects.
    Connecting {
        deadline_ns: i64,
        attempt: u32,
    },
    Live(Box<Live>),
}

impl Session {
    pub(super) fn new(open: Open) -> Self {
        Self {
            home: open.client.url.clone(),
            login: open.client.credentials.clone(),
            open,
            redirects: 0,
            state: State::Connecting {
                deadline_ns: 0,
                attempt: 0,
            },
        }
    }

    /// Takes another address.
    ///
    /// # Errors
    /// As of [`redirect::follow`].
    pub(super) fn redirect(&mut self, url: Url) -> Result<(), Failure> {
        self.redirects += 1;
        let client = &mut self.open.client;
        let (login, verify) = (self.login.is_some(), self.open.verify_tls);
        let along = redirect::follow(&self.home, &client.url, &url, self.redirects, login, verify)?;
        client.credentials = self.login.clone().filter(|_| along);
        client.withheld_for = (login && !along).then(|| self.home.host_str().unwrap_or_default().to_owned());
        client.url = url;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weight_does_not_depend_on_how_often_is_read() {
        // 4 Mbit/s into the buffer of a system that does not allow a larger one, and into ours.
        for (buffer, heavy) in [(128 << 10, true), (4 << 20, false)] {
            assert_eq!(is_heavy(125_000, TICK_NS, buffer), heavy);
            assert_eq!(is_heavy(31_250, TICK_NS / SHARE, buffer), heavy);
        }
        assert!(is_heavy(1 << 20, TICK_NS / 2, 4 << 20));
        assert!(!is_heavy(0, TICK_NS, 0));
    }
}
