//! Proto → domain. Each function takes a request apart and gives either the whole wish or every
//! field at fault. Never echoes a value: it may be personal data.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;

use service_edge::page::PageSize;
pub use service_edge::{Violation, Violations};
use shared_events::contract::{
    CancelReason, Contact, ContactError, Currency, CustomerId, Disposition, Mark, Money,
    MoneyError, OrderId, ParseIdError, Quantity, Reason, RequestId, ReturnId, SellerId, ShipmentId,
    Sku, TextError, TextRule, Timestamp,
};
use shared_events::stream::Cursors;
use uuid::Uuid;

use super::proto;
use crate::domain::{
    Address, AddressError, ApproveReturn, By, Cancel, Command, Fulfill, LineQuantity, NewLine,
    Place, RejectReturn, Rejection, RequestReturn, ReturnLineDisposition, Role, Status,
};
use crate::projections::SummaryFilter;

/// What every command may carry besides what it asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// What makes a retry recognisable.
    pub request_id: Option<RequestId>,
    /// The version the caller believes the order to have.
    pub expected_version: Option<u64>,
    /// Only say what would happen.
    pub validate_only: bool,
}

/// A command and the order it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Which order.
    pub order_id: OrderId,
    /// What is asked.
    pub command: Command,
    /// What comes with it.
    pub options: Options,
}

/// An order as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// As it is.
    Now,
    /// After that many events.
    Version(u64),
    /// At that instant.
    Time(Timestamp),
}

/// A page of orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrdersPage {
    /// Which orders.
    pub filter: SummaryFilter,
    /// How many at most.
    pub size: u32,
    /// Where it goes on; not looked at yet.
    pub token: String,
    /// The place that it must include, with what stood there where the caller knows it.
    pub at_least: Option<(u16, u64, Option<Mark>)>,
}

/// Where a stream of the journal begins and ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// After these places.
    pub after: Cursors,
    /// The shards that were named.
    pub named: BTreeSet<u16>,
    /// Only those.
    pub only_named: bool,
    /// Whether it goes on at the end.
    pub live: bool,
    /// How many at most.
    pub limit: Option<u64>,
}

/// Which changes a stream tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watching {
    /// Only these orders; empty for all.
    pub order_ids: BTreeSet<OrderId>,
    /// Only of this customer.
    pub customer_id: Option<CustomerId>,
    /// After these places.
    pub after: Cursors,
    /// The shards that were named.
    pub named: BTreeSet<u16>,
    /// Whether the other shards begin at their first event, and not now.
    pub from_beginning: bool,
}

/// Orders that one stream may name.
const WATCHED_MAX: usize = 100;
/// Orders of one page, unless asked for otherwise and at most.
const ORDERS_PAGE: (u32, u32) = (20, 100);
/// Events of one page, unless asked for otherwise and at most.
const HISTORY_PAGE: (u32, u32) = (100, 1_000);
/// 9999-01-01T00:00:00Z, in microseconds: instants from here on stand for no end, and nothing was
/// ordered then.
const NO_END: i64 = 253_370_764_800_000_000;
/// Characters of an e-mail address.
const EMAIL_MAX: usize = 254;
/// Characters of a carrier's name or tracking number.
const CARRIER_MAX: usize = 100;

/// The namespace of ids that are derived from a request id. Fixed for ever: another value would
/// make a retry mint other ids than the first try did.
const DERIVED: Uuid = Uuid::from_u128(0x6f72_6469_6e61_6c2e_8000_7265_7175_6573);

/// The field of a contact that an error is about.
#[must_use]
pub const fn contact_field(error: ContactError) -> &'static str {
    match error {
        ContactError::Email => "email",
        ContactError::Phone => "phone",
        ContactError::Locale => "locale",
    }
}

