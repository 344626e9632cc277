use shared_events::contract::{OrderId, ReturnId, Timestamp};
use shared_events::stream::History;
use uuid::Uuid;

use super::parse::Violations;
use crate::projections::{ReturnFilter, ReturnPlace, SummaryFilter, Word};

/// The fingerprint of a query, without its page token.
pub(super) type Query = [u8; 8];

/// The fingerprint of the journal history that a page was read from.
pub(super) type HistoryId = [u8; 8];

/// The fingerprint of a journal history; all zeros where the journal declares none.
pub(super) fn history_id(history: Option<History>) -> HistoryId {
    match history {
        Some(History { log, incarnation }) => fingerprint(&format!("{log} {incarnation}")),
        None => HistoryId::default(),
    }
}

/// Whether a token belongs to this history. True for malformed tokens: parsing refuses those.
pub(super) fn is_of_history(token: &str, now: HistoryId) -> bool {
    let bytes = hex::decode(token).unwrap_or_default();
    bytes.get(8..16).is_none_or(|history_id| history_id == now)
}

/// The fingerprint of a filter, after it was restricted to what the caller may see.
pub(super) fn orders_query(filter: &SummaryFilter) -> Query {
    let mut statuses: Vec<&str> = filter.statuses.iter().map(|status| status.code()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    let mut words: Vec<&str> = filter.words.iter().map(Word::as_str).collect();
    words.sort_unstable();
    let mut text = format!(
        "orders {statuses:?} {:?} {:?} {:?} {:?} {words:?} {:?}",
        filter.customer_id, filter.placed_from, filter.placed_until, filter.sort, filter.order_ids
    );
    if filter.returns_waiting {
        text.push_str(" returns waiting");
    }
    if filter.held {
        text.push_str(" held");
    }
    fingerprint(&text)
}

/// The fingerprint of a filter of returns, after it was restricted to what the caller may see.
pub(super) fn returns_query(filter: &ReturnFilter) -> Query {
    let ReturnFilter { states, customer_id, requested_from, requested_until, sort } = filter;
    let mut states = states.clone();
    states.sort_unstable();
    states.dedup();
    let times = (requested_from, requested_until);
    fingerprint(&format!("returns {states:?} {customer_id:?} {times:?} {sort:?}"))
}

/// The fingerprint of the history of one order.
pub(super) fn history_query(order_id: OrderId) -> Query {
    fingerprint(&format!("history {order_id}"))
}

fn fingerprint(text: &str) -> Query {
    let hash = blake3::hash(text.as_bytes());
    std::array::from_fn(|index| hash.as_bytes().get(index).copied().unwrap_or_default())
}

/// The token after the last order of a page.
pub(super) fn token_of_orders(
    query: Query,
    history_id: HistoryId,
    at: Timestamp,
    order_id: OrderId,
) -> String {
    let mut bytes = [query, history_id].concat();
    bytes.extend(at.micros().to_be_bytes());
    bytes.extend(order_id.uuid().as_bytes());
    hex::encode(bytes)
}

/// The order that a page starts after; none for the first page.
pub(super) fn after_in_orders(
    query: Query,
    token: &str,
) -> Result<Option<(Timestamp, OrderId)>, Violations> {
    let Some(place) = place::<24>(query, token)? else { return Ok(None) };
    let (micros, uuid) = place.split_at(8);
    let micros = i64::from_be_bytes(micros.try_into().map_err(|_| malformed())?);
    let uuid = Uuid::from_slice(uuid).map_err(|_| malformed())?;
    Ok(Some((Timestamp::from_micros(micros), OrderId::from_uuid(uuid))))
}

/// The token after the last return of a page.
pub(super) fn token_of_returns(
    query: Query,
    history_id: HistoryId,
    (at, order_id, return_id): ReturnPlace,
) -> String {
    let mut bytes = [query, history_id].concat();
    bytes.extend(at.micros().to_be_bytes());
    bytes.extend(order_id.uuid().as_bytes());
    bytes.extend(return_id.uuid().as_bytes());
    hex::encode(bytes)
}

/// The return that a page starts after; none for the first page.
pub(super) fn after_in_returns(
    query: Query,
    token: &str,
) -> Result<Option<ReturnPlace>, Violations> {
    let Some(place) = place::<40>(query, token)? else { return Ok(None) };
    let (micros, ids) = place.split_at(8);
    let (order_id, return_id) = ids.split_at(16);
    let micros = i64::from_be_bytes(micros.try_into().map_err(|_| malformed())?);
    let order_id = Uuid::from_slice(order_id).map_err(|_| malformed())?;
    let return_id = Uuid::from_slice(return_id).map_err(|_| malformed())?;
    let at = Timestamp::from_micros(micros);
    Ok(Some((at, OrderId::from_uuid(order_id), ReturnId::from_uuid(return_id))))
}

/// The token after the last event of a page.
pub(super) fn token_of_history(query: Query, history_id: HistoryId, version: u64) -> String {
    let mut bytes = [query, history_id].concat();
    bytes.extend(version.to_be_bytes());
    hex::encode(bytes)
}

/// The version that a page starts after; 0 for the first page.
pub(super) fn after_in_history(query: Query, token: &str) -> Result<u64, Violations> {
    Ok(place::<8>(query, token)?.map_or(0, u64::from_be_bytes))
}

fn place<const LEN: usize>(query: Query, token: &str) -> Result<Option<[u8; LEN]>, Violations> {
    if token.is_empty() {
        return Ok(None);
    }
    if token.len() != 2 * (query.len() + size_of::<HistoryId>() + LEN) {
        return Err(malformed());
    }
    let bytes = hex::decode(token).map_err(|_| malformed())?;
    let (bound_to, place) = bytes.split_at(query.len());
    let (_, place) = place.split_at(size_of::<HistoryId>());
    if bound_to != query {
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
    use crate::projections::{ReturnSort, ReturnState};

    #[test]
    fn a_page_token_continues_after_its_order_and_fits_only_its_filter() {
        let filter = SummaryFilter { statuses: vec![Status::Pending], ..SummaryFilter::default() };
        let query = orders_query(&filter);
        let place = (Timestamp::from_micros(-17), OrderId::mint());
        let token = token_of_orders(query, history_id(None), place.0, place.1);
        assert_eq!(after_in_orders(query, &token), Ok(Some(place)));
        for at in [Timestamp::MIN, Timestamp::MAX] {
            for id in [Uuid::nil(), Uuid::max()].map(OrderId::from_uuid) {
                let token = token_of_orders(query, history_id(None), at, id);
                assert_eq!(after_in_orders(query, &token), Ok(Some((at, id))));
            }
        }
        assert_eq!(after_in_orders(query, ""), Ok(None));
        let other = orders_query(&SummaryFilter::default());
        assert!(after_in_orders(other, &token).is_err());
        for broken in ["x", &token[2..], &token.replace(&token[0..1], "z"), "é"] {
            assert!(after_in_orders(query, broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn the_order_of_statuses_does_not_change_the_fingerprint() {
        let filter = |statuses: &[Status]| SummaryFilter {
            statuses: statuses.to_vec(),
            ..SummaryFilter::default()
        };
        assert_eq!(
            orders_query(&filter(&[Status::Pending, Status::Confirmed])),
            orders_query(&filter(&[Status::Confirmed, Status::Pending, Status::Pending])),
        );
    }

    #[test]
    fn a_token_of_returns_continues_after_its_return_and_fits_only_its_filter() {
        let states = |states: &[ReturnState]| ReturnFilter {
            states: states.to_vec(),
            ..ReturnFilter::default()
        };
        let filter = states(&[ReturnState::Approved, ReturnState::Requested]);
        let query = returns_query(&filter);
        let twice = [ReturnState::Requested, ReturnState::Approved, ReturnState::Requested];
        assert_eq!(returns_query(&states(&twice)), query);
        let id = Uuid::from_u128(7);
        let place =
            (Timestamp::from_micros(-17), OrderId::from_uuid(Uuid::max()), ReturnId::from_uuid(id));
        let token = token_of_returns(query, history_id(None), place);
        assert_eq!(after_in_returns(query, &token), Ok(Some(place)));
        assert_eq!(after_in_returns(query, ""), Ok(None));
        for other in [
            ReturnFilter { sort: ReturnSort::JudgeByAsc, ..filter.clone() },
            ReturnFilter { requested_from: Some(Timestamp::MIN), ..filter.clone() },
            ReturnFilter { requested_until: Some(Timestamp::MIN), ..filter },
            states(&[ReturnState::Approved]),
        ] {
            assert!(after_in_returns(returns_query(&other), &token).is_err(), "{other:?}");
        }
        // A token of orders is none of returns.
        let of_orders = token_of_orders(query, history_id(None), place.0, place.1);
        assert!(after_in_returns(query, &of_orders).is_err());
        assert!(after_in_orders(query, &token).is_err());
    }

    #[test]
    fn a_history_token_continues_after_its_version_and_fits_only_its_order() {
        let (one, other) = (OrderId::mint(), OrderId::mint());
        let token = token_of_history(history_query(one), history_id(None), 7);
        assert_eq!(after_in_history(history_query(one), &token), Ok(7));
        assert!(after_in_history(history_query(other), &token).is_err());
        assert_eq!(after_in_history(history_query(one), ""), Ok(0));
    }
}
