//! Flags of TLS.

use std::path::PathBuf;
use std::sync::Arc;

use order_actor::clock::Clock;

use crate::edge::tls::{ServerFiles, ServerTls};

/// Flags of TLS.
#[derive(Debug, clap::Args)]
pub struct TlsArgs {
    /// Answer by TLS only, with the certificate in this PEM file, followed by those that it hangs
    /// on. Read anew when it changes, within 10s or on SIGHUP.
    #[arg(long, value_name = "FILE", env = "ORDINAL_TLS_CERT", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert, a PEM file.
    #[arg(long, value_name = "FILE", env = "ORDINAL_TLS_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

impl TlsArgs {
    /// TLS for callers, if it is on; whether a certificate counts is a matter of this clock.
    ///
    /// # Errors
    /// If a file cannot be read, or certificate and key do not belong together.
    pub(super) fn server(&self, clock: &Arc<dyn Clock>) -> anyhow::Result<Option<ServerTls>> {
        let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) else { return Ok(None) };
        let files = ServerFiles { cert: cert.clone(), key: key.clone() };
        ServerTls::open(files, Arc::clone(clock)).map(Some)
    }

    /// Whether callers come by TLS.
    pub(super) const fn is_on(&self) -> bool {
        self.tls_cert.is_some()
    }
}
