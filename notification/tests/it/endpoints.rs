//! Several webhook endpoints: each gets the facts that it wants, with its own secret, tries and
//! failures.

use std::collections::BTreeMap;
use std::time::Duration;

use notification::grpc::proto;
use notification::ledger::{self, Entry, Filter, Replay, State};
use notification::{Channel, Config, Route, Webhook, compose, planned_all};
use shared_events::chance::Chance;
use shared_events::contract::{
    Fact, FactBody, FactId, OrderFact, Origin, ReservationId, Timestamp,
};
use shared_events::stream::Dialect;
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::delivery::{client, receiver};
use crate::on_both::on_both;
use crate::support::{Bench, PATIENCE, fact, hook, placed, secret, start};

fn endpoint(name: &str, url: String, types: &[&str]) -> Webhook {
    let types = types.iter().map(|kind| (*kind).to_owned()).collect();
    Webhook { name: name.to_owned(), types, ..hook(url) }
}

fn confirmed(position: u64) -> Fact {
    fact(position, |order| OrderFact::Confirmed {
        order,
        reservation_id: ReservationId::mint(),
        backordered: Vec::new(),
        payments: Vec::new(),
    })
}

fn to<'a>(entries: &'a [Entry], name: &'a str) -> impl Iterator<Item = &'a Entry> {
    entries.iter().filter(move |entry| entry.route.endpoint() == name)
}

fn all_to(name: &'static str, state: State, count: usize) -> impl Fn(&[Entry]) -> bool {
    move |entries| {
        to(entries, name).count() == count && to(entries, name).all(|entry| entry.state == state)
    }
}

#[test]
fn each_endpoint_gets_the_facts_that_it_wants() {
    let url = || "http://localhost/".to_owned();
    let webhooks = vec![
        hook(url()),
        endpoint("crm", url(), &["order.confirmed.v1", "refund.requested.v1"]),
        endpoint("bi", url(), &[]),
    ];
    let config = Config { webhooks, ..Config::to_directory("unused".into()) };
    let facts = [placed(1), confirmed(2)];
    let names = |fact: &Fact| -> Vec<String> {
        let messages = compose(fact, &config).into_iter();
        let hooks = messages.filter(|message| message.channel == Channel::Webhook);
        hooks.map(|message| message.route.endpoint().to_owned()).collect()
    };
    assert_eq!(names(&facts[0]), ["default", "bi"]);
    assert_eq!(names(&facts[1]), ["default", "crm", "bi"]);
    let mut ids: Vec<_> = facts.iter().flat_map(|fact| compose(fact, &config)).collect();
    let planned = planned_all(&facts, &config);
    let composed: Vec<_> = ids.iter().map(|one| (one.fact_id, one.route.clone())).collect();
    assert_eq!(planned, composed);
    ids.sort_by_key(|message| message.id);
    ids.dedup_by_key(|message| message.id);
    assert_eq!(ids.len(), planned.len(), "each message has an id of its own");
    // The default endpoint's ids are those of versions that knew no other.
    let alone = Config { webhooks: vec![hook(url())], ..Config::to_directory("unused".into()) };
    let id = |config: &Config| {
        let mut messages = compose(&facts[0], config).into_iter();
        messages.find(|one| one.route == Channel::Webhook.into()).unwrap().id
    };
    assert_eq!(id(&alone), id(&config));
    assert_eq!(Route::from(Channel::Webhook).code(), "WEBHOOK");
    assert_eq!(Route::webhook("crm").code(), "WEBHOOK:crm");
}

