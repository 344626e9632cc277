//! An authority of one's own, for shops and clusters without another: it signs certificates of
//! processes and of callers.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use shared_events::contract::Timestamp;

/// A certificate counts from this long before it was signed: clocks differ.
const BACKDATED: Duration = Duration::from_secs(60 * 60);
/// The longest common name that X.509 permits.
const COMMON_NAME_MAX: usize = 64;

/// A certificate and its private key, as PEM.
pub struct Pair {
    /// The certificate.
    pub cert: String,
    /// The private key.
    pub key: String,
}

/// When a certificate counts.
#[derive(Clone, Copy)]
pub struct Counts {
    /// Signed then.
    pub from: Timestamp,
    /// For this long.
    pub length: Duration,
}

/// Signs certificates.
pub struct Authority(Issuer<'static, KeyPair>);

impl Authority {
    /// A new authority of this name: what it signs with, and what those who trust it get.
    ///
    /// # Errors
    /// If the name is longer than 64 bytes, or no key can be made.
    pub fn generate(name: &str, counts: Counts) -> anyhow::Result<Pair> {
        ensure!(
            (1..=COMMON_NAME_MAX).contains(&name.len()),
            "the name of an authority has 1 to {COMMON_NAME_MAX} bytes"
        );
        let mut params = params(Vec::new(), name, counts)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().context("no key can be made")?;
        let cert = params.self_signed(&key)?.pem();
        Ok(Pair { cert, key: key.serialize_pem() })
    }

    /// An authority that was made before, here or elsewhere.
    ///
    /// # Errors
    /// If these are not a certificate and a private key.
    pub fn from_pem(pair: &Pair) -> anyhow::Result<Self> {
        let key = KeyPair::from_pem(&pair.key).context("no private key in PEM form")?;
        let issuer =
            Issuer::from_ca_cert_pem(&pair.cert, key).context("no certificate in PEM form");
        let issuer = issuer?;
        let signs = issuer.key_usages().contains(&KeyUsagePurpose::KeyCertSign);
        ensure!(signs, "the certificate is not an authority's: it may sign no others");
        Ok(Self(issuer))
    }

    /// A certificate for these names: hosts, addresses of machines and, with `://`, URIs.
    ///
    /// # Errors
    /// If there is none, or one is no name.
    pub fn issue(&self, names: &[String], counts: Counts) -> anyhow::Result<Pair> {
        let first = names.first().context("a certificate needs a name")?;
        let mut params = params(names.to_vec(), first, counts)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().context("no key can be made")?;
        let cert = params.signed_by(&key, &self.0)?.pem();
        Ok(Pair { cert, key: key.serialize_pem() })
    }
}

fn params(names: Vec<String>, called: &str, counts: Counts) -> anyhow::Result<CertificateParams> {
    let (uris, hosts): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| name.contains("://"));
    for host in &hosts {
        let named = host.strip_prefix("*.").unwrap_or(host);
        super::server_name(named).map_err(|_| anyhow::anyhow!("{host:?} is not that of a host"))?;
    }
    let mut params = CertificateParams::new(hosts)?;
    for uri in uris {
        let ascii =
            Ia5String::try_from(uri.as_str()).with_context(|| format!("{uri}: not ASCII"))?;
        params.subject_alt_names.push(SanType::URI(ascii));
    }
    params.distinguished_name = DistinguishedName::new();
    // The names that count are above; this one is for people, and has a bound.
    let called: String = called.chars().take(COMMON_NAME_MAX).collect();
    params.distinguished_name.push(DnType::CommonName, called);
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let from = Duration::from_micros(u64::try_from(counts.from.micros()).unwrap_or_default());
    params.not_before = epoch + from.saturating_sub(BACKDATED);
    params.not_after = epoch + from.saturating_add(counts.length);
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}
