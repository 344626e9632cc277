//! Channels to the other processes of a cluster, and who this one is to them.
//! Never here: where they are, and what is said to them.

use std::time::Duration;

use anyhow::Context as _;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

use crate::flags::address::Address;

const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// A peer that was cut off without a word is noticed after twice this.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);

/// Who this process is to its peers: the holder of a token with the role SERVICE, or, where the
/// cluster trusts its callers, a service by its word.
#[derive(Clone, Default)]
pub struct Identity {
    bearer: Option<MetadataValue<Ascii>>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.bearer.is_some() { "Identity(token)" } else { "Identity(trusted)" })
    }
}

impl Identity {
    /// With this bearer token.
    ///
    /// # Errors
    /// Where it has characters that no header may have.
    pub fn with_token(token: &str) -> anyhow::Result<Self> {
        let mut bearer: MetadataValue<Ascii> =
            format!("Bearer {token}").parse().context("the peer token is no header value")?;
        bearer.set_sensitive(true);
        Ok(Self { bearer: Some(bearer) })
    }

    /// A request in this name.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        match &self.bearer {
            Some(bearer) => {
                request.metadata_mut().insert("authorization", bearer.clone());
            }
            None => {
                let metadata = request.metadata_mut();
                metadata.insert("ordinal-role", MetadataValue::from_static("service"));
                metadata.insert("ordinal-subject", MetadataValue::from_static("peer"));
            }
        }
        request
    }
}

/// A channel to whoever answers at these URLs; connects when it is first used. None without any.
///
/// # Errors
/// Where one is no address, or https.
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
