use std::sync::Arc;
use std::time::Duration;

use ledger::audit;
use ledger::grpc::proto::ledger_service_client::LedgerServiceClient;
use ledger::grpc::proto::{Money, ReserveFundsRequest};
use shared_events::chance::Chance;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};

use crate::lab::{self, Lab};
use crate::measure::{Latencies, OpenLoop, Pace, Run, Runs, Spread, Tally};
use crate::measure::{closed, latencies, micros, number};
use crate::report::{Bound, Row};
use crate::subject::books::{ACCOUNTS, Naive, Ours, Picks, Way, wallet};

/// Callers, of every contender.
const CALLERS: usize = 1_024;
/// Holds under way.
const HOLDS: usize = 256;
const OURS: &str = "Ordinal";

/// Rows L1, L2 and V1: the book of money against transactions that one would write by hand.
///
/// # Errors
/// Where a contender fails, or our book is not as its laws say.
pub async fn measure(lab: &Lab, pace: Pace) -> anyhow::Result<Vec<Row>> {
    let mut spread = Row::new(
        "L1",
        "transfers between 10,000 accounts, by Zipf, on Postgres",
        "Every caller of 1,024 moves 1 GBP from one account to another, waits, and continues; accounts by Zipf 1.0, none may be overdrawn. Ours: the book of the ledger in this process. \
         By hand, with a pool of 32 connections: (a) SELECT … FOR UPDATE of both accounts, a transfer, two entries and two updates; (b) two conditional updates instead of reading; (c) one function in the database. \
         Nothing of theirs is hashed, and no account's sums are kept beside its transfers.",
    );
    let mut hot = Row::new(
        "L2",
        "the same, where every transfer touches one account",
        "As L1; the hot account pays.",
    );
    let mut verified = Row::new(
        "V1",
        "the whole book reckoned anew",
        "The transfers of L1 and L2, with their hash chain, limits, sums and holds, as `ordinal verify` checks them; in this process.",
    );
    // Long enough for the slowest to answer every caller a few times.
    let pace = Pace { run: Duration::from_millis(pace.pick(5_000, 600)), ..pace };
    let ours = Ours::open(lab).await?;
    let naive = Naive::open(lab).await?;
    let ways = [Way::ForUpdate, Way::Conditional, Way::Function];
    let mut taken = [const { [const { Vec::new() }; 4] }; 2];
    for _ in 0..pace.rounds {
        for (picks, taken) in [Picks::Zipf, Picks::OneHot].into_iter().zip(&mut taken) {
            taken[0].push(of_ours(pace, &ours, picks).await?);
            for (way, taken) in ways.into_iter().zip(&mut taken[1..]) {
                taken.push(by_hand(pace, &naive, way, picks).await?);
            }
        }
    }
    let [by_zipf, by_one] = taken;
    let [zipf, for_update, conditional, function] = told(&mut spread, "Zipf 1.0", by_zipf);
    let goal = Bound::AtLeast(25_000.0);
    spread.goal("transfers/s", zipf.rates(), goal, "transfers/s");
    let against = zipf.times(&for_update);
    spread.goal("against SELECT … FOR UPDATE", against, Bound::AtLeast(8.0), "");
    spread.goal("against conditional updates", zipf.times(&conditional), Bound::Told, "");
    spread.goal("against the function", zipf.times(&function), Bound::Told, "");
    let [one, for_update, conditional, function] = told(&mut hot, "one hot account", by_one);
    hot.goal("against L1", one.times(&zipf), Bound::AtLeast(0.8), "");
    let against = one.times(&for_update);
    hot.goal("against SELECT … FOR UPDATE", against, Bound::AtLeast(25.0), "");
    hot.goal("against conditional updates", one.times(&conditional), Bound::Told, "");
    hot.goal("against the function", one.times(&function), Bound::Told, "");

    let mut rates = Vec::new();
    for _ in 0..pace.rounds {
        let since = Instant::now();
        let found = audit(ours.database()).await?;
        rates.push(number(found.transfers) / since.elapsed().as_secs_f64());
        anyhow::ensure!(found.findings.is_empty(), "the book is wrong: {:?}", found.findings);
    }
    let rates = Spread::of(rates);
    verified.figure("transfers of L1 and L2", OURS, "transfers/s", rates);
    verified.goal("transfers verified a second", rates, Bound::AtLeast(400_000.0), "transfers/s");
    ours.close(lab).await?;
    naive.close(lab).await?;
    Ok(vec![spread, hot, verified])
}

/// The contenders' figures.
fn told(row: &mut Row, case: &str, taken: [Vec<Run>; 4]) -> [Runs; 4] {
    let runs = taken.map(Runs);
    let names = [
        OURS,
        "(a) SELECT … FOR UPDATE",
        "(b) conditional updates",
        "(c) function in the database",
    ];
    for (who, runs) in names.into_iter().zip(&runs) {
        row.runs(case, who, "transfers/s", runs);
    }
    runs
}

async fn of_ours(pace: Pace, ours: &Ours, picks: Picks) -> anyhow::Result<Run> {
    closed(pace, CALLERS, move |caller, mut tally: Tally| {
        let (ours, mut pairs) = (ours.clone(), picks.pairs(caller));
        async move {
            while tally.continues() {
                let (from, to) = pairs.next();
                let since = Instant::now();
                ours.transfer(from, to).await?;
                tally.done(since);
            }
            Ok(tally)
        }
    })
    .await
}

