use std::time::Duration;

use anyhow::Context as _;
use inventory_stream::store::{RequestDetails, StockRequest, move_stock};
use order_actor::clock::{Clock as _, SystemClock};
use order_actor::grpc::proto::execute_commands_request::Command;
use order_actor::grpc::proto::execute_commands_response::Outcome;
use order_actor::grpc::proto::{self, OrderStatus, watch_orders_response::Item};
use order_actor::outbox::OrderFacts;
use ordinal::engine::{Backend, Databases, Engine, Settings};
use serde_json::json;
use shared_events::contract::OrderId;
use shared_events::stream::Source as _;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::followers::{stock_in, until_stock_caught_up};
use super::growth::{fill_with, history};
use crate::lab::Lab;
use crate::measure::{Count, Pace, Spread, number};
use crate::report::{Bound, Row};
use crate::subject::client::connect;
use crate::subject::cluster::{call, operator};
use crate::subject::engine::{Engine as OrderEngine, SHARDS};
use crate::work::{Template, request};

/// Concurrent buyers of the peer. Other numbers were not tried.
const BUYERS: usize = 16;

/// Row 5: all orders are for the same product.
///
/// # Errors
/// Where a contender fails.
pub async fn measure(lab: &Lab, pace: Pace) -> anyhow::Result<Row> {
    let orders = pace.pick(10_000, 1_000);
    let stock = orders / 2;
    let mut row = Row::new(
        "5",
        &format!("hot product: {orders} orders for one product, {stock} in stock"),
        "Ours: one process with everything on Postgres; orders are placed by one stream, and a run ends when the last is confirmed or cancelled: \
         journal, stock, answers and lists included. The peer only keeps stock: a transaction per order reads the product's row, updates it WHERE its \
         version is unchanged, inserts the reservation, and retries where another buyer was faster; 16 buyers at a time. For a comparison of like with \
         like, our stock is measured alone too: the orders were placed before, and a run ends when the last is reserved or refused, with the fact that \
         it publishes.",
    );
    let (mut fast, mut alone, mut slow) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..pace.rounds {
        let (rate, confirmed) = ours(lab, orders, stock).await?;
        anyhow::ensure!(confirmed == stock, "{confirmed} of {stock} were sold");
        fast.push(rate);
        alone.push(stock_alone(lab, orders, stock).await?);
        slow.push(theirs(lab, orders, stock).await?);
    }
    row.figure("to the last answer", "Ordinal", "orders/s", Spread::of(fast.clone()));
    row.figure("stock alone", "Ordinal", "orders/s", Spread::of(alone.clone()));
    row.figure("stock alone", "UPDATE … WHERE version", "orders/s", Spread::of(slow.clone()));
    let times =
        |ours: &[f64]| Spread::of(ours.iter().zip(&slow).map(|(ours, theirs)| ours / theirs));
    let what = "orders/s against the update with retries";
    row.goal(what, times(&fast), Bound::AtLeast(10.0), "");
    row.goal(&format!("stock alone: {what}"), times(&alone), Bound::Told, "");
    row.note(format!("In every run exactly {stock} orders were confirmed and {stock} cancelled for want of stock."));
    Ok(row)
}

async fn ours(lab: &Lab, orders: u64, stock: u64) -> anyhow::Result<(f64, u64)> {
    let url = lab.database("hot").await?;
    let mut settings = Settings::new(Backend::Postgres(Databases::one(&url)));
    settings.notifications = notification::Config::to_directory(lab.mail()?);
    let engine = Engine::start(settings).await?;
    let client = operator(engine.address()).await?;
    let set = json!({"sku": "HOT", "onHand": stock.to_string()});
    call(&client, "inventory.v1.InventoryService/SetStock", set).await?;

    let mut watching = connect(engine.address()).await?;
    let mut changes =
        watching.watch_orders(proto::WatchOrdersRequest::default()).await?.into_inner();
    changes.message().await?.context("the watch ended")?;
    let since = Instant::now();
    let commands = (0..orders).map(|tag| {
        let command = Some(Command::PlaceOrder(order_of_it()));
        proto::ExecuteCommandsRequest { tag, brief: true, command }
    });
    let mut placing = connect(engine.address()).await?;
    let mut answers = placing.execute_commands(futures::stream::iter(commands)).await?.into_inner();
    let placed = tokio::spawn(async move {
        while let Some(answer) = answers.message().await? {
            anyhow::ensure!(matches!(answer.outcome, Some(Outcome::Done(_))), "{answer:?}");
        }
        anyhow::Ok(())
    });
    let (mut confirmed, mut cancelled) = (0, 0);
    while confirmed + cancelled < orders {
        let message = timeout(Duration::from_secs(120), changes.message()).await;
        let message = message.context("orders are not answered")??.context("the watch ended")?;
        let Some(Item::Change(change)) = message.item else { continue };
        match change.order.map(|order| order.status()) {
            Some(OrderStatus::Confirmed) => confirmed += 1,
            Some(OrderStatus::Cancelled) => cancelled += 1,
            _ => {}
        }
    }
    let rate = number(orders) / since.elapsed().as_secs_f64();
    placed.await??;
    drop((changes, watching, placing, client));
    engine.stop().await?;
    lab.drop_database(&url).await?;
    Ok((rate, confirmed))
}