/// # Errors
/// Every field at fault.
pub fn place_order(request: proto::PlaceOrderRequest, by: &By) -> Result<Wish, Violations> {
    let mut form = Form::default();
    let options = form.options(request.options.as_ref());
    let customer_id: Option<CustomerId> = match by {
        By::Customer(own) if request.customer_id.is_empty() => Some(*own),
        _ => form.id("customer_id", &request.customer_id),
    };
    // By the customer alone: the same request through another pod of a gateway is the same order.
    let customer = customer_id.map(|id| id.to_string()).unwrap_or_default();
    let order_id = form.id_or_derived(
        "order_id",
        &request.order_id,
        options.request_id,
        &format!("order of CUSTOMER {customer}"),
        OrderId::from_uuid,
    );
    let lines = form.new_lines(&request.lines);
    let address = form.address(request.address);
    let contact = form.contact(&request.contact.unwrap_or_default());
    let ordered_at = form.time("ordered_at", request.ordered_at);
    if ordered_at.is_some_and(|at| at.micros() >= NO_END) {
        form.wrong("ordered_at", "an instant of the years 1 to 9998; 9999 stands for no end");
    }
    form.wish(order_id, options, || {
        Some(Command::Place(Place {
            order_id: order_id?,
            customer_id: customer_id?,
            lines: lines?,
            address: address?,
            contact: contact?,
            ordered_at,
        }))
    })
}

/// # Errors
/// Every field at fault.
pub fn cancel_order(request: proto::CancelOrderRequest, by: &By) -> Result<Wish, Violations> {
    let mut form = Form::default();
    let order_id = form.id("order_id", &request.order_id);
    let options = form.options(request.options.as_ref());
    let reason = form.cancel_reason("reason", request.reason, by);
    let lines = form.units(&request.lines, Units::Open);
    let text = form.text("text", request.text, Rejection::TEXT_MAX);
    form.wish(order_id, options, || {
        Some(Command::Cancel(Cancel {
            reason: reason?,
            text: text?,
            lines: lines?,
            skus: Vec::new(),
        }))
    })
}

/// # Errors
/// Every field at fault.
pub fn fulfill_order(request: proto::FulfillOrderRequest) -> Result<Wish, Violations> {
    let mut form = Form::default();
    let order_id: Option<OrderId> = form.id("order_id", &request.order_id);
    let options = form.options(request.options.as_ref());
    let shipment_id = form.id_or_derived(
        "shipment_id",
        &request.shipment_id,
        options.request_id,
        &format!("shipment {order_id:?}"),
        ShipmentId::from_uuid,
    );
    let lines = form.units(&request.lines, Units::Open);
    let carrier = form.line("carrier", request.carrier, CARRIER_MAX);
    let tracking = form.line("tracking", request.tracking, CARRIER_MAX);
    form.wish(order_id, options, || {
        Some(Command::Fulfill(Fulfill {
            shipment_id: shipment_id?,
            lines: lines?,
            carrier: carrier?,
            tracking: tracking?,
        }))
    })
}

/// # Errors
/// Every field at fault.
pub fn request_return(request: proto::RequestReturnRequest) -> Result<Wish, Violations> {
    let mut form = Form::default();
    let order_id: Option<OrderId> = form.id("order_id", &request.order_id);
    let options = form.options(request.options.as_ref());
    let return_id = form.id_or_derived(
        "return_id",
        &request.return_id,
        options.request_id,
        &format!("return {order_id:?}"),
        ReturnId::from_uuid,
    );
    let reason = form.reason("reason", request.reason);
    let lines = form.units(&request.lines, Units::Kept);
    form.wish(order_id, options, || {
        Some(Command::RequestReturn(RequestReturn {
            return_id: return_id?,
            lines: lines?,
            reason: reason?,
        }))
    })
}

