//! Runs a verb: from the command line to an exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::CommandFactory as _;
use serde_json::json;

use super::args::{Cli, Verb};
use super::config::Parsed;
use super::{
    ledger, lookup, operations, orders, overview, payment, payout, settlement, status, stock,
    wallet,
};
use crate::client::{Client, Failure, Output};

/// Runs a command line, whose first argument is the program's name.
pub async fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let parsed = match super::config::command_line(&arguments) {
        Ok(parsed) => parsed,
        Err(failure) => {
            // The command line is invalid, but --json still selects the output form.
            let words = arguments.iter().take_while(|word| *word != "--");
            Output::new(words.into_iter().any(|word| word == "--json")).failure(&failure);
            return failure.exit_code();
        }
    };
    let out = Output::new(parsed.cli.json);
    match act(parsed, &out).await {
        Ok(code) => code,
        Err(failure) => {
            out.failure(&failure);
            failure.exit_code()
        }
    }
}

async fn act(parsed: Parsed, out: &Output) -> Result<ExitCode, Failure> {
    let Parsed { cli, settings } = parsed;
    let connection = cli.connection;
    let connect = || Client::connect(&connection);
    match cli.verb {
        Verb::Serve(args) => {
            if let (true, Some(settings)) = (args.print_config(), settings) {
                args.check()?;
                settings.show(out);
                return Ok(ExitCode::SUCCESS);
            }
            return super::serve::run(&args, out.json).await;
        }
        Verb::Token(verb) => super::token::run(&verb, &connection, out).await?,
        Verb::Tls(verb) => super::tls::run(&verb, out)?,
        Verb::Migrate(args) => return Ok(super::migrate::migrate(args, out).await?),
        Verb::Journal(verb) => return super::journal::run(verb, &connection, out).await,
        Verb::Backup(args) => return super::backup::run(args, out).await,
        Verb::Health { service } => {
            return super::health::health(&connection, &service, out).await;
        }
        Verb::Cluster(verb) => return Ok(crate::lab::cluster::run(verb, out).await?),
        Verb::Chaos(args) => return crate::lab::chaos::run(&args, out).await,
        Verb::Load(args) => return crate::lab::load::run(args, &connection, out).await,
        Verb::Verify(args) => return crate::verify::run(args, &connection, out).await,
        Verb::Psp(args) => return super::psp::run(args, out).await,
        Verb::Top(args) => return super::top::run(args, out).await,
        Verb::Demo => return Ok(crate::lab::demo::run(out).await?),
        Verb::Completions { shell } => {
            let mut completions = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "ordinal", &mut completions);
            out.raw(&String::from_utf8_lossy(&completions));
        }
        Verb::Version => version(out),
        Verb::Status => return status::status(&connect().await?, &connection, out).await,
        Verb::Overview => overview::overview(&connect().await?, out).await?,
        Verb::Lookup { id } => lookup::lookup(&connect().await?, out, &id).await?,
        Verb::Order(verb) => orders::order(&connect().await?, out, verb).await?,
        Verb::Return(verb) => orders::returns(&connect().await?, out, verb).await?,
        Verb::Events(verb) => orders::events(&connect().await?, out, verb).await?,
        Verb::Stock(verb) => stock::stock(&connect().await?, out, verb).await?,
        Verb::Notification(verb) => stock::notification(&connect().await?, out, verb).await?,
        Verb::Ledger(verb) => ledger::ledger(&connect().await?, out, verb).await?,
        Verb::Wallet(verb) => wallet::wallet(&connect().await?, out, verb).await?,
        Verb::Payment(verb) => payment::payment(&connect().await?, out, verb).await?,
        Verb::Payout(verb) => payout::payout(&connect().await?, out, verb).await?,
        Verb::Settlement(verb) => settlement::settlement(&connect().await?, out, verb).await?,
        Verb::Followers => operations::followers(&connect().await?, out).await?,
        Verb::Follower(verb) => operations::follower(&connect().await?, out, verb).await?,
        Verb::DeadLetter(verb) => operations::dead_letters(&connect().await?, out, verb).await?,
        Verb::ReadModel(verb) => operations::read_models(&connect().await?, out, verb).await?,
        Verb::Shards(verb) => operations::shards(&connect().await?, out, verb).await?,
        Verb::Operations(verb) => operations::operations(&connect().await?, out, verb).await?,
        Verb::Timers(verb) => operations::timers(&connect().await?, out, verb).await?,
        Verb::Quarantined => operations::quarantined(&connect().await?, out).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn version(out: &Output) {
    let version = env!("CARGO_PKG_VERSION");
    out.answer(&json!({ "version": version }), |out, _| out.line(format!("ordinal {version}")));
}
