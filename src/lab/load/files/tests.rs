//! Orders of a file from its text to the request, without an engine.

use std::io::Read;
use std::sync::Arc;

use order_actor::grpc::proto;
use proptest::prelude::*;

use super::mapping::{Mapping, PRICES, PRODUCTS, REQUIRED};
use super::olist::{Olist, Table, Tables};
use super::order::{FileOrder, order};
use super::rows::Rows;
use super::states::{Back, Shipped};
use super::{Format, Reading, Times, text};

fn orders(mapping: &str, text: &str) -> Vec<FileOrder> {
    let mapping = Arc::new(Mapping::parse(mapping).unwrap());
    let file = Box::new(std::io::Cursor::new(text.as_bytes().to_vec()));
    let needed = (&REQUIRED[..], &[&PRICES[..], &PRODUCTS[..]][..]);
    let mut rows = Rows::new(file, b',', &mapping, "file", needed).unwrap();
    let currency = "EUR".parse().unwrap();
    let reading = Reading { name: "test", times: Times::default(), currency, own_numbers: true };
    let mut found = Vec::new();
    while let Some(raw) = rows.next().unwrap() {
        found.push(order(&raw, &reading));
    }
    found
}

fn one(format: Format, text: &str) -> FileOrder {
    orders(format.mapping(), text).remove(0)
}

fn request(order: &FileOrder) -> &proto::PlaceOrderRequest {
    order.request.as_ref().unwrap()
}

fn cents(money: Option<&proto::Money>) -> i64 {
    money.map_or(0, |money| money.units * 100 + i64::from(money.nanos / 10_000_000))
}

fn discounts(list: &[proto::Discount]) -> Vec<(&str, i64)> {
    list.iter().map(|d| (d.label.as_str(), cents(d.amount.as_ref()))).collect()
}

#[test]
fn every_format_that_is_built_in_is_a_mapping() {
    for format in [Format::Shopify, Format::Woocommerce, Format::Olist, Format::Amazon] {
        Mapping::parse(format.mapping()).unwrap_or_else(|error| panic!("{format:?}: {error}"));
    }
}

#[test]
fn a_subtotal_says_which_discounts_belong_to_the_order() {
    let text = "Name,Lineitem quantity,Lineitem price,Lineitem sku,Lineitem discount,Subtotal,\
                Discount Amount,Discount Code,Shipping,Total\n\
                #1,2,10.00,A,1.00,17.10,2.90,TEN,5.00,22.10\n#1,1,0.00,GIFT,0,,,,,\n";
    let order = one(Format::Shopify, text);
    let request = request(&order);
    assert_eq!(discounts(&request.lines[0].discounts), [("discount", 100)]);
    assert_eq!(discounts(&request.discounts), [("TEN", 190)]);
    assert_eq!(request.lines.len(), 2);
    let total = request.expected.as_ref().unwrap().total.as_ref();
    assert_eq!((cents(total), request.charges.len()), (2_210, 1));
}

#[test]
fn a_total_says_whether_prices_contain_taxes() {
    let text = |total: &str| {
        format!(
            "Name,Lineitem quantity,Lineitem price,Lineitem sku,Subtotal,Taxes,Tax 1 Name,\
             Tax 1 Value,Tax 2 Name,Tax 2 Value,Total\n\
             #1,1,100.00,A,100.00,8.88,NY State 4%,4.00,City 4.875%,4.88,{total}\n"
        )
    };
    let on_top = one(Format::Shopify, &text("108.88"));
    let taxes = &request(&on_top).lines[0].taxes;
    let shown: Vec<_> = taxes.iter().map(|tax| (&*tax.name, &*tax.rate_percent)).collect();
    assert_eq!(shown, [("NY State 4%", "4"), ("City 4.875%", "4.875")]);
    assert_eq!(request(&on_top).tax_mode, i32::from(proto::TaxMode::OnTop));
    let included = one(Format::Shopify, &text("100.00"));
    assert_eq!(request(&included).tax_mode, i32::from(proto::TaxMode::Included));
}

#[test]
fn a_price_that_units_do_not_divide_is_kept_to_the_cent() {
    let text = "order_number,item_sku,item_quantity,item_subtotal,item_total,item_total_tax,\
                order_total,order_currency\n1,A,3,10.00,9.00,1.71,10.71,EUR\n";
    let order = one(Format::Woocommerce, text);
    let line = &request(&order).lines[0];
    assert_eq!((line.quantity, cents(line.unit_price.as_ref())), (3, 334));
    assert_eq!(discounts(&line.discounts), [("discount", 100), ("rounding of the price", 2)]);
    assert!(request(&order).charges.is_empty() && request(&order).discounts.is_empty());
}

