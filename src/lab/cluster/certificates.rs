use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use order_actor::clock::{Clock as _, SystemClock};

use crate::edge::tls::{Authority, ClientFiles, ClientTls, Counts, Pair};
use crate::engine::write_private;

/// How long the authority counts.
const AUTHORITY: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
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
        let folder = folder.join("tls");
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let at = |name: &str| folder.join(name);
        let (ca, signs) = (at("ca.pem"), at("ca.pem.key"));
        let from = SystemClock.now();
        // The key is written last: an authority without it was not finished.
        if !signs.exists() {
            let made = Authority::generate("Ordinal cluster", Counts { from, length: AUTHORITY })?;
            write(&ca, &made.cert)?;
            write(&signs, &made.key)?;
        }
        let known = Pair { cert: read(&ca)?, key: read(&signs)? };
        let names = ["127.0.0.1", "::1", "localhost"].map(str::to_owned);
        let authority = Authority::from_pem(&known)?;
        let counts = Counts { from, length: PROCESSES.min(authority.left(from)) };
        let issued = authority.issue(&names, counts)?;
        let files = Self { ca, cert: at("cluster.pem"), key: at("cluster.pem.key") };
        write(&files.cert, &issued.cert)?;
        write(&files.key, &issued.key)?;
        Ok(files)
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

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    write_private(path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}
