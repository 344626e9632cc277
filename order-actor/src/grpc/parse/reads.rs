use std::collections::BTreeSet;

use service_edge::one_of;
use shared_events::contract::{CustomerId, Mark, NameField, OrderId, Sku, TextRule, Timestamp};
use shared_events::stream::Cursors;

use super::{Form, OrderRef, Violations};
use crate::domain::{Status, bounds};
use crate::grpc::proto;
use crate::projections::{ReturnFilter, ReturnSort, ReturnState, SummaryFilter, SummarySort, Word};

/// Which version of an order to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// The current one.
    Now,
    /// After that many events.
    Version(u64),
    /// The one at that instant.
    Time(Timestamp),
}

/// A page of orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrdersPage {
    /// The filter.
    pub filter: SummaryFilter,
    /// The number that orders must have; empty for any. The edge finds their ids.
    pub order_number: String,
    /// The most entries.
    pub size: u32,
    /// The page token, not checked yet.
    pub token: String,
    /// The position that the page must include, with its mark where the caller knows it.
    pub at_least: Option<(u16, u64, Option<Mark>)>,
}

/// A page of returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnsPage {
    /// The filter.
    pub filter: ReturnFilter,
    /// The most entries.
    pub size: u32,
    /// The page token, not checked yet.
    pub token: String,
    /// The position that the page must include, with its mark where the caller knows it.
    pub at_least: Option<(u16, u64, Option<Mark>)>,
}

/// Where a stream of the journal begins and ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// After these positions.
    pub after: Cursors,
    /// The shards that were named.
    pub named: BTreeSet<u16>,
    /// Whether to read only those shards.
    pub only_named: bool,
    /// Whether it waits for new events at the end.
    pub live: bool,
    /// The most entries.
    pub limit: Option<u64>,
    /// When they were stored.
    pub recorded: Recorded,
}

/// A part of time, as the journal stored events; open where it has no end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Not before this.
    pub from: Option<Timestamp>,
    /// Before this.
    pub until: Option<Timestamp>,
}

impl Recorded {
    /// Whether it has this instant.
    #[must_use]
    pub fn has(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| at >= from) && self.until.is_none_or(|until| at < until)
    }
}

/// Which changes a watch sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watching {
    /// Only these orders; empty for all.
    pub order_ids: BTreeSet<OrderId>,
    /// Only of this customer.
    pub customer_id: Option<CustomerId>,
    /// After these positions.
    pub after: Cursors,
    /// The shards that were named.
    pub named: BTreeSet<u16>,
    /// Whether the other shards start at their first event instead of now.
    pub from_beginning: bool,
}

/// The most orders that one watch may name.
const WATCHED_MAX: usize = 100;
/// Orders per page: default and maximum.
const ORDERS_PAGE: (u32, u32) = (20, 100);
/// Events per page: default and maximum.
const HISTORY_PAGE: (u32, u32) = (100, 1_000);

/// # Errors
/// Every invalid field.
pub fn get_order(request: &proto::GetOrderRequest) -> Result<(OrderRef, AsOf), Violations> {
    use proto::get_order_request::AsOf as Requested;
    let mut form = Form::default();
    let proto::GetOrderRequest { order_id, order_number, external_id, shop, .. } = request;
    let order = form.order_ref(order_id, order_number, external_id, shop);
    let as_of = match request.as_of {
        None => Some(AsOf::Now),
        Some(Requested::Version(0)) => {
            form.invalid("version", "versions are numbered from 1");
            None
        }
        Some(Requested::Version(version)) => Some(AsOf::Version(version)),
        Some(Requested::Time(time)) => form.time("time", Some(time)).map(AsOf::Time),
    };
    form.all(|| Some((order?, as_of?)))
}

/// # Errors
/// Every invalid field.
pub fn list_orders(
    request: proto::ListOrdersRequest,
    shards: u16,
) -> Result<OrdersPage, Violations> {
    let mut form = Form::default();
    let filter = request.filter.unwrap_or_default();
    let (order_number, words) = form.words(&filter);
    let sort = form.sort(request.sort);
    let statuses: Vec<Status> = filter
        .statuses
        .iter()
        .enumerate()
        .filter_map(|(index, status)| form.status(&format!("filter.statuses[{index}]"), *status))
        .collect();
    let customer_id = form.optional_id("filter.customer_id", &filter.customer_id);
    let placed_from = form.time("filter.placed_from", filter.placed_from);
    let placed_until = form.time("filter.placed_until", filter.placed_until);
    if placed_from.zip(placed_until).is_some_and(|(from, until)| from >= until) {
        form.invalid("filter.placed_until", "later than placed_from");
    }
    let size = form.page_size(request.page_size, ORDERS_PAGE);
    let at_least = match request.at_least {
        None => Some(None),
        Some(place) => form.place("at_least", &place, shards).map(Some),
    };
    let token = request.page_token;
    let (returns_waiting, held) = (filter.returns_waiting, filter.held);
    let payment = form.payment_statuses(&filter.payment);
    form.all(|| {
        let (words, sort) = (words?, sort?);
        let filter = SummaryFilter {
            statuses,
            customer_id,
            placed_from,
            placed_until,
            returns_waiting,
            held,
            payment,
            words,
            sort,
            order_ids: None,
        };
        let order_number = order_number?;
        Some(OrdersPage { filter, order_number, size: size?, token, at_least: at_least? })
    })
}