async fn by_hand(pace: Pace, naive: &Naive, way: Way, picks: Picks) -> anyhow::Result<Run> {
    closed(pace, CALLERS, move |caller, mut tally: Tally| {
        let (naive, mut pairs) = (naive.clone(), picks.pairs(caller));
        async move {
            while tally.continues() {
                let (from, to) = pairs.next();
                let since = Instant::now();
                naive.transfer(way, from, to).await?;
                tally.done(since);
            }
            Ok(tally)
        }
    })
    .await
}

type Ledger = LedgerServiceClient<Channel>;

/// Row L3: holds by gRPC.
///
/// # Errors
/// Where the ledger fails or refuses a hold.
pub async fn holds(lab: &Lab, pace: Pace) -> anyhow::Result<Row> {
    let mut row = Row::new(
        "L3",
        "ReserveFunds by gRPC, on Postgres",
        "`ordinal serve --role ledger`, the client in its own process; 10,000 wallets by Zipf 1.0, each hold of 1 GBP. 256 in flight, each waiting for its answer; then 1,000 a second whether or not earlier ones have ended, \
         with latencies from when a hold was due.",
    );
    // The accounts are put there in this process, before the role serves.
    let ours = Ours::open(lab).await?;
    let url = ours.shut().await;
    let flags = ["ordinal", "serve", "--role", "ledger", "--ledger-database-url", &url];
    let serving = lab::server(lab, "ledger", &flags).await?;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let endpoint = Endpoint::from_shared(format!("http://{}", serving.address))?;
        clients.push(Ledger::new(endpoint.tcp_nodelay(true).connect().await?));
    }
    let rate = pace.pick(1_000, 50);
    let (mut closed_loop, mut open_loop) = (Vec::new(), Vec::new());
    for _ in 0..pace.rounds {
        closed_loop.push(reserved(pace, &clients).await?);
        open_loop.push(reserved_at_rate(&clients, (rate, pace.run * 2)).await?);
    }
    lab::end(serving).await;
    lab.drop_database(&url).await?;
    let runs = Runs(closed_loop);
    row.runs("256 in flight", OURS, "holds/s", &runs);
    row.goal("holds/s", runs.rates(), Bound::AtLeast(8_000.0), "holds/s");
    let millis = |spread: Spread| Spread {
        min: spread.min / 1e3,
        median: spread.median / 1e3,
        max: spread.max / 1e3,
    };
    row.goal("p99 with 256 in flight", millis(runs.quantile(0.99)), Bound::AtMost(40.0), "ms");
    for (quantile, name, bound) in [(0.5, "p50", Bound::Told), (0.99, "p99", Bound::AtMost(15.0))] {
        let at = |run: &Latencies| number(run.value_at_quantile(quantile)) / 1e3;
        let spread = Spread::of(open_loop.iter().map(at));
        row.figure(&format!("{rate} a second, {name}"), OURS, "ms", spread);
        row.goal(&format!("{name} at {rate} a second"), spread, bound, "ms");
    }
    Ok(row)
}

fn hold(account: usize, chance: &Chance) -> ReserveFundsRequest {
    let id = u128::from(chance.bits()) << 64 | u128::from(chance.bits());
    ReserveFundsRequest {
        hold_id: uuid::Builder::from_random_bytes(id.to_be_bytes()).into_uuid().to_string(),
        debit: wallet(account),
        credit: "shop".to_owned(),
        amount: Some(Money { currency_code: "GBP".to_owned(), units: 1, nanos: 0 }),
        ..ReserveFundsRequest::default()
    }
}

async fn reserved(pace: Pace, clients: &[Ledger]) -> anyhow::Result<Run> {
    closed(pace, HOLDS, |caller, mut tally: Tally| {
        let mut client = clients[caller % clients.len()].clone();
        let (mut pairs, chance) = (Picks::Zipf.pairs(caller), Chance::system());
        async move {
            while tally.continues() {
                let hold = hold(pairs.next().0, &chance);
                let since = Instant::now();
                client.reserve_funds(hold).await?;
                tally.done(since);
            }
            Ok(tally)
        }
    })
    .await
}

async fn reserved_at_rate(
    clients: &[Ledger],
    (rate, time): (u64, Duration),
) -> anyhow::Result<Latencies> {
    let (mut pairs, chance) = (Picks::Zipf.pairs(ACCOUNTS), Arc::new(Chance::system()));
    let mut open_loop = OpenLoop::new(rate, time);
    let (mut calls, mut all) = (JoinSet::new(), latencies()?);
    while let Some((index, due)) = open_loop.due().await {
        while let Some(took) = calls.try_join_next() {
            all.record(micros(took??))?;
        }
        let nth = usize::try_from(index)? % clients.len();
        let (mut client, hold) = (clients[nth].clone(), hold(pairs.next().0, &chance));
        calls.spawn(async move {
            client.reserve_funds(hold).await?;
            anyhow::Ok(due.elapsed())
        });
    }
    while let Some(took) = calls.join_next().await {
        all.record(micros(took??))?;
    }
    Ok(all)
}