async fn an_outage_of_one_endpoint_delays_no_other(dialect: Dialect) {
    const FACTS: u64 = 40;
    let (broken, mut refused) = receiver(vec![503; 200]).await;
    let (working, mut called) = receiver(vec![204; 100]).await;
    let mut bench = Bench::on(dialect, |config| {
        config.webhooks = vec![
            endpoint("broken", broken, &[]),
            Webhook { secrets: vec![secret(9).1], ..endpoint("working", working, &[]) },
        ];
    })
    .await;
    let facts: Vec<Fact> = (1..=FACTS).map(placed).collect();
    bench.follow(&facts).await;
    bench.deliver();
    bench.until(all_to("working", State::Delivered, 40)).await;
    bench.until(all_to("broken", State::RetryAt, 40)).await;
    // Each is signed with its own secret.
    let signature = |request: &str| {
        let prefix = "webhook-signature: ";
        request.lines().find_map(|line| line.strip_prefix(prefix)).unwrap().to_owned()
    };
    let (one, other) = (refused.recv().await.unwrap(), called.recv().await.unwrap());
    assert_ne!(signature(&one), signature(&other));
    let mut posted = 1;
    while called.try_recv().is_ok() {
        posted += 1;
    }
    assert_eq!(posted, FACTS);
    // Lists name them, and are of one endpoint or of all.
    let list = async |channel, endpoint: Option<&str>| {
        let endpoint = endpoint.map(str::to_owned);
        let filter = Filter { channel, endpoint, ..Filter::default() };
        let mut counts = BTreeMap::new();
        for entry in ledger::list(&bench.database, &filter, 0, 1_000).await.unwrap() {
            *counts.entry(entry.route.code()).or_insert(0) += 1;
        }
        counts
    };
    let both =
        BTreeMap::from([("WEBHOOK:broken".to_owned(), 40), ("WEBHOOK:working".to_owned(), 40)]);
    assert_eq!(list(Some(Channel::Webhook), None).await, both);
    let one = BTreeMap::from([("WEBHOOK:working".to_owned(), 40)]);
    assert_eq!(list(None, Some("working")).await, one);
    assert_eq!(list(None, Some("default")).await, BTreeMap::new());
    bench.stop().await;
}

async fn calls_to_an_endpoint_that_is_gone_wait_and_then_fail(dialect: Dialect) {
    let mut bench = Bench::on(dialect, |config| {
        config.webhooks = vec![endpoint("gone", "http://localhost/".to_owned(), &[])];
    })
    .await;
    bench.follow(&[placed(1)]).await;
    let database = &bench.database;
    let known: Vec<Route> = Channel::all().map(Route::from).collect();
    let now = *bench.clock.lock().unwrap();
    // Another process may know the endpoint.
    assert_eq!(ledger::fail_unrouted(database, &known, now, now).await.unwrap(), 0);
    let mine: Vec<Route> = known.iter().cloned().chain([Route::webhook("gone")]).collect();
    let later = now.plus(Duration::from_secs(1));
    assert_eq!(ledger::fail_unrouted(database, &mine, later, later).await.unwrap(), 0);
    assert!(all_to("gone", State::Queued, 1)(&bench.entries().await));
    // Being sent by that process, it is left alone until the claim expires.
    let until = later.plus(Duration::from_secs(180));
    let taken = ledger::claim(database, Route::webhook("gone"), later, until, 9).await.unwrap();
    assert_eq!(taken.len(), 1);
    assert_eq!(ledger::fail_unrouted(database, &known, later, later).await.unwrap(), 0);
    assert_eq!(ledger::fail_unrouted(database, &known, later, until).await.unwrap(), 1);
    let entries = bench.entries().await;
    let failed = to(&entries, "gone").next().unwrap();
    assert_eq!(
        (failed.state, failed.last_error.as_str()),
        (State::Failed, "webhook: not configured")
    );
    let due = ledger::due(database).await.unwrap();
    assert!(!due.contains(&failed.serial) && due.len() == 1, "{due:?}");
    // Mail is sent all the same.
    bench.deliver();
    bench.until(|entries| entries.iter().any(|entry| entry.state == State::Delivered)).await;
    bench.stop().await;
}

/// The rows of a replay, page by page; how many were queued.
async fn replay(bench: &Bench, webhook: &Webhook, id: Uuid, since: Timestamp) -> u32 {
    let until = *bench.clock.lock().unwrap();
    let after = BTreeMap::new();
    replayed(bench, &Replay { webhook, id, since, until, after, by: "anna" }).await
}

async fn replayed(bench: &Bench, replay: &Replay<'_>) -> u32 {
    let (mut after, mut queued) = (0, 0);
    loop {
        let mut tx = bench.database.begin().await.unwrap();
        let now = replay.until;
        let page = ledger::replay(&bench.database, &mut tx, replay, after, now).await.unwrap();
        tx.commit().await.unwrap();
        queued += page.queued;
        let Some(next) = page.next else { break };
        after = next;
    }
    // Wakes the delivery loop, as the gRPC service does.
    bench.follow(&[]).await;
    queued
}

