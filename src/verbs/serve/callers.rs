use std::path::PathBuf;
use std::sync::Arc;

use web_edge::Hosts;

use super::{ServeArgs, tokens};
use crate::edge::access::Access;
use crate::edge::peers::Identity;
use crate::engine::{Backend, Settings};

impl ServeArgs {
    /// How this process is known to the others.
    pub(super) fn identity(&self) -> anyhow::Result<Identity> {
        let Some(token) = &self.peer_token else { return Ok(Identity::default()) };
        Ok(Identity::with_token(token)?)
    }

    /// The token file: the given one, or the one in the data directory.
    pub(super) fn tokens(&self, backend: &Backend) -> anyhow::Result<Option<PathBuf>> {
        match (&self.tokens, backend) {
            (Some(path), _) => Ok(Some(path.clone())),
            (None, Backend::Sqlite(data))
                if !self.listen.ip().is_loopback() && !self.issuers.is_set() =>
            {
                tokens::in_directory(data).map(Some)
            }
            (None, _) => Ok(None),
        }
    }

    /// Who may call, and from where.
    pub(super) fn believe(
        &self,
        settings: &mut Settings,
        tokens: Option<PathBuf>,
    ) -> anyhow::Result<()> {
        let public = Hosts::new(self.public_url.iter().map(String::as_str));
        let public = public.map_err(|what| anyhow::anyhow!("--public-url: {what}"))?;
        let permitted = public.and_pages_of(self.cors_origin.iter().map(String::as_str));
        settings.reflection = self.reflection;
        settings.public = permitted.map_err(|what| anyhow::anyhow!("--cors-origin: {what}"))?;
        if let Some(path) = tokens {
            settings.access = Access::from_file(&path)?;
        }
        if let Some(issuers) = self.issuers.issuers()? {
            let open = std::mem::replace(&mut settings.access, Access::development());
            settings.access = open.and_issuers(issuers);
            settings.own_tokens = self.issuers.own_tokens()?.map(Arc::new);
        }
        Ok(())
    }
}
