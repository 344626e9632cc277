use tonic::Request;
use tonic::metadata::errors::InvalidMetadataValue;
use tonic::metadata::{Ascii, MetadataValue};

/// The token cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error("the peer token is not a valid header value")]
pub struct NoToken(#[source] InvalidMetadataValue);

/// This process's identity towards its peers: the holder of a token with the role SERVICE, or,
/// where the cluster trusts its callers, a service without proof.
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
    /// [`NoToken`] where it has characters that no header may have.
    pub fn with_token(token: &str) -> Result<Self, NoToken> {
        let mut bearer: MetadataValue<Ascii> =
            format!("Bearer {token}").parse().map_err(NoToken)?;
        bearer.set_sensitive(true);
        Ok(Self { bearer: Some(bearer) })
    }

    /// The value of `authorization`, if it is a token.
    #[must_use]
    pub const fn bearer(&self) -> Option<&MetadataValue<Ascii>> {
        self.bearer.as_ref()
    }

    /// A request with this identity.
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
