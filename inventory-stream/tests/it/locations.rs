//! Stock at several locations, as its callers see it: which location serves, and what is counted
//! there.

use inventory_stream::grpc::proto::{self, MovementCause};
use shared_events::chance::Chance;
use shared_events::contract::{Disposition, FactBody, InventoryFact};
use shared_events::stream::{Cursors, Dialect, Handler as _, Source as _};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::edge::{Stock, fields, reason, served, served_by, set};
use crate::movements::all;
use crate::on_both::on_both;
use crate::support::{Bench, Story, sku};

async fn locate(client: &mut Stock, name: &str, priority: Option<i32>) -> proto::Location {
    let request = proto::SetLocationRequest {
        name: name.to_owned(),
        priority,
        ..proto::SetLocationRequest::default()
    };
    client.set_location(request).await.unwrap().into_inner().location.unwrap()
}

fn at(location: &str, sku: &str, on_hand: i64) -> proto::SetStockRequest {
    proto::SetStockRequest { location: location.to_owned(), ..set(sku, on_hand) }
}

async fn put(client: &mut Stock, location: &str, sku: &str, on_hand: i64) -> proto::Stock {
    client.set_stock(at(location, sku, on_hand)).await.unwrap().into_inner().stock.unwrap()
}

/// On hand and held, by location.
async fn places(client: &mut Stock, sku: &str) -> Vec<(String, i64, i64)> {
    let request = proto::GetStockRequest { sku: sku.to_owned(), fresh: true };
    let stock = client.get_stock(request).await.unwrap().into_inner().stock.unwrap();
    let sum = |units: fn(&proto::LocationStock) -> i64| stock.locations.iter().map(units).sum();
    let (on_hand, held): (i64, i64) = (sum(|one| one.on_hand), sum(|one| one.held));
    assert_eq!((on_hand, held), (stock.on_hand, stock.reserved - stock.backordered));
    assert!(stock.locations.iter().all(|one| one.free == one.on_hand - one.held && one.free >= 0));
    stock.locations.into_iter().map(|one| (one.location, one.on_hand, one.held)).collect()
}

fn expected(places: &[(&str, i64, i64)]) -> Vec<(String, i64, i64)> {
    places.iter().map(|(name, on_hand, held)| ((*name).to_owned(), *on_hand, *held)).collect()
}

/// Held, shipped and returned of each line, by location.
async fn parts(client: &mut Stock, story: &Story) -> Vec<(u32, String, u32, u32, u32)> {
    let request = proto::GetReservationRequest { order_id: story.order_id.to_string() };
    let found = client.get_reservation(request).await.unwrap().into_inner().reservation.unwrap();
    let parts = found.lines.into_iter().flat_map(|line| {
        let number = line.line;
        line.locations
            .into_iter()
            .map(move |one| (number, one.location, one.held, one.committed, one.restocked))
    });
    parts.filter(|one| one.2 + one.3 + one.4 > 0).collect()
}

fn part(line: u32, location: &str, units: (u32, u32, u32)) -> (u32, String, u32, u32, u32) {
    (line, location.to_owned(), units.0, units.1, units.2)
}

async fn locations_are_added_and_ordered(dialect: Dialect) {
    let (_bench, mut client) = served_by("OPS", "anna", dialect).await;
    let first = locate(&mut client, "berlin", None).await;
    assert_eq!((first.name.as_str(), first.priority), ("berlin", 1));
    assert_eq!(locate(&mut client, "WH-02", None).await.priority, 2);
    assert_eq!(locate(&mut client, "main", Some(5)).await.priority, 5);
    // Unchanged where nothing is said.
    assert_eq!(locate(&mut client, "main", None).await.priority, 5);
    assert_eq!(locate(&mut client, "WH-02", Some(1)).await.priority, 1);
    let would = proto::SetLocationRequest {
        name: "x".to_owned(),
        validate_only: true,
        ..proto::SetLocationRequest::default()
    };
    assert!(client.set_location(would).await.unwrap().into_inner().added);
    let listed = client.list_locations(proto::ListLocationsRequest {}).await.unwrap().into_inner();
    let names: Vec<&str> = listed.locations.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["WH-02", "berlin", "main"]);

    let wrong = proto::SetLocationRequest {
        name: "a b".to_owned(),
        priority: Some(-1),
        reason: "x\n".repeat(2),
        ..proto::SetLocationRequest::default()
    };
    let refused = client.set_location(wrong).await.unwrap_err();
    assert_eq!(fields(&refused), ["name", "priority", "reason"]);
    let wrong = proto::SetLocationRequest { priority: Some(1_000_001), ..named("x") };
    assert_eq!(fields(&client.set_location(wrong).await.unwrap_err()), ["priority"]);
    for n in 3..100 {
        locate(&mut client, &format!("shop-{n}"), None).await;
    }
    let refused = client.set_location(named("one-more")).await.unwrap_err();
    assert_eq!(fields(&refused), ["name"]);
    // Those that exist are still changed.
    assert_eq!(locate(&mut client, "shop-3", Some(0)).await.priority, 0);
}

