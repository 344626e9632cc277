//! `ordinal tls`: certificates for those without an authority. One is made once, on a machine that
//! keeps its key; processes and callers get certificates that it signs.
//! Never here: a private key in a log.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use order_actor::clock::{Clock as _, SystemClock};
use serde_json::json;

use super::token::write_pair;
use crate::client::{Failure, Output};
use crate::edge::tls::{Authority, Counts, Pair};

/// The longest time for which a certificate may count.
const VALID_FOR_MAX: Duration = Duration::from_secs(20 * 366 * 24 * 60 * 60);

/// The verbs of certificates.
#[derive(Debug, clap::Subcommand)]
pub enum TlsVerb {
    /// Make an authority: FILE with its certificate, for those who trust it, and FILE.key, which
    /// signs and is readable by its owner only.
    Ca {
        /// The file of the certificate; neither file may exist.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Its name, as certificates show it.
        #[arg(long, value_name = "NAME", default_value = "Ordinal authority")]
        name: String,
        /// How long it counts.
        #[arg(long, value_name = "DURATION", default_value = "3650days", value_parser = crate::flags::duration)]
        valid_for: Duration,
    },
    /// Sign a certificate: FILE with it, and FILE.key with its key, readable by its owner only.
    Issue(IssueArgs),
}

/// What a certificate says.
#[derive(Debug, clap::Args)]
pub struct IssueArgs {
    /// The certificate of the authority; its key is in FILE.key, as `ordinal tls ca` made them.
    #[arg(long, value_name = "FILE")]
    authority: PathBuf,
    /// What it is for: the host or address at which a process is called, or for a caller a host or
    /// a URI such as spiffe://shop.example/checkout; may be repeated.
    #[arg(long = "for", value_name = "NAME", required = true)]
    names: Vec<String>,
    /// The file of the certificate; neither file may exist.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How long it counts. It cannot be called back: prefer weeks to years.
    #[arg(long, value_name = "DURATION", default_value = "90days", value_parser = crate::flags::duration)]
    valid_for: Duration,
}

/// Runs a verb.
///
/// # Errors
/// Usage if a file or a value is invalid.
pub fn run(verb: &TlsVerb, out: &Output) -> Result<(), Failure> {
    match verb {
        TlsVerb::Ca { out: path, name, valid_for } => {
            let made = Authority::generate(name, counts(*valid_for)?);
            write(path, &made.map_err(|error| Failure::usage(&error))?, out)
        }
        TlsVerb::Issue(args) => {
            let issued = issue(args, counts(args.valid_for)?);
            write(&args.out, &issued.map_err(|error| Failure::usage(&error))?, out)
        }
    }
}

fn counts(length: Duration) -> Result<Counts, Failure> {
    if length < Duration::from_secs(60) || length > VALID_FOR_MAX {
        return Err(Failure::Usage("--valid-for is from 1m to 20 years".to_owned()));
    }
    Ok(Counts { from: SystemClock.now(), length })
}

fn issue(args: &IssueArgs, counts: Counts) -> anyhow::Result<Pair> {
    let cert = std::fs::read_to_string(&args.authority);
    let cert = cert.with_context(|| format!("authority {}", args.authority.display()))?;
    let key = crate::flags::secrets::read("key of the authority", &key_of(&args.authority))?;
    Authority::from_pem(&Pair { cert, key })?.issue(&args.names, counts)
}

/// The file of the key that belongs to a certificate.
fn key_of(cert: &Path) -> PathBuf {
    PathBuf::from(format!("{}.key", cert.display()))
}

fn write(path: &Path, pair: &Pair, out: &Output) -> Result<(), Failure> {
    let key = key_of(path);
    write_pair((&key, &pair.key), (path, &pair.cert))?;
    let (cert, key) = (path.display().to_string(), key.display().to_string());
    if out.json {
        out.value(&json!({"cert": cert, "key": key}));
    } else {
        out.line(format!("certificate {cert}"));
        out.line(format!("private key {key}; keep it to yourself"));
    }
    Ok(())
}
