//! `ordinal tls`: certificates for those without an authority. One is made once, on a machine that
//! keeps its key; processes and callers get certificates that it signs.
//! Never here: a private key in a log.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use order_actor::clock::{Clock as _, SystemClock};
use serde_json::json;

use super::token::write_pair;
use crate::client::{Failure, Output};
use crate::edge::tls::{Authority, Counts, Pair, is_enough};
use crate::engine::authority::{authority_in, keep, key_of, read};

/// The longest time for which a certificate may count.
const VALID_FOR_MAX: Duration = Duration::from_secs(20 * 366 * 24 * 60 * 60);

/// The folder of an installation's authority, and the files of certificates, as Kubernetes calls them.
const AUTHORITY: &str = "authority";
const CA: &str = "ca.crt";
const CERT: &str = "tls.crt";
const KEY: &str = "tls.key";

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
    /// Make what the processes of an installation need, or renew it: an authority in DIR/authority,
    /// and for each process DIR/NAME with tls.crt, tls.key and ca.crt. What counts for long enough
    /// stays as it is.
    Processes(ProcessesArgs),
}

/// The processes of an installation.
#[derive(Debug, clap::Args)]
pub struct ProcessesArgs {
    /// Where the folders are; that of the authority has the key that signs.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// A process, or several that share a certificate, and the hosts at which they are called, such
    /// as orders=orders-a,orders-b; may be repeated.
    #[arg(long = "process", value_name = "NAME=HOST,…", required = true, value_parser = process)]
    processes: Vec<Processes>,
    /// How long a certificate counts, and no longer than the authority does.
    #[arg(long, value_name = "DURATION", default_value = "90days", value_parser = crate::flags::duration)]
    valid_for: Duration,
    /// Make a new one where it ends within this.
    #[arg(long, value_name = "DURATION", default_value = "30days", value_parser = crate::flags::duration)]
    renew_within: Duration,
}

/// The name of a folder, and the hosts of its certificate.
#[derive(Clone, Debug)]
struct Processes {
    name: String,
    hosts: Vec<String>,
}

fn process(text: &str) -> Result<Processes, String> {
    let what = "is not NAME=HOST,…, such as orders=orders-a,orders-b";
    let (name, hosts) = text.split_once('=').ok_or(what)?;
    let named = |name: &str| name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-');
    if name.is_empty() || !named(name) || name == AUTHORITY {
        return Err(format!("has no name of a folder before the =, which {AUTHORITY} is not"));
    }
    let hosts: Vec<String> = hosts.split(',').map(|host| host.trim().to_owned()).collect();
    Ok(Processes { name: name.to_owned(), hosts })
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
    /// How long it counts, and no longer than its authority does. It cannot be called back: prefer
    /// weeks to years.
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
        TlsVerb::Processes(args) => {
            let counts = counts(args.valid_for)?;
            if args.renew_within >= args.valid_for {
                let what = "--renew-within is less than --valid-for: else all is new each time";
                return Err(Failure::Usage(what.to_owned()));
            }
            processes(args, counts, out).map_err(|error| Failure::usage(&error))
        }
    }
}

/// Makes or renews the certificates of an installation.
fn processes(args: &ProcessesArgs, counts: Counts, out: &Output) -> anyhow::Result<()> {
    let mut names = BTreeSet::new();
    for Processes { name, .. } in &args.processes {
        let what = "is there twice: all hosts of a certificate go into one";
        anyhow::ensure!(names.insert(name), "--process {name}= {what}");
    }
    let ca = args.dir.join(AUTHORITY).join(CA);
    let (authority, ca) = authority_in(&ca, "Ordinal installation", counts.from)?;
    for Processes { name, hosts } in &args.processes {
        let folder = args.dir.join(name);
        let enough = counts.from.plus(args.renew_within);
        let stays = read(&folder.join(CA)).is_ok_and(|known| known.trim() == ca.trim())
            && kept(&folder).is_ok_and(|pair| is_enough(&pair, &ca, hosts, enough));
        if !stays {
            let Pair { cert, key } = authority.issue(hosts, counts)?;
            for (file, text) in [(CA, &ca), (KEY, &key), (CERT, &cert)] {
                keep(&folder.join(file), text)?;
            }
        }
        if out.json {
            out.value(&json!({"process": name, "hosts": hosts, "new": !stays}));
        } else {
            let what = if stays { "stays" } else { "is new" };
            out.line(format!("{name}: the certificate for {} {what}", hosts.join(", ")));
        }
    }
    Ok(())
}

/// The certificate and the key of a process.
fn kept(folder: &Path) -> anyhow::Result<Pair> {
    Ok(Pair { cert: read(&folder.join(CERT))?, key: read(&folder.join(KEY))? })
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
