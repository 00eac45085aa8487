//! Connections that are closed when nothing moves on them: a client that stops reading a download must not
//! hold its place, and one that opens connections and says nothing must not exhaust the file descriptors.
#![expect(
    clippy::disallowed_methods,
    reason = "how long a socket idles is measured by the runtime's own timer"
)]

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep};

/// A listener whose connections have patience.
pub(crate) struct Patient {
    inner: TcpListener,
    patience: Duration,
}

impl Patient {
    pub(crate) fn new(inner: TcpListener, patience: Duration) -> Self {
        Self { inner, patience }
    }
}

impl Listener for Patient {
    type Io = Idle<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        // Of `Listener`: errors are waited out.
        let (stream, addr) = Listener::accept(&mut self.inner).await;
        // Answers are written whole; waiting for more to send with them only delays.
        let _ = stream.set_nodelay(true);
        (Idle::new(stream, self.patience), addr)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.inner.local_addr()
    }
}

/// Fails with `TimedOut` once nothing was read or written for a time.
pub(crate) struct Idle<S> {
    inner: S,
    patience: Duration,
    moved: Instant,
    timer: Pin<Box<Sleep>>,
}

impl<S> Idle<S> {
    pub(crate) fn new(inner: S, patience: Duration) -> Self {
        Self {
            inner,
            patience,
            moved: Instant::now(),
            timer: Box::pin(tokio::time::sleep(patience)),
        }
    }

    /// After an attempt: progress starts the time anew, waiting goes on until it is over. The timer is moved
    /// only when it fires, not with every packet.
    fn judge<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.moved = Instant::now();
            return polled;
        }
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let end = self.moved + self.patience;
            if Instant::now() >= end {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.timer.as_mut().reset(end);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Idle<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.judge(cx, polled)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Idle<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.judge(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.judge(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    // A pipe in memory has no thread behind it, so paused time is right here.
    #[tokio::test(start_paused = true)]
    async fn a_reader_that_stops_is_given_up_and_a_slow_one_is_not() {
        let patience = Duration::from_secs(10);
        let (server, mut client) = tokio::io::duplex(16);
        let mut server = Idle::new(server, patience);
        let slow = tokio::spawn(async move {
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_secs(8)).await;
                let mut some = [0; 8];
                client.read_exact(&mut some).await.unwrap();
            }
            client
        });
        server.write_all(&[1; 40]).await.unwrap();
        let _client = slow.await.unwrap();
        let stalled = server.write_all(&[1; 40]).await.unwrap_err();
        assert_eq!(stalled.kind(), io::ErrorKind::TimedOut);
        let silent = server.read_u8().await.unwrap_err();
        assert_eq!(silent.kind(), io::ErrorKind::TimedOut);
    }
}
