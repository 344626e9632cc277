use shared_events::contract::{InventoryFact, LocationName, Sku};

use super::{Reservation, ReservationState, StockLevels};

/// The reservations that lose their units where a product is `short` of this many on hand: the
/// newest placed first, all units of an order or none, and only orders of which nothing was
/// shipped. An order that only waits for the product holds none on hand and loses nothing. Where
/// one location is counted, only what they hold there counts.
///
/// # Errors
/// Where even all of them together hold fewer units: how many they hold.
pub fn losers(
    holders: Vec<Reservation>,
    sku: &Sku,
    location: &LocationName,
    short: i64,
) -> Result<Vec<Reservation>, i64> {
    let may_lose = |one: &Reservation| one.may_be_withdrawn() && one.held_at(sku, location) > 0;
    let mut holders: Vec<_> = holders.into_iter().filter(may_lose).collect();
    // Orders older than the record of their placing count as the oldest.
    holders.sort_by(|one, other| {
        (other.placed_at, other.order_id).cmp(&(one.placed_at, one.order_id))
    });
    let mut units = 0;
    let mut count = 0;
    for holder in &holders {
        if units >= short {
            break;
        }
        units += holder.held_at(sku, location);
        count += 1;
    }
    if units < short {
        return Err(units);
    }
    holders.truncate(count);
    Ok(holders)
}

impl Reservation {
    /// Units of a product that it holds on hand at a location.
    #[must_use]
    pub fn held_at(&self, sku: &Sku, location: &LocationName) -> i64 {
        if self.state != ReservationState::Reserved {
            return 0;
        }
        let lines = self.held_lines().filter(|line| line.sku == *sku);
        lines.map(|line| i64::from(line.part(location).held)).sum()
    }

    /// Whether its units may be withdrawn: it holds some, nothing of it was shipped, and no edit of it is
    /// about to be applied. An order older than the record of positions has no known shard to publish
    /// in.
    #[must_use]
    pub fn may_be_withdrawn(&self) -> bool {
        self.is_holding()
            && !self.has_shipped()
            && self.fact_range.is_some()
            && self.waiting.is_empty()
            && self.edit.is_none()
    }

    /// Withdraws all units held, because this product is short. The order is still to cancel them:
    /// until its facts say so, or say that they were shipped all the same, they count as withdrawn.
    pub fn withdraw(&mut self, short: &Sku, stock: &mut StockLevels) -> Vec<InventoryFact> {
        for held in &mut self.lines {
            held.withdrawn += held.open();
        }
        let (order_id, skus) = (self.order_id, vec![short.clone()]);
        let reservation_id = Some(self.reservation_id);
        let rejected = InventoryFact::Rejected { order_id, skus, reservation_id };
        self.release_all(stock).into_iter().chain([rejected]).collect()
    }
}
