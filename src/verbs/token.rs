//! `ordinal token`: an issuer of one's own, for shops without an identity provider. A key is made
//! once, the engine trusts it (`serve --issuer-key`), and tokens are signed with it on any machine.
//! Never here: a token or a private key in a log.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_auth::{Grant, Role, SigningKey};
use order_actor::clock::{Clock as _, SystemClock};
use serde_json::json;
use shared_events::chance::Chance;
use shared_events::contract::CustomerId;

use super::args::Why;
use crate::client::{Client, Connection, Failure, Output, show, text};
use crate::edge::access::SUBJECT_LEN_MAX;
use crate::engine::services;

/// The longest time for which a token may be valid: a leaked one cannot be called back.
const VALID_FOR_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// The verbs of tokens.
#[derive(Debug, clap::Subcommand)]
pub enum TokenVerb {
    /// Make a key to sign tokens with: FILE, readable by its owner only, and FILE.pub for engines.
    Key {
        /// The file of the private key; it must not exist.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Sign a token and print it.
    Issue(IssueArgs),
    /// Ask an engine that signs tokens (`serve --issue-tokens`) for one of a customer, as a service
    /// or an operator, and print it.
    Ask {
        /// The id of the customer.
        #[arg(long, value_name = "ID")]
        customer: String,
        /// How long it is valid, at most an hour.
        #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = crate::flags::duration)]
        valid_for: Duration,
        /// Only show what would happen: no token is given.
        #[arg(long)]
        validate_only: bool,
        #[command(flatten)]
        why: Why,
    },
}

/// What a token says.
#[derive(Debug, clap::Args)]
pub struct IssueArgs {
    /// The private key, as `ordinal token key` made it.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// What its holder calls as: CUSTOMER, SERVICE, RETURNS_DESK or OPS.
    #[arg(long, value_name = "ROLE")]
    role: Role,
    /// The id of the customer, or the name of the service or operator, which is stored with what
    /// they do.
    #[arg(long, value_name = "NAME")]
    subject: String,
    /// Limit a service or an operator to this scope of docs/access.md; may be repeated [default: no
    /// limit but the role].
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,
    /// How long it is valid, at most a year. It cannot be called back: prefer short times.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = crate::flags::duration)]
    valid_for: Duration,
}

/// Runs a verb.
///
/// # Errors
/// Usage if a file or a value is invalid, or the refusal of the engine that was asked.
pub async fn run(verb: &TokenVerb, connection: &Connection, out: &Output) -> Result<(), Failure> {
    match verb {
        TokenVerb::Key { out: path } => make_key(path, out),
        TokenVerb::Issue(args) => issue(args, out),
        TokenVerb::Ask { customer, valid_for, validate_only, why } => {
            let valid_for = format!("{}.{:09}s", valid_for.as_secs(), valid_for.subsec_nanos());
            let asked = json!({
                "customer_id": customer, "valid_for": valid_for, "reason": why.reason,
                "validate_only": validate_only,
            });
            let client = Client::connect(connection).await?;
            let answer = client.call("admin.v1.AdminService/IssueToken", asked).await?;
            out.answer(&answer, |out, answer| {
                let until = text(answer, "expires_at");
                show::only_would(out, *validate_only);
                match validate_only {
                    true => out.line(format!("a token until {until}")),
                    false => out.line(text(answer, "token")),
                }
            });
            Ok(())
        }
    }
}

fn make_key(path: &Path, out: &Output) -> Result<(), Failure> {
    let public = PathBuf::from(format!("{}.pub", path.display()));
    let wrong = |what: &dyn std::fmt::Display| Failure::Usage(what.to_string());
    let private = SigningKey::generate().map_err(|error| wrong(&error))?;
    let key = SigningKey::from_pem(&private).map_err(|error| wrong(&error))?;
    write_pair((path, &private), (&public, &key.public_pem()))?;
    if out.json {
        out.value(&json!({
            "private": path.display().to_string(), "public": public.display().to_string(),
            "kid": key.name(),
        }));
    } else {
        out.line(format!("private key {}; keep it to yourself", path.display()));
        out.line(format!("public key {}; engines start with --issuer-key", public.display()));
    }
    Ok(())
}

/// Writes a private file and the public one that belongs to it: both, or none.
pub(super) fn write_pair(private: (&Path, &str), public: (&Path, &str)) -> Result<(), Failure> {
    write_new(private.0, private.1, 0o600)?;
    write_new(public.0, public.1, 0o644).inspect_err(|_| {
        // Just written, and worth nothing alone.
        let _ = std::fs::remove_file(private.0);
    })
}

/// Writes a new file, whole or not at all; an existing one is somebody's key.
fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let made = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = made.and_then(|mut file| {
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        written.inspect_err(|_| {
            // Made here: a half one would be in the way of the next try.
            let _ = std::fs::remove_file(path);
        })
    });
    written.map_err(|error| Failure::Usage(format!("--out {}: {error}", path.display())))
}

fn issue(args: &IssueArgs, out: &Output) -> Result<(), Failure> {
    let text =
        crate::flags::secrets::read("key", &args.key).map_err(|error| Failure::usage(&error))?;
    let wrong = |what: String| Failure::Usage(format!("--key {}: {what}", args.key.display()));
    let key = SigningKey::from_pem(&text).map_err(|error| wrong(error.to_string()))?;
    if args.valid_for.is_zero() || args.valid_for > VALID_FOR_MAX {
        return Err(Failure::Usage("--valid-for is from 1s to a year".to_owned()));
    }
    if args.role == Role::Customer && args.subject.parse::<CustomerId>().is_err() {
        let text = "--subject must be the id of a customer, a UUID, for --role CUSTOMER";
        return Err(Failure::Usage(text.to_owned()));
    }
    // As those who are sent the token will read it.
    let subject = crate::flags::name(&args.subject, SUBJECT_LEN_MAX)
        .map_err(|why| Failure::Usage(format!("--subject {why}")))?;
    if args.role == Role::Customer && !args.scope.is_empty() {
        return Err(Failure::Usage("--scope is not for customers".to_owned()));
    }
    let calls = services::calls(services::ALL);
    let scopes = calls.policies().map(|(_, policy)| policy.scope.as_str());
    let scopes: std::collections::BTreeSet<&str> =
        scopes.filter(|scope| !scope.is_empty()).collect();
    if let Some(unknown) = args.scope.iter().find(|scope| !scopes.contains(scope.as_str())) {
        let known: Vec<&str> = scopes.into_iter().collect();
        let text = format!("--scope {unknown} is not a scope; there are {}", known.join(", "));
        return Err(Failure::Usage(text));
    }
    let grant = Grant {
        role: args.role,
        subject: &subject,
        scopes: &args.scope,
        valid_for: args.valid_for,
    };
    let id = hex::encode(Chance::system().bits().to_be_bytes());
    let token = key.issue(&grant, &id, SystemClock.now());
    let token = token.map_err(|error| wrong(error.to_string()))?;
    if out.json {
        out.value(&json!({"token": token, "expires_in": args.valid_for.as_secs()}));
    } else {
        out.line(token);
    }
    Ok(())
}