#[test]
fn only_what_rounding_can_be_is_rounding() {
    let text = |total: &str| {
        format!(
            "order_number,item_sku,item_quantity,item_subtotal,item_total,item_total_tax,\
             order_total\n1,A,1,8.4034,8.4034,1.5966,{total}\n"
        )
    };
    let rounded = one(Format::Woocommerce, &text("10.01"));
    assert_eq!(request(&rounded).charges[0].label, "rounding");
    let below = one(Format::Woocommerce, &text("9.99"));
    assert_eq!(discounts(&request(&below).discounts), [("rounding", 1)]);
    // The engine will refuse it.
    let other = one(Format::Woocommerce, &text("10.03"));
    assert!(request(&other).charges.is_empty());
}

#[test]
fn words_of_a_shop_become_a_course() {
    let course = |paid: &str, state: &str, cancelled: &str, refunded: &str| {
        let text = format!(
            "Name,Financial Status,Fulfillment Status,Cancelled at,Refunded Amount,\
             Lineitem quantity,Lineitem price,Lineitem sku,Lineitem fulfillment status,Total\n\
             #1,{paid},{state},{cancelled},{refunded},2,5.00,A,fulfilled,15.00\n\
             #1,,,,,1,5.00,B,pending,\n"
        );
        let order = one(Format::Shopify, &text);
        (order.course, order.not_kept.into_iter().map(|told| told.what).collect::<Vec<_>>())
    };
    let (shipped, told) = course("paid", "fulfilled", "", "0.00");
    assert_eq!((shipped.shipped, shipped.cancelled, shipped.back), (Shipped::All, None, None));
    assert!(told.is_empty());
    let (open, _) = course("paid", "", "", "");
    assert_eq!((open.shipped, open.cancelled), (Shipped::Nothing, None));
    let (partly, _) = course("paid", "partial", "", "");
    assert_eq!(partly.shipped, Shipped::Lines(vec![1]));
    let (gone, _) = course("voided", "unfulfilled", "2026-03-02", "");
    assert_eq!(gone.shipped, Shipped::Nothing);
    assert!(gone.cancelled.is_some());
    let (back, _) = course("refunded", "fulfilled", "", "15.00");
    assert_eq!(back.back, Some(Back { units: Vec::new(), refund: Some(1_500) }));
    // The rest is cancelled, what was shipped comes back.
    let (both, _) = course("refunded", "partial", "2026-03-02", "15.00");
    assert_eq!(both.back, Some(Back { units: Vec::new(), refund: None }));
    assert!(both.cancelled.is_some());
    assert_eq!(course("partially_refunded", "fulfilled", "", "5.00").1, ["refund"]);
    assert_eq!(course("paid", "fulfilled", "2026-03-02", "").1, ["cancellation"]);
    assert_eq!(course("paid", "teleported", "", "").1, ["state \"teleported\""]);
}

#[test]
fn numbers_and_notes_of_a_file_are_the_orders_own() {
    let order = |number: &str, note: &str| {
        let head = "Name,Notes,Lineitem quantity,Lineitem price,Lineitem sku,Total";
        one(Format::Shopify, &format!("{head}\n{number},{note},1,5.00,A,5.00\n"))
    };
    let plain = order("#1", "\"ring,\ntwice\"");
    let request = request(&plain);
    assert_eq!(request.order_number, "#1");
    assert_eq!((request.notes[0].text.as_str(), request.notes[0].public), ("ring,\ntwice", false));
    assert!(plain.not_kept.is_empty() && !request.metadata.contains_key("note"));
    for number in ["4QK2-9XVA-07TM", &"9".repeat(41)] {
        let odd = order(number, &"x".repeat(2_001));
        let told: Vec<_> = odd.not_kept.iter().map(|told| told.what.as_str()).collect();
        assert_eq!(told, ["order_number", "note"]);
        let request = self::request(&odd);
        assert!(request.order_number.is_empty() && request.notes.is_empty());
    }
}

#[test]
fn rows_that_stand_twice_are_told() {
    let text = "order_number,item_id,item_sku,item_quantity,item_total,order_total\n\
                1,7,A,1,5.00,5.00\n1,7,A,1,5.00,5.00\n";
    let order = one(Format::Woocommerce, text);
    assert_eq!(request(&order).lines.len(), 1);
    assert_eq!(order.not_kept[0].what, "line 3");
}

/// What is wrong with the rows of the one order of Olist's files, whose items and customers these
/// are; codes with what is said.
async fn faults_of_olist(items: &[u8], customers: &[u8]) -> Vec<(&'static str, String)> {
    let table = |path: &str, bytes: &[u8]| {
        let file: Box<dyn Read + Send> = Box::new(std::io::Cursor::new(bytes.to_vec()));
        let file = text::decoded(file, encoding_rs::UTF_8);
        Table { path: path.to_owned(), file, separator: b',' }
    };
    let tables = Tables {
        orders: table("orders", b"order_id,customer_id,order_status\n1,c,delivered\n"),
        items: table("items", items),
        customers: table("customers", customers),
        payments: None,
    };
    let mapping = Arc::new(Mapping::parse(Format::Olist.mapping()).unwrap());
    let mut olist = Olist::new(tables, &mapping).await.unwrap();
    let mut found = Vec::new();
    while let Some(raw) = olist.next().await.unwrap() {
        found.extend(raw.rows.into_iter().filter_map(|row| row.fault));
    }
    found.into_iter().map(|fault| (fault.code, fault.detail)).collect()
}

