//! An authority of one test, and the certificates that it issues.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, SanType,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::write_private;

/// A certificate and its key, as PEM.
pub struct Pair {
    pub cert: String,
    pub key: String,
}

/// An authority with a directory of its own.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub folder: TempDir,
    pub ca: PathBuf,
}

impl Authority {
    pub fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let ca = folder.path().join("ca.pem");
        fs::write(&ca, certificate.pem()).unwrap();
        Self { issuer: Issuer::new(params, key), folder, ca }
    }

    /// A certificate for these names; those that hold `://` are URIs.
    pub fn issue(&self, names: &[&str]) -> Pair {
        self.issue_for(names, (2_020, 2_090))
    }

    /// One that counts from the beginning of a year to that of another.
    pub fn issue_for(&self, names: &[&str], (from, to): (i32, i32)) -> Pair {
        self.issue_until(names, from, (to, 1, 1))
    }

    /// One that counts from the beginning of a year to that of a day.
    pub fn issue_until(&self, names: &[&str], from: i32, to: (i32, u8, u8)) -> Pair {
        let (uris, names): (Vec<&str>, Vec<&str>) =
            names.iter().partition(|name| name.contains("://"));
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let mut params = CertificateParams::new(names).unwrap();
        let uris = uris.into_iter().map(|uri| SanType::URI(Ia5String::try_from(uri).unwrap()));
        params.subject_alt_names.extend(uris);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "test");
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(to.0, to.1, to.2);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { cert, key: key.serialize_pem() }
    }

    /// Writes a pair into its directory; where `NAME.pem` and `NAME.key` are.
    pub fn write(&self, name: &str, pair: &Pair) -> (String, String) {
        let at = |end: &str| self.folder.path().join(format!("{name}.{end}"));
        write_private(&at("pem"), &pair.cert);
        write_private(&at("key"), &pair.key);
        (at("pem").display().to_string(), at("key").display().to_string())
    }

    /// The path of its certificate.
    pub fn ca(&self) -> &str {
        self.ca.to_str().unwrap()
    }

    /// A connection by TLS to this address, for a caller that knows the authority.
    pub async fn connect(&self, address: &str, protocols: &[&str]) -> TlsStream<TcpStream> {
        self.connect_as(address, protocols, None).await
    }

    /// The same, with a client certificate.
    pub async fn connect_as(
        &self,
        address: &str,
        protocols: &[&str],
        pair: Option<&Pair>,
    ) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.ca).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        let mut config = match pair {
            None => builder.with_no_client_auth(),
            Some(Pair { cert, key }) => {
                let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = protocols.iter().map(|one| one.as_bytes().to_vec()).collect();
        let address = address.trim_start_matches("https://");
        let name = ServerName::try_from(address.rsplit_once(':').unwrap().0.to_owned()).unwrap();
        let socket = TcpStream::connect(address).await.unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap()
    }
}
