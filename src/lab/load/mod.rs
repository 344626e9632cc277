//! `ordinal load`: sends the orders of a file to an engine through gRPC, as a shop's own system
//! would. Invoices become orders, credit notes become returns.
//!
//! Every id is derived from the file, so a load that was interrupted, or is run again, repeats
//! itself and changes nothing twice.
//!
//! Never here: a shortcut past the edge.

pub(super) mod books; // payments, orders and the provider, compared
pub(super) mod calls; // gRPC calls with retries and latencies
mod countries; // country names as the file of the UCI has them
mod counts; // what a load comes to
mod drive; // customers side by side, each one's invoices in the order of the file
mod files; // order files of shops, and others by a mapping
mod invoices; // invoices, put together from the file's records
mod kept; // a simulator whose calls are kept in a file
mod orders; // sends the orders of a file
mod paid; // pays orders
pub(super) mod pay; // how orders are paid, at a simulated provider
mod payment_calls; // calls about payments
mod plan; // invoice → requests, with derived ids; pure
pub(super) mod provider; // the provider's own book
mod purchases; // delivered units that may still be returned, on disk
mod records; // CSV records, put together from lines
mod report; // the result of every invoice
mod returns; // sends the returns of a credit note
mod source; // invoices or orders
mod steady; // calls at a steady rate, without a file
mod stock; // sets the stock of products
mod wallets; // wallets that pay orders

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use flate2::read::MultiGzDecoder;
use order_actor::clock::ManualClock;
use shared_events::contract::Currency;

use crate::client::{Caller, Client, Connection, Failure, Output};
use crate::client::{lag, progress};
use crate::engine::{Backend, Databases, Engine, Settings};
use drive::Drive;
use files::{FileArgs, Orders};
use invoices::Invoices;
use pay::{PayArgs, Paying};
use provider::Worth;
use report::Report;
use source::Source;
use steady::Mix;
use stock::StockPolicy;

/// Time limit for the followers of an engine started here to catch up before it stops.
const CATCH_UP: Duration = Duration::from_secs(60);

/// Flags of `ordinal load`.
#[derive(Debug, clap::Args)]
pub struct LoadArgs {
    /// The file, in the format of docs/importing.md; gzip where its name ends in .gz.
    #[arg(long, value_name = "FILE", required_unless_present = "rate")]
    csv: Option<PathBuf>,
    /// Instead of a file: send this many calls a second, whether or not earlier ones have returned.
    /// Latencies count from the moment at which a call was due.
    #[arg(long, value_name = "N", conflicts_with_all = ["csv", "simulate_time", "format", "mapping", "limit", "report", "in_flight", "stock", "currency"], value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: Option<u64>,
    /// Duration of the calls.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = crate::flags::duration, requires = "rate")]
    duration: Duration,
    /// Kinds of calls with weights: place, get, list, cancel, fulfill.
    #[arg(long, value_name = "KIND=WEIGHT,…", default_value = "place=1", requires = "rate")]
    mix: Mix,
    /// Start an engine on SQLite files in this directory [default without --address: ordinal-data].
    #[arg(long, value_name = "DIR", conflicts_with = "database_url")]
    data: Option<PathBuf>,
    /// Start an engine on this Postgres database.
    #[arg(long, value_name = "URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Let the clock of the started engine follow the file, so that windows and deadlines act as
    /// they would have then.
    #[arg(long)]
    simulate_time: bool,
    /// Units that a product has before its first sale: a number, unlimited, or exactly as many as
    /// the file sells. Stock that was set before is kept.
    #[arg(long, value_name = "unlimited|exact|N", default_value = "unlimited")]
    stock: StockPolicy,
    /// Currency of prices for which the file names none.
    #[arg(long, value_name = "CODE", default_value = "GBP")]
    currency: Currency,
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    pay: PayArgs,
    /// Stop after this many invoices or orders.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Have at most this many invoices or orders under way.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100))]
    in_flight: u32,
    /// Write every line that was not accepted, and what of an order is not kept, as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

impl LoadArgs {
    /// Refuses to pay where that cannot be.
    fn check_pay(&self, starts_engine: bool) -> Result<(), Failure> {
        let wrong = |text: &str| Err(Failure::Usage(format!("--pay: {text}")));
        if self.pay.is_given() && !starts_engine {
            return wrong("load starts the engine itself; it does not go with --address");
        }
        Ok(())
    }
}

/// Loads a file and shows the results; exit code 1 where a line of it was left out.
///
/// # Errors
/// Where the file cannot be read, no engine answers, or one stops answering.
pub async fn run(
    args: LoadArgs,
    connection: &Connection,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let backend = match (&args.data, &args.database_url, &connection.address) {
        (Some(directory), _, _) => Some(Backend::Sqlite(directory.clone())),
        (None, Some(url), _) => Some(Backend::Postgres(Databases::one(url))),
        (None, None, Some(_)) => None,
        (None, None, None) => Some(Backend::Sqlite(PathBuf::from("ordinal-data"))),
    };
    let Some(csv) = args.csv.clone() else {
        return steadily(&args, backend, connection, out).await;
    };
    args.check_pay(backend.is_some())?;
    // A file that is none of its format fails before an engine is started.
    let mut input = Input::open(&args, &csv, out).await?;
    let report = Report::new(args.report.as_deref(), args.currency)?;
    let worth = if args.file.is_uci() { Worth::Units } else { Worth::Money };
    let (paying, psps) = args.pay.begin(worth, backend.as_ref())?.unzip();
    let Some(backend) = backend else {
        if args.simulate_time {
            let text = "--simulate-time moves the clock of an engine that load starts itself; \
                        it does not go with --address";
            return Err(Failure::Usage(text.to_owned()));
        }
        let client = Client::connect(connection).await?;
        return drive(&args, input, client, (None, None), report, out).await;
    };
    let mut settings = Settings::new(backend);
    settings.trust_clock = args.simulate_time;
    settings.psps = psps.unwrap_or_default();
    let clock = if args.simulate_time {
        Some(ManualClock::new(input.source.first_time().await?))
    } else {
        None
    };
    if let Some(clock) = &clock {
        settings.clock = Arc::new(clock.clone());
    }
    let engine = Engine::start(settings).await?;
    let connection = to(&engine, connection);
    let loaded = async {
        let client = Client::connect(&connection).await?;
        let done = drive(&args, input, client, (clock, paying), report, out).await?;
        drain(&connection).await?;
        Ok(done)
    };
    let loaded = loaded.await;
    engine.stop().await?;
    loaded
}

/// Calls at a steady rate, to an engine started here or another.
async fn steadily(
    args: &LoadArgs,
    backend: Option<Backend>,
    connection: &Connection,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let rate = args.rate.unwrap_or(1);
    let Some(backend) = backend else {
        steady::run(connection, rate, args.duration, &args.mix, out).await?;
        return Ok(ExitCode::SUCCESS);
    };
    let engine = Engine::start(Settings::new(backend)).await?;
    let connection = to(&engine, connection);
    let loaded = async {
        steady::run(&connection, rate, args.duration, &args.mix, out).await?;
        drain(&connection).await
    };
    let loaded = loaded.await;
    engine.stop().await?;
    loaded.map(|()| ExitCode::SUCCESS)
}

/// A connection to an engine started here.
fn to(engine: &Engine, connection: &Connection) -> Connection {
    let caller = Caller { role: "ops".to_owned(), subject: "load".to_owned() };
    Connection {
        timeout: connection.timeout,
        ..Connection::new(format!("http://{}", engine.address()), caller)
    }
}

/// Lets the followers of an engine started here finish, since nobody else runs them.
async fn drain(connection: &Connection) -> Result<(), Failure> {
    let client = Client::connect(connection).await?;
    for (follower, facts) in lag::drained(&client, CATCH_UP).await? {
        if facts > 0 {
            tracing::warn!(follower, facts, "has not caught up; it continues with the next engine");
        }
    }
    Ok(())
}

/// The file, of which the heading was read, and how much of it was.
struct Input<'a> {
    csv: &'a Path,
    source: Source,
    bar: Bar,
}

