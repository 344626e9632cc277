use shared_events::contract::{OrderId, Timestamp};
use shared_events::stream::History;
use uuid::Uuid;

use super::parse::Violations;
use crate::projections::SummaryFilter;

/// The fingerprint of what a list was asked, without which page of it.
pub(super) type Asked = [u8; 8];

/// The fingerprint of the history that a page is of.
pub(super) type ToldBy = [u8; 8];

/// The fingerprint of a history; a journal that declares none has one, too.
pub(super) fn told_by(history: Option<History>) -> ToldBy {
    match history {
        Some(History { log, incarnation }) => fingerprint(&format!("{log} {incarnation}")),
        None => ToldBy::default(),
    }
}

/// Whether a token is of this history. What is no token is of any: that is said elsewhere.
pub(super) fn is_told_by(token: &str, now: ToldBy) -> bool {
    let bytes = hex::decode(token).unwrap_or_default();
    bytes.get(8..16).is_none_or(|told_by| told_by == now)
}

/// The fingerprint of a filter, as it was after the caller's own limits.
pub(super) fn asked_for_orders(filter: &SummaryFilter) -> Asked {
    let mut statuses: Vec<&str> = filter.statuses.iter().map(|status| status.code()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    let text = format!(
        "orders {statuses:?} {:?} {:?} {:?}",
        filter.customer_id, filter.placed_from, filter.placed_until
    );
    fingerprint(&text)
}

/// The fingerprint of a history.
pub(super) fn asked_for_history(order_id: OrderId) -> Asked {
    fingerprint(&format!("history {order_id}"))
}

fn fingerprint(text: &str) -> Asked {
    let hash = blake3::hash(text.as_bytes());
    std::array::from_fn(|index| hash.as_bytes().get(index).copied().unwrap_or_default())
}

/// The place of the last order of a page.
pub(super) fn token_of_orders(
    asked: Asked,
    told_by: ToldBy,
    placed_at: Timestamp,
    order_id: OrderId,
) -> String {
    let mut bytes = [asked, told_by].concat();
    bytes.extend(placed_at.micros().to_be_bytes());
    bytes.extend(order_id.uuid().as_bytes());
    hex::encode(bytes)
}

/// The place that a page goes on after; none for the first page.
pub(super) fn after_in_orders(
    asked: Asked,
    token: &str,
) -> Result<Option<(Timestamp, OrderId)>, Violations> {
    let Some(place) = place::<24>(asked, token)? else { return Ok(None) };
    let (micros, uuid) = place.split_at(8);
    let micros = i64::from_be_bytes(micros.try_into().map_err(|_| malformed())?);
    let uuid = Uuid::from_slice(uuid).map_err(|_| malformed())?;
    Ok(Some((Timestamp::from_micros(micros), OrderId::from_uuid(uuid))))
}

/// The version of the last event of a page.
pub(super) fn token_of_history(asked: Asked, told_by: ToldBy, version: u64) -> String {
    let mut bytes = [asked, told_by].concat();
    bytes.extend(version.to_be_bytes());
    hex::encode(bytes)
}

/// The version that a page goes on after; 0 for the first page.
pub(super) fn after_in_history(asked: Asked, token: &str) -> Result<u64, Violations> {
    Ok(place::<8>(asked, token)?.map_or(0, u64::from_be_bytes))
}

fn place<const LEN: usize>(asked: Asked, token: &str) -> Result<Option<[u8; LEN]>, Violations> {
    if token.is_empty() {
        return Ok(None);
    }
    if token.len() != 2 * (asked.len() + size_of::<ToldBy>() + LEN) {
        return Err(malformed());
    }
    let bytes = hex::decode(token).map_err(|_| malformed())?;
    let (bound_to, place) = bytes.split_at(asked.len());
    let (_, place) = place.split_at(size_of::<ToldBy>());
    if bound_to != asked {
        let description = "belongs to a list with other arguments";
        return Err(Violations::one("page_token", Violations::INVALID_FIELD, description));
    }
    place.try_into().map(Some).map_err(|_| malformed())
}

fn malformed() -> Violations {
    Violations::one("page_token", Violations::INVALID_FIELD, "not a page token of this service")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Status;

    #[test]
    fn a_token_goes_on_after_its_place_and_belongs_to_its_filter() {
        let filter = SummaryFilter { statuses: vec![Status::Pending], ..SummaryFilter::default() };
        let asked = asked_for_orders(&filter);
        let place = (Timestamp::from_micros(-17), OrderId::mint());
        let token = token_of_orders(asked, told_by(None), place.0, place.1);
        assert_eq!(after_in_orders(asked, &token), Ok(Some(place)));
        for at in [Timestamp::MIN, Timestamp::MAX] {
            for id in [Uuid::nil(), Uuid::max()].map(OrderId::from_uuid) {
                let token = token_of_orders(asked, told_by(None), at, id);
                assert_eq!(after_in_orders(asked, &token), Ok(Some((at, id))));
            }
        }
        assert_eq!(after_in_orders(asked, ""), Ok(None));
        let other = asked_for_orders(&SummaryFilter::default());
        assert!(after_in_orders(other, &token).is_err());
        for broken in ["x", &token[2..], &token.replace(&token[0..1], "z"), "é"] {
            assert!(after_in_orders(asked, broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn the_order_of_statuses_changes_nothing() {
        let filter = |statuses: &[Status]| SummaryFilter {
            statuses: statuses.to_vec(),
            ..SummaryFilter::default()
        };
        assert_eq!(
            asked_for_orders(&filter(&[Status::Pending, Status::Confirmed])),
            asked_for_orders(&filter(&[Status::Confirmed, Status::Pending, Status::Pending])),
        );
    }

    #[test]
    fn a_history_goes_on_after_a_version_of_the_same_order() {
        let (one, other) = (OrderId::mint(), OrderId::mint());
        let token = token_of_history(asked_for_history(one), told_by(None), 7);
        assert_eq!(after_in_history(asked_for_history(one), &token), Ok(7));
        assert!(after_in_history(asked_for_history(other), &token).is_err());
        assert_eq!(after_in_history(asked_for_history(one), ""), Ok(0));
    }
}