fn named(name: &str) -> proto::SetLocationRequest {
    proto::SetLocationRequest { name: name.to_owned(), ..proto::SetLocationRequest::default() }
}

async fn stock_is_set_and_adjusted_where_it_is(dialect: Dialect) {
    let (bench, mut client) = served(dialect).await;
    let refused = client.set_stock(at("berlin", "A", 5)).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::FailedPrecondition, "NO_SUCH_LOCATION")
    );
    let named = refused.get_details_error_info().unwrap().metadata.remove("location");
    assert_eq!(named.as_deref(), Some("berlin"));
    assert_eq!(fields(&client.set_stock(at("a b", "A", 5)).await.unwrap_err()), ["location"]);
    locate(&mut client, "berlin", None).await;
    // A product that was only ever at `main` shows no locations.
    assert!(put(&mut client, "", "A", 10).await.locations.is_empty());
    let stock = put(&mut client, "berlin", "A", 5).await;
    assert_eq!((stock.on_hand, stock.available, stock.locations.len()), (15, 15, 2));
    assert_eq!(places(&mut client, "A").await, expected(&[("main", 10, 0), ("berlin", 5, 0)]));
    // `main` by its name is the default.
    put(&mut client, "main", "A", 8).await;
    let adjust = |location: &str, delta, expecting| proto::AdjustStockRequest {
        sku: "A".to_owned(),
        location: location.to_owned(),
        delta,
        expected_on_hand: expecting,
        request_id: Chance::system().uuid().to_string(),
        ..proto::AdjustStockRequest::default()
    };
    let asked = adjust("berlin", -2, Some(5));
    for replayed in [false, true] {
        let answer = client.adjust_stock(asked.clone()).await.unwrap().into_inner();
        assert_eq!((answer.stock.unwrap().on_hand, answer.replayed), (11, replayed));
    }
    let elsewhere = proto::AdjustStockRequest { location: String::new(), ..asked };
    let refused = client.adjust_stock(elsewhere).await.unwrap_err();
    assert_eq!(reason(&refused), "IDEMPOTENCY_KEY_REUSED");
    let refused = client.adjust_stock(adjust("berlin", 1, Some(8))).await.unwrap_err();
    assert_eq!(reason(&refused), "ON_HAND_MISMATCH");
    let refused = client.adjust_stock(adjust("berlin", -4, None)).await.unwrap_err();
    assert_eq!(reason(&refused), "INSUFFICIENT_STOCK");
    let absent =
        |location: &str| proto::SetStockRequest { only_if_absent: true, ..at(location, "A", 100) };
    client.set_stock(absent("berlin")).await.unwrap();
    assert_eq!(places(&mut client, "A").await, expected(&[("main", 8, 0), ("berlin", 3, 0)]));

    // A batch may set a product at several locations; each answer has all of it.
    let requests = vec![at("berlin", "A", 1), set("B", 2), at("", "A", 4), at("berlin", "B", 3)];
    let batch = proto::BatchSetStockRequest { requests };
    let answer = client.batch_set_stock(batch).await.unwrap().into_inner();
    let on_hand: Vec<i64> = answer.stock.iter().map(|stock| stock.on_hand).collect();
    assert_eq!(on_hand, [5, 5, 5, 5]);
    let requests = vec![at("main", "A", 1), set("A", 2)];
    let refused = client.batch_set_stock(proto::BatchSetStockRequest { requests }).await;
    assert_eq!(fields(&refused.unwrap_err()), ["requests[1].sku"]);
    let list = proto::ListStockRequest::default();
    let listed = client.list_stock(list).await.unwrap().into_inner().stock;
    assert!(listed.iter().all(|stock| stock.locations.len() == 2));

    let movements = all(&mut client, "A", 100).await;
    let told: Vec<(String, i64)> =
        movements.into_iter().map(|one| (one.location, one.on_hand_change)).collect();
    let (berlin, main) = (|| "berlin".to_owned(), String::new);
    let expected =
        [(main(), 10), (berlin(), 5), (main(), -2), (berlin(), -2), (main(), -4), (berlin(), -2)];
    assert_eq!(told, expected);
    bench.sums_hold().await;
}