async fn a_replay_posts_the_facts_that_an_endpoint_wants_again(dialect: Dialect) {
    let (url, mut called) = receiver(vec![204; 3_000]).await;
    let (added, mut called_later) = receiver(vec![204; 3_000]).await;
    let crm = endpoint("crm", url, &[]);
    // Configured, so that it is delivered to, and wanting nothing of what is placed here.
    let later = endpoint("later", added, &["order.confirmed.v1"]);
    let webhooks = vec![crm.clone(), later.clone()];
    let mut bench = Bench::on(dialect, |config| config.webhooks = webhooks).await;
    // More than two pages.
    let early: Vec<Fact> = (1..=600).map(placed).collect();
    bench.follow(&early).await;
    bench.advance(Duration::from_secs(60));
    let from = *bench.clock.lock().unwrap();
    let late: Vec<Fact> = (601..=1_150).map(placed).collect();
    bench.follow(&late).await;
    bench.advance(Duration::from_secs(60));
    let id = Chance::system().uuid();
    // Their own calls are still to come.
    assert_eq!(replay(&bench, &crm, id, start()).await, 0);
    bench.deliver();
    let ended = |count: usize| {
        move |entries: &[Entry]| {
            let hooks: Vec<_> =
                entries.iter().filter(|entry| entry.channel == Channel::Webhook).collect();
            hooks.len() == count && hooks.iter().all(|entry| entry.state == State::Delivered)
        }
    };
    let all = async |count: usize| {
        let filter = Filter { channel: Some(Channel::Webhook), ..Filter::default() };
        let waited = tokio::time::timeout(Duration::from_secs(120), async {
            while !ended(count)(&ledger::list(&bench.database, &filter, 0, 10_000).await.unwrap()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        waited.await.expect("all are delivered");
    };
    all(1_150).await;
    // Those of the second minute, and of one replay only once.
    assert_eq!(replay(&bench, &crm, id, from).await, 550);
    assert_eq!(replay(&bench, &crm, id, from).await, 0);
    all(1_700).await;
    // Another endpoint gets what it wants of all that was posted to any.
    assert_eq!(replay(&bench, &later, Chance::system().uuid(), start()).await, 0);
    let all_types = Webhook { types: Vec::new(), ..later };
    assert_eq!(replay(&bench, &all_types, Chance::system().uuid(), from).await, 550);
    all(2_250).await;
    let filter = Filter { endpoint: Some("later".to_owned()), ..Filter::default() };
    let entries = ledger::list(&bench.database, &filter, 0, 10_000).await.unwrap();
    assert!(entries.iter().all(|entry| {
        entry.resend_of.is_some()
            && entry.asked_by.as_deref() == Some("anna")
            && entry.attempts == 1
    }));
    let first = ledger::get(bench.database.reader(), entries[0].resend_of.unwrap()).await.unwrap();
    let first = first.unwrap();
    assert_eq!((&first.fact_id, &first.body), (&entries[0].fact_id, &entries[0].body));
    assert_eq!(first.route.endpoint(), "crm");
    let count = |received: &mut tokio::sync::mpsc::UnboundedReceiver<String>| {
        let mut ids = std::collections::BTreeSet::new();
        while let Ok(request) = received.try_recv() {
            let id = request.lines().find_map(|line| line.strip_prefix("webhook-id: "));
            assert!(ids.insert(id.unwrap().to_owned()), "a webhook-id came twice");
        }
        ids.len()
    };
    assert_eq!((count(&mut called), count(&mut called_later)), (1_700, 550));
    bench.stop().await;
}

/// A fact of another shard.
fn in_shard(shard: u16, position: u64) -> Fact {
    let id = FactId::at(Origin::Orders, shard, position, 0);
    Fact { id, shard, ..placed(position) }
}

async fn a_replay_begins_after_a_position_of_each_shard(dialect: Dialect) {
    let (url, _called) = receiver(vec![204; 200]).await;
    let crm = endpoint("crm", url, &[]);
    let mut bench = Bench::on(dialect, |config| config.webhooks = vec![crm.clone()]).await;
    let shards = |position: u64| [0, 1, 2].map(|shard| in_shard(shard, position));
    let facts: Vec<Fact> = (1..=10).flat_map(shards).collect();
    bench.follow(&facts).await;
    bench.deliver();
    bench.until(all_to("crm", State::Delivered, 30)).await;
    bench.advance(Duration::from_secs(1));
    let until = *bench.clock.lock().unwrap();
    let after = |places: &[(u16, u64)]| Replay {
        webhook: &crm,
        id: Chance::system().uuid(),
        since: Timestamp::MIN,
        until,
        after: places.iter().copied().collect(),
        by: "anna",
    };
    let replay = after(&[(0, 7), (2, 0)]);
    assert_eq!(replayed(&bench, &replay).await, 3 + 10);
    assert_eq!(replayed(&bench, &replay).await, 0, "nothing is queued twice");
    bench.until(all_to("crm", State::Delivered, 43)).await;
    let entries = bench.entries().await;
    let mut places: Vec<(u16, u64)> = Vec::new();
    for entry in to(&entries, "crm").filter(|entry| entry.resend_of.is_some()) {
        let fact = Fact::from_json(&entry.body).unwrap();
        places.push((fact.shard, fact.position));
    }
    places.sort_unstable();
    let expected: Vec<(u16, u64)> =
        (8..=10).map(|position| (0, position)).chain((1..=10).map(|one| (2, one))).collect();
    assert_eq!(places, expected);
    assert_eq!(replayed(&bench, &after(&[(1, 10)])).await, 0);
    assert_eq!(replayed(&bench, &after(&[(1, u64::MAX), (7, 0)])).await, 0);
    assert_eq!(replayed(&bench, &after(&[])).await, 30);
    bench.stop().await;
}

/// A page passes over a limited number of messages, so that no other waits for long.
async fn a_replay_finds_calls_behind_many_other_messages(dialect: Dialect) {
    let (url, _called) = receiver(vec![204; 10]).await;
    let crm = endpoint("crm", url, &[]);
    let mut bench = Bench::on(dialect, |config| config.webhooks = vec![crm.clone()]).await;
    bench.follow(&[placed(1)]).await;
    let series = bench.database.sql(
        "generate_series(100, 45000) AS many(n)",
        "(WITH RECURSIVE many(n) AS (SELECT 100 UNION ALL SELECT n + 1 FROM many WHERE n < 45000)
          SELECT n FROM many) AS many",
    );
    let sql = format!(
        "INSERT INTO notifications (notification_id, serial, fact_id, channel, order_id, kind,
             recipient, subject, body, state, attempts, last_error, created_at, asked_at,
             next_try_at, shard, position)
         SELECT 'of ' || n, n, fact_id, channel, order_id, kind, recipient, subject, body,
             'DELIVERED', 1, '', created_at, asked_at, next_try_at, shard, position
         FROM notifications CROSS JOIN {series} WHERE channel = 'EMAIL'"
    );
    let mut tx = bench.database.begin().await.unwrap();
    sqlx::query(&sql).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    bench.follow(&[placed(2)]).await;
    bench.deliver();
    let filter = Filter { endpoint: Some("crm".to_owned()), ..Filter::default() };
    let delivered = async || {
        let found = ledger::list(&bench.database, &filter, 0, 10).await.unwrap();
        found.iter().filter(|entry| entry.state == State::Delivered).count() == 2
    };
    let waited = tokio::time::timeout(PATIENCE, async {
        while !delivered().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.expect("both are delivered");
    bench.advance(Duration::from_secs(1));
    assert_eq!(replay(&bench, &crm, Chance::system().uuid(), start()).await, 2);
    bench.stop().await;
}

#[tokio::test]
async fn a_malformed_request_for_a_replay_is_refused_by_field() {
    let webhooks = vec![endpoint("crm", "http://localhost/".to_owned(), &[])];
    let bench = Bench::on(Dialect::Sqlite, |config| config.webhooks = webhooks).await;
    let mut client = client(&bench).await;
    let place = |shard, position| proto::FactPosition { shard, position };
    let request = proto::ReplayWebhooksRequest {
        endpoint: "crm".to_owned(),
        replay_id: Chance::system().uuid().to_string(),
        ..Default::default()
    };
    for (after, fields) in [
        (vec![], vec!["since"]),
        (vec![place(0, 1), place(0, 2)], vec!["after[1].shard"]),
        (vec![place(70_000, 1)], vec!["after[0].shard"]),
        (vec![place(0, 1); 1_025], vec!["after"]),
    ] {
        let request = proto::ReplayWebhooksRequest { after, ..request.clone() };
        let status = client.replay_webhooks(request).await.unwrap_err();
        let violations = status.get_details_bad_request().unwrap().field_violations;
        let named: Vec<_> = violations.iter().map(|one| one.field.as_str()).collect();
        assert_eq!(named, fields);
    }
    let request = proto::ReplayWebhooksRequest { after: vec![place(0, 1)], ..request };
    let answer = client.replay_webhooks(request).await.unwrap().into_inner();
    assert_eq!((answer.queued, answer.next_page_token.as_str()), (0, ""));
    bench.stop().await;
}

/// Also where nothing was queued by it.
async fn a_replay_id_is_of_one_endpoint_its_times_and_positions(dialect: Dialect) {
    let to_nowhere = |name: &str| endpoint(name, "http://127.0.0.1:1/".to_owned(), &[]);
    let webhooks = vec![to_nowhere("crm"), to_nowhere("bi")];
    let bench = Bench::on(dialect, |config| config.webhooks = webhooks).await;
    let mut client = client(&bench).await;
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let asked = proto::ReplayWebhooksRequest {
        endpoint: "crm".to_owned(),
        replay_id: Chance::system().uuid().to_string(),
        since: at(0),
        ..Default::default()
    };
    let to_bi = proto::ReplayWebhooksRequest { endpoint: "bi".to_owned(), ..asked.clone() };
    // A dry run leaves nothing.
    let dry = proto::ReplayWebhooksRequest { validate_only: true, ..to_bi.clone() };
    client.replay_webhooks(dry.clone()).await.unwrap();
    for replay_id in [asked.replay_id.clone(), asked.replay_id.to_uppercase()] {
        let asked = proto::ReplayWebhooksRequest { replay_id, ..asked.clone() };
        client.replay_webhooks(asked).await.unwrap();
        bench.advance(Duration::from_secs(60));
    }
    let after = vec![proto::FactPosition { shard: 0, position: 1 }];
    for other in [
        to_bi,
        dry,
        proto::ReplayWebhooksRequest { since: at(1), ..asked.clone() },
        proto::ReplayWebhooksRequest { until: at(9), ..asked.clone() },
        proto::ReplayWebhooksRequest { after, ..asked.clone() },
    ] {
        let status = client.replay_webhooks(other).await.unwrap_err();
        let reason = status.get_details_error_info().unwrap().reason;
        let code = (status.code(), reason.as_str());
        assert_eq!(code, (tonic::Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED"));
    }
    client.replay_webhooks(asked).await.unwrap();
    bench.stop().await;
}

/// As the delivery loop leaves it, at once.
async fn all_were_delivered(bench: &Bench) {
    let mut tx = bench.database.begin().await.unwrap();
    sqlx::query("UPDATE notifications SET state = 'DELIVERED'").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
}

/// Without `until`: what is composed after that is in none of them.
async fn all_pages_of_a_replay_end_where_its_first_was_asked_for(dialect: Dialect) {
    let webhooks = vec![endpoint("crm", "http://127.0.0.1:1/".to_owned(), &[])];
    let bench = Bench::on(dialect, |config| config.webhooks = webhooks).await;
    let client = client(&bench).await;
    let page = async |id: Uuid, page_token: String| {
        let request = proto::ReplayWebhooksRequest {
            endpoint: "crm".to_owned(),
            replay_id: id.to_string(),
            since: Some(prost_types::Timestamp::default()),
            page_token,
            ..Default::default()
        };
        let answer = client.clone().replay_webhooks(request).await.unwrap().into_inner();
        (answer.queued, answer.next_page_token)
    };
    // More than a page.
    let early: Vec<Fact> = (1..=600).map(placed).collect();
    bench.follow(&early).await;
    all_were_delivered(&bench).await;
    bench.advance(Duration::from_secs(1));
    let [replay, later] = [(); 2].map(|()| Chance::system().uuid());
    let (queued, next) = page(replay, String::new()).await;
    assert_eq!(queued, 500);
    bench.advance(Duration::from_secs(1));
    bench.follow(&[placed(601)]).await;
    all_were_delivered(&bench).await;
    bench.advance(Duration::from_secs(1));
    assert_eq!(page(replay, next).await, (100, String::new()));
    // It is there for a replay that begins now.
    let (queued, next) = page(later, String::new()).await;
    assert_eq!((queued, page(later, next).await), (500, (101, String::new())));
    bench.stop().await;
}

#[test]
fn every_type_of_order_fact_can_be_named_in_a_filter() {
    let FactBody::Order(order) = &placed(1).body else { panic!("an order's fact") };
    assert!(OrderFact::KINDS.contains(&order.kind()));
    assert_eq!(OrderFact::KINDS.len(), 29);
}

on_both! {
    a_replay_begins_after_a_position_of_each_shard
    a_replay_id_is_of_one_endpoint_its_times_and_positions
    a_replay_finds_calls_behind_many_other_messages
    all_pages_of_a_replay_end_where_its_first_was_asked_for
    an_outage_of_one_endpoint_delays_no_other
    calls_to_an_endpoint_that_is_gone_wait_and_then_fail
    a_replay_posts_the_facts_that_an_endpoint_wants_again
}
