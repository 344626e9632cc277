use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// A larger file is none of certificates.
const BYTES_MAX: u64 = 1024 * 1024;

/// The bytes of a file.
///
/// # Errors
/// If it cannot be read, or is too large.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let named = || path.display().to_string();
    let file = std::fs::File::open(path).with_context(named)?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).with_context(named)?;
    let small = u64::try_from(bytes.len()).is_ok_and(|length| length <= BYTES_MAX);
    anyhow::ensure!(small, "{}: larger than 1 MiB", path.display());
    Ok(bytes)
}

/// A certificate with those that it hangs on, and its key.
///
/// # Errors
/// If one is missing or no PEM, or if they do not belong together. Quotes nothing of a key.
pub(super) fn pair(cert: &[u8], key: &[u8]) -> anyhow::Result<CertifiedKey> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(cert).collect();
    let chain = chain.context("the certificate is not PEM")?;
    anyhow::ensure!(!chain.is_empty(), "there is no certificate in its file");
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| anyhow::anyhow!("there is no private key (PEM) in its file"))?;
    CertifiedKey::from_der(chain, key, &super::provider())
        .context("the certificate and the key do not belong together")
}

/// Authorities: all certificates of a file.
///
/// # Errors
/// If there is none, or one is none.
pub(super) fn authorities(pem: &[u8]) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.context("the certificate of the authority is not PEM")?;
        roots.add(certificate).context("the certificate of the authority is not X.509")?;
    }
    anyhow::ensure!(!roots.is_empty(), "there is no certificate of an authority in its file");
    Ok(roots)
}
