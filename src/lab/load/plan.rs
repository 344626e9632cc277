use order_actor::grpc::{proto, render};
use shared_events::contract::{Currency, Money, MoneyError, Quantity, Timestamp};
use uuid::Uuid;

use super::files;
use super::invoices::{Invoice, Row};

/// The namespace of all ids that are derived from a file. With another value a second load of the
/// same file would place everything again.
pub const NAMESPACE: Uuid = Uuid::from_u128(0x6f72_6469_6e61_6c2e_8000_6c6f_6164_0000);

/// Placeholder in an address that the file does not have.
const UNKNOWN: &str = "unknown";

/// A line that cannot be part of an order or a return, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its line number in the file.
    pub line: u64,
    /// A stable code.
    pub code: String,
    /// What is wrong.
    pub detail: String,
}

impl Problem {
    /// A problem of this line.
    pub fn new(row: &Row, code: &str, detail: impl Into<String>) -> Self {
        Self::at(row.number, code, detail)
    }

    /// A problem of the line with this number.
    pub fn at(line: u64, code: &str, detail: impl Into<String>) -> Self {
        Self { line, code: code.to_owned(), detail: detail.into() }
    }
}

/// The id derived from this name.
pub fn derived(name: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, name.as_bytes())
}

/// The id of an invoice's order.
pub fn order_id(invoice: &Invoice) -> Uuid {
    derived(&format!("order/{}", invoice.number))
}