/// # Errors
/// Every invalid field.
pub fn list_returns(
    request: proto::ListReturnsRequest,
    shards: u16,
) -> Result<ReturnsPage, Violations> {
    let mut form = Form::default();
    let filter = request.filter.unwrap_or_default();
    let sort = form.return_sort(request.sort);
    let states: Vec<ReturnState> = filter
        .states
        .iter()
        .enumerate()
        .filter_map(|(index, state)| form.return_state(&format!("filter.states[{index}]"), *state))
        .collect();
    let customer_id = form.optional_id("filter.customer_id", &filter.customer_id);
    let requested_from = form.time("filter.requested_from", filter.requested_from);
    let requested_until = form.time("filter.requested_until", filter.requested_until);
    if requested_from.zip(requested_until).is_some_and(|(from, until)| from >= until) {
        form.invalid("filter.requested_until", "later than requested_from");
    }
    let in_time = filter.requested_from.is_some() || filter.requested_until.is_some();
    if in_time && sort == Some(ReturnSort::JudgeByAsc) {
        form.invalid("sort", "not JUDGE_BY_ASC with requested_from or requested_until");
    }
    let size = form.page_size(request.page_size, ORDERS_PAGE);
    let at_least = match request.at_least {
        None => Some(None),
        Some(place) => form.place("at_least", &place, shards).map(Some),
    };
    let token = request.page_token;
    form.all(|| {
        let sort = sort?;
        let filter = ReturnFilter { states, customer_id, requested_from, requested_until, sort };
        Some(ReturnsPage { filter, size: size?, token, at_least: at_least? })
    })
}

/// The order, the page size and the page token.
///
/// # Errors
/// Every invalid field.
pub fn list_order_events(
    request: proto::ListOrderEventsRequest,
) -> Result<(OrderId, usize, String), Violations> {
    let mut form = Form::default();
    let order_id = form.id("order_id", &request.order_id);
    let size = form.page_size(request.page_size, HISTORY_PAGE);
    let token = request.page_token;
    form.all(|| Some((order_id?, usize::try_from(size?).ok()?, token)))
}

/// The order and the versions to compare; the second is absent for the newest.
///
/// # Errors
/// Every invalid field.
pub fn diff_order(
    request: &proto::DiffOrderRequest,
) -> Result<(OrderId, u64, Option<u64>), Violations> {
    let mut form = Form::default();
    let order_id = form.id("order_id", &request.order_id);
    let to = (request.to_version != 0).then_some(request.to_version);
    if to.is_some_and(|to| to < request.from_version) {
        form.invalid("to_version", "not before from_version");
    }
    form.all(|| Some((order_id?, request.from_version, to)))
}

/// # Errors
/// Every invalid field.
pub fn read_events(request: &proto::ReadEventsRequest, shards: u16) -> Result<Reading, Violations> {
    let mut form = Form::default();
    let proto::ReadEventsRequest { only_named, live, limit, .. } = *request;
    if only_named && request.after.is_empty() {
        form.invalid("after", "names at least one shard where only_named is set");
    }
    let (after, named) = form.places("after", &request.after, shards);
    let from = form.time("recorded_from", request.recorded_from);
    let until = form.time("recorded_until", request.recorded_until);
    if from.zip(until).is_some_and(|(from, until)| from >= until) {
        form.invalid("recorded_until", "later than recorded_from");
    }
    if live && request.recorded_until.is_some() {
        form.invalid("recorded_until", "absent with live: nobody knows when it would end");
    }
    let limit = (limit != 0).then_some(limit);
    let recorded = Recorded { from, until };
    form.all(|| Some(Reading { after, named, only_named, live, limit, recorded }))
}

/// # Errors
/// Every invalid field.
pub fn watch_orders(
    request: &proto::WatchOrdersRequest,
    shards: u16,
) -> Result<Watching, Violations> {
    let mut form = Form::default();
    let mut order_ids = BTreeSet::new();
    if request.order_ids.len() > WATCHED_MAX {
        form.invalid("order_ids", format!("at most {WATCHED_MAX} orders"));
    } else {
        for (index, text) in request.order_ids.iter().enumerate() {
            order_ids.extend(form.id::<OrderId>(&format!("order_ids[{index}]"), text));
        }
    }
    let customer_id = form.optional_id("customer_id", &request.customer_id);
    let (after, named) = form.places("after", &request.after, shards);
    let from_beginning = request.from_beginning;
    form.all(|| Some(Watching { order_ids, customer_id, after, named, from_beginning }))
}

