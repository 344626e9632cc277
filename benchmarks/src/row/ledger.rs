use std::sync::Arc;

use ledger::domain::{AccountKind, AccountName, Entry, EntryId, Leg, Limit, NewAccount, Outcome};
use ledger::{Book as _, SqlBook, audit, migrator};
use order_actor::clock::{Clock as _, SystemClock};
use shared_events::contract::Money;
use shared_events::stream::{AskedBy, Database, Dialect};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::books::{Accounts, Contender, TABLES, book};
use crate::lab::Lab;
use crate::measure::{Pace, Run, Runs, closed};
use crate::report::{Bound, Row};

/// Transfers under way at the same time, at each contender.
const CALLERS: usize = 512;
/// Connections of a contender that has a transaction for each transfer.
const CONNECTIONS: u32 = 32;

/// Row L1: a book with 10,000 accounts; L2: every transfer touches one of them.
///
/// # Errors
/// Where a contender fails.
pub async fn measure(lab: &Lab, pace: Pace) -> anyhow::Result<Vec<Row>> {
    let setup = "One transfer for each call, 512 under way, 10,000 accounts whose debits never exceed their credits, every commit on disk. \
        Ours: the ledger in process on Postgres, with its queue, its hash chain, its index of ids and the sums beside each transfer. \
        Contenders keep accounts and transfers, with a pool of 32: (a) SELECT … FOR UPDATE of both accounts in the order of their ids, INSERT, two \
        UPDATEs; (b) two UPDATEs with the limit in their condition; (c) one function in PL/pgSQL, which does as (a).";
    let mut rows = Vec::new();
    let mut zipf = None;
    for (number, accounts) in [
        ("L1", Accounts::zipf(pace.pick(10_000, 500))),
        ("L2", Accounts::hot(pace.pick(10_000, 500))),
    ] {
        let mut row = Row::new(number, &format!("ledger: {}", accounts.what()), setup);
        let accounts = Arc::new(accounts);
        let mut ours = Runs(Vec::new());
        let mut theirs = Contender::ALL.map(|_| Runs(Vec::new()));
        for _ in 0..pace.rounds {
            ours.0.push(our_run(lab, pace, &accounts).await?);
            for (contender, runs) in Contender::ALL.into_iter().zip(&mut theirs) {
                runs.0.push(their_run(lab, pace, &accounts, contender).await?);
            }
        }
        let case = accounts.what();
        row.runs(case, "Ordinal", "transfers/s", &ours);
        for (contender, runs) in Contender::ALL.into_iter().zip(&theirs) {
            row.runs(case, contender.name(), "transfers/s", runs);
        }
        let times = ours.times(&theirs[0]);
        match &zipf {
            None => {
                row.goal("booked", ours.rates(), Bound::AtLeast(25_000.0), "transfers/s");
                row.goal("booked, against (a)", times, Bound::AtLeast(8.0), "");
            }
            Some(zipf) => {
                row.goal("booked, against L1", ours.times(zipf), Bound::AtLeast(0.8), "");
                row.goal("booked, against (a)", times, Bound::AtLeast(25.0), "");
            }
        }
        zipf.get_or_insert(ours);
        rows.push(row);
    }
    Ok(rows)
}

fn by() -> AskedBy {
    AskedBy { role: "SERVICE".to_owned(), subject: "bench".to_owned() }
}

