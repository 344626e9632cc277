use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use order_actor::clock::{Clock as _, SystemClock};

use crate::edge::tls::{ClientFiles, ClientTls, Counts};
use crate::engine::authority::{authority_in, keep};

/// How long the processes' certificate counts. Each start of the cluster makes a new one.
const PROCESSES: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The files with the certificates of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    /// What callers trust.
    pub(crate) ca: PathBuf,
    cert: PathBuf,
    key: PathBuf,
}

impl Files {
    /// In the folder of a cluster: the authority that it has, or a new one, and a new certificate
    /// for all processes.
    pub(super) fn fresh(folder: &Path) -> anyhow::Result<Self> {
        let at = |name: &str| folder.join("tls").join(name);
        let (ca, cert, key) = (at("ca.pem"), at("cluster.pem"), at("cluster.pem.key"));
        let from = SystemClock.now();
        let (authority, _) = authority_in(&ca, "Ordinal cluster", from)?;
        let names = ["127.0.0.1", "::1", "localhost"].map(str::to_owned);
        let issued = authority.issue(&names, Counts { from, length: PROCESSES })?;
        keep(&key, &issued.key)?;
        keep(&cert, &issued.cert)?;
        Ok(Self { ca, cert, key })
    }

    /// What a process is started with.
    pub(super) fn flags(&self) -> Vec<String> {
        let flags = [("--tls-cert", &self.cert), ("--tls-key", &self.key), ("--peer-ca", &self.ca)];
        flags.map(|(flag, file)| [flag.to_owned(), file.display().to_string()]).concat()
    }

    /// For calls to the processes.
    pub(super) fn client(&self) -> anyhow::Result<ClientTls> {
        let files = ClientFiles { ca: Some(self.ca.clone()), pair: None };
        ClientTls::open(&files, Arc::new(SystemClock))
    }
}
