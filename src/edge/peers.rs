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
    nth(urls, tls, 0)
}

/// The connections to the processes at these URLs, as [`channel`] makes one.
///
/// # Errors
/// As [`channel`].
pub(crate) fn lanes(urls: &[String], tls: Option<&ClientTls>) -> anyhow::Result<Option<Lanes>> {
    let Some(apart) = channel(urls, tls)? else { return Ok(None) };
    let channels = (0..LANES).map(|lane| nth(urls, tls, lane));
    let channels = channels.collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Some(Lanes::new(channels.into_iter().flatten().collect(), apart)))
}

/// A channel that begins, by TLS, with this one of the addresses.
fn nth(urls: &[String], tls: Option<&ClientTls>, nth: usize) -> anyhow::Result<Option<Channel>> {
    let address = |url: &String| {
        let address: Result<Address, String> = url.parse();
        address.map_err(|what| anyhow::anyhow!("the address of another process {what}"))
    };
    let addresses = urls.iter().map(address).collect::<anyhow::Result<Vec<_>>>()?;
    let mut endpoints = addresses.iter().map(endpoint).collect::<anyhow::Result<Vec<_>>>()?;
    let first = nth.checked_rem(endpoints.len()).unwrap_or_default();
    endpoints.rotate_left(first);
    if addresses.iter().any(Address::is_tls) {
        anyhow::ensure!(
            addresses.iter().all(Address::is_tls),
            "the addresses of a service are all https:// or all http://"
        );
        let tls = tls.context("https:// needs TLS")?.clone();
        let places = endpoints.iter().map(|endpoint| endpoint.uri().clone()).collect();
        let connector = Connector::new(tls, places, CONNECT_WITHIN);
        return Ok(endpoints.first().map(|one| one.connect_with_connector_lazy(connector)));
    }
    Ok(match endpoints.as_slice() {
        [] => None,
        [one] => Some(connect_timeout(one).connect_lazy()),
        _ => Some(Channel::balance_list(endpoints.iter().map(connect_timeout))),
    })
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
