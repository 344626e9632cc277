//! Channels to the other processes of a cluster.
//! Never here: their addresses, and what is sent.

use std::time::Duration;

use anyhow::Context as _;
pub use service_edge::feed::Identity;
use tonic::transport::{Channel, Endpoint};

use crate::flags::address::Address;

const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// A peer that is cut off without closing its connection is noticed after twice this.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);

/// A channel to the processes at these URLs; connects on first use. None without URLs.
///
/// # Errors
/// If one is not an address, or is https.
pub fn channel(urls: &[String]) -> anyhow::Result<Option<Channel>> {
    let endpoints = urls.iter().map(|url| endpoint(url)).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(match endpoints.as_slice() {
        [] => None,
        [one] => Some(one.connect_lazy()),
        _ => Some(Channel::balance_list(endpoints.into_iter())),
    })
}

fn endpoint(url: &str) -> anyhow::Result<Endpoint> {
    let address: Address =
        url.parse().map_err(|what| anyhow::anyhow!("the address of another process {what}"))?;
    let endpoint = Endpoint::from_shared(address.to_string()).context("address")?;
    Ok(endpoint
        .connect_timeout(CONNECT_WITHIN)
        .http2_keep_alive_interval(KEEPALIVE_EVERY)
        .keep_alive_timeout(KEEPALIVE_EVERY)
        .keep_alive_while_idle(true))
}