/// Three locations by priority: north, main, south.
async fn three(client: &mut Stock) {
    locate(client, "main", Some(2)).await;
    locate(client, "north", Some(1)).await;
    locate(client, "south", Some(3)).await;
}

async fn one_location_serves_a_whole_order_if_it_can(dialect: Dialect) {
    let (mut bench, mut client) = served(dialect).await;
    three(&mut client).await;
    for (location, sku, units) in
        [("north", "A", 5), ("main", "A", 5), ("south", "A", 9), ("south", "B", 9), ("", "C", 1)]
    {
        put(&mut client, location, sku, units).await;
    }
    // North has no B, and main neither: south serves all of it.
    let mut whole = Story::new();
    // North is the first that has the whole line.
    let mut line = Story::new();
    // Nobody has all of either: by line, then by unit.
    let mut split = Story::new();
    // Of a product that is only at main.
    let mut plain = Story::new();
    bench.follow(&[whole.placed(&[("A", 4), ("B", 3)])]).await.unwrap();
    bench.follow(&[line.placed(&[("A", 4)])]).await.unwrap();
    let placed = split.placed(&[("C", 1), ("A", 5), ("A", 6)]);
    bench.follow(&[placed, plain.placed(&[("C", 1)])]).await.unwrap();
    assert_eq!(
        parts(&mut client, &whole).await,
        [part(1, "south", (4, 0, 0)), part(2, "south", (3, 0, 0))]
    );
    assert_eq!(parts(&mut client, &line).await, [part(1, "north", (4, 0, 0))]);
    let expected_parts = [
        // The second line is all at main.
        part(3, "north", (1, 0, 0)),
        part(3, "south", (5, 0, 0)),
    ];
    assert_eq!(parts(&mut client, &split).await, expected_parts);
    // Rejected: C was taken.
    assert_eq!(parts(&mut client, &plain).await, []);
    let told = [("main", 5, 5), ("north", 5, 5), ("south", 9, 9)];
    assert_eq!(places(&mut client, "A").await, expected(&told));
    // All or nothing, over all locations together.
    let mut more = Story::new();
    bench.follow(&[more.placed(&[("B", 6), ("A", 1)])]).await.unwrap();
    assert_eq!(parts(&mut client, &more).await, []);
    bench.sums_hold().await;

    // The fact says from where, and says nothing where all is at main.
    let facts = bench.inventory.facts().read_after(&Cursors::default(), 100).await.unwrap();
    let reserved = |story: &Story| {
        let of =
            |fact: &&shared_events::contract::Fact| fact.body.order_id() == Some(story.order_id);
        let fact = facts.items.iter().find(of).unwrap();
        let FactBody::Inventory(InventoryFact::Reserved { lines, .. }) = &fact.body else {
            panic!("{fact:?}")
        };
        lines
            .iter()
            .map(|line| (line.sku.to_string(), line.location.to_string(), line.quantity.get()))
            .collect::<Vec<_>>()
    };
    let told = |sku: &str, location: &str, units| (sku.to_owned(), location.to_owned(), units);
    assert_eq!(
        reserved(&split),
        [told("C", "main", 1), told("A", "main", 5), told("A", "north", 1), told("A", "south", 5)]
    );
    let movements = all(&mut client, "A", 100).await;
    let of_split = movements.iter().filter(|one| one.order_id == split.order_id.to_string());
    let mut located: Vec<(&str, i64)> =
        of_split.map(|one| (one.location.as_str(), one.reserved_change)).collect();
    located.sort_unstable();
    assert_eq!(located, [("", 5), ("north", 1), ("south", 5)]);
}

