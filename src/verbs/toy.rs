//! A fourth service in one file: everything works with it once its row is in the list.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use clap::Command;
use serde_json::{Value, json};
use shared_events::contract::{Fact, Origin};
use shared_events::stream::{Blame, Handler, Pace, Tx};
use tokio::time::Instant;
use uuid::Uuid;

use super::archive::check_followers;
use crate::client::{Caller as Named, Client, Connection, Failure, Output};
use crate::edge::calls::Rpc;
use crate::engine::databases::DatabaseArgs;
use crate::engine::services::{self, Services};
use crate::engine::{
    Backend, Building, Engine, Follow, Follower, Log, PeerArgs, Role, Runs, Service, Settings,
    Store, Stores,
};
use crate::verify;

static TOY: Service = Service {
    name: "toy",
    keeps: "toys",
    runs: "Toys",
    answers: "The toy service, for the other roles",
    has_journal: false,
    store: Store {
        migrator: notification::migrator,
        exchanged: &[],
        kept_in: &["cursors"],
        anew: None,
        added_later: false,
    },
    descriptors: &[],
    path: "/ordinal.toys.",
    rpcs: &[Rpc { name: "ordinal.toys.v1.ToyService", message_bytes_max: 1024 }],
    published: None,
    told: false,
    followers: &[FOLLOWER],
    processes: &[],
    open: |building| Box::pin(open(building)),
};

const FOLLOWER: Follower = Follower {
    name: "toy",
    follows: Log::Facts(Origin::Orders),
    pace: Pace::Every(Duration::from_millis(5)),
    scope: Runs::Once,
    contacts: true,
};

async fn open(building: &mut Building) -> anyhow::Result<Follow> {
    building.database(&TOY).await?;
    Ok(Box::new(move |building| {
        building.follow_facts(&FOLLOWER, Refusing)?;
        Ok(())
    }))
}

/// Refuses every fact.
struct Refusing;

#[async_trait]
impl Handler<Fact> for Refusing {
    async fn handle(&mut self, _: &mut Tx, facts: &[Fact]) -> Result<(), Blame> {
        let poison = Blame::item(0, "is not a toy");
        if facts.is_empty() { Ok(()) } else { Err(poison) }
    }
}

const WITH_TOYS: Services = &[
    &services::orders::SERVICE,
    &services::inventory::SERVICE,
    &services::notifications::SERVICE,
    &services::payments::SERVICE,
    &TOY,
];

#[test]
fn a_new_service_has_its_flags() {
    let command = PeerArgs::augment(DatabaseArgs::augment(Command::new("x"), WITH_TOYS), WITH_TOYS);
    let command =
        command.arg(clap::Arg::new("role").long("role").value_parser(services::roles(WITH_TOYS)));
    let arguments = ["x", "--role", "toy", "--orders-database-url", "o", "--toy-database-url", "t"];
    let matches =
        command.try_get_matches_from(arguments.iter().chain(&["--toy-at", "a:1,b:2"])).unwrap();
    let role = *matches.get_one::<Role>("role").unwrap();
    assert_eq!(role, Role::Only("toy"));
    let databases = DatabaseArgs::read(&matches, WITH_TOYS);
    assert!(databases.databases(Role::All).is_err(), "no database is given for stock");
    let databases = databases.databases(role).unwrap().unwrap();
    assert_eq!(databases.url("toy").unwrap(), "t");
    assert_eq!(PeerArgs::read(&matches, WITH_TOYS).addresses()["toy"].len(), 2);
}

#[test]
fn a_new_service_requires_the_address_of_what_it_follows() {
    let mut settings = Settings::new(Backend::Sqlite("nowhere".into()));
    settings.services = WITH_TOYS;
    settings.role = Role::Only("toy");
    let refused = settings.check().unwrap_err().to_string();
    assert_eq!(refused, "without orders in this process, --orders-at must say where it is");
}

#[test]
fn a_new_service_is_copied_before_what_it_follows() {
    let sorted = services::followers_first(WITH_TOYS);
    assert_eq!(sorted.first().map(|service| service.name), Some("toy"));
}

async fn start(directory: &Path) -> (Engine, Client) {
    let mut settings = Settings::new(Backend::Sqlite(directory.to_owned()));
    settings.services = WITH_TOYS;
    let engine = Engine::start(settings).await.unwrap();
    let caller = Named { role: "ops".to_owned(), subject: "anna".to_owned() };
    let connection = Connection::new(format!("http://{}", engine.address()), caller);
    (engine, Client::connect(&connection).await.unwrap())
}