impl Form {
    /// The number, and the words that orders must have.
    fn words(&mut self, filter: &proto::OrderFilter) -> (Option<String>, Option<Vec<Word>>) {
        let number = "filter.order_number";
        let number = self.name(NameField::OrderNumber, number, &filter.order_number);
        let mut words = Vec::new();
        let mut wanted = |given: bool, word: Option<Word>| {
            words.extend(given.then_some(word));
        };
        let field = "filter.external_id";
        let external_id = self.name(NameField::ExternalId, field, &filter.external_id);
        wanted(!filter.external_id.is_empty(), external_id.map(|id| Word::external_id(&id)));
        let shop = self.name(NameField::Shop, "filter.shop", &filter.shop);
        wanted(!filter.shop.is_empty(), shop.map(|shop| Word::shop(&shop)));
        let tag = self.short("filter.tag", &filter.tag, bounds::LABEL_MAX);
        wanted(!filter.tag.is_empty(), tag.map(|tag| Word::tag(&tag)));
        let (max, reference) = (bounds::REFERENCE_MAX, &filter.shipment_reference);
        let of_parcel = self.short("filter.shipment_reference", reference, max);
        wanted(!reference.is_empty(), of_parcel.map(|text| Word::shipment_reference(&text)));
        let reference = &filter.return_reference;
        let of_return = self.short("filter.return_reference", reference, max);
        wanted(!reference.is_empty(), of_return.map(|text| Word::return_reference(&text)));
        let tracking = self.short("filter.tracking", &filter.tracking, bounds::CARRIER_MAX);
        wanted(!filter.tracking.is_empty(), tracking.map(|text| Word::tracking(&text)));
        if !filter.sku.is_empty() {
            let sku: Result<Sku, _> = filter.sku.parse();
            let sku = sku.map_err(|error| self.invalid("filter.sku", error)).ok();
            wanted(true, sku.map(|sku| Word::sku(&sku)));
        }
        let email = self.short("filter.email", filter.email.trim(), bounds::EMAIL_MAX);
        wanted(!filter.email.is_empty(), email.map(|email| Word::email(&email)));
        let key = self.short("filter.metadata_key", &filter.metadata_key, bounds::KEY_MAX);
        let value = self.short("filter.metadata_value", &filter.metadata_value, bounds::TEXT_MAX);
        if filter.metadata_key.is_empty() && !filter.metadata_value.is_empty() {
            self.invalid("filter.metadata_value", "with metadata_key only");
        }
        let entry = key.zip(value).map(|(key, value)| Word::metadata(&key, &value));
        wanted(!filter.metadata_key.is_empty(), entry);
        (number, words.into_iter().collect())
    }

    fn short(&mut self, field: &str, text: &str, max: usize) -> Option<String> {
        TextRule::lines(max).stored(text).map_err(|error| self.invalid(field, error)).ok()
    }

    fn sort(&mut self, sort: i32) -> Option<SummarySort> {
        Some(match proto::OrderSort::try_from(sort) {
            Ok(proto::OrderSort::Unspecified | proto::OrderSort::PlacedDesc) => {
                SummarySort::PlacedDesc
            }
            Ok(proto::OrderSort::PlacedAsc) => SummarySort::PlacedAsc,
            Ok(proto::OrderSort::UpdatedDesc) => SummarySort::UpdatedDesc,
            Ok(proto::OrderSort::UpdatedAsc) => SummarySort::UpdatedAsc,
            Err(_) => {
                self.invalid("sort", one_of(proto::OrderSort::as_str_name));
                return None;
            }
        })
    }

    fn return_sort(&mut self, sort: i32) -> Option<ReturnSort> {
        use proto::ReturnSort as Shown;
        Some(match Shown::try_from(sort) {
            Ok(Shown::Unspecified | Shown::RequestedAsc) => ReturnSort::RequestedAsc,
            Ok(Shown::RequestedDesc) => ReturnSort::RequestedDesc,
            Ok(Shown::JudgeByAsc) => ReturnSort::JudgeByAsc,
            Err(_) => {
                self.invalid("sort", one_of(Shown::as_str_name));
                return None;
            }
        })
    }

    fn return_state(&mut self, field: &str, state: i32) -> Option<ReturnState> {
        use proto::ReturnState as Shown;
        Some(match Shown::try_from(state) {
            Ok(Shown::Requested) => ReturnState::Requested,
            Ok(Shown::Approved) => ReturnState::Approved,
            Ok(Shown::Received) => ReturnState::Received,
            Ok(Shown::Rejected) => ReturnState::Rejected,
            Ok(Shown::Unspecified) | Err(_) => {
                self.invalid(field, one_of(Shown::as_str_name));
                return None;
            }
        })
    }

    fn status(&mut self, field: &str, status: i32) -> Option<Status> {
        Some(match proto::OrderStatus::try_from(status) {
            Ok(proto::OrderStatus::Pending) => Status::Pending,
            Ok(proto::OrderStatus::Confirmed) => Status::Confirmed,
            Ok(proto::OrderStatus::Fulfilled) => Status::Fulfilled,
            Ok(proto::OrderStatus::ReturnRequested) => Status::ReturnRequested,
            Ok(proto::OrderStatus::Returned) => Status::Returned,
            Ok(proto::OrderStatus::Cancelled) => Status::Cancelled,
            Ok(proto::OrderStatus::Unspecified) | Err(_) => {
                self.invalid(field, one_of(proto::OrderStatus::as_str_name));
                return None;
            }
        })
    }
}