async fn parcels_leave_from_where_they_are_said_to(dialect: Dialect) {
    let (mut bench, mut client) = served(dialect).await;
    three(&mut client).await;
    for (location, units) in [("north", 3), ("main", 4), ("south", 6)] {
        put(&mut client, location, "A", units).await;
    }
    let mut story = Story::new();
    bench.follow(&[story.placed(&[("A", 9)])]).await.unwrap();
    let held =
        [part(1, "main", (4, 0, 0)), part(1, "north", (3, 0, 0)), part(1, "south", (2, 0, 0))];
    assert_eq!(parts(&mut client, &story).await, held);
    // Two are held at south, and two more are free there: for these, others are let go elsewhere.
    bench.follow(&[story.shipped_from(&[(1, "A", 4)], Some("south"))]).await.unwrap();
    let held =
        [part(1, "main", (2, 0, 0)), part(1, "north", (3, 0, 0)), part(1, "south", (0, 4, 0))];
    assert_eq!(parts(&mut client, &story).await, held);
    let told = [("main", 4, 2), ("north", 3, 3), ("south", 2, 0)];
    assert_eq!(places(&mut client, "A").await, expected(&told));
    // Cancelled units are given up at the last location by priority.
    bench.follow(&[story.lines_cancelled(&[(1, "A", 1)])]).await.unwrap();
    // A location that does not exist has none of them: they leave by priority.
    bench.follow(&[story.shipped_from(&[(1, "A", 1)], Some("nowhere"))]).await.unwrap();
    let held =
        [part(1, "main", (1, 0, 0)), part(1, "north", (2, 1, 0)), part(1, "south", (0, 4, 0))];
    assert_eq!(parts(&mut client, &story).await, held);
    bench.follow(&[story.shipped(&[(1, "A", 3)])]).await.unwrap();
    bench.sums_hold().await;

    let back = story.returned_to(&[(1, "A", 2)], Disposition::Restock, Some("north"));
    bench.follow(&[back]).await.unwrap();
    let back = story.returned_to(&[(1, "A", 1)], Disposition::Restock, Some("nowhere"));
    bench.follow(&[back, story.returned(&[(1, "A", 1)], Disposition::Restock)]).await.unwrap();
    let held =
        [part(1, "main", (0, 1, 2)), part(1, "north", (0, 3, 2)), part(1, "south", (0, 4, 0))];
    assert_eq!(parts(&mut client, &story).await, held);
    let told = [("main", 5, 0), ("north", 2, 0), ("south", 2, 0)];
    assert_eq!(places(&mut client, "A").await, expected(&told));
    let movements = all(&mut client, "A", 100).await;
    let restocked = movements.iter().filter(|one| one.cause() == MovementCause::Restocked);
    let located: Vec<(&str, i64)> =
        restocked.map(|one| (one.location.as_str(), one.on_hand_change)).collect();
    assert_eq!(located, [("north", 2), ("", 1), ("", 1)]);
    bench.sums_hold().await;
}

/// The units of a parcel that is undone are held where the parcel left, also where the order's others
/// left a later location.
async fn units_are_open_again_where_the_parcel_left(dialect: Dialect) {
    let (mut bench, mut client) = served(dialect).await;
    three(&mut client).await;
    for (location, units) in [("north", 3), ("south", 3)] {
        put(&mut client, location, "A", units).await;
    }
    let mut story = Story::new();
    let placed = story.placed(&[("A", 5)]);
    let first = story.shipped_from(&[(1, "A", 2)], Some("north"));
    let second = story.shipped_from(&[(1, "A", 2)], Some("south"));
    bench.follow(&[placed, first, second]).await.unwrap();
    bench.follow(&[story.undone(&[(1, "A", 2)], Some("north"), true)]).await.unwrap();
    let held = [part(1, "north", (3, 0, 0)), part(1, "south", (0, 2, 0))];
    assert_eq!(parts(&mut client, &story).await, held);
    // Without a location: the last by priority of those that units left.
    bench.follow(&[story.open_again(&[(1, "A", 1)])]).await.unwrap();
    let held = [part(1, "north", (3, 0, 0)), part(1, "south", (1, 1, 0))];
    assert_eq!(parts(&mut client, &story).await, held);
    // Those that are restocked are there, too.
    bench.follow(&[story.undone(&[(1, "A", 1)], Some("south"), false)]).await.unwrap();
    let held = [part(1, "north", (3, 0, 0)), part(1, "south", (1, 1, 1))];
    assert_eq!(parts(&mut client, &story).await, held);
    bench.sums_hold().await;
}