/// A progress bar that is gone when the reading has ended, however it does.
struct Bar(indicatif::ProgressBar);

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

impl<'a> Input<'a> {
    async fn open(args: &LoadArgs, csv: &'a Path, out: &Output) -> Result<Self, Failure> {
        let file = open_file(csv)?;
        let length = file.get_ref().metadata().context("size of the file")?.len();
        let bar = Bar(progress::bytes(out, length));
        let source = source(args, csv, unpacked(csv, bar.0.wrap_read(file))).await?;
        Ok(Self { csv, source, bar })
    }
}

async fn drive(
    args: &LoadArgs,
    input: Input<'_>,
    client: Client,
    (clock, paying): (Option<ManualClock>, Option<Paying>),
    report: Report,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let Input { csv, source: file, bar } = input;
    let units = match args.stock {
        StockPolicy::Exact => stock::sold(source(args, csv, open(csv)?).await?).await?,
        StockPolicy::Unlimited | StockPolicy::Units(_) => stock::Sold::default(),
    };
    let shelf = stock::Shelf::new(args.stock, units);
    let drive = Drive::new(client, (clock, paying), shelf, args.in_flight, report).await?;
    let report = drive.run(file).await?;
    drop(bar);
    let complete = report.finish(out)?;
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the file holds, by its format.
async fn source(
    args: &LoadArgs,
    csv: &Path,
    file: Box<dyn Read + Send>,
) -> Result<Source, Failure> {
    if args.file.is_uci() {
        return Ok(Invoices::new(file, &args.file.written()?, args.limit)?.into());
    }
    let orders = Orders::new(&args.file, csv, file, &open, args.currency, args.limit);
    Ok(orders.await?.into())
}

fn open_file(path: &Path) -> Result<BufReader<File>, Failure> {
    let file =
        File::open(path).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
    Ok(BufReader::new(file))
}

fn open(path: &Path) -> Result<Box<dyn Read + Send>, Failure> {
    Ok(unpacked(path, open_file(path)?))
}

fn unpacked(path: &Path, file: impl Read + Send + 'static) -> Box<dyn Read + Send> {
    if path.extension().is_some_and(|extension| extension == "gz") {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    }
}