const ITEMS: &[u8] = b"order_id,order_item_id,product_id,price,freight_value\n1,1,f,5.00,1.00\n";
const MALFORMED: &str = "MALFORMED_LINE";

#[tokio::test]
async fn bytes_of_no_encoding_are_told_in_columns_that_are_read() {
    let customers = b"customer_id,customer_unique_id,customer_city,note\nc,d,S\xe9,x\n";
    let said = "customers, line 2: customer_city has bytes that are none of the file's encoding";
    assert_eq!(faults_of_olist(ITEMS, customers).await, [(MALFORMED, said.to_owned())]);
    let customers = b"customer_id,customer_unique_id,customer_city,note\nc,d,S,\xe9\n";
    assert!(faults_of_olist(ITEMS, customers).await.is_empty());
}

#[tokio::test]
async fn of_a_customer_that_stands_twice_both_rows_must_be_right() {
    let customers = b"customer_id,customer_unique_id,customer_city\nc,d,S\nc,d\n";
    let said = "customers, line 3: it has 2 fields, the heading has 3";
    assert_eq!(faults_of_olist(ITEMS, customers).await, [(MALFORMED, said.to_owned())]);
}

#[tokio::test]
async fn a_fault_has_its_code_when_it_comes_from_the_index() {
    let items = b"order_id,order_item_id,product_id,price,freight_value\n1,1,\"f,5.00,1.00\n";
    let said = "items, line 2: a quote opens in it and is not closed: the file ends";
    let customers = b"customer_id,customer_unique_id\nc,d\n";
    let found = faults_of_olist(items, customers).await;
    assert_eq!(found, [("QUOTE_NOT_CLOSED", said.to_owned())]);
}

proptest! {
    /// Whatever the lines, discounts and taxes: what the engine will add up is the file's total, and
    /// no included tax is more than what includes it.
    #[test]
    fn the_parts_of_an_order_come_to_its_total(
        lines in proptest::collection::vec((1_u32..9, 0_i64..5_000, any::<bool>()), 1..8),
        off in 0_i64..100,
        rates in proptest::collection::vec(0_i64..15, 0..3),
        included in any::<bool>(),
    ) {
        let amount = |minor: i64| format!("{}.{:02}", minor / 100, minor % 100);
        let goods: i64 = lines.iter().map(|(units, price, _)| i64::from(*units) * price).sum();
        let subtotal = goods - goods * off / 100;
        let taxed: i64 = lines.iter().filter(|line| line.2).map(|(u, p, _)| i64::from(*u) * p).sum();
        let net = if taxed == 0 { subtotal } else { taxed - taxed * off / 100 };
        let taxes: Vec<i64> = rates.iter().map(|rate| net * rate / 200).collect();
        let tax: i64 = taxes.iter().sum();
        let total = subtotal + 499 + if included { 0 } else { tax };
        let names: String = (1..=taxes.len()).map(|n| format!(",Tax {n} Name,Tax {n} Value")).collect();
        let values: String = taxes.iter().map(|tax| format!(",VAT,{}", amount(*tax))).collect();
        let mut text = format!(
            "Name,Lineitem quantity,Lineitem price,Lineitem sku,Lineitem taxable,Subtotal,Taxes,\
             Shipping,Total{names}\n"
        );
        for (index, (units, price, taxable)) in lines.iter().enumerate() {
            let line = format!("#1,{units},{},A{index},{taxable}", amount(*price));
            let rest = if index == 0 {
                format!("{},{},4.99,{}{values}", amount(subtotal), amount(tax), amount(total))
            } else {
                format!(",,,{}", ",,".repeat(taxes.len()))
            };
            text.push_str(&format!("{line},{rest}\n"));
        }
        let order = one(Format::Shopify, &text);
        let request = request(&order);
        let of_taxes = |taxes: &[proto::Tax]| -> i64 {
            taxes.iter().map(|tax| cents(tax.amount.as_ref())).sum()
        };
        let in_lines: i64 = request.lines.iter().map(|line| of_taxes(&line.taxes)).sum();
        let in_charges: i64 = request.charges.iter().map(|charge| of_taxes(&charge.taxes)).sum();
        prop_assert_eq!(in_lines + in_charges, tax);
        let gross: i64 = request
            .lines
            .iter()
            .map(|line| i64::from(line.quantity) * cents(line.unit_price.as_ref()))
            .sum();
        let off: i64 = request.discounts.iter().map(|d| cents(d.amount.as_ref())).sum();
        prop_assert_eq!(gross - off, subtotal);
        let is_included = request.tax_mode == i32::from(proto::TaxMode::Included);
        prop_assert_eq!(subtotal + 499 + if is_included { 0 } else { tax }, total);
        if is_included {
            for line in &request.lines {
                let gross = i64::from(line.quantity) * cents(line.unit_price.as_ref());
                prop_assert!(of_taxes(&line.taxes) <= gross);
            }
        }
    }
}