/// Units of a lost parcel left stock and stay away; once it is found, they are where it left,
/// unless they are damaged.
async fn units_of_a_found_parcel_are_back_where_it_left(dialect: Dialect) {
    let (mut bench, mut client) = served(dialect).await;
    three(&mut client).await;
    put(&mut client, "north", "A", 5).await;
    let mut story = Story::new();
    let placed = story.placed(&[("A", 5)]);
    let first = story.shipped_from(&[(1, "A", 3)], Some("north"));
    bench.follow(&[placed, first]).await.unwrap();
    // Found before stock knows that the second parcel was shipped: it waits for that.
    let second = story.shipped_from(&[(1, "A", 2)], Some("north"));
    let both = story.found(&[(1, "A", 5)], Disposition::Restock, Some("north"));
    bench.follow(&[both]).await.unwrap();
    assert_eq!(parts(&mut client, &story).await, [part(1, "north", (2, 3, 0))]);
    bench.follow(&[second]).await.unwrap();
    assert_eq!(parts(&mut client, &story).await, [part(1, "north", (0, 5, 5))]);
    let mut damaged = Story::new();
    let placed = damaged.placed(&[("A", 1)]);
    let shipped = damaged.shipped_from(&[(1, "A", 1)], Some("north"));
    let back = damaged.found(&[(1, "A", 1)], Disposition::WriteOff, Some("north"));
    bench.follow(&[placed, shipped, back]).await.unwrap();
    assert_eq!(parts(&mut client, &damaged).await, [part(1, "north", (0, 1, 0))]);
    let movements = all(&mut client, "A", 100).await;
    let restocked = movements.iter().filter(|one| one.cause() == MovementCause::Restocked);
    let located: Vec<(&str, i64)> =
        restocked.map(|one| (one.location.as_str(), one.on_hand_change)).collect();
    assert_eq!(located, [("north", 5)]);
    bench.sums_hold().await;
}

/// A product that was only at `main` may come back to another location.
async fn units_come_back_to_a_location_that_never_had_them(dialect: Dialect) {
    let (mut bench, mut client) = served(dialect).await;
    locate(&mut client, "berlin", None).await;
    bench.set("A", 3).await;
    let mut story = Story::new();
    bench.follow(&[story.placed(&[("A", 3)])]).await.unwrap();
    bench.follow(&[story.shipped_from(&[(1, "A", 3)], Some("berlin"))]).await.unwrap();
    assert_eq!(parts(&mut client, &story).await, []);
    let back = story.returned_to(&[(1, "A", 2)], Disposition::Restock, Some("berlin"));
    bench.follow(&[back]).await.unwrap();
    assert_eq!(places(&mut client, "A").await, expected(&[("main", 0, 0), ("berlin", 2, 0)]));
    bench.sums_hold().await;
    // They are there for the next order.
    let mut next = Story::new();
    bench.follow(&[next.placed(&[("A", 2)])]).await.unwrap();
    assert_eq!(parts(&mut client, &next).await, [part(1, "berlin", (2, 0, 0))]);
    bench.sums_hold().await;
}

/// All units are at north while they come and go: a sum and places of two moments would put some at
/// main.
async fn sums_and_places_are_of_one_moment(dialect: Dialect) {
    let (bench, mut client) = served_by("OPS", "anna", dialect).await;
    locate(&mut client, "north", None).await;
    put(&mut client, "north", "A", 1).await;
    let mut writer = client.clone();
    let writes = async {
        for round in 0..100 {
            put(&mut writer, "north", "A", 1 + 50 * (round % 2)).await;
        }
    };
    let written = std::cell::Cell::new(false);
    let reads = async {
        let mut count = 0;
        while !written.get() || count == 0 {
            let stock = inventory_stream::store::get(&bench.database, &sku("A")).await;
            let listed = inventory_stream::store::list(&bench.database, "A", "", 9).await.unwrap();
            for stock in listed.into_iter().chain(stock.unwrap()) {
                let north = stock.elsewhere.values().next().unwrap();
                assert_eq!(north.on_hand, stock.level.on_hand);
            }
            count += 1;
        }
    };
    tokio::join!(
        async {
            writes.await;
            written.set(true)
        },
        reads
    );
}

