//! Flags of TLS.

use std::path::PathBuf;
use std::sync::Arc;

use order_actor::clock::Clock;

use crate::edge::tls::{ClientFiles, ClientTls, ServerFiles, ServerTls};
use crate::engine::PeerArgs;

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
    /// Ask callers for a client certificate of the authorities in this PEM file; the names in it say
    /// who calls, by [[certificates]] in the file of --tokens (docs/security.md).
    #[arg(long, value_name = "FILE", env = "ORDINAL_CLIENT_CA", requires = "tls_cert")]
    client_ca: Option<PathBuf>,
    /// Refuse connections without such a certificate, also for health checks.
    #[arg(long, env = "ORDINAL_CLIENT_CERT_REQUIRED", requires = "client_ca")]
    client_cert_required: bool,
    /// Accept certificates of other processes from the authorities in this PEM file [default: the
    /// public ones].
    #[arg(long, value_name = "FILE", env = "ORDINAL_PEER_CA", help_heading = "Several processes")]
    peer_ca: Option<PathBuf>,
    /// Prove to other processes who calls by the client certificate in this PEM file.
    #[arg(
        long,
        value_name = "FILE",
        env = "ORDINAL_PEER_CERT",
        help_heading = "Several processes",
        requires = "peer_key"
    )]
    peer_cert: Option<PathBuf>,
    /// The private key of --peer-cert, a PEM file.
    #[arg(
        long,
        value_name = "FILE",
        env = "ORDINAL_PEER_KEY",
        help_heading = "Several processes",
        requires = "peer_cert"
    )]
    peer_key: Option<PathBuf>,
}

impl TlsArgs {
    /// TLS for callers, if it is on; whether a certificate counts is a matter of this clock.
    ///
    /// # Errors
    /// If a file cannot be read, or certificate and key do not belong together.
    pub(super) fn server(&self, clock: &Arc<dyn Clock>) -> anyhow::Result<Option<ServerTls>> {
        let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) else { return Ok(None) };
        let files = ServerFiles {
            cert: cert.clone(),
            key: key.clone(),
            clients: self.client_ca.clone().map(|ca| (ca, self.client_cert_required)),
        };
        ServerTls::open(files, Arc::clone(clock)).map(Some)
    }

    /// TLS to other processes, if callers come by it here or another process is reached by it.
    ///
    /// # Errors
    /// If a file cannot be read, or has no authority.
    pub(super) fn client(
        &self,
        peers: &PeerArgs,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Option<ClientTls>> {
        if !self.is_on() && !peers.have_tls() {
            for (flag, file) in [("--peer-ca", &self.peer_ca), ("--peer-cert", &self.peer_cert)] {
                anyhow::ensure!(
                    file.is_none(),
                    "{flag} has no effect without --tls-cert and https:// addresses"
                );
            }
            return Ok(None);
        }
        let files = ClientFiles {
            ca: self.peer_ca.clone(),
            pair: self.peer_cert.clone().zip(self.peer_key.clone()),
        };
        ClientTls::open(&files, Arc::clone(clock)).map(Some)
    }

    /// Whether callers come by TLS.
    pub(super) const fn is_on(&self) -> bool {
        self.tls_cert.is_some()
    }
}
