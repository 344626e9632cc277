use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use order_actor::clock::Clock;
use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::pki_types::CertificateDer;
use rustls::server::{
    NoServerSessionStorage, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::net::TcpStream;
use tokio::signal::unix::Signal;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;

use super::certificate::{ClientCertificate, Nearness, Validity};
use super::fresh::{Fresh, When};
use super::tally::Tally;
use super::{Time, files, plaintext};

/// A handshake ends within this, and so does the wait for its first byte.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// The first byte of a handshake.
const HANDSHAKE: u8 = 22;

/// A connection of a caller, by TLS or without.
pub(in crate::edge) type Incoming = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// The files of a server's TLS, in PEM.
#[derive(Clone, Debug)]
pub struct ServerFiles {
    /// Its certificate, with those that it hangs on.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities whose client certificates count, and whether a client must have one.
    pub clients: Option<(PathBuf, bool)>,
}

/// A connection after its handshake, and the certificate that its client has shown.
type Accepted = (Incoming, Option<ClientCertificate>);

/// TLS for callers. Clones share it.
#[derive(Clone)]
pub struct ServerTls(Arc<Inner>);

struct Inner {
    made: Fresh<Made>,
    asks_clients: bool,
    clock: Arc<dyn Clock>,
    reported: Mutex<Option<(Validity, Nearness)>>,
    without: Tally,
    failed: Tally,
}

/// What is made of the files.
struct Made {
    config: Arc<ServerConfig>,
    certificate: CertificateDer<'static>,
    validity: Validity,
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerTls")
    }
}