async fn our_run(lab: &Lab, pace: Pace, accounts: &Arc<Accounts>) -> anyhow::Result<Run> {
    let url = lab.database("book").await?;
    let database = Database::postgres(&url, "ledger", &migrator(Dialect::Postgres)).await?;
    let book = SqlBook::new(database.clone(), Arc::new(|| SystemClock.now()));
    let stop = CancellationToken::new();
    let running = tokio::spawn(book.clone().run(stop.clone()));
    let names = (0..accounts.count()).map(|nth| format!("a{nth}").parse());
    let names: Arc<Vec<AccountName>> = Arc::new(names.collect::<Result<_, _>>()?);
    let currency = "GBP".parse()?;
    let bank: AccountName = "bank".parse()?;
    let open = |name: &AccountName, limit| {
        let terms =
            NewAccount { name: name.clone(), kind: AccountKind::Liability, currency, limit };
        book.open(terms, by(), String::new())
    };
    open(&bank, Limit::None).await?;
    for some in names.chunks(1_000) {
        let opened = some.iter().map(|name| open(name, Limit::DebitsWithinCredits));
        futures::future::try_join_all(opened).await?;
    }
    for some in names.chunks(100) {
        let amount = Money::new(1 << 40, currency);
        let legs = some.iter().map(|name| Leg::Transfer {
            debit: bank.clone(),
            credit: name.clone(),
            amount,
        });
        let entry = Entry::new(EntryId::from(Uuid::now_v7()), legs.collect(), String::new());
        book.post(entry.map_err(|wrong| anyhow::anyhow!("{wrong:?}"))?, by()).await?;
    }
    let run = closed(pace, CALLERS, |caller, mut tally| {
        let (book, names, accounts) = (book.clone(), Arc::clone(&names), Arc::clone(accounts));
        async move {
            let mut nth = 0;
            while tally.continues() {
                let (debit, credit) = accounts.pair(caller, nth);
                nth += 1;
                let since = tokio::time::Instant::now();
                let (debit, credit) = (names[debit].clone(), names[credit].clone());
                let leg = Leg::Transfer { debit, credit, amount: Money::new(1, currency) };
                let entry = Entry::new(EntryId::from(Uuid::now_v7()), vec![leg], String::new());
                let entry = entry.map_err(|wrong| anyhow::anyhow!("{wrong:?}"))?;
                let posted = book.post(entry, by()).await?;
                anyhow::ensure!(matches!(posted.outcome, Outcome::Booked { .. }), "{posted:?}");
                tally.done(since);
            }
            Ok(tally)
        }
    })
    .await?;
    stop.cancel();
    running.await?;
    let found = audit(&database).await?;
    anyhow::ensure!(found.findings.is_empty(), "{:?}", found.findings);
    database.close().await;
    lab.drop_database(&url).await?;
    Ok(run)
}

async fn their_run(
    lab: &Lab,
    pace: Pace,
    accounts: &Arc<Accounts>,
    contender: Contender,
) -> anyhow::Result<Run> {
    let url = lab.database("naive").await?;
    let pool: PgPool = PgPoolOptions::new().max_connections(CONNECTIONS).connect(&url).await?;
    sqlx::raw_sql(TABLES).execute(&pool).await?;
    let fill = "INSERT INTO accounts SELECT nth, 0, $1 FROM generate_series(0, $2) AS nth";
    let last = i64::try_from(accounts.count())? - 1;
    sqlx::query(fill).bind(1_i64 << 40).bind(last).execute(&pool).await?;
    let run = closed(pace, CALLERS, |caller, mut tally| {
        let (pool, accounts) = (pool.clone(), Arc::clone(accounts));
        async move {
            let mut nth = 0;
            while tally.continues() {
                let (debit, credit) = accounts.pair(caller, nth);
                nth += 1;
                let since = tokio::time::Instant::now();
                book(&pool, contender, (i64::try_from(debit)?, i64::try_from(credit)?)).await?;
                tally.done(since);
            }
            Ok(tally)
        }
    })
    .await?;
    let sums = "SELECT (sum(debits) + $1 * count(*) - sum(credits))::bigint FROM accounts";
    let rest: i64 = sqlx::query_scalar(sums).bind(1_i64 << 40).fetch_one(&pool).await?;
    anyhow::ensure!(rest == 0, "{} lost {rest}", contender.name());
    pool.close().await;
    lab.drop_database(&url).await?;
    Ok(run)
}
