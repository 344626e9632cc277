//! The crash matrix of money: a whole engine that is killed (SIGKILL) between two durable writes, on
//! both databases. Where it stands then, the test decides: by a follower that is paused, a provider
//! that is not there or does not answer, or a lock of a database. After each the provider's book
//! must agree with ours, and every law must hold. The other points: `docs/money-cases.md`.

use std::time::Duration;

use serde_json::Value;
use sqlx::{Connection as _, Executor as _};

use crate::history::{copy, psql, until_caught_up};
use crate::line::{Line, Manner};
use crate::nodes::databases;
use crate::paid_orders::{PATIENCE, Shop, gbp, on_postgres, on_sqlite};
use crate::payouts::{earned, made_by, pay_out, paying_out, until_state};
use crate::told_orders::until;

/// Each on both databases, in a process of its own: what waits for a minute waits beside others.
macro_rules! points {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[test]
                fn $name() {
                    super::$name(super::Shop::open(super::on_sqlite));
                }
            )*
        }
        mod postgres {
            $(
                #[test]
                fn $name() {
                    let (_runtime, [database]) = super::databases();
                    super::$name(super::Shop::open(super::on_postgres(database.url())));
                }
            )*
        }
    };
}

points!(
    stock_is_held_and_payments_have_not_read_it,
    what_is_due_was_never_called,
    a_call_that_is_stored_was_never_sent,
    the_provider_acted_and_nobody_read_its_answer,
    an_answer_was_read_and_not_committed,
    the_money_stands_and_the_order_was_not_told,
    the_order_was_confirmed_and_the_answer_is_read_again,
    an_order_is_cancelled_and_payments_have_not_read_it,
    money_was_paid_back_and_the_ledger_has_not_read_it,
    a_payout_is_held_and_was_never_sent,
    the_provider_paid_a_seller_and_nobody_read_its_answer,
    an_answer_about_a_payout_was_read_and_not_committed,
    a_seller_was_paid_and_that_is_not_booked,
);

fn pause(shop: &Shop, follower: &str) {
    shop.engine.ask(&["follower", "pause", follower, "--reason", "a test"]);
}

fn resume(shop: &Shop, follower: &str) {
    shop.engine.ask(&["follower", "resume", follower]);
}

/// An order that waits for its money, as far as it knows itself.
fn asking(shop: &Shop) -> String {
    let order = shop.place("cards,fee=250");
    shop.asks_for_money(&order);
    order
}

fn paid(shop: &Shop) -> String {
    let order = shop.place("cards,fee=250");
    shop.attempt(&order, "tok_visa");
    shop.confirmed(&order);
    order
}

fn operation(shop: &Shop, order: &str) -> Value {
    let payment = shop.payments(order)[0]["payment_id"].as_str().unwrap().to_owned();
    shop.engine.ask(&["payment", "show", &payment])["operations"][0].clone()
}

/// What the provider's book has, in minor units.
fn theirs(shop: &Shop, word: &str) -> i64 {
    let book = shop.provider.book();
    let all = book["payments"].as_array().unwrap().iter();
    all.map(|one| one[word].as_i64().unwrap()).sum()
}

/// How often this is in the history of an order.
fn times(shop: &Shop, order: &str, event: &str) -> usize {
    let history = shop.engine.run(&["order", "history", order]);
    String::from_utf8_lossy(&history.stdout).matches(event).count()
}

/// Paid in the end, once: at the provider, in its book, and in the order.
fn is_paid_once(shop: Shop, order: &str) {
    shop.confirmed(order);
    assert_eq!(theirs(&shop, "authorized"), 2_000);
    for event in ["StockHeld", "PaymentSecured", "OrderConfirmed"] {
        assert_eq!(times(&shop, order, event), 1, "{event}");
    }
    shop.engine.ask(&["order", "fulfill", order]);
    shop.until_payment(order, "CAPTURED");
    assert_eq!(theirs(&shop, "captured"), 2_000);
    shop.until_balance("psp_receivable:cards:GBP", 2_000);
    shop.close();
}