fn config(
    key: CertifiedKey,
    clients: Option<(&[u8], bool)>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<ServerConfig> {
    let time = Arc::new(Time(Arc::clone(clock)));
    let resolver: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(key));
    let builder = ServerConfig::builder_with_details(super::provider(), time)
        .with_safe_default_protocol_versions()
        .context("TLS")?;
    let mut config = match clients {
        None => builder.with_no_client_auth().with_cert_resolver(resolver),
        Some((authorities, required)) => {
            let roots = Arc::new(files::authorities(authorities)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, super::provider());
            let verifier = if required { verifier } else { verifier.allow_unauthenticated() };
            let verifier = verifier.build().context("--client-ca")?;
            let mut config =
                builder.with_client_cert_verifier(verifier).with_cert_resolver(resolver);
            // A session that is resumed would count longer than its certificate.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
            config
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn made(
    contents: &[Vec<u8>],
    required: bool,
    clock: &Arc<dyn Clock>,
    when: When,
) -> anyhow::Result<Made> {
    let [cert, key, more @ ..] = contents else { anyhow::bail!("a file is missing") };
    let key = files::pair(cert, key)?;
    let clients = more.first().map(|authorities| (authorities.as_slice(), required));
    let certificate = key.end_entity_cert().context("the certificate")?.clone().into_owned();
    let validity = Validity::of(&certificate)?;
    if let Some(why) = validity.invalid_at(clock.now()) {
        // An earlier one, which counts, is better than it.
        anyhow::ensure!(when == When::Start, "{why}");
        // One that has ended is reported as one that ends later is.
        if validity.nearness(clock.now()) != Nearness::Over {
            tracing::warn!("--tls-cert: {why}; callers will not accept it");
        }
    }
    Ok(Made { config: Arc::new(config(key, clients, clock)?), certificate, validity })
}

impl ServerTls {
    /// When the certificate in use ends.
    pub(crate) fn ends(&self) -> shared_events::contract::Timestamp {
        self.0.made.get().validity.ends()
    }

    /// With the certificate and key of these files; whether they count is a matter of this clock.
    ///
    /// # Errors
    /// If a file cannot be read, or they do not belong together.
    pub fn open(files: ServerFiles, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let ServerFiles { cert, key, clients } = files;
        let required = clients.as_ref().is_some_and(|(_, required)| *required);
        let of = |path: &PathBuf| path.display().to_string();
        let mut named = format!("--tls-cert {}, --tls-key {}", of(&cert), of(&key));
        if let Some((ca, _)) = &clients {
            named.push_str(&format!(", --client-ca {}", of(ca)));
        }
        crate::flags::secrets::warn_if_open("TLS key", &key)?;
        let now = Arc::clone(&clock);
        let make = move |contents: &[Vec<u8>], when| made(contents, required, &now, when);
        let asks_clients = clients.is_some();
        let files = [cert, key].into_iter().chain(clients.map(|(ca, _)| ca)).collect();
        let made = Fresh::open("the TLS certificate", files, make).context(named)?;
        let tls = Inner {
            made,
            asks_clients,
            clock,
            reported: Mutex::new(None),
            without: Tally::default(),
            failed: Tally::default(),
        };
        tls.report();
        Ok(Self(Arc::new(tls)))
    }

    /// Whether clients are asked for certificates.
    pub(crate) fn asks_clients(&self) -> bool {
        self.0.asks_clients
    }

    /// Whether the certificate has this name or address, by which others call the process.
    pub(crate) fn is_for(&self, host: &str) -> bool {
        let made = self.0.made.get();
        let name = super::server_name(host).ok();
        let certificate = ParsedCertificate::try_from(&made.certificate).ok();
        name.zip(certificate)
            .is_some_and(|(name, certificate)| verify_server_name(&certificate, &name).is_ok())
    }

    /// A connection after its handshake; none if it does not come to one, of which the client was
    /// told.
    pub(in crate::edge) async fn accept(&self, socket: TcpStream) -> Option<Accepted> {
        let accepted = timeout(HANDSHAKE_WITHIN, self.handshake(socket)).await;
        let failed = match accepted {
            Ok(Ok(accepted)) => return accepted,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("not finished within {HANDSHAKE_WITHIN:?}"),
        };
        tracing::debug!("a TLS handshake failed: {failed}");
        if let Some(count) = self.0.failed.one_more() {
            tracing::warn!(count, "TLS handshakes failed; the last: {failed}");
        }
        None
    }

    async fn handshake(&self, socket: TcpStream) -> io::Result<Option<Accepted>> {
        let mut first = [0; 3];
        let length = socket.peek(&mut first).await?;
        let first = first.get(..length).unwrap_or_default();
        match first {
            // Something looked whether the port is open.
            [] => return Ok(None),
            [HANDSHAKE, ..] => {}
            _ => {
                if let Some(count) = self.0.without.one_more() {
                    tracing::warn!(count, "connections without TLS were refused");
                }
                plaintext::answer(socket, first).await?;
                return Ok(None);
            }
        }
        let acceptor = TlsAcceptor::from(Arc::clone(&self.0.made.get().config));
        let stream = acceptor.accept(socket).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let shown = shown.map(|first| ClientCertificate::of(first)).transpose();
        let shown = shown.map_err(io::Error::other)?;
        Ok(Some((Either::Right(Box::new(stream)), shown)))
    }

    /// Looks at the files every 10 s and on SIGHUP, until stopped. Connections that are open keep
    /// the certificate that they began with.
    ///
    /// # Errors
    /// If the process cannot listen for signals.
    pub(crate) fn keep_fresh(
        &self,
        stop: CancellationToken,
    ) -> anyhow::Result<impl Future<Output = ()> + Send + use<>> {
        let hangup = super::hangups()?;
        let inner = Arc::clone(&self.0);
        Ok(async move {
            stop.run_until_cancelled(inner.look_again(hangup)).await;
        })
    }
}

impl Inner {
    async fn look_again(self: Arc<Self>, mut hangup: Signal) {
        loop {
            super::time_to_look(&self.clock, &mut hangup).await;
            let looking = Arc::clone(&self);
            let _ = tokio::task::spawn_blocking(move || looking.made.look()).await;
            self.report();
        }
    }

    /// Warns once when the certificate ends soon, and once when it has ended.
    fn report(&self) {
        let (validity, now) = (self.made.get().validity, self.clock.now());
        let nearness = validity.nearness(now);
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.replace((validity, nearness)) == Some((validity, nearness)) {
            return;
        }
        match nearness {
            Nearness::Far => {}
            Nearness::Soon => tracing::warn!("--tls-cert ends at {}", validity.ends()),
            Nearness::Over => tracing::warn!(
                "--tls-cert: the certificate has expired at {}; callers will not accept it",
                validity.ends()
            ),
        }
    }
}
