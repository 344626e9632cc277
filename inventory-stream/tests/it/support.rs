//! A stock service on a database of its own, and facts about orders.

use std::sync::Arc;
use std::time::Duration;

use inventory_stream::domain::StockLevel;
use inventory_stream::{Inventory, StockFollower, migrator};
use shared_events::chance::Chance;
use shared_events::contract::{
    CancelReason, Contact, CustomerId, Disposition, EditId, Fact, FactBody, FactId, LineUnits,
    Money, OrderFact, OrderHeader, OrderId, OrderLineFact, Origin, Quantity, ReturnId,
    ReturnedUnits, ShipmentId, Sku, Timestamp,
};
use shared_events::stream::{Blame, Cursors, Database, Dialect, Handler as _, Source as _, Tx};
use uuid::Uuid;

/// The deadline for what must happen soon; reaching it fails the test.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Bench {
    pub database: Database,
    pub inventory: Inventory,
    pub follower: StockFollower,
    _folder: Option<tempfile::TempDir>,
}

impl Bench {
    pub async fn on(dialect: Dialect) -> Self {
        let migrations = migrator(dialect);
        let (database, folder) = match dialect {
            Dialect::Sqlite => {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("inventory.db");
                (Database::sqlite(&path, &migrations).await.unwrap(), Some(folder))
            }
            Dialect::Postgres => {
                let url = std::env::var("ORDINAL_TEST_POSTGRES").expect(
                    "ORDINAL_TEST_POSTGRES names a Postgres for tests; scripts/test starts one",
                );
                let schema = format!("t_{}", Chance::system().uuid().simple());
                (Database::postgres(&url, &schema, &migrations).await.unwrap(), None)
            }
        };
        Self { _folder: folder, ..Self::over(database) }
    }

    pub fn over(database: Database) -> Self {
        let inventory = Inventory::new(database.clone(), Arc::new(Timestamp::default));
        let follower = inventory.follower();
        Self { database, inventory, follower, _folder: None }
    }

    pub async fn set(&self, sku: &str, on_hand: i64) {
        use inventory_stream::store::{RequestDetails, StockRequest, move_stock};
        let mut tx = self.database.begin().await.unwrap();
        let movement = StockRequest::Set {
            on_hand,
            only_if_absent: false,
            expected: None,
            allow_shortage: false,
        };
        let (sku, asked, now) = (self::sku(sku), RequestDetails::default(), Timestamp::default());
        move_stock(&self.database, &mut tx, &sku, &movement, asked, now).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub async fn follow(&mut self, facts: &[Fact]) -> Result<(), Blame> {
        let mut tx = self.database.begin().await.unwrap();
        self.follower.handle(&mut tx, facts).await?;
        tx.commit().await.unwrap();
        Ok(())
    }

    /// On hand and reserved.
    pub async fn level(&self, sku: &str) -> (i64, i64) {
        let stock = inventory_stream::store::get(&self.database, &self::sku(sku)).await.unwrap();
        stock.map_or((0, 0), |stock| (stock.level.on_hand, stock.level.reserved))
    }

    /// The kinds of the facts published, in order.
    pub async fn published(&self) -> Vec<&'static str> {
        let source = self.inventory.facts();
        let batch = source.read_after(&Cursors::default(), 10_000).await.unwrap();
        batch.items.iter().map(|fact| fact.body.kind()).collect()
    }