async fn a_stock_take_counts_one_location(dialect: Dialect) {
    let (mut bench, mut client) = served(dialect).await;
    locate(&mut client, "berlin", None).await;
    put(&mut client, "berlin", "A", 4).await;
    put(&mut client, "", "A", 9).await;
    let mut stories: Vec<Story> = (0..3).map(|_| Story::new()).collect();
    stories.sort_by_key(|story| story.order_id);
    // Main holds five, then three; berlin the last.
    for (story, units) in stories.iter_mut().zip([5, 3, 4]) {
        bench.follow(&[story.placed(&[("A", units)])]).await.unwrap();
    }
    assert_eq!(places(&mut client, "A").await, expected(&[("main", 9, 8), ("berlin", 4, 4)]));
    let refused = client.set_stock(at("berlin", "A", 3)).await.unwrap_err();
    let message = "4 units of A are held for 1 order, and 3 would be on hand";
    assert_eq!((reason(&refused).as_str(), refused.message()), ("INSUFFICIENT_STOCK", message));
    let short = proto::SetStockRequest { allow_shortage: true, ..at("berlin", "A", 3) };
    let answer = client.set_stock(short).await.unwrap().into_inner();
    let losers: Vec<_> =
        answer.losers.iter().map(|one| (one.order_id.clone(), one.units)).collect();
    assert_eq!(losers, [(stories[2].order_id.to_string(), 4)]);
    assert_eq!(places(&mut client, "A").await, expected(&[("main", 9, 8), ("berlin", 3, 0)]));
    // At main the newest of those that hold units there loses.
    let short = proto::SetStockRequest { allow_shortage: true, ..set("A", 7) };
    let answer = client.set_stock(short).await.unwrap().into_inner();
    assert_eq!(answer.losers.len(), 1);
    assert_eq!(places(&mut client, "A").await, expected(&[("main", 7, 5), ("berlin", 3, 0)]));
    bench.sums_hold().await;
}

async fn what_comes_to_a_location_goes_to_orders_that_wait(dialect: Dialect) {
    let (mut bench, mut client) = served(dialect).await;
    locate(&mut client, "berlin", None).await;
    put(&mut client, "", "A", 1).await;
    let rule = proto::SetBackorderRequest {
        sku: "A".to_owned(),
        backorder_limit: 9,
        ..proto::SetBackorderRequest::default()
    };
    client.set_backorder(rule).await.unwrap();
    let mut story = Story::new();
    bench.follow(&[story.placed(&[("A", 4)])]).await.unwrap();
    let stock = put(&mut client, "berlin", "A", 2).await;
    assert_eq!((stock.backordered, stock.locations[1].held), (1, 2));
    let held = [part(1, "main", (1, 0, 0)), part(1, "berlin", (2, 0, 0))];
    assert_eq!(parts(&mut client, &story).await, held);
    let facts = bench.inventory.facts().read_after(&Cursors::default(), 100).await.unwrap();
    let FactBody::Inventory(InventoryFact::Allocated { lines, elsewhere, .. }) =
        &facts.items.last().unwrap().body
    else {
        panic!("{:?}", facts.items.last())
    };
    assert_eq!((lines[0].quantity.get(), elsewhere[0].quantity.get()), (2, 2));
    assert_eq!(elsewhere[0].location.as_str(), "berlin");
    put(&mut client, "", "A", 5).await;
    assert_eq!(places(&mut client, "A").await, expected(&[("main", 5, 2), ("berlin", 2, 2)]));
    bench.follow(&[story.cancelled()]).await.unwrap();
    assert_eq!(places(&mut client, "A").await, expected(&[("main", 5, 0), ("berlin", 2, 0)]));
    bench.sums_hold().await;
}

/// Where an order is undone whose units came back to a location and are held there for another,
/// they stay, as a movement.
async fn an_undone_order_is_undone_where_it_moved_units(dialect: Dialect) {
    let (mut bench, mut client) = served(dialect).await;
    locate(&mut client, "berlin", None).await;
    bench.set("A", 2).await;
    let (mut undone, mut stays) = (Story::new(), Story::new());
    bench.follow(&[undone.placed(&[("A", 2)])]).await.unwrap();
    bench.follow(&[undone.shipped(&[(1, "A", 2)])]).await.unwrap();
    let back = undone.returned_to(&[(1, "A", 2)], Disposition::Restock, Some("berlin"));
    bench.follow(&[back]).await.unwrap();
    bench.follow(&[stays.placed(&[("A", 2)])]).await.unwrap();
    assert_eq!(places(&mut client, "A").await, expected(&[("main", 0, 0), ("berlin", 2, 2)]));
    let [from, to]: [Cursors; 2] = [3, 2].map(|position| [(0, position)].into_iter().collect());
    let mut tx = bench.database.begin().await.unwrap();
    bench.follower.set_back(&mut tx, &from, &to).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(places(&mut client, "A").await, expected(&[("main", 2, 0), ("berlin", 2, 2)]));
    let added = all(&mut client, "A", 100).await;
    let added = added.iter().find(|one| one.cause() == MovementCause::Adjusted).unwrap();
    assert_eq!((added.location.as_str(), added.on_hand_change), ("berlin", 2));
    bench.sums_hold().await;
}

