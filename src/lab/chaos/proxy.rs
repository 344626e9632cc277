use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

/// What happens to traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Forwarded.
    Open,
    /// Forwarded after this delay.
    Slow(Duration),
    /// Held back, without an error.
    Silent,
    /// Every connection is closed, and new ones are refused.
    Cut,
}

/// A connection to a server that can be made slow, silent or cut.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    way: watch::Sender<Way>,
}

impl Proxy {
    /// A proxy to this server, which need not listen yet.
    pub(super) async fn to(target: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (way, current) = watch::channel(Way::Open);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *current.borrow() != Way::Cut {
                    tokio::spawn(forward(client, target, current.clone()));
                }
            }
        });
        Ok(Self { address, way })
    }

    pub(super) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

async fn forward(client: TcpStream, target: SocketAddr, way: watch::Receiver<Way>) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    // TCP_NODELAY: small pieces must not wait for each other.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pump(from_client, to_server, way.clone()) => {}
        () = pump(from_server, to_client, way) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut way: watch::Receiver<Way>) {
    let mut piece = vec![0; 64 * 1024];
    loop {
        let read = tokio::select! {
            read = from.read(&mut piece) => read,
            cut = way.wait_for(|way| *way == Way::Cut) => { let _ = cut; return }
        };
        let Ok(length @ 1..) = read else { return };
        let now = *way.borrow();
        match now {
            Way::Open => {}
            Way::Slow(delay) => sleep(delay).await,
            Way::Silent => {
                let Ok(after) = way.wait_for(|way| *way != Way::Silent).await else { return };
                if *after == Way::Cut {
                    return;
                }
            }
            Way::Cut => return,
        }
        let Some(piece) = piece.get(..length) else { return };
        if to.write_all(piece).await.is_err() {
            return;
        }
    }
}