    /// Waits until another transaction waits for a lock of this one, on Postgres.
    pub async fn until_waited_for(&self, tx: &mut Tx) {
        let here = "SELECT pg_backend_pid()::bigint";
        let here: i64 = sqlx::query_scalar(here).fetch_one(&mut **tx).await.unwrap();
        let waiting = async {
            let sql = "SELECT count(*) FROM pg_stat_activity
                       WHERE wait_event_type = 'Lock' AND $1::int = ANY (pg_blocking_pids(pid))";
            loop {
                let waiting = sqlx::query_scalar(sql).bind(here);
                let waiting: i64 = waiting.fetch_one(self.database.reader()).await.unwrap();
                if waiting > 0 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("nobody waits for its locks");
    }

    pub async fn sums_hold(&self) {
        assert_eq!(inventory_stream::reconcile(&self.database).await.unwrap().discrepancies, []);
    }
}

/// Without backorders.
pub fn plain_level(on_hand: i64, reserved: i64) -> StockLevel {
    StockLevel { on_hand, reserved, ..StockLevel::default() }
}

pub fn sku(text: &str) -> Sku {
    text.parse().unwrap()
}

/// The facts of an order, each with its own id.
pub struct Story {
    pub order_id: OrderId,
    facts: u16,
}

impl Story {
    pub fn new() -> Self {
        Self { order_id: OrderId::mint(), facts: 0 }
    }

    fn fact(&mut self, body: impl FnOnce(OrderHeader) -> OrderFact) -> Fact {
        self.facts += 1;
        let gbp = "GBP".parse().unwrap();
        let header = OrderHeader {
            order_id: self.order_id,
            customer_id: CustomerId::mint(),
            contact: Contact::default(),
            total: Money::zero(gbp),
            names: None,
        };
        // Unique per order, as a position would be.
        let place = self.order_id.uuid().as_u64_pair().1;
        let id = FactId::at(Origin::Orders, self.facts, place, 0);
        let position = u64::from(self.facts);
        let body = FactBody::Order(body(header));
        Fact::new(id, (0, position, 0), position, Timestamp::default(), body)
    }

    pub fn placed(&mut self, lines: &[(&str, u32)]) -> Fact {
        self.placed_on(lines, Timestamp::default())
    }

    pub fn placed_on(&mut self, lines: &[(&str, u32)], placed_at: Timestamp) -> Fact {
        let unit_price = Money::zero("GBP".parse().unwrap());
        let lines = (1..)
            .zip(lines)
            .map(|(line, (sku, quantity))| OrderLineFact {
                line,
                sku: self::sku(sku),
                quantity: Quantity::new(*quantity).unwrap(),
                unit_price,
                title: String::new(),
                image_url: String::new(),
                attributes: <_>::default(),
                total: None,
            })
            .collect();
        let confirm_by = Timestamp::default();
        self.fact(|order| OrderFact::Created {
            order,
            lines,
            placed_at,
            confirm_by,
            charges: Vec::new(),
            totals: None,
            exchange_of: None,
        })
    }

    pub fn cancelled(&mut self) -> Fact {
        let (reason, was_confirmed) = (CancelReason::CustomerRequest, false);
        let (skus, text) = (Vec::new(), String::new());
        self.fact(|order| OrderFact::Cancelled {
            order,
            reason,
            was_confirmed,
            skus,
            text,
            refund_id: None,
            payments: Vec::new(),
        })
    }

    pub fn lines_cancelled(&mut self, lines: &[(u32, &str, u32)]) -> Fact {
        let (lines, reason) = (units(lines), CancelReason::CustomerRequest);
        let text = String::new();
        self.fact(|order| OrderFact::LinesCancelled {
            order,
            lines,
            reason,
            text,
            refund_id: None,
            payments: Vec::new(),
        })
    }

    pub fn shipped(&mut self, lines: &[(u32, &str, u32)]) -> Fact {
        self.shipped_from(lines, None)
    }

    pub fn shipped_from(&mut self, lines: &[(u32, &str, u32)], from: Option<&str>) -> Fact {
        let location = from.map(|name| name.parse().unwrap());
        let (lines, shipment_id) = (units(lines), ShipmentId::mint());
        let (carrier, tracking) = (String::new(), String::new());
        self.fact(|order| OrderFact::LinesFulfilled {
            order,
            shipment_id,
            lines,
            carrier,
            tracking,
            shipment_reference: String::new(),
            location,
            payments: Vec::new(),
        })
    }

    /// A parcel came back, and its units are open again.
    pub fn open_again(&mut self, lines: &[(u32, &str, u32)]) -> Fact {
        self.undone(lines, None, true)
    }

    /// A parcel came back that may have named its location: its units are open again, or restocked.
    pub fn undone(
        &mut self,
        lines: &[(u32, &str, u32)],
        at: Option<&str>,
        open_again: bool,
    ) -> Fact {
        let location = at.map(|name| name.parse().unwrap());
        let disposition = Disposition::Restock;
        let lines = units(lines).into_iter().map(|units| ReturnedUnits {
            line: units.line,
            sku: units.sku,
            quantity: units.quantity,
            disposition,
            title: String::new(),
        });
        let lines = lines.collect();
        self.fact(|order| OrderFact::ShipmentUndone {
            order,
            shipment_id: ShipmentId::mint(),
            cause: "RETURNED_TO_SENDER".to_owned(),
            lines,
            shipment_reference: String::new(),
            open_again,
            location,
        })
    }

    /// A lost parcel came back after all: its units, with what becomes of them.
    pub fn found(
        &mut self,
        lines: &[(u32, &str, u32)],
        disposition: Disposition,
        at: Option<&str>,
    ) -> Fact {
        let location = at.map(|name| name.parse().unwrap());
        let lines = units(lines).into_iter().map(|units| ReturnedUnits {
            line: units.line,
            sku: units.sku,
            quantity: units.quantity,
            disposition,
            title: String::new(),
        });
        let lines = lines.collect();
        self.fact(|order| OrderFact::ShipmentFound {
            order,
            shipment_id: ShipmentId::mint(),
            lines,
            shipment_reference: String::new(),
            location,
        })
    }

    pub fn edit_id(n: u128) -> EditId {
        EditId::from_uuid(Uuid::from_u128(n))
    }

    pub fn edit_requested(&mut self, n: u128, lines: &[(u32, &str, u32)]) -> Fact {
        let (edit_id, lines, answer_by) = (Self::edit_id(n), units(lines), Timestamp::default());
        self.fact(|order| OrderFact::EditRequested { order, edit_id, lines, answer_by })
    }

    /// Units of line 1 were raised, other lines are new.
    pub fn edited(
        &mut self,
        n: u128,
        lines: &[(u32, &str, u32)],
        cancelled: &[(u32, &str, u32)],
    ) -> Fact {
        let (raised, new): (Vec<_>, Vec<_>) =
            units(lines).into_iter().partition(|units| units.line == 1);
        let added = new.into_iter().map(|units| OrderLineFact {
            line: units.line,
            sku: units.sku,
            quantity: units.quantity,
            unit_price: Money::zero("GBP".parse().unwrap()),
            title: String::new(),
            image_url: String::new(),
            attributes: <_>::default(),
            total: None,
        });
        let (added, cancelled) = (added.collect(), units(cancelled));
        self.fact(|order| OrderFact::Edited {
            order,
            edit_id: Self::edit_id(n),
            raised,
            added,
            cancelled,
            backordered: Vec::new(),
            totals: None,
        })
    }

    pub fn edit_refused(&mut self, n: u128) -> Fact {
        let (edit_id, cause, skus) = (Self::edit_id(n), "EXPIRED".to_owned(), Vec::new());
        self.fact(|order| OrderFact::EditRefused { order, edit_id, cause, skus })
    }

    pub fn returned(&mut self, lines: &[(u32, &str, u32)], disposition: Disposition) -> Fact {
        self.returned_to(lines, disposition, None)
    }

    pub fn returned_to(
        &mut self,
        lines: &[(u32, &str, u32)],
        disposition: Disposition,
        to: Option<&str>,
    ) -> Fact {
        let location = to.map(|name| name.parse().unwrap());
        let return_id = ReturnId::mint();
        let lines = units(lines)
            .into_iter()
            .map(|units| ReturnedUnits {
                line: units.line,
                sku: units.sku,
                quantity: units.quantity,
                disposition,
                title: String::new(),
            })
            .collect();
        self.fact(|order| OrderFact::Returned {
            order,
            return_id,
            lines,
            return_reference: String::new(),
            kept: Vec::new(),
            rejected_reason: String::new(),
            location,
        })
    }
}

fn units(lines: &[(u32, &str, u32)]) -> Vec<LineUnits> {
    lines
        .iter()
        .map(|(line, sku, quantity)| LineUnits {
            line: *line,
            sku: self::sku(sku),
            quantity: Quantity::new(*quantity).unwrap(),
            title: String::new(),
        })
        .collect()
}