async fn every_law_of_a_location_is_checked(dialect: Dialect) {
    let (mut bench, mut client) = served(dialect).await;
    locate(&mut client, "berlin", Some(0)).await;
    put(&mut client, "berlin", "A", 4).await;
    put(&mut client, "", "A", 9).await;
    let mut story = Story::new();
    bench.follow(&[story.placed(&[("A", 4)])]).await.unwrap();
    bench.follow(&[story.shipped_from(&[(1, "A", 1)], Some("berlin"))]).await.unwrap();
    bench.sums_hold().await;
    let laws = async |bench: &Bench, sql: &str, back: &str| {
        let mut tx = bench.database.begin().await.unwrap();
        sqlx::query(sql).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        let found = inventory_stream::reconcile(&bench.database).await.unwrap().discrepancies;
        let mut tx = bench.database.begin().await.unwrap();
        sqlx::query(back).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        bench.sums_hold().await;
        found.into_iter().map(|one| format!("{} {}", one.law, one.subject)).collect::<Vec<_>>()
    };
    let check = async |column: &str, law: &[&str]| {
        let sql = format!("UPDATE stock_at SET {column} = {column} + 1");
        let back = format!("UPDATE stock_at SET {column} = {column} - 1");
        assert_eq!(laws(&bench, &sql, &back).await, law, "{column}");
    };
    check("on_hand", &["stock.on_hand sku A at berlin"]).await;
    check("committed", &["stock.on_hand sku A at berlin", "stock.committed sku A at berlin"]).await;
    check("restocked", &["stock.on_hand sku A at berlin", "stock.restocked sku A at berlin"]).await;
    check("adjusted", &["stock.on_hand sku A at berlin", "stock.adjusted sku A at berlin"]).await;
    let (sql, back) =
        ("UPDATE stock_at SET held = held - 1", "UPDATE stock_at SET held = held + 1");
    assert_eq!(laws(&bench, sql, back).await, ["stock.held sku A at berlin"]);
    let (sql, back) =
        ("UPDATE stock SET located = NULL", "UPDATE stock SET located = 1 WHERE sku = 'A'");
    assert_eq!(laws(&bench, sql, back).await, ["stock.located sku A"]);
    let (sql, back) = (
        "UPDATE stock_at SET on_hand = on_hand + 10",
        "UPDATE stock_at SET on_hand = on_hand - 10",
    );
    let expected = ["stock.on_hand sku A at berlin", "stock.bounds sku A at main"];
    assert_eq!(laws(&bench, sql, back).await, expected);
    let (sql, back) = (
        "UPDATE reservations SET body = replace(body, '\"held\":3', '\"held\":7')",
        "UPDATE reservations SET body = replace(body, '\"held\":7', '\"held\":3')",
    );
    let expected =
        [format!("stock.parts order {}", story.order_id), "stock.held sku A at berlin".to_owned()];
    assert_eq!(laws(&bench, sql, back).await, expected);
    let (sql, back) =
        ("UPDATE stock_at SET location = 'x'", "UPDATE stock_at SET location = 'berlin'");
    let found = laws(&bench, sql, back).await;
    assert!(found.contains(&"stock.held sku A at berlin".to_owned()), "{found:?}");
}

on_both!(
    locations_are_added_and_ordered,
    stock_is_set_and_adjusted_where_it_is,
    one_location_serves_a_whole_order_if_it_can,
    parcels_leave_from_where_they_are_said_to,
    units_are_open_again_where_the_parcel_left,
    units_of_a_found_parcel_are_back_where_it_left,
    units_come_back_to_a_location_that_never_had_them,
    sums_and_places_are_of_one_moment,
    a_stock_take_counts_one_location,
    what_comes_to_a_location_goes_to_orders_that_wait,
    an_undone_order_is_undone_where_it_moved_units,
    every_law_of_a_location_is_checked,
);