/// # Errors
/// Every field at fault.
pub fn approve_return(request: proto::ApproveReturnRequest) -> Result<Wish, Violations> {
    let mut form = Form::default();
    let order_id = form.id("order_id", &request.order_id);
    let options = form.options(request.options.as_ref());
    let return_id = form.optional_id("return_id", &request.return_id);
    let dispositions = form.dispositions(&request.dispositions);
    let refund = match request.refund {
        None => Some(None),
        Some(refund) => form.refund(&refund).map(Some),
    };
    let refund_reason = form.text("refund_reason", request.refund_reason, Rejection::TEXT_MAX);
    form.wish(order_id, options, || {
        Some(Command::ApproveReturn(ApproveReturn {
            return_id,
            dispositions: dispositions?,
            refund: refund?,
            refund_reason: refund_reason?,
        }))
    })
}

/// # Errors
/// Every field at fault.
pub fn reject_return(request: proto::RejectReturnRequest) -> Result<Wish, Violations> {
    let mut form = Form::default();
    let order_id = form.id("order_id", &request.order_id);
    let options = form.options(request.options.as_ref());
    let return_id = form.optional_id("return_id", &request.return_id);
    let reason = form.reason("reason", request.reason);
    form.wish(order_id, options, || {
        Some(Command::RejectReturn(RejectReturn { return_id, reason: reason? }))
    })
}

/// # Errors
/// Every field at fault.
pub fn get_order(request: &proto::GetOrderRequest) -> Result<(OrderId, AsOf), Violations> {
    use proto::get_order_request::AsOf as Asked;
    let mut form = Form::default();
    let order_id = form.id("order_id", &request.order_id);
    let as_of = match request.as_of {
        None => Some(AsOf::Now),
        Some(Asked::Version(0)) => {
            form.wrong("version", "versions are numbered from 1");
            None
        }
        Some(Asked::Version(version)) => Some(AsOf::Version(version)),
        Some(Asked::Time(time)) => form.time("time", Some(time)).map(AsOf::Time),
    };
    form.all(|| Some((order_id?, as_of?)))
}

/// # Errors
/// Every field at fault.
pub fn list_orders(
    request: proto::ListOrdersRequest,
    shards: u16,
) -> Result<OrdersPage, Violations> {
    let mut form = Form::default();
    let filter = request.filter.unwrap_or_default();
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
        form.wrong("filter.placed_until", "later than placed_from");
    }
    let size = form.page_size(request.page_size, ORDERS_PAGE);
    let at_least = match request.at_least {
        None => Some(None),
        Some(place) => form.place("at_least", &place, shards).map(Some),
    };
    let token = request.page_token;
    let filter = SummaryFilter { statuses, customer_id, placed_from, placed_until };
    form.all(|| Some(OrdersPage { filter, size: size?, token, at_least: at_least? }))
}

/// The order, the page size and the page token.
///
/// # Errors
/// Every field at fault.
pub fn list_order_events(
    request: proto::ListOrderEventsRequest,
) -> Result<(OrderId, usize, String), Violations> {
    let mut form = Form::default();
    let order_id = form.id("order_id", &request.order_id);
    let size = form.page_size(request.page_size, HISTORY_PAGE);
    let token = request.page_token;
    form.all(|| Some((order_id?, usize::try_from(size?).ok()?, token)))
}

/// The order, and the versions to compare; none for the newest.
///
/// # Errors
/// Every field at fault.
pub fn diff_order(
    request: &proto::DiffOrderRequest,
) -> Result<(OrderId, u64, Option<u64>), Violations> {
    let mut form = Form::default();
    let order_id = form.id("order_id", &request.order_id);
    let to = (request.to_version != 0).then_some(request.to_version);
    if to.is_some_and(|to| to < request.from_version) {
        form.wrong("to_version", "not before from_version");
    }
    form.all(|| Some((order_id?, request.from_version, to)))
}

/// # Errors
/// Every field at fault.
pub fn read_events(request: &proto::ReadEventsRequest, shards: u16) -> Result<Reading, Violations> {
    let (after, only_named) = (&request.after, request.only_named);
    reading(after, only_named, request.live, request.limit, shards)
}

