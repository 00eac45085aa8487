//! WebRTC by TCP: passive candidates (RFC 6544), packets with their length before them (RFC 4571).

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::gateway::{Link, Packet, Routing};

/// Connections at once.
const CONNECTIONS: usize = 128;
/// Packets that wait for a slow connection; beyond that they are lost, as on any network.
const WAITING: usize = 512;
/// A connection that says nothing for so long is closed; ICE speaks every few seconds.
const IDLE: Duration = Duration::from_secs(30);

pub(super) async fn accept(
    listener: TcpListener,
    routes: Weak<Routing>,
    to: SocketAddr,
    stop: CancellationToken,
    deliver: fn(&Routing, Packet) -> bool,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, from)) = accepted else {
            // Out of descriptors, most likely: it does not help to ask again at once.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let (routes, stop) = (routes.clone(), stop.clone());
        tokio::spawn(async move {
            let _place = place;
            tokio::select! {
                () = stop.cancelled() => {}
                () = serve(stream, from, to, routes, deliver) => {}
            }
        });
    }
}

async fn serve(
    stream: TcpStream,
    from: SocketAddr,
    to: SocketAddr,
    routes: Weak<Routing>,
    deliver: fn(&Routing, Packet) -> bool,
) {
    let _ = stream.set_nodelay(true);
    let (mut reader, mut writer) = stream.into_split();
    let (packets, mut outgoing) = mpsc::channel::<Bytes>(WAITING);
    let write = async move {
        while let Some(packet) = outgoing.recv().await {
            let Ok(len) = u16::try_from(packet.len()) else {
                continue;
            };
            let mut framed = Vec::with_capacity(2 + packet.len());
            framed.extend(len.to_be_bytes());
            framed.extend_from_slice(&packet);
            if writer.write_all(&framed).await.is_err() {
                return;
            }
        }
    };
    let read = async move {
        loop {
            let packet = async {
                let len = reader.read_u16().await?;
                let mut data = vec![0; usize::from(len)];
                reader.read_exact(&mut data).await?;
                std::io::Result::Ok(data)
            };
            let Ok(Ok(data)) = tokio::time::timeout(IDLE, packet).await else {
                return;
            };
            let Some(routes) = routes.upgrade() else { return };
            let packet = Packet {
                link: Link::Tcp(packets.clone()),
                from,
                to,
                data: data.into(),
            };
            // Who is no viewer of ours has nothing to say.
            if !deliver(&routes, packet) {
                return;
            }
        }
    };
    tokio::select! {
        () = write => {}
        () = read => {}
    }
}
