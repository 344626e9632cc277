//! TLS, for callers on the one port and to other processes: certificates from files that are looked
//! at again while the process runs.
//! Never here: who a caller is, and what is sent.

mod authority; // an authority of one's own
mod certificate; // what a certificate says
mod connector; // connections to other processes
mod files; // certificates, keys and authorities in PEM files
mod fresh; // what is made of files, made anew when they change
mod plaintext; // callers that do not speak TLS
mod server; // handshakes with callers
mod tally; // events that are counted instead of logged one by one

pub use authority::{Authority, Counts, Pair, is_enough};
pub use connector::{ClientFiles, ClientTls, Connector, NotConnected};
pub use plaintext::TLS_ONLY;
pub use server::{ServerFiles, ServerTls};

pub(super) use certificate::ClientCertificate;
pub(super) use server::Incoming;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use order_actor::clock::Clock;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How often the files are looked at.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(10);

/// Returns when files are to be looked at again: in 10 s, or on SIGHUP.
async fn time_to_look(clock: &Arc<dyn Clock>, hangup: &mut Signal) {
    tokio::select! {
        () = clock.wait_until(clock.now().plus(LOOKED_AT_EVERY)) => {}
        _ = hangup.recv() => {}
    }
}

fn hangups() -> anyhow::Result<Signal> {
    signal(SignalKind::hangup()).context("cannot listen for SIGHUP")
}

/// The host of an address without the brackets of IPv6.
fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// What the certificate of a host must say.
fn server_name(host: &str) -> std::io::Result<ServerName<'static>> {
    ServerName::try_from(without_brackets(host).to_owned()).map_err(std::io::Error::other)
}

/// The cryptography of everything here.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Whether certificates are valid is a matter of the process's clock.
struct Time(Arc<dyn Clock>);

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Time")
    }
}

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        let micros = u64::try_from(self.0.now().micros()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_micros(micros)))
    }
}

#[cfg(test)]
mod tests;