/// The settings of providers, with this in the place of that; they are read at the next start.
fn settings(shop: &Shop, this: &str, that: &str) {
    let file = shop.folder.path().join("psps.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(this), "{text}");
    std::fs::write(file, text.replace(this, that)).unwrap();
}

/// A shop whose provider is at the end of a line.
fn with_line(shop: Shop) -> (Shop, Line) {
    let line = Line::to(&shop.provider.address);
    let shop = shop.stopped(|shop| {
        settings(shop, &shop.provider.address, &line.url);
        settings(shop, "timeout = \"10s\"", "timeout = \"30s\"");
    });
    (shop, line)
}

/// Row 1.
fn stock_is_held_and_payments_have_not_read_it(mut shop: Shop) {
    pause(&shop, "payments");
    let order = asking(&shop);
    assert_eq!(shop.payments(&order), serde_json::json!([]));
    shop = shop.killed();
    resume(&shop, "payments");
    shop.attempt(&order, "tok_visa");
    shop.confirmed(&order);
    assert_eq!(shop.payments(&order).as_array().unwrap().len(), 1);
    is_paid_once(shop, &order);
}

/// Row 2: a process that does not know the provider has decided, and calls nobody.
fn what_is_due_was_never_called(mut shop: Shop) {
    let order = asking(&shop);
    until("payments have read it", || shop.payments(&order).as_array().unwrap().len() == 1);
    shop = shop.stopped(|shop| settings(shop, "name = \"cards\"", "name = \"others\""));
    shop.attempt(&order, "tok_visa");
    let due = operation(&shop, &order);
    assert_eq!(
        (&due["state"], &due["calls"]),
        (&"OPERATION_STATE_OPEN".into(), &0.into()),
        "{due}"
    );
    settings(&shop, "name = \"others\"", "name = \"cards\"");
    shop = shop.killed();
    is_paid_once(shop, &order);
}

/// Row 3: after the grace the provider's "not found" counts, and the same call is sent again.
fn a_call_that_is_stored_was_never_sent(shop: Shop) {
    let (mut shop, line) = with_line(shop);
    let order = asking(&shop);
    line.does(Manner::LosesRequests);
    shop.attempt(&order, "tok_visa");
    line.until_lost(PATIENCE);
    shop = shop.killed();
    line.does(Manner::Passes);
    assert_eq!(theirs(&shop, "authorized"), 0);
    is_paid_once(shop, &order);
}

/// Row 4.
fn the_provider_acted_and_nobody_read_its_answer(shop: Shop) {
    let (mut shop, line) = with_line(shop);
    let order = asking(&shop);
    line.does(Manner::KeepsAnswers);
    shop.attempt(&order, "tok_visa");
    until("reserved", || theirs(&shop, "authorized") == 2_000);
    shop = shop.killed();
    line.does(Manner::Passes);
    is_paid_once(shop, &order);
}

/// Row 5: the answer has come, and the database takes nothing from the engine.
fn an_answer_was_read_and_not_committed(shop: Shop) {
    let (mut shop, line) = with_line(shop);
    let order = asking(&shop);
    line.does(Manner::KeepsAnswers);
    shop.attempt(&order, "tok_visa");
    until("reserved", || theirs(&shop, "authorized") == 2_000);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut lock = runtime.block_on(Lock::take(&shop, "payments.operations"));
    line.forget_answers();
    line.does(Manner::Passes);
    line.until_answered(PATIENCE);
    runtime.block_on(lock.until_waited_for());
    shop = shop.killed_and(|_| runtime.block_on(lock.release()));
    is_paid_once(shop, &order);
}

/// Row 9.
fn the_money_stands_and_the_order_was_not_told(mut shop: Shop) {
    pause(&shop, "money-answers");
    let order = asking(&shop);
    shop.attempt(&order, "tok_visa");
    shop.until_payment(&order, "AUTHORIZED");
    shop = shop.killed();
    assert_eq!(times(&shop, &order, "PaymentSecured"), 0);
    resume(&shop, "money-answers");
    is_paid_once(shop, &order);
}

/// Row 10: the command is in the journal, and the cursor of whoever sent it is from before.
fn the_order_was_confirmed_and_the_answer_is_read_again(mut shop: Shop) {
    let order = asking(&shop);
    until_caught_up(&shop.engine);
    let cursors = Cursors::of(&shop);
    shop = shop.stopped(|_| cursors.keep());
    shop.attempt(&order, "tok_visa");
    shop.confirmed(&order);
    shop = shop.killed_and(|_| cursors.restore());
    until_caught_up(&shop.engine);
    is_paid_once(shop, &order);
}

/// Row 15.
fn an_order_is_cancelled_and_payments_have_not_read_it(mut shop: Shop) {
    let order = paid(&shop);
    pause(&shop, "payments");
    shop.engine.ask(&["order", "cancel", &order]);
    shop = shop.killed();
    assert_eq!(shop.until_payment(&order, "AUTHORIZED")["captured"], gbp(0));
    resume(&shop, "payments");
    shop.until_payment(&order, "VOIDED");
    shop.compensated(&order);
    assert_eq!(times(&shop, &order, "OrderCancelled"), 1);
    assert_eq!((theirs(&shop, "released"), theirs(&shop, "captured")), (2_000, 0));
    shop.close();
}

/// Row 17.
fn money_was_paid_back_and_the_ledger_has_not_read_it(mut shop: Shop) {
    let order = paid(&shop);
    shop.engine.ask(&["order", "fulfill", &order]);
    shop.until_payment(&order, "CAPTURED");
    shop.until_balance("psp_receivable:cards:GBP", 2_000);
    pause(&shop, "ledger-entries");
    shop.engine.ask(&["return", "request", &order, "--line", "1=1", "--reason", "chipped"]);
    shop.engine.ask(&["return", "approve", &order]);
    shop.until_payment(&order, "PARTIALLY_REFUNDED");
    shop = shop.killed();
    shop.until_balance("psp_receivable:cards:GBP", 2_000);
    resume(&shop, "ledger-entries");
    shop.until_balance("psp_receivable:cards:GBP", 1_000);
    shop.until_balance("sales:GBP", 1_000);
    assert_eq!(theirs(&shop, "refunded"), 1_000);
    shop.close();
}

/// A shop with a seller who has 100 pounds, and a line to the provider that pays them out.
fn with_seller(shop: Shop) -> (Shop, Line) {
    let (shop, line) = with_line(paying_out(shop));
    earned(&shop, "acme", 100);
    (shop, line)
}

/// Paid out in the end, once: at the provider, in its list, and in the ledger.
fn is_paid_out_once(shop: Shop, run: &str) {
    until_state(&shop, run, "PAID");
    assert_eq!(shop.provider.payouts().len(), 1);
    shop.until_balance("seller:acme:GBP", 0);
    shop.until_balance("cash:GBP", -10_000);
    let another = pay_out(&shop, "acme");
    assert_eq!(made_by(&shop, &another), 0);
    shop.close();
}

/// Row 18: the amount is held, and the provider has heard nothing.
fn a_payout_is_held_and_was_never_sent(shop: Shop) {
    let (mut shop, line) = with_seller(shop);
    line.does(Manner::LosesRequests);
    let run = pay_out(&shop, "acme");
    line.until_lost(PATIENCE);
    let payout = until_state(&shop, &run, "COLLECTED");
    let hold = ["ledger", "hold", payout["payout_id"].as_str().unwrap()];
    assert_eq!(shop.engine.ask(&hold)["hold"]["state"], "HOLD_STATE_HELD");
    shop = shop.killed();
    line.does(Manner::Passes);
    assert_eq!(shop.provider.payouts().len(), 0);
    is_paid_out_once(shop, &run);
}

/// Row 18: the provider has paid.
fn the_provider_paid_a_seller_and_nobody_read_its_answer(shop: Shop) {
    let (mut shop, line) = with_seller(shop);
    line.does(Manner::KeepsAnswers);
    let run = pay_out(&shop, "acme");
    until("paid out", || shop.provider.payouts().len() == 1);
    shop = shop.killed();
    line.does(Manner::Passes);
    is_paid_out_once(shop, &run);
}

/// Row 18: the answer has come, and the database takes nothing from the engine.
fn an_answer_about_a_payout_was_read_and_not_committed(shop: Shop) {
    let (mut shop, line) = with_seller(shop);
    line.does(Manner::KeepsAnswers);
    let run = pay_out(&shop, "acme");
    until("paid out", || shop.provider.payouts().len() == 1);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut lock = runtime.block_on(Lock::take(&shop, "payments.payouts"));
    line.forget_answers();
    line.does(Manner::Passes);
    line.until_answered(PATIENCE);
    runtime.block_on(lock.until_waited_for());
    shop = shop.killed_and(|_| runtime.block_on(lock.release()));
    is_paid_out_once(shop, &run);
}

/// Row 18: that it is paid is committed, and the ledger takes nothing.
fn a_seller_was_paid_and_that_is_not_booked(shop: Shop) {
    let (mut shop, line) = with_seller(shop);
    line.does(Manner::KeepsAnswers);
    let run = pay_out(&shop, "acme");
    until("paid out", || shop.provider.payouts().len() == 1);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let lock = runtime.block_on(Lock::take(&shop, "ledger.book"));
    line.does(Manner::Passes);
    until_state(&shop, &run, "SETTLING");
    shop = shop.killed_and(|_| runtime.block_on(lock.release()));
    is_paid_out_once(shop, &run);
}

/// Keeps a service from committing anything, on Postgres to a table.
enum Lock {
    Sqlite(sqlx::SqliteConnection),
    Postgres(sqlx::PgConnection, &'static str),
}

impl Lock {
    /// The table has the name of its service before it.
    async fn take(shop: &Shop, table: &'static str) -> Self {
        if shop.stored[0] == "--data" {
            let (service, _) = table.split_once('.').unwrap();
            let file = format!("data/{service}.db");
            let path = shop.folder.path().join(file).display().to_string();
            let mut connection = sqlx::SqliteConnection::connect(&path).await.unwrap();
            connection.execute("BEGIN IMMEDIATE").await.unwrap();
            return Self::Sqlite(connection);
        }
        let mut connection = sqlx::PgConnection::connect(&shop.stored[1]).await.unwrap();
        connection.execute("BEGIN").await.unwrap();
        let sql = format!("LOCK TABLE {table} IN EXCLUSIVE MODE");
        connection.execute(sql.as_str()).await.unwrap();
        Self::Postgres(connection, table)
    }

    /// Waits until payments wait for it: they have read the answer, and write what it means. A file
    /// of SQLite does not say who waits for it; there the answer has come to the process.
    async fn until_waited_for(&mut self) {
        let Self::Postgres(connection, table) = self else { return };
        // A payout is locked before it is written.
        let mode = if *table == "payments.payouts" { "RowShareLock" } else { "RowExclusiveLock" };
        let sql = format!(
            "SELECT count(*) FROM pg_locks
             WHERE NOT granted AND mode = '{mode}' AND relation = '{table}'::regclass
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        );
        let waits = async {
            loop {
                let query = sqlx::query_scalar::<_, i64>(&sql);
                if query.fetch_one(&mut *connection).await.unwrap() > 0 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waits).await.expect("payments do not write the answer");
    }

    async fn release(self) {
        match self {
            Self::Sqlite(mut connection) => {
                connection.execute("ROLLBACK").await.unwrap();
                connection.close().await.unwrap();
            }
            Self::Postgres(mut connection, _) => {
                connection.execute("ROLLBACK").await.unwrap();
                connection.close().await.unwrap();
            }
        }
    }
}

/// How far orders have read what payments said. On SQLite with all else that follows the journal.
enum Cursors {
    Sqlite { data: std::path::PathBuf, kept: std::path::PathBuf },
    Postgres { url: String },
}

impl Cursors {
    fn of(shop: &Shop) -> Self {
        if shop.stored[0] == "--data" {
            let path = |name: &str| shop.folder.path().join(name);
            return Self::Sqlite { data: path("data"), kept: path("kept") };
        }
        Self::Postgres { url: shop.stored[1].clone() }
    }

    fn keep(&self) {
        match self {
            Self::Sqlite { data, kept } => {
                std::fs::create_dir_all(kept).unwrap();
                copy(data, kept, "orders");
            }
            Self::Postgres { url } => psql(
                url,
                "CREATE TABLE public.kept AS
                     SELECT * FROM orders.cursors WHERE follower = 'money-answers'",
            ),
        }
    }

    fn restore(&self) {
        match self {
            Self::Sqlite { data, kept } => copy(kept, data, "orders"),
            Self::Postgres { url } => psql(
                url,
                "DELETE FROM orders.cursors WHERE follower = 'money-answers';
                 INSERT INTO orders.cursors SELECT * FROM public.kept;
                 DROP TABLE public.kept",
            ),
        }
    }
}