fn reading(
    after: &[proto::ShardPosition],
    only_named: bool,
    live: bool,
    limit: u64,
    shards: u16,
) -> Result<Reading, Violations> {
    let mut form = Form::default();
    if only_named && after.is_empty() {
        form.wrong("after", "names at least one shard where only_named is set");
    }
    let (after, named) = form.places("after", after, shards);
    let limit = (limit != 0).then_some(limit);
    form.all(|| Some(Reading { after, named, only_named, live, limit }))
}

/// # Errors
/// Every field at fault.
pub fn watch_orders(
    request: &proto::WatchOrdersRequest,
    shards: u16,
) -> Result<Watching, Violations> {
    let mut form = Form::default();
    let mut order_ids = BTreeSet::new();
    if request.order_ids.len() > WATCHED_MAX {
        form.wrong("order_ids", format!("at most {WATCHED_MAX} orders"));
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

/// Which units a command names, and so which code a malformed line has.
#[derive(Clone, Copy)]
enum Units {
    /// Units still to be delivered; naming none names all.
    Open,
    /// Units the customer has; at least one line.
    Kept,
}

impl Units {
    const fn reason(self) -> Reason {
        match self {
            Self::Open => Reason::InvalidLines,
            Self::Kept => Reason::InvalidReturnLines,
        }
    }
}

/// A request being taken apart. A part that is not well formed is noted and gives none, so that the
/// rest is looked at as well.
#[derive(Default)]
struct Form {
    violations: Violations,
}

impl Form {
    fn wrong(&mut self, field: impl Into<String>, description: impl Display) {
        self.violations.add(field, Violations::INVALID_FIELD, description);
    }

    /// The whole, where nothing is wrong with any part.
    fn all<T>(self, whole: impl FnOnce() -> Option<T>) -> Result<T, Violations> {
        self.violations.none_or()?;
        whole().ok_or_else(|| {
            Violations::one("request", Violations::INVALID_FIELD, "a part of it is missing")
        })
    }

    fn wish(
        self,
        order_id: Option<OrderId>,
        options: Options,
        command: impl FnOnce() -> Option<Command>,
    ) -> Result<Wish, Violations> {
        self.all(|| Some(Wish { order_id: order_id?, command: command()?, options }))
    }

    fn id<T: FromStr<Err = ParseIdError>>(&mut self, field: &str, text: &str) -> Option<T> {
        if text.is_empty() {
            self.wrong(field, "required: a UUID");
            return None;
        }
        text.parse().map_err(|error: ParseIdError| self.wrong(field, error)).ok()
    }

    fn optional_id<T: FromStr<Err = ParseIdError>>(
        &mut self,
        field: &str,
        text: &str,
    ) -> Option<T> {
        if text.is_empty() { None } else { self.id(field, text) }
    }

    /// The id given; where none is, one that every retry of this request gets again, or a new one
    /// where nothing tells a retry apart.
    fn id_or_derived<T: FromStr<Err = ParseIdError>>(
        &mut self,
        field: &str,
        text: &str,
        request_id: Option<RequestId>,
        purpose: &str,
        of: impl FnOnce(Uuid) -> T,
    ) -> Option<T> {
        if !text.is_empty() {
            return self.id(field, text);
        }
        Some(of(request_id.map_or_else(Uuid::now_v7, |request_id| {
            Uuid::new_v5(&DERIVED, format!("{purpose} by {request_id}").as_bytes())
        })))
    }

    fn options(&mut self, options: Option<&proto::CommandOptions>) -> Options {
        let Some(options) = options else { return Options::default() };
        let request_id = self.optional_id("options.request_id", &options.request_id);
        let by_etag = match options.etag.as_str() {
            "" => None,
            etag => {
                let version = etag.parse::<u64>().ok();
                if version.is_none() {
                    self.wrong("options.etag", "not an etag of an order");
                }
                version
            }
        };
        if options.expected_version.zip(by_etag).is_some_and(|(version, etag)| version != etag) {
            self.wrong("options.etag", "names another version than expected_version");
        }
        Options {
            request_id,
            expected_version: options.expected_version.or(by_etag),
            validate_only: options.validate_only,
        }
    }

    fn new_lines(&mut self, lines: &[proto::NewLine]) -> Option<Vec<NewLine>> {
        if lines.is_empty() {
            let (empty, reason) = (Rejection::EmptyOrder, Rejection::EmptyOrder.reason());
            self.violations.add("lines", reason, empty);
            return None;
        }
        if lines.len() > Rejection::LINES_MAX {
            let (many, reason) = (Rejection::TooManyLines, Rejection::TooManyLines.reason());
            self.violations.add("lines", reason, many);
            return None;
        }
        let mut parsed = Vec::with_capacity(lines.len());
        for (index, line) in lines.iter().enumerate() {
            parsed.push(self.new_line(&format!("lines[{index}]"), line));
        }
        let first = parsed.iter().flatten().map(|line| line.unit_price.currency).next();
        for (index, line) in parsed.iter().enumerate() {
            if line.as_ref().is_some_and(|line| Some(line.unit_price.currency) != first) {
                self.violations.add(
                    format!("lines[{index}].unit_price.currency_code"),
                    Rejection::CurrencyMismatch.reason(),
                    Rejection::CurrencyMismatch,
                );
            }
        }
        parsed.into_iter().collect()
    }

    fn new_line(&mut self, path: &str, line: &proto::NewLine) -> Option<NewLine> {
        let sku: Option<Sku> = line.sku.parse().ok();
        if sku.is_none() {
            let field = format!("{path}.sku");
            self.violations.add(field, Reason::InvalidLine, "1 to 64 of A-Z a-z 0-9 . _ -");
        }
        let quantity =
            self.quantity(&format!("{path}.quantity"), Reason::InvalidLine, line.quantity);
        let price_path = format!("{path}.unit_price");
        let unit_price = match &line.unit_price {
            Some(price) => self.money(&price_path, Reason::InvalidLine, price),
            None => {
                self.violations.add(&price_path, Reason::InvalidLine, "required");
                None
            }
        };
        if unit_price.is_some_and(|price| price.minor < 0) {
            self.violations.add(&price_path, Reason::InvalidLine, "not below zero");
        }
        let seller_id: Option<SellerId> = match line.seller_id.as_str() {
            "" => None,
            text => text
                .parse()
                .map_err(|error: ParseIdError| {
                    self.violations.add(format!("{path}.seller_id"), Reason::InvalidLine, error);
                })
                .ok(),
        };
        Some(NewLine { sku: sku?, quantity: quantity?, unit_price: unit_price?, seller_id })
    }

    fn quantity(&mut self, field: &str, reason: Reason, units: u32) -> Option<Quantity> {
        Quantity::new(units).map_err(|error| self.violations.add(field, reason, error)).ok()
    }

    fn money(&mut self, path: &str, reason: Reason, money: &proto::Money) -> Option<Money> {
        let currency: Currency = money
            .currency_code
            .parse()
            .map_err(|error: MoneyError| {
                self.violations.add(format!("{path}.currency_code"), reason, error);
            })
            .ok()?;
        Money::from_units_nanos(money.units, money.nanos, currency)
            .map_err(|error| {
                let part = if error == MoneyError::TooFine { "nanos" } else { "units" };
                self.violations.add(format!("{path}.{part}"), reason, error);
            })
            .ok()
    }

    fn refund(&mut self, refund: &proto::Money) -> Option<Money> {
        let reason = Rejection::InvalidRefund.reason();
        let money = self.money("refund", reason, refund)?;
        if money.minor < 0 {
            self.violations.add("refund", reason, "not below zero");
            return None;
        }
        Some(money)
    }

    fn units(&mut self, lines: &[proto::LineUnits], units: Units) -> Option<Vec<LineQuantity>> {
        let reason = units.reason();
        if lines.is_empty() && matches!(units, Units::Kept) {
            self.violations.add("lines", reason, "at least one line is named");
            return None;
        }
        if lines.len() > Rejection::LINES_MAX {
            self.violations.add("lines", reason, Rejection::TooManyLines);
            return None;
        }
        let mut named = BTreeSet::new();
        let mut parsed = Vec::with_capacity(lines.len());
        for (index, line) in lines.iter().enumerate() {
            self.line_number(&format!("lines[{index}].line"), reason, line.line, &mut named);
            let quantity =
                self.quantity(&format!("lines[{index}].quantity"), reason, line.quantity);
            parsed.push(quantity.map(|quantity| LineQuantity { line: line.line, quantity }));
        }
        parsed.into_iter().collect()
    }

    fn line_number(&mut self, field: &str, reason: Reason, line: u32, named: &mut BTreeSet<u32>) {
        if line == 0 {
            self.violations.add(field, reason, "lines are numbered from 1");
        } else if !named.insert(line) {
            self.violations.add(field, reason, "named twice");
        }
    }

    fn dispositions(
        &mut self,
        lines: &[proto::LineDisposition],
    ) -> Option<Vec<ReturnLineDisposition>> {
        let reason = Units::Kept.reason();
        if lines.len() > Rejection::LINES_MAX {
            self.violations.add("dispositions", reason, Rejection::TooManyLines);
            return None;
        }
        let mut named = BTreeSet::new();
        let mut parsed = Vec::with_capacity(lines.len());
        for (index, line) in lines.iter().enumerate() {
            let path = format!("dispositions[{index}]");
            self.line_number(&format!("{path}.line"), reason, line.line, &mut named);
            let disposition = match proto::Disposition::try_from(line.disposition) {
                Ok(proto::Disposition::Restock) => Some(Disposition::Restock),
                Ok(proto::Disposition::WriteOff) => Some(Disposition::WriteOff),
                Ok(proto::Disposition::Unspecified) | Err(_) => {
                    let field = format!("{path}.disposition");
                    self.violations.add(field, reason, "RESTOCK or WRITE_OFF");
                    None
                }
            };
            parsed.push(
                disposition
                    .map(|disposition| ReturnLineDisposition { line: line.line, disposition }),
            );
        }
        parsed.into_iter().collect()
    }

    fn address(&mut self, address: Option<proto::Address>) -> Option<Address> {
        let Some(proto::Address { street, city, postal_code, country }) = address else {
            self.violations.add("address", Reason::InvalidAddress, "required");
            return None;
        };
        let address = Address { street, city, postal_code, country };
        // The check names the first part at fault; with that part mended it names the next one.
        let mut mended = address.clone();
        for _ in 0..4 {
            let Err(error) = mended.check() else { break };
            let field = format!("address.{}", error.field());
            self.violations.add(field, Reason::InvalidAddress, error);
            let part = match error {
                AddressError::Street => &mut mended.street,
                AddressError::City => &mut mended.city,
                AddressError::PostalCode => &mut mended.postal_code,
                AddressError::Country => &mut mended.country,
            };
            "GB".clone_into(part);
        }
        Some(address)
    }

    fn contact(&mut self, contact: &proto::Contact) -> Option<Contact> {
        let parts = [
            Contact::new(&contact.email, "", ""),
            Contact::new("", &contact.phone, ""),
            Contact::new("", "", &contact.locale),
        ];
        for error in parts.into_iter().filter_map(Result::err) {
            let field = format!("contact.{}", contact_field(error));
            self.violations.add(field, Reason::InvalidContact, error);
        }
        // What is an address and hides something is none that was meant.
        if let Err(error @ TextError::Hidden { .. }) =
            TextRule::line(EMAIL_MAX).check(&contact.email)
            && Contact::new(&contact.email, "", "").is_ok()
        {
            self.violations.add("contact.email", Reason::InvalidContact, error);
        }
        Contact::new(&contact.email, &contact.phone, &contact.locale).ok()
    }

    fn reason(&mut self, field: &'static str, text: String) -> Option<String> {
        if text.trim().is_empty() {
            let code = Rejection::ReasonRequired.reason();
            self.violations.add(field, code, Rejection::ReasonRequired);
            return None;
        }
        self.text(field, text, Rejection::TEXT_MAX)
    }

    fn text(&mut self, field: &'static str, text: String, max: usize) -> Option<String> {
        self.written(field, text, TextRule::lines(max))
    }

    fn line(&mut self, field: &'static str, text: String, max: usize) -> Option<String> {
        self.written(field, text, TextRule::line(max))
    }

    fn written(&mut self, field: &'static str, text: String, rule: TextRule) -> Option<String> {
        match rule.check(&text) {
            Ok(()) => return Some(text),
            Err(error @ TextError::TooLong { .. }) => {
                self.violations.add(field, Reason::TextTooLong, error);
            }
            Err(error @ TextError::Hidden { .. }) => self.wrong(field, error),
        }
        None
    }

    fn cancel_reason(&mut self, field: &str, reason: i32, by: &By) -> Option<CancelReason> {
        Some(match proto::CancelReason::try_from(reason) {
            Ok(proto::CancelReason::Unspecified) if by.role() == Role::Customer => {
                CancelReason::CustomerRequest
            }
            Ok(proto::CancelReason::Unspecified | proto::CancelReason::Ops) => CancelReason::Ops,
            Ok(proto::CancelReason::CustomerRequest) => CancelReason::CustomerRequest,
            Ok(proto::CancelReason::InsufficientStock) => CancelReason::InsufficientStock,
            Ok(proto::CancelReason::SlaTimeout) => CancelReason::SlaTimeout,
            Ok(proto::CancelReason::PaymentFailed) => CancelReason::PaymentFailed,
            Err(_) => {
                self.wrong(field, "not a known reason");
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
                self.wrong(field, "not a status of an order");
                return None;
            }
        })
    }

    /// An instant, cut to the microsecond; none where it is absent or not well formed.
    fn time(&mut self, field: &str, time: Option<prost_types::Timestamp>) -> Option<Timestamp> {
        let time = time?;
        let micros = time
            .seconds
            .checked_mul(1_000_000)
            .and_then(|micros| micros.checked_add(i64::from(time.nanos.div_euclid(1_000))))
            .filter(|_| (0..1_000_000_000).contains(&time.nanos))
            .filter(|micros| (Timestamp::MIN.micros()..=Timestamp::MAX.micros()).contains(micros));
        if micros.is_none() {
            self.wrong(field, "an instant of the years 1 to 9999 with nanos of 0 to 999,999,999");
        }
        micros.map(Timestamp::from_micros)
    }

    fn page_size(&mut self, size: i32, (default, max): (u32, u32)) -> Option<u32> {
        PageSize { default, max }.read(size, &mut self.violations)
    }

    fn place(
        &mut self,
        field: &str,
        place: &proto::ShardPosition,
        shards: u16,
    ) -> Option<(u16, u64, Option<Mark>)> {
        let shard = u16::try_from(place.shard).ok().filter(|shard| *shard < shards);
        if shard.is_none() {
            self.wrong(
                format!("{field}.shard"),
                format!("the journal has {shards} shards, from 0"),
            );
        }
        shard.map(|shard| (shard, place.position, place.mark.map(Mark::from_bits)))
    }

    fn places(
        &mut self,
        field: &str,
        places: &[proto::ShardPosition],
        shards: u16,
    ) -> (Cursors, BTreeSet<u16>) {
        let (mut cursors, mut named) = (Cursors::default(), BTreeSet::new());
        if places.len() > usize::from(shards) {
            self.wrong(field, format!("the journal has {shards} shards, each named once at most"));
            return (cursors, named);
        }
        for (index, place) in places.iter().enumerate() {
            let path = format!("{field}[{index}]");
            let Some((shard, position, mark)) = self.place(&path, place, shards) else { continue };
            if !named.insert(shard) {
                self.wrong(format!("{path}.shard"), "named twice");
            }
            if position > 0 {
                cursors.advance_to(shard, position, mark);
            }
        }
        (cursors, named)
    }
}
