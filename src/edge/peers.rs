//! Channels to the other processes of a cluster.
//! Never here: their addresses, and what is sent.

use std::time::Duration;

use anyhow::Context as _;
pub use service_edge::feed::Identity;
use tonic::transport::{Channel, Endpoint};

use super::lanes::{LANES, Lanes};
use super::tls::{ClientTls, Connector};
use crate::flags::address::Address;

const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// A peer that is cut off without closing its connection is noticed after twice this.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);

/// A channel to the processes at these URLs; connects on first use. None without URLs. By TLS it
/// has one connection at a time, to the next of them each time.
///
/// # Errors
/// If one is not an address, if only some are https, or if they are and there is no TLS for them.
pub fn channel(urls: &[String], tls: Option<&ClientTls>) -> anyhow::Result<Option<Channel>> {
    Ok(Places::read(urls, tls)?.channel())
}

/// The connections to the processes at these URLs, as [`channel`] makes one.
///
/// # Errors
/// As [`channel`].
pub(crate) fn lanes(urls: &[String], tls: Option<&ClientTls>) -> anyhow::Result<Option<Lanes>> {
    let places = Places::read(urls, tls)?;
    let Some(apart) = places.channel() else { return Ok(None) };
    // Without TLS each channel reaches all of them.
    let round = if places.by_tls.is_some() { places.endpoints.len() } else { 1 };
    let channels = (0..LANES).filter_map(|_| places.channel()).collect();
    Ok(Some(Lanes::new(channels, round, apart)))
}

/// Where processes are.
struct Places {
    endpoints: Vec<Endpoint>,
    /// By TLS: each connection of any channel goes to the next of them.
    by_tls: Option<Connector>,
}

impl Places {
    fn read(urls: &[String], tls: Option<&ClientTls>) -> anyhow::Result<Self> {
        let address = |url: &String| {
            let address: Result<Address, String> = url.parse();
            address.map_err(|what| anyhow::anyhow!("the address of another process {what}"))
        };
        let addresses = urls.iter().map(address).collect::<anyhow::Result<Vec<_>>>()?;
        let endpoints = addresses.iter().map(endpoint).collect::<anyhow::Result<Vec<_>>>()?;
        if !addresses.iter().any(Address::is_tls) {
            return Ok(Self { endpoints, by_tls: None });
        }
        anyhow::ensure!(
            addresses.iter().all(Address::is_tls),
            "the addresses of a service are all https:// or all http://"
        );
        let tls = tls.context("https:// needs TLS")?.clone();
        let places = endpoints.iter().map(|endpoint| endpoint.uri().clone()).collect();
        Ok(Self { endpoints, by_tls: Some(Connector::new(tls, places, CONNECT_WITHIN)) })
    }

    fn channel(&self) -> Option<Channel> {
        let (first, others) = self.endpoints.split_first()?;
        Some(match &self.by_tls {
            Some(connector) => first.connect_with_connector_lazy(connector.clone()),
            None if others.is_empty() => connect_timeout(first).connect_lazy(),
            None => Channel::balance_list(self.endpoints.iter().map(connect_timeout)),
        })
    }
}

fn connect_timeout(endpoint: &Endpoint) -> Endpoint {
    endpoint.clone().connect_timeout(CONNECT_WITHIN)
}

fn endpoint(address: &Address) -> anyhow::Result<Endpoint> {
    let endpoint = Endpoint::from_shared(address.to_string()).context("address")?;
    Ok(endpoint
        .http2_keep_alive_interval(KEEPALIVE_EVERY)
        .keep_alive_timeout(KEEPALIVE_EVERY)
        .keep_alive_while_idle(true))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::Request;
    use order_actor::clock::SystemClock;
    use tokio::net::TcpListener;
    use tonic::body::Body;
    use tower::ServiceExt as _;

    use super::*;
    use crate::edge::tls::ClientFiles;

    #[tokio::test]
    async fn by_tls_the_first_calls_reach_all_addresses() {
        let mut listeners = Vec::new();
        for _ in 0..3 {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
        }
        let url = |it: &TcpListener| format!("https://{}", it.local_addr().unwrap());
        let urls: Vec<String> = listeners.iter().map(url).collect();
        let tls = ClientTls::open(&ClientFiles::default(), Arc::new(SystemClock)).unwrap();
        let lanes = lanes(&urls, Some(&tls)).unwrap().unwrap();
        for _ in &urls {
            let (channel, taken) = lanes.take(false);
            crate::tasks::spawn(async move {
                let _under_way = taken;
                channel.oneshot(Request::new(Body::empty())).await
            });
        }
        // Nobody goes on with a handshake: who waits for one tries the next address later.
        let mut waiting = Vec::new();
        while waiting.len() < listeners.len() {
            let coming = listeners.iter().enumerate().map(|(nth, listener)| {
                Box::pin(async move { (nth, listener.accept().await.unwrap()) })
            });
            let (came, ..) = futures::future::select_all(coming).await;
            waiting.push(came);
        }
        let mut reached: Vec<usize> = waiting.iter().map(|(nth, _)| *nth).collect();
        reached.sort_unstable();
        assert_eq!(reached, [0, 1, 2]);
    }
}
