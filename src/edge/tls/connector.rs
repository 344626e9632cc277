use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use futures::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use order_actor::clock::Clock;
use rustls::sign::SingleCertAndKey;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use shared_events::contract::Timestamp;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::certificate::Validity;
use super::fresh::Fresh;
use super::{Time, files};

/// The files of a client's TLS, in PEM.
#[derive(Clone, Debug, Default)]
pub struct ClientFiles {
    /// The authorities whose certificates it accepts; by default the public ones.
    pub ca: Option<PathBuf>,
    /// Its own certificate and key, for servers that ask for one.
    pub pair: Option<(PathBuf, PathBuf)>,
}

/// TLS to other processes. Clones share it.
#[derive(Clone)]
pub struct ClientTls(Arc<Fresh<Made>>);

/// What is made of the files.
struct Made {
    config: Arc<ClientConfig>,
    /// When its own certificate ends, if it has one.
    ends: Option<Timestamp>,
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls")
    }
}

fn config(contents: &[Vec<u8>], has_ca: bool, clock: &Arc<dyn Clock>) -> anyhow::Result<Made> {
    let (ca, pair) = contents.split_at(usize::from(has_ca).min(contents.len()));
    let roots = match ca {
        [] => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
        [ca, ..] => files::authorities(ca)?,
    };
    let time = Arc::new(Time(Arc::clone(clock)));
    let builder = ClientConfig::builder_with_details(super::provider(), time)
        .with_safe_default_protocol_versions()
        .context("TLS")?;
    let builder = builder.with_root_certificates(roots);
    let (mut config, ends) = match pair {
        [cert, key, ..] => {
            let own = files::pair(cert, key)?;
            let ends = Validity::of(own.end_entity_cert().context("the certificate")?)?.ends();
            let own = SingleCertAndKey::from(own);
            (builder.with_client_cert_resolver(Arc::new(own)), Some(ends))
        }
        _ => (builder.with_no_client_auth(), None),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Made { config: Arc::new(config), ends })
}

impl ClientTls {
    /// With these files; whether certificates count is a matter of this clock.
    ///
    /// # Errors
    /// If a file cannot be read, or has no certificate.
    pub fn open(files: &ClientFiles, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let mut paths: Vec<PathBuf> = files.ca.iter().cloned().collect();
        if let Some((cert, key)) = &files.pair {
            crate::flags::secrets::warn_if_open("TLS key", key)?;
            paths.extend([cert.clone(), key.clone()]);
        }
        let named: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        let has_ca = files.ca.is_some();
        let make = move |contents: &[Vec<u8>], _| config(contents, has_ca, &clock);
        let made = Fresh::open("TLS to other processes", paths, make);
        let made = made.with_context(|| format!("the files of TLS ({})", named.join(", ")))?;
        Ok(Self(Arc::new(made)))
    }
}

impl ClientTls {
    /// When the certificate by which this process says who it is ends, if it has one.
    pub(crate) fn ends(&self) -> Option<Timestamp> {
        self.0.get().ends
    }

    /// Whether it has a certificate of its own.
    pub(crate) fn has_certificate(&self) -> bool {
        self.ends().is_some()
    }

    /// Looks at the files every 10 s and on SIGHUP, until stopped.
    ///
    /// # Errors
    /// If the process cannot listen for signals.
    pub(crate) fn keep_fresh(
        &self,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> anyhow::Result<impl Future<Output = ()> + Send + use<>> {
        let mut hangup = super::hangups()?;
        let made = Arc::clone(&self.0);
        Ok(async move {
            let looking = async {
                loop {
                    super::time_to_look(&clock, &mut hangup).await;
                    let made = Arc::clone(&made);
                    let _ = tokio::task::spawn_blocking(move || made.look()).await;
                }
            };
            stop.run_until_cancelled(looking).await;
        })
    }
}

/// Why there is no connection: what is wrong, and what to do.
#[derive(Debug)]
pub struct NotConnected {
    /// Where to.
    place: String,
    cause: io::Error,
}

impl NotConnected {
    fn new(place: &Uri, cause: io::Error) -> Self {
        let place = place.authority().map_or_else(String::new, ToString::to_string);
        Self { place, cause }
    }

    fn tls_error(&self) -> Option<&rustls::Error> {
        self.cause.get_ref()?.downcast_ref()
    }

    /// Whether somebody answers, but not as it should be with TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls_error().is_some()
    }

    /// The one among the causes of an error.
    #[must_use]
    pub fn within<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        anyhow::Chain::new(error).find_map(|cause| cause.downcast_ref())
    }
}

impl fmt::Display for NotConnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, cause } = self;
        let Some(tls) = self.tls_error() else {
            return write!(f, "{place} cannot be reached: {cause}");
        };
        use CertificateError::{
            BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext,
            UnknownIssuer,
        };
        match tls {
            rustls::Error::InvalidCertificate(UnknownIssuer | BadSignature) => write!(
                f,
                "the certificate of {place} is not from an authority known here: name the file of \
                 its authority (--ca, between processes --peer-ca)"
            ),
            rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
                write!(
                    f,
                    "the certificate of {place} is for another name, so somebody else may answer \
                 there: use the name that the certificate has"
                )
            }
            rustls::Error::InvalidCertificate(Expired | ExpiredContext { .. }) => {
                write!(f, "the certificate of {place} has expired")
            }
            rustls::Error::InvalidMessage(_) => {
                write!(f, "{place} does not speak TLS: use http:// if clear text is intended")
            }
            other => write!(f, "no TLS with {place}: {other}"),
        }
    }
}

impl std::error::Error for NotConnected {}

/// Connects by TLS, and verifies that who answers has a certificate for the host of the address.
/// With several addresses, to the next one each time.
#[derive(Clone)]
pub struct Connector {
    tls: ClientTls,
    places: Arc<[Uri]>,
    next: Arc<AtomicUsize>,
    within: Duration,
}

impl Connector {
    /// To these addresses, each within this time.
    #[must_use]
    pub fn new(tls: ClientTls, places: Vec<Uri>, within: Duration) -> Self {
        Self { tls, places: places.into(), next: Arc::new(AtomicUsize::new(0)), within }
    }
}

/// A connection to another process.
type Outgoing = TokioIo<Box<TlsStream<TcpStream>>>;

impl Service<Uri> for Connector {
    type Response = Outgoing;
    type Error = NotConnected;
    type Future = BoxFuture<'static, Result<Outgoing, NotConnected>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NotConnected>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let first = this.next.fetch_add(1, Ordering::Relaxed);
            let all = this.places.iter().cycle().skip(first % this.places.len().max(1));
            let mut failed = None;
            for place in all.take(this.places.len()) {
                let connecting = timeout(this.within, connect(&this.tls, place)).await;
                match connecting.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                    Ok(stream) => return Ok(TokioIo::new(Box::new(stream))),
                    Err(error) => failed = Some(NotConnected::new(place, error)),
                }
            }
            let none = || NotConnected::new(&uri, io::ErrorKind::AddrNotAvailable.into());
            Err(failed.unwrap_or_else(none))
        })
    }
}

async fn connect(tls: &ClientTls, place: &Uri) -> io::Result<TlsStream<TcpStream>> {
    let host = place.host().unwrap_or_default();
    let name = super::server_name(host)?;
    let host = super::without_brackets(host);
    let socket = TcpStream::connect((host, place.port_u16().unwrap_or(443))).await?;
    socket.set_nodelay(true)?;
    TlsConnector::from(Arc::clone(&tls.0.get().config)).connect(name, socket).await
}
