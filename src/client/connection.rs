//! Flags for calling an engine: its address, the caller, the timeout.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use order_actor::clock::SystemClock;
use service_edge::Violations;
use shared_events::stream::AskedBy;
use uuid::Uuid;

use super::Failure;
use super::parse::timeout;
use crate::edge::tls::{ClientFiles, ClientTls};
use crate::flags::address::Address;

/// How to reach an engine, and as which caller.
#[derive(Clone, Debug, Args)]
pub struct Connection {
    /// Call the engine at this address, HOST:PORT, http://HOST:PORT or, by TLS,
    /// https://HOST:PORT [default: 127.0.0.1:7400].
    #[arg(long, global = true, value_name = "ADDRESS", env = "ORDINAL_ADDRESS", value_parser = Address::normal)]
    pub address: Option<String>,
    /// Call as this caller, ROLE:SUBJECT: ops:anna, service:shop or customer:UUID. Trusted only by
    /// an engine without tokens [default: ops:developer].
    #[arg(long = "as", global = true, value_name = "CALLER", env = "ORDINAL_AS")]
    pub caller: Option<Caller>,
    /// Authenticate with this bearer token.
    #[arg(
        long,
        global = true,
        value_name = "TOKEN",
        env = "ORDINAL_TOKEN",
        hide_env_values = true
    )]
    pub token: Option<String>,
    /// Accept the certificate of an https:// address if it is from the authorities in this PEM file
    /// [default: the public ones].
    #[arg(long, global = true, value_name = "FILE", env = "ORDINAL_CA")]
    pub ca: Option<PathBuf>,
    /// Prove who calls by the client certificate in this PEM file, at an https:// address.
    #[arg(long, global = true, value_name = "FILE", env = "ORDINAL_CERT", requires = "cert_key")]
    pub cert: Option<PathBuf>,
    /// The private key of --cert, a PEM file.
    #[arg(long, global = true, value_name = "FILE", env = "ORDINAL_CERT_KEY", requires = "cert")]
    pub cert_key: Option<PathBuf>,
    /// Wait this long for an answer, at most 30s.
    #[arg(long, global = true, value_name = "DURATION", default_value = "5s", value_parser = timeout)]
    pub timeout: Duration,
}

impl Connection {
    /// A connection to this address as this caller.
    #[must_use]
    pub fn new(address: String, caller: Caller) -> Self {
        let timeout = Duration::from_secs(5);
        let (ca, cert, cert_key) = (None, None, None);
        Self {
            address: Some(address),
            caller: Some(caller),
            token: None,
            ca,
            cert,
            cert_key,
            timeout,
        }
    }

    /// The engine's address.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.clone().unwrap_or_else(|| "http://127.0.0.1:7400".to_owned())
    }

    /// The operator and the reason that a verb records which works on databases, and calls no
    /// engine: whoever has their password says who they are.
    ///
    /// # Errors
    /// Usage if the caller is no operator, INVALID_FIELD if the reason cannot be recorded.
    pub fn operator(&self, reason: &str) -> Result<(AskedBy, String), Failure> {
        let subject = match &self.caller {
            None => "developer".to_owned(),
            Some(caller) if caller.role == "ops" => caller.subject.clone(),
            Some(_) => {
                return Err(Failure::Usage("--as: only operators, ops:NAME, do this".into()));
            }
        };
        let mut violations = Violations::default();
        let reason = violations.reason("reason", reason);
        violations.none_or().map_err(|wrong| Failure::Status(Box::new(wrong.into())))?;
        Ok((AskedBy { role: "OPS".to_owned(), subject }, reason))
    }

    /// TLS to the engine; none if its address is not https.
    ///
    /// # Errors
    /// Usage if a file cannot be read, or would have no effect.
    pub fn tls(&self) -> Result<Option<ClientTls>, Failure> {
        if self.address().starts_with("https://") {
            let files = ClientFiles {
                ca: self.ca.clone(),
                pair: self.cert.clone().zip(self.cert_key.clone()),
            };
            let tls = ClientTls::open(&files, Arc::new(SystemClock));
            return tls.map(Some).map_err(|error| Failure::usage(&error));
        }
        for (flag, file) in [("--ca", &self.ca), ("--cert", &self.cert)] {
            if file.is_some() {
                let what = format!("{flag} has no effect at {}: use https://", self.address());
                return Err(Failure::Usage(what));
            }
        }
        Ok(None)
    }
}

/// A caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// `customer`, `service` or `ops`.
    pub role: String,
    /// A customer id, or a name.
    pub subject: String,
}

impl FromStr for Caller {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (role, subject) =
            text.split_once(':').ok_or("is not ROLE:SUBJECT, such as ops:anna")?;
        match role {
            "customer" if Uuid::try_parse(subject).is_err() => {
                Err("the subject of a customer must be a UUID".to_owned())
            }
            "service" | "ops" if subject.is_empty() => Err("the subject is missing".to_owned()),
            "customer" | "service" | "ops" => {
                Ok(Self { role: role.to_owned(), subject: subject.to_owned() })
            }
            _ => Err("the role must be customer, service or ops".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_a_role_and_a_subject() {
        assert!("ops:anna".parse::<Caller>().is_ok());
        assert!("customer:018f6f3e-0000-7000-8000-000000000001".parse::<Caller>().is_ok());
        for wrong in ["ops", "ops:", "customer:anna", "engine:stock", ""] {
            assert!(wrong.parse::<Caller>().is_err(), "{wrong}");
        }
    }
}