/// An order for one unit.
fn order_of_it() -> proto::PlaceOrderRequest {
    let mut order = request(OrderId::mint(), ["HOT", "HOT"]);
    order.lines.truncate(1);
    order.lines.iter_mut().for_each(|line| line.quantity = 1);
    order
}

async fn stock_alone(lab: &Lab, orders: u64, stock: u64) -> anyhow::Result<f64> {
    let (journal, inventory) = (lab.database("wanted").await?, lab.database("shelf").await?);
    let engine = OrderEngine::postgres(&journal, SHARDS).await?;
    let template = Template::of(order_of_it())?;
    fill_with(&engine.journal, orders, &template, |place| history(&[place])).await?;
    let database = stock_in(&inventory).await?;
    let mut tx = database.begin().await?;
    let (on_hand, expected) = (i64::try_from(stock)?, None);
    let set = StockRequest::Set { on_hand, only_if_absent: false, expected, allow_shortage: false };
    let (hot, asked) = ("HOT".parse()?, RequestDetails::default());
    move_stock(&database, &mut tx, &hot, &set, asked, SystemClock.now()).await?;
    tx.commit().await?;

    let facts = OrderFacts::new(engine.journal.clone());
    let heads = facts.heads().await?;
    let since = Instant::now();
    until_stock_caught_up(&facts, &database, &heads).await?;
    let rate = number(orders) / since.elapsed().as_secs_f64();
    let held = "SELECT count(*) FROM reservations WHERE state = 'RESERVED'";
    let held: i64 = sqlx::query_scalar(held).fetch_one(database.reader()).await?;
    anyhow::ensure!(u64::try_from(held)? == stock, "{held} of {stock} were reserved");
    database.close().await;
    engine.close().await;
    lab.drop_database(&journal).await?;
    lab.drop_database(&inventory).await?;
    Ok(rate)
}

const TABLES: &str = "
CREATE TABLE stock (sku text PRIMARY KEY, on_hand bigint NOT NULL, version bigint NOT NULL);
CREATE TABLE reservations (order_id text PRIMARY KEY, sku text NOT NULL, reserved boolean NOT NULL)";

async fn theirs(lab: &Lab, orders: u64, stock: u64) -> anyhow::Result<f64> {
    let url = lab.database("version").await?;
    let connections = u32::try_from(BUYERS)?;
    let pool = PgPoolOptions::new().max_connections(connections).connect(&url).await?;
    sqlx::raw_sql(TABLES).execute(&pool).await?;
    sqlx::query("INSERT INTO stock VALUES ('HOT', $1, 0)")
        .bind(i64::try_from(stock)?)
        .execute(&pool)
        .await?;
    let (next, since) = (Count::default(), Instant::now());
    let mut buyers = JoinSet::new();
    for _ in 0..BUYERS {
        let (pool, next) = (pool.clone(), next.clone());
        buyers.spawn(async move {
            while next.next() < orders {
                buy(&pool, &OrderId::mint().to_string()).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = buyers.join_next().await {
        ended??;
    }
    let rate = number(orders) / since.elapsed().as_secs_f64();
    let sold: i64 = sqlx::query_scalar("SELECT count(*) FROM reservations WHERE reserved")
        .fetch_one(&pool)
        .await?;
    anyhow::ensure!(u64::try_from(sold)? == stock, "the peer sold {sold} of {stock}");
    pool.close().await;
    lab.drop_database(&url).await?;
    Ok(rate)
}

#[expect(clippy::disallowed_methods, reason = "what one would write instead")]
async fn buy(pool: &PgPool, order_id: &str) -> anyhow::Result<()> {
    loop {
        let mut tx = pool.begin().await?;
        let (on_hand, version): (i64, i64) =
            sqlx::query_as("SELECT on_hand, version FROM stock WHERE sku = 'HOT'")
                .fetch_one(&mut *tx)
                .await?;
        let reserved = on_hand > 0;
        if reserved {
            let updated = sqlx::query(
                "UPDATE stock SET on_hand = on_hand - 1, version = version + 1
                 WHERE sku = 'HOT' AND version = $1",
            )
            .bind(version)
            .execute(&mut *tx)
            .await?;
            if updated.rows_affected() == 0 {
                tx.rollback().await?;
                continue;
            }
        }
        sqlx::query("INSERT INTO reservations VALUES ($1, 'HOT', $2)")
            .bind(order_id)
            .bind(reserved)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        return Ok(());
    }
}