async fn ask(client: &Client, method: &str, request: Value) -> Value {
    client.call(&format!("admin.v1.AdminService/{method}"), request).await.unwrap()
}

/// Polls a call until its answer is as expected.
async fn until(client: &Client, method: &str, good: impl Fn(&Value) -> bool) -> Value {
    let patience = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = ask(client, method, json!({})).await;
        if good(&answer) {
            return answer;
        }
        assert!(Instant::now() < patience, "{method} says {answer}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn place(client: &Client) -> String {
    let price = json!({ "currency_code": "GBP", "units": 5, "nanos": 0 });
    let order = json!({
        "order_id": Uuid::now_v7(), "customer_id": Uuid::now_v7(),
        "lines": [{ "sku": "MUG", "quantity": 1, "unit_price": price }],
        "address": {
            "street": "1 High Street", "city": "London", "postal_code": "EC1A 1BB",
            "country": "GB",
        },
        "contact": { "email": "customer@example.com" },
    });
    let placed = client.call("orders.v1.OrderService/PlaceOrder", order).await.unwrap();
    placed["order"]["order_id"].as_str().unwrap().to_owned()
}

fn list<'a>(answer: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    answer[name].as_array().into_iter().flatten()
}

async fn stores(directory: &Path) -> Stores {
    Stores::snapshot_of(WITH_TOYS, &Backend::Sqlite(directory.to_owned()), None).await.unwrap()
}

/// It is part of health, followers, the archive's guard and `verify`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_service_is_part_of_every_tool() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, client) = start(directory.path()).await;
    ask(&client, "PauseFollower", json!({ "follower": "toy", "reason": "later" })).await;
    let order_id = place(&client).await;
    let behind = |follower: &&Value| follower["lag"] != 0;
    let listed = until(&client, "ListFollowers", |answer| {
        list(answer, "followers").filter(behind).all(|one| one["name"] == "toy")
            && list(answer, "followers").any(|one| one["name"] == "toy" && one["lag"] != 0)
    });
    let listed = listed.await;
    assert_eq!(list(&listed, "followers").count(), 10, "{listed}");
    engine.stop().await.unwrap();

    // Events that only the toys have not read are not archived.
    let opened = stores(directory.path()).await;
    let ends = opened.journal.heads().await.unwrap();
    let Err(Failure::Refused { reason, message }) = check_followers(&opened, None, &ends).await
    else {
        panic!("events are archived that the toys have not read");
    };
    assert_eq!(reason, "FOLLOWER_BEHIND");
    assert!(message.starts_with("toy is at 0 of shard 0"), "{message}");
    let report = verify::everything(&opened, None, &Output::new(true)).await.unwrap();
    assert!(report.lag["toy"] > 0 && report.findings.is_empty(), "{:?}", report.findings);
    opened.close().await;

    // Their dead letters raise an alarm and keep their orders in the table.
    let (engine, client) = start(directory.path()).await;
    ask(&client, "ResumeFollower", json!({ "follower": "toy" })).await;
    let health = until(&client, "GetHealth", |answer| {
        list(answer, "notes").any(|note| note["part"] == "follower toy")
    });
    assert_eq!(health.await["serving"], true);
    engine.stop().await.unwrap();
    let opened = stores(directory.path()).await;
    let Ok(set_aside) = check_followers(&opened, None, &ends).await else {
        panic!("the toys have read it")
    };
    assert!(set_aside.contains(&order_id.parse().unwrap()));
    let report = verify::everything(&opened, None, &Output::new(true)).await.unwrap();
    let toys =
        report.findings.iter().filter(|found| found.detail.starts_with("toy has a dead letter"));
    assert!(toys.count() > 0 && report.breaks(verify::Law::NothingParked));
    opened.close().await;

    // Its file is checked like the others.
    std::fs::remove_file(directory.path().join("toy.db")).unwrap();
    let mut settings = Settings::new(Backend::Sqlite(directory.path().to_owned()));
    settings.services = WITH_TOYS;
    let Err(refused) = Engine::start(settings).await else { panic!("it started without a file") };
    assert!(refused.to_string().contains("toy.db is missing"), "{refused}");
}
