//! The stream of events: many may listen, nobody may hold anybody up.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;

use crate::clock::SharedClock;
use crate::event::{Event, EventKind};

/// Events that a slow listener may be behind before it misses some.
const BACKLOG: usize = 1024;

/// Where events are published.
#[derive(Debug)]
pub(crate) struct EventBus {
    sender: broadcast::Sender<Event>,
    clock: SharedClock,
}

impl EventBus {
    pub(crate) fn new(clock: SharedClock) -> Self {
        Self {
            sender: broadcast::Sender::new(BACKLOG),
            clock,
        }
    }

    pub(crate) fn publish(&self, event: Event) {
        // No listener is not an error.
        let _ = self.sender.send(event);
    }

    pub(crate) fn subscribe(&self) -> EventStream {
        EventStream {
            inner: BroadcastStream::new(self.sender.subscribe()),
            clock: self.clock.clone(),
        }
    }
}

/// Events from now on, until the last clone of the [`Nvr`](crate::Nvr) is dropped. A listener that is too slow gets
/// [`EventKind::Lagged`] in place of what it missed.
#[derive(Debug)]
pub struct EventStream {
    inner: BroadcastStream<Event>,
    clock: SharedClock,
}

impl Stream for EventStream {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        Pin::new(&mut self.inner).poll_next(cx).map(|item| {
            item.map(|result| match result {
                Ok(event) => event,
                Err(BroadcastStreamRecvError::Lagged(missed)) => {
                    Event::new(self.clock.now(), None, EventKind::Lagged { missed })
                }
            })
        })
    }
}