/// A customer's number; spreadsheets tend to write `17850` as `17850.0`.
pub fn customer_number(text: &str) -> &str {
    match text.strip_suffix(".0") {
        Some(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => number,
        _ => text,
    }
}

/// The customer of an invoice, or a guest of this one invoice where none is named.
pub fn customer_id(invoice: &Invoice) -> Uuid {
    if invoice.customer.is_empty() {
        derived(&format!("guest/{}", invoice.number))
    } else {
        derived(&format!("customer/{}", invoice.customer))
    }
}

/// Units and price of a line of an order.
pub fn sale(row: &Row, currency: Currency) -> Result<(u32, Money), Problem> {
    let units = units(row)?;
    let fits = u32::try_from(units).ok().filter(|units| (1..=Quantity::MAX).contains(units));
    let units = fits.ok_or_else(|| {
        let detail = if units < 0 {
            "only a credit note, whose number begins with C, has units below zero".to_owned()
        } else {
            format!("an order's units are 1 to {}", Quantity::MAX)
        };
        Problem::new(row, "QUANTITY_OUT_OF_RANGE", detail)
    })?;
    Ok((units, price(row, currency)?))
}

/// Units and price of a line of a credit note, where units are negative.
pub fn credit(row: &Row, currency: Currency) -> Result<(u32, Money), Problem> {
    let units = units(row)?;
    let units = units
        .checked_neg()
        .and_then(|units| u32::try_from(units).ok())
        .filter(|units| (1..=Quantity::MAX).contains(units))
        .ok_or_else(|| {
            let max = Quantity::MAX;
            let detail = format!(
                "its number begins with C, so it is a credit note, and its units must be -1 to -{max}"
            );
            Problem::new(row, "QUANTITY_OUT_OF_RANGE", detail)
        })?;
    Ok((units, price(row, currency)?))
}

fn units(row: &Row) -> Result<i64, Problem> {
    if let Some(fault) = &row.fault {
        return Err(Problem::new(row, fault.code, fault.detail.clone()));
    }
    files::whole_number(&row.quantity).ok_or_else(|| {
        let detail = format!("{:?} is not a whole number such as 6 or -6", row.quantity);
        Problem::new(row, "QUANTITY_UNREADABLE", detail)
    })
}

fn price(row: &Row, currency: Currency) -> Result<Money, Problem> {
    let text = &row.price;
    let price = Money::parse_decimal(text, currency).map_err(|error| {
        let detail = match error {
            MoneyError::Overflow => format!("{text} is too large"),
            MoneyError::TooFine => {
                format!("{text} is finer than the minor unit of {}", currency.code())
            }
            _ => format!(
                "{text:?} is not an amount such as 1234.50: digits and a point, without a currency's sign \
                 and without separators of thousands"
            ),
        };
        Problem::new(row, "PRICE_UNREADABLE", detail)
    })?;
    if price.minor < 0 {
        return Err(Problem::new(row, "PRICE_NEGATIVE", "a price is 0 or more"));
    }
    Ok(price)
}

/// The order of an invoice, or every line that is wrong.
pub fn place(
    invoice: &Invoice,
    currency: Currency,
) -> Result<proto::PlaceOrderRequest, Vec<Problem>> {
    let every = |code: &str, detail: &str| {
        invoice.rows.iter().map(|row| Problem::new(row, code, detail)).collect::<Vec<_>>()
    };
    let faulty = invoice.rows.iter().filter(|row| row.fault.is_some());
    let faulty: Vec<Problem> = faulty.filter_map(|row| units(row).err()).collect();
    if !faulty.is_empty() {
        return Err(faulty);
    }
    if invoice.number.is_empty() {
        return Err(every("INVOICE_MISSING", "InvoiceNo is empty"));
    }
    if invoice.split {
        return Err(every("INVOICE_SPLIT", "more than 100 other lines stand before it"));
    }
    if invoice.mixed {
        return Err(every("CUSTOMERS_MIXED", "its lines name several customers"));
    }
    let Some(ordered_at) = invoice.at() else {
        let detail = format!(
            "{:?} is not a time such as 2010-12-01 08:26:00 (UTC), 2010-12-01T08:26:00Z or \
             2010-12-01T09:26:00+01:00",
            invoice.time
        );
        return Err(every("TIME_UNREADABLE", &detail));
    };
    let mut lines = Vec::with_capacity(invoice.rows.len());
    let mut problems = Vec::new();
    for row in &invoice.rows {
        match sale(row, currency) {
            Ok((quantity, price)) => lines.push(proto::NewLine {
                sku: row.stock_code.clone(),
                quantity,
                unit_price: Some(render::money(price)),
                ..proto::NewLine::default()
            }),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(request(invoice, lines, ordered_at)) } else { Err(problems) }
}

fn request(
    invoice: &Invoice,
    lines: Vec<proto::NewLine>,
    ordered_at: Timestamp,
) -> proto::PlaceOrderRequest {
    // RFC 2606: no mail reaches a name that ends in .invalid.
    let email = if invoice.customer.is_empty() {
        String::new()
    } else {
        format!("{}@customers.invalid", customer_id(invoice).simple())
    };
    proto::PlaceOrderRequest {
        order_id: order_id(invoice).to_string(),
        customer_id: customer_id(invoice).to_string(),
        lines,
        address: Some(Box::new(proto::Address {
            street: UNKNOWN.to_owned(),
            city: UNKNOWN.to_owned(),
            postal_code: UNKNOWN.to_owned(),
            country: files::country(&invoice.country),
            ..proto::Address::default()
        })),
        contact: Some(proto::Contact { email, ..proto::Contact::default() }),
        ordered_at: Some(render::time(ordered_at)),
        ..proto::PlaceOrderRequest::default()
    }
}

/// The one parcel in which an order is shipped.
pub fn fulfill(order_id: Uuid) -> proto::FulfillOrderRequest {
    proto::FulfillOrderRequest {
        order_id: order_id.to_string(),
        shipment_id: derived(&format!("shipment/{order_id}")).to_string(),
        ..proto::FulfillOrderRequest::default()
    }
}

/// The return of these units of an order by a credit note, and its approval. Both have request ids,
/// so that a repetition is recognised whatever happened since.
pub fn returns(
    credit_note: &Invoice,
    order_id: Uuid,
    lines: Vec<proto::LineUnits>,
) -> (proto::RequestReturnRequest, proto::ApproveReturnRequest) {
    let return_id = derived(&format!("return/{}/{order_id}", credit_note.number));
    let options = |request_id: Uuid| {
        Some(proto::CommandOptions {
            request_id: request_id.to_string(),
            ..proto::CommandOptions::default()
        })
    };
    let dispositions = lines
        .iter()
        .map(|units| proto::LineDisposition {
            line: units.line,
            disposition: proto::Disposition::Restock.into(),
        })
        .collect();
    let request = proto::RequestReturnRequest {
        order_id: order_id.to_string(),
        return_id: return_id.to_string(),
        lines,
        reason: format!("credit note {}", credit_note.number),
        options: options(return_id),
        ..proto::RequestReturnRequest::default()
    };
    let approve = proto::ApproveReturnRequest {
        order_id: order_id.to_string(),
        return_id: return_id.to_string(),
        dispositions,
        options: options(derived(&format!("approval/{return_id}"))),
        ..proto::ApproveReturnRequest::default()
    };
    (request, approve)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(quantity: &str, price: &str) -> Row {
        Row {
            number: 2,
            stock_code: "85123A".to_owned(),
            quantity: quantity.to_owned(),
            price: price.to_owned(),
            fault: None,
        }
    }

    fn invoice(rows: Vec<Row>) -> Invoice {
        Invoice {
            number: "536365".to_owned(),
            time: "2010-12-01 08:26:00".to_owned(),
            customer: "17850".to_owned(),
            country: "EIRE".to_owned(),
            rows,
            ..Invoice::default()
        }
    }

    fn gbp() -> Currency {
        "GBP".parse().unwrap()
    }

    #[test]
    fn an_invoice_becomes_the_same_order_every_time() {
        let invoice = invoice(vec![row("6", "2.55"), row("1", "0")]);
        let order = place(&invoice, gbp()).unwrap();
        assert_eq!(order, place(&invoice, gbp()).unwrap());
        assert_eq!(order.lines.len(), 2);
        assert_eq!(order.address.unwrap().country, "IE");
        assert_eq!(order.ordered_at.unwrap().seconds, 1_291_191_960);
        let price = order.lines[0].unit_price.clone().unwrap();
        assert_eq!((price.units, price.nanos), (2, 550_000_000));
    }

    #[test]
    fn every_invalid_line_is_named() {
        let rows =
            vec![row("0", "1"), row("x", "1"), row("1", "-1"), row("1", "0.001"), row("1", "1")];
        let codes: Vec<_> =
            place(&invoice(rows), gbp()).unwrap_err().into_iter().map(|p| p.code).collect();
        let expected =
            ["QUANTITY_OUT_OF_RANGE", "QUANTITY_UNREADABLE", "PRICE_NEGATIVE", "PRICE_UNREADABLE"];
        assert_eq!(codes, expected);
    }

    #[test]
    fn an_invalid_price_is_reported_with_its_fault() {
        let detail = |price: &str| sale(&row("1", price), gbp()).unwrap_err().detail;
        for finer in ["4.505", "1.999"] {
            assert!(detail(finer).contains("finer than the minor unit"), "{finer}");
        }
        for other in ["£4.50", "1,234.50", "4,50", "", "1.2.3", ".5", "1e3", "--1"] {
            assert!(detail(other).contains("is not an amount"), "{other}: {}", detail(other));
        }
        assert!(detail("99999999999999999999").contains("too large"));
    }

    #[test]
    fn units_must_be_in_the_range_of_the_engine() {
        assert_eq!(sale(&row("1000000000", "1"), gbp()).unwrap().0, 1_000_000_000);
        for above in ["1000000001", "4294967296"] {
            let detail = sale(&row(above, "1"), gbp()).unwrap_err().detail;
            assert_eq!(detail, "an order's units are 1 to 1000000000");
        }
        assert!(sale(&row("-3", "1"), gbp()).unwrap_err().detail.contains("credit note"));
        assert_eq!(sale(&row("6.0", "1"), gbp()).unwrap().0, 6);
        assert_eq!(sale(&row("6.5", "1"), gbp()).unwrap_err().code, "QUANTITY_UNREADABLE");
    }

    #[test]
    fn a_country_is_named_as_people_do_or_refused_by_the_engine() {
        let country = |name: &str| {
            let country = name.to_owned();
            let order = place(&Invoice { country, ..invoice(vec![row("1", "1")]) }, gbp());
            order.unwrap().address.unwrap().country
        };
        for (name, code) in [
            ("EIRE", "IE"),
            ("RSA", "ZA"),
            ("USA", "US"),
            ("United States", "US"),
            ("Mexico", "MX"),
            ("India", "IN"),
            ("South Korea", "KR"),
            ("DE", "DE"),
        ] {
            assert_eq!(country(name), code, "{name}");
        }
        // Of no single country: nothing is guessed.
        for name in ["European Community", "Channel Islands", "Unspecified", ""] {
            assert_eq!(country(name), name);
        }
    }

    #[test]
    fn a_credit_note_has_units_below_zero() {
        assert_eq!(credit(&row("-3", "1.50"), gbp()).unwrap().0, 3);
        assert_eq!(credit(&row("3", "1"), gbp()).unwrap_err().code, "QUANTITY_OUT_OF_RANGE");
    }

    #[test]
    fn a_guest_is_another_customer_on_every_invoice() {
        let guest = |number: &str| {
            let number = number.to_owned();
            customer_id(&Invoice { number, customer: String::new(), ..invoice(Vec::new()) })
        };
        assert_eq!(guest("1"), guest("1"));
        assert_ne!(guest("1"), guest("2"));
        assert_eq!(customer_number("17850.0"), "17850");
        assert_eq!(customer_number("A.0"), "A.0");
    }
}
