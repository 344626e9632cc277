use std::collections::BTreeSet;
use std::net::IpAddr;

use shared_events::contract::Timestamp;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// A certificate that ends within this is reported, 14 days.
const SOON_MICROS: i64 = 14 * 24 * 60 * 60 * 1_000_000;

/// When a certificate counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    begins: Timestamp,
    ends: Timestamp,
}

/// How near the end of a certificate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nearness {
    /// Far.
    Far,
    /// Within 14 days.
    Soon,
    /// It has ended.
    Over,
}

impl Validity {
    /// Of a certificate in DER.
    ///
    /// # Errors
    /// If it is none.
    pub(super) fn of(der: &[u8]) -> anyhow::Result<Self> {
        let unreadable = || anyhow::anyhow!("the certificate is not X.509");
        let (_, parsed) = X509Certificate::from_der(der).map_err(|_| unreadable())?;
        let at = |seconds: i64| {
            let micros = seconds.checked_mul(1_000_000);
            micros.and_then(Timestamp::checked_from_micros).ok_or_else(unreadable)
        };
        let validity = parsed.validity();
        // One without an end (9999-12-31) is beyond what a timestamp can be.
        let ends = at(validity.not_after.timestamp()).unwrap_or(Timestamp::MAX);
        Ok(Self { begins: at(validity.not_before.timestamp())?, ends })
    }

    /// Why it does not count now, if it does not.
    pub(super) fn invalid_at(self, now: Timestamp) -> Option<String> {
        if now < self.begins {
            return Some(format!("the certificate counts from {} on", self.begins));
        }
        (now > self.ends).then(|| format!("the certificate has expired at {}", self.ends))
    }

    /// How near its end is.
    pub(super) fn nearness(self, now: Timestamp) -> Nearness {
        match self.ends.micros().saturating_sub(now.micros()) {
            ..0 => Nearness::Over,
            0..SOON_MICROS => Nearness::Soon,
            _ => Nearness::Far,
        }
    }

    /// When it ends.
    pub(super) const fn ends(self) -> Timestamp {
        self.ends
    }
}

/// The public key of an authority's certificate in DER, without its algorithm.
///
/// # Errors
/// If it is none, or not an authority's.
pub(super) fn key_of_authority(der: &[u8]) -> anyhow::Result<Vec<u8>> {
    let unreadable = |_| anyhow::anyhow!("the certificate is not X.509");
    let (_, parsed) = X509Certificate::from_der(der).map_err(unreadable)?;
    // What it may do with its key is said or left open.
    let usage = parsed.key_usage()?;
    let signs = usage.is_none_or(|usage| usage.value.key_cert_sign());
    anyhow::ensure!(
        parsed.is_ca() && signs,
        "the certificate is not an authority's: it may sign no others"
    );
    Ok(parsed.public_key().subject_public_key.data.to_vec())
}

/// All names of a certificate in DER: hosts, addresses of machines and URIs.
///
/// # Errors
/// If it is none.
pub(super) fn all_names(der: &[u8]) -> anyhow::Result<BTreeSet<String>> {
    let unreadable = |_| anyhow::anyhow!("the certificate is not X.509");
    let (_, parsed) = X509Certificate::from_der(der).map_err(unreadable)?;
    let found = parsed.subject_alternative_name()?;
    let names = found.iter().flat_map(|found| &found.value.general_names);
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    });
    Ok(names.collect())
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = || <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    four().or_else(|| <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from))
}

/// Who a client is, by its certificate, which the handshake has verified.
#[derive(Clone, Debug)]
pub(in crate::edge) struct ClientCertificate {
    names: Vec<String>,
    ends: Timestamp,
}

impl ClientCertificate {
    /// Of a certificate in DER.
    ///
    /// # Errors
    /// If it is none.
    pub(super) fn of(der: &[u8]) -> anyhow::Result<Self> {
        let unreadable = |_| anyhow::anyhow!("the certificate is not X.509");
        let (_, parsed) = X509Certificate::from_der(der).map_err(unreadable)?;
        let found = parsed.subject_alternative_name().ok().flatten();
        let names = found.iter().flat_map(|found| &found.value.general_names);
        let names = names.filter_map(|name| match name {
            GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
            _ => None,
        });
        Ok(Self { names: names.collect(), ends: Validity::of(der)?.ends })
    }

    /// With these names.
    #[cfg(test)]
    pub(in crate::edge) fn new(names: &[&str], ends: Timestamp) -> Self {
        Self { names: names.iter().map(|&name| name.to_owned()).collect(), ends }
    }

    /// Its alternative names: DNS names and URIs.
    pub(in crate::edge) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// When it ends.
    pub(in crate::edge) const fn ends(&self) -> Timestamp {
        self.ends
    }
}
