//! An authority of one's own, for shops and clusters without another: it signs certificates of
//! processes and of callers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use shared_events::contract::Timestamp;

use super::certificate::{Validity, all_names, key_of_authority};

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
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    ends: Timestamp,
}

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
    /// If these are not a certificate and its private key.
    pub fn from_pem(pair: &Pair) -> anyhow::Result<Self> {
        let key = KeyPair::from_pem(&pair.key).context("no private key in PEM form")?;
        let issuer =
            Issuer::from_ca_cert_pem(&pair.cert, key).context("no certificate in PEM form");
        let issuer = issuer?;
        let der = CertificateDer::from_pem_slice(pair.cert.as_bytes())?;
        let belongs = key_of_authority(&der)? == issuer.key().public_key_raw();
        ensure!(belongs, "the private key is not that of the authority's certificate");
        Ok(Self { ends: Validity::of(&der)?.ends(), issuer })
    }

    /// A certificate for these names: hosts, addresses of machines and, with `://`, URIs. It ends
    /// when the authority does, if not before.
    ///
    /// # Errors
    /// If there is none, one is no name, or the authority has ended.
    pub fn issue(&self, names: &[String], counts: Counts) -> anyhow::Result<Pair> {
        let first = names.first().context("a certificate needs a name")?;
        let left = self.ends.since(counts.from);
        ensure!(!left.is_zero(), "the authority has ended, at {}", self.ends);
        let counts = Counts { length: counts.length.min(left), ..counts };
        let mut params = params(names.to_vec(), first, counts)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().context("no key can be made")?;
        let cert = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Pair { cert, key: key.serialize_pem() })
    }
}

/// Whether a process may keep its certificate and key: the authority has signed it, for exactly
/// these names, the key is its own, and it still counts then.
#[must_use]
pub fn is_enough(pair: &Pair, ca: &str, names: &[String], then: Timestamp) -> bool {
    verified(pair, ca, then).is_ok_and(|signed_for| signed_for == names.iter().cloned().collect())
}

/// The names of a certificate that the authority has signed, and that has this key.
fn verified(pair: &Pair, ca: &str, then: Timestamp) -> anyhow::Result<BTreeSet<String>> {
    super::files::pair(pair.cert.as_bytes(), pair.key.as_bytes())?;
    let der = CertificateDer::from_pem_slice(pair.cert.as_bytes())?;
    let roots = Arc::new(super::files::authorities(ca.as_bytes())?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, super::provider()).build()?;
    let then = u64::try_from(then.micros()).unwrap_or_default();
    let then = UnixTime::since_unix_epoch(Duration::from_micros(then));
    verifier.verify_client_cert(&der, &[], then)?;
    all_names(&der)
}

fn params(names: Vec<String>, called: &str, counts: Counts) -> anyhow::Result<CertificateParams> {
    let (uris, hosts): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| name.contains("://"));
    for host in &hosts {
        let domain = host.strip_prefix("*.");
        ensure!(
            domain.is_none_or(|domain| domain.contains('.')),
            "{host:?} would never count: after *. there are at least two names, as in *.nodes.example"
        );
        let named = domain.unwrap_or(host);
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

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn counts(days: u32) -> Counts {
        Counts { from: Timestamp::from_micros(1_780_000_000_500_000), length: DAY * days }
    }

    #[test]
    fn a_certificate_ends_with_its_authority() {
        let authority = Authority::generate("shop", counts(10)).unwrap();
        let authority = Authority::from_pem(&authority).unwrap();
        let ends = |days| {
            let pair = authority.issue(&["localhost".to_owned()], counts(days)).unwrap();
            let der = CertificateDer::from_pem_slice(pair.cert.as_bytes()).unwrap();
            Validity::of(&der).unwrap().ends()
        };
        // Certificates have whole seconds.
        assert_eq!(authority.ends.since(counts(0).from).as_secs(), (DAY * 10).as_secs() - 1);
        assert_eq!(authority.ends.since(ends(9)), DAY);
        assert_eq!([ends(10), ends(11), ends(10_000)], [authority.ends; 3]);
        let later = Counts { from: authority.ends, ..counts(1) };
        let refused = authority.issue(&["localhost".to_owned()], later).err().unwrap();
        assert!(refused.to_string().contains("has ended"), "{refused}");
    }

    #[test]
    fn a_certificate_stays_only_as_it_was_asked_for() {
        let [one, other] = [(); 2].map(|()| Authority::generate("shop", counts(10)).unwrap());
        let authority = Authority::from_pem(&one).unwrap();
        let names = ["*.nodes.example", "localhost", "127.0.0.1", "::1", "spiffe://a/b"];
        let names = names.map(str::to_owned);
        let pair = authority.issue(&names, counts(10)).unwrap();
        let stays = |pair: &Pair, ca: &Pair, names: &[String], days| {
            is_enough(pair, &ca.cert, names, counts(0).from.plus(DAY * days))
        };
        assert!(stays(&pair, &one, &names, 9));
        assert!(!stays(&pair, &one, &names, 11));
        assert!(!stays(&pair, &other, &names, 9));
        // One name less is another certificate, too.
        assert!(!stays(&pair, &one, &names[1..], 9));
        let again = authority.issue(&names, counts(10)).unwrap();
        assert!(!stays(&Pair { key: again.key, ..pair }, &one, &names, 9));
    }

    #[test]
    fn a_wildcard_that_never_counts_is_refused() {
        let authority = Authority::generate("shop", counts(10)).unwrap();
        let authority = Authority::from_pem(&authority).unwrap();
        let issue = |name: &str| authority.issue(&[name.to_owned()], counts(1));
        let refused = issue("*.nodes").err().unwrap();
        assert!(refused.to_string().contains("*.nodes.example"), "{refused}");
        assert!(issue("*.nodes.example").is_ok());
    }

    #[test]
    fn an_authority_has_the_key_of_its_certificate() {
        let [one, other] = [(); 2].map(|()| Authority::generate("shop", counts(10)).unwrap());
        let mixed = Authority::from_pem(&Pair { cert: one.cert, key: other.key }).err().unwrap();
        assert!(mixed.to_string().contains("is not that of"), "{mixed}");
    }
}
