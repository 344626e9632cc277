//! Order files of shops as their exports look, loaded through the real command line.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::shop::TestDatabase;
use crate::support::{Engine, ordinal};

/// Runs a load; its summary, its report, and whether everything was kept.
fn load(directory: &Path, csv: &str, flags: &[&str]) -> (Value, Value) {
    let data = directory.join("data");
    let report = directory.join("report.json");
    let mut all = vec!["--json", "load", "--csv", csv, "--report", report.to_str().unwrap()];
    if !flags.contains(&"--database-url") {
        all.extend(["--data", data.to_str().unwrap()]);
    }
    all.extend(flags);
    let summary = loaded(&ordinal(&all));
    (summary, serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap())
}

fn loaded(output: &Output) -> Value {
    let error = String::from_utf8_lossy(&output.stderr);
    let summary: Value = serde_json::from_slice(&output.stdout).expect(&error);
    let is_complete = summary["left_out"] == 0 && summary["parts_not_kept"].is_null();
    assert_eq!(output.status.code(), Some(i32::from(!is_complete)), "{summary}: {error}");
    summary
}

/// The orders in the engine, by their number in the file.
fn orders(engine: &Engine) -> BTreeMap<String, Value> {
    let listed = engine.ask(&["order", "list"]);
    let listed = listed["orders"].as_array().unwrap();
    let get = |order: &Value| {
        let id = order["order_id"].as_str().unwrap();
        let order = engine.ask(&["order", "get", id])["order"].take();
        (order["metadata"]["order_number"].as_str().unwrap().to_owned(), order)
    };
    listed.iter().map(get).collect()
}

/// Number, status, total and what was paid back.
fn short(orders: &BTreeMap<String, Value>) -> Vec<String> {
    let money = |money: &Value| {
        let units =
            money["units"].as_str().map_or_else(|| money["units"].to_string(), str::to_owned);
        let units = if units == "null" { "0".to_owned() } else { units };
        format!("{units}.{:02}", money["nanos"].as_i64().unwrap_or(0) / 10_000_000)
    };
    orders
        .iter()
        .map(|(number, order)| {
            let status = order["status"].as_str().unwrap().trim_start_matches("ORDER_STATUS_");
            let (total, refunded) = (money(&order["total"]), money(&order["refunded"]));
            format!("{number} {status} {total} {refunded}")
        })
        .collect()
}

fn codes(report: &Value) -> Vec<(&str, &str)> {
    let problems = report["problems"].as_array().unwrap();
    problems.iter().map(|p| (p["invoice"].as_str().unwrap(), p["code"].as_str().unwrap())).collect()
}

fn not_kept(report: &Value) -> Vec<(&str, &str)> {
    let told = report["not_kept"].as_array();
    let told = told.into_iter().flatten();
    let mut told: Vec<_> =
        told.map(|t| (t["order"].as_str().unwrap(), t["what"].as_str().unwrap())).collect();
    told.sort_unstable();
    told
}

#[test]
fn orders_keep_their_numbers_and_those_of_two_shops_are_told() {
    let directory = TempDir::new().unwrap();
    let flags = ["--format", "shopify", "--keep-order-numbers"];
    let (_, report) = load(directory.path(), "examples/orders/shopify.csv", &flags);
    assert_eq!(not_kept(&report), [("#1006", "refund")]);
    let other = directory.path().join("other.csv");
    let text = "order_number,item_sku,item_quantity,item_total,order_total,shipping_country\n\
                #1001,A,1,5.00,5.00,IE\n#2001,A,1,5.00,5.00,IE\n";
    std::fs::write(&other, text).unwrap();
    let other = other.to_str().unwrap();
    let flags = ["--format", "woocommerce", "--keep-order-numbers"];
    let (first, report) = load(directory.path(), other, &flags);
    assert_eq!((&first["placed"], not_kept(&report)), (&json!(2), vec![("#1001", "order_number")]));
    let (again, report) = load(directory.path(), other, &flags);
    assert_eq!(
        (&again["appended"], not_kept(&report)),
        (&json!(0), vec![("#1001", "order_number")])
    );
    let engine = Engine::start(&directory.path().join("data"));
    for (number, units) in [("#1001", 54), ("#2001", 5)] {
        let order = engine.ask(&["order", "get", number])["order"].take();
        assert_eq!(
            (&order["order_number"], &order["total"]["units"]),
            (&json!(number), &json!(units))
        );
    }
    engine.ask(&["verify"]);
    drop(engine);
    let wrong = ordinal(&["load", "--csv", "examples/orders.csv", "--keep-order-numbers"]);
    let error = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(wrong.status.code() == Some(2) && error.contains("--format or --mapping"), "{error}");
}

#[test]
fn a_shopify_export_is_loaded_as_it_is() {
    let directory = TempDir::new().unwrap();
    let file = "examples/orders/shopify.csv";
    let (summary, report) = load(directory.path(), file, &["--format", "shopify"]);
    assert_eq!(codes(&report), [("#1007", "TOTALS_MISMATCH")], "{summary}");
    assert_eq!(not_kept(&report), [("#1006", "refund")]);
    let expected = json!({
        "GBP": { "orders": 4, "total": 14_311, "refunded": 0 },
        "USD": { "orders": 2, "total": 7_128, "refunded": 5_000 },
    });
    assert_eq!(summary["sums"], expected);
    let engine = Engine::start(&directory.path().join("data"));
    let found = orders(&engine);
    let expected = [
        "#1001 FULFILLED 54.36 0.00",
        "#1002 CONFIRMED 21.28 0.00",
        "#1003 CONFIRMED 23.95 0.00",
        "#1004 CANCELLED 29.95 0.00",
        "#1005 RETURNED 50.00 50.00",
        "#1006 FULFILLED 34.85 0.00",
    ];
    assert_eq!(short(&found), expected);
    let first = &found["#1001"];
    assert_eq!(first["tax_mode"], "TAX_MODE_INCLUDED");
    assert_eq!(first["address"]["name"], "Ada Byron");
    assert_eq!(first["address"]["phone"], "+441134960000");
    assert_eq!(first["tags"], json!(["gift", "first order"]));
    assert_eq!(first["ordered_at"], "2026-03-02T09:15:00Z");
    assert_eq!(first["discounts"][0]["label"], "WELCOME10");
    assert_eq!(first["lines"][0]["taxes"][0]["rate_percent"], "20");
    let second = &found["#1002"];
    assert_eq!(second["tax_mode"], "TAX_MODE_ON_TOP");
    assert_eq!(second["ordered_at"], "2026-03-02T14:20:00Z");
    assert_eq!(second["address"]["postal_code"], "10118");
    assert_eq!(second["address"]["region"], "NY");
    assert_eq!(second["contact"]["phone"], "+12125550100");
    let note = json!("Please ring twice,\nthen leave it with Joe");
    assert_eq!(
        (&second["notes"][0]["text"], &second["notes"][0]["public"]),
        (&note, &json!(false))
    );
    assert_eq!(found["#1003"]["lines"][0]["fulfilled"], 1);
    assert_eq!(found["#1003"]["lines"][1]["open"], 3);
    assert_eq!(found["#1005"]["lines"][0]["sku"], "GIFT-CARD-LARGE");
    engine.ask(&["verify"]);
    drop(engine);
    // Again: nothing is done twice.
    let (again, _) = load(directory.path(), file, &["--format", "shopify"]);
    assert_eq!((&again["appended"], &again["sums"]), (&json!(0), &summary["sums"]));
    assert_eq!(again["cancelled_by_file"], summary["cancelled_by_file"]);
}

#[test]
fn a_woocommerce_export_is_loaded_as_it_is() {
    let directory = TempDir::new().unwrap();
    let flags = ["--format", "woocommerce", "--time-zone", "Europe/Berlin"];
    let (summary, report) = load(directory.path(), "examples/orders/woocommerce.csv", &flags);
    assert_eq!(codes(&report), [], "{summary}");
    assert_eq!(not_kept(&report), []);
    let engine = Engine::start(&directory.path().join("data"));
    let found = orders(&engine);
    let expected = [
        "2001 FULFILLED 38.16 0.00",
        "2002 CONFIRMED 10.39 0.00",
        "2003 FULFILLED 139.52 4.76",
        "2004 CANCELLED 134.95 0.00",
        "2005 RETURNED 29.95 29.95",
    ];
    assert_eq!(short(&found), expected);
    let first = &found["2001"];
    assert_eq!(first["ordered_at"], "2026-03-02T08:15:00Z");
    assert_eq!(first["contact"]["phone"], "+494215550100");
    assert_eq!(first["charges"][0]["label"], "DHL");
    assert_eq!(found["2002"]["address"]["instructions"], "I come on Friday");
    assert_eq!(found["2003"]["lines"][0]["returned"], 1);
    engine.ask(&["verify"]);
}

#[test]
fn an_amazon_report_is_loaded_as_it_is() {
    let directory = TempDir::new().unwrap();
    let flags = ["--format", "amazon"];
    let (summary, report) = load(directory.path(), "examples/orders/amazon.txt", &flags);
    assert_eq!(codes(&report), [("112-0000005-0000005", "LINES_MISSING")], "{summary}");
    let engine = Engine::start(&directory.path().join("data"));
    let found = orders(&engine);
    let expected = [
        // 29.90 - 3.00 + 25.00 + 3.50 + (2.39 + 2.00 + 0.40 + 0.28) of tax; shipping is free.
        "112-0000001-0000001 FULFILLED 60.47 0.00",
        "112-0000004-0000004 CONFIRMED 26.95 0.00",
        "302-0000002-0000002 CONFIRMED 134.89 0.00",
        "302-0000003-0000003 CANCELLED 3.33 0.00",
    ];
    assert_eq!(short(&found), expected);
    assert_eq!(found["112-0000001-0000001"]["lines"][0]["title"], "Mug, 12\" tall");
    assert_eq!(found["112-0000004-0000004"]["lines"][0]["fulfilled"], 1);
    assert_eq!(found["302-0000002-0000002"]["tax_mode"], "TAX_MODE_INCLUDED");
    engine.ask(&["verify"]);
}

#[test]
fn the_files_of_olist_are_joined() {
    let directory = TempDir::new().unwrap();
    let flags = ["--format", "olist", "--time-zone", "America/Sao_Paulo"];
    let file = "examples/orders/olist_orders_dataset.csv";
    let (summary, report) = load(directory.path(), file, &flags);
    let mut told = codes(&report);
    told.sort_unstable();
    let id = |number: u32| format!("{:032x}", 0xa0 + number);
    let (fifth, sixth) = (id(5), id(6));
    assert_eq!(told, [(&*fifth, "LINES_MISSING"), (&*sixth, "TOTALS_MISMATCH")], "{summary}");
    let engine = Engine::start(&directory.path().join("data"));
    let found = orders(&engine);
    let [first, second] = [id(1), id(2)];
    assert_eq!(short(&found)[0], format!("{first} FULFILLED 72.19 0.00"));
    assert_eq!(short(&found)[1], format!("{second} FULFILLED 75.54 0.00"));
    assert_eq!(found[&first]["ordered_at"], "2018-01-02T12:56:33Z");
    assert_eq!(found[&first]["address"]["region"], "SP");
    assert_eq!(found[&second]["lines"].as_array().unwrap().len(), 2);
    assert_eq!(found[&id(3)]["status"], "ORDER_STATUS_CANCELLED");
    engine.ask(&["verify"]);
}

/// Nothing of the files beside that of the orders is lost without a word.
#[test]
fn rows_of_olist_without_an_order_and_faulty_ones_are_reported() {
    let directory = TempDir::new().unwrap();
    let files = directory.path().join("files");
    std::fs::create_dir(&files).unwrap();
    let write = |name: &str, more: &str| {
        let name = format!("olist_{name}_dataset.csv");
        let text = std::fs::read_to_string(format!("examples/orders/{name}")).unwrap();
        std::fs::write(files.join(name), text + more).unwrap();
    };
    let id = |number: u32| format!("{number:032x}");
    write("orders", "");
    // A row of an order that is not there, and one with a field less, of the first order.
    let (nowhere, first) = (id(0xb1), id(0xa1));
    write(
        "order_items",
        &format!("{nowhere},1,f1,e1,2018-01-08,1.00,1.00\n{first},2,f1,e1,x,1.00\n"),
    );
    write("customers", &format!("{},d9,08775,mogi,SP\n", id(0xc9)));
    let (second, elsewhere) = (id(0xa2), id(0xb2));
    let payments =
        format!("{nowhere},1,card,1,2.00\n{second},3,voucher,1.00\n{elsewhere},1,a,1,1\n");
    write("order_payments", &payments);
    let csv = files.join("olist_orders_dataset.csv");
    let flags = ["--format", "olist", "--time-zone", "America/Sao_Paulo"];
    let (summary, report) = load(directory.path(), csv.to_str().unwrap(), &flags);
    let problems = report["problems"].as_array().unwrap();
    let text = |problem: &Value, key: &str| problem[key].as_str().unwrap().to_owned();
    let of = |number: &str, code: &str| -> Vec<(u64, String)> {
        let found = problems.iter().filter(|one| one["invoice"] == number && one["code"] == code);
        found.map(|one| (one["line"].as_u64().unwrap(), text(one, "detail"))).collect()
    };
    let lost = of(&nowhere, "ORDER_UNKNOWN");
    assert_eq!(lost.len(), 2, "{report}");
    assert!(lost[0].0 == 8 && lost[0].1.contains("order_items_dataset.csv, line 8"), "{lost:?}");
    assert!(lost[1].0 == 9 && lost[1].1.contains("payments_dataset.csv, line 9"), "{lost:?}");
    assert_eq!(of(&elsewhere, "ORDER_UNKNOWN").len(), 1, "{report}");
    let customers = of(&id(0xc9), "ORDER_UNKNOWN");
    assert!(customers[0].1.contains("customers_dataset.csv, line 8"), "{customers:?}");
    for (number, file) in [(&first, "order_items"), (&second, "order_payments")] {
        let faulty = of(number, "MALFORMED_LINE");
        let named = faulty
            .iter()
            .any(|(_, detail)| detail.contains(file) && detail.contains("fields, the heading has"));
        assert!(named, "{number}: {report}");
    }
    assert_eq!(summary["refused"]["ORDER_UNKNOWN"], 3, "{summary}");
}

#[test]
fn a_mapping_reads_semicolons_commas_and_another_encoding() {
    let directory = TempDir::new().unwrap();
    let flags = ["--mapping", "examples/orders/mapping.toml"];
    let (summary, report) = load(directory.path(), "examples/orders/till.csv", &flags);
    assert_eq!((codes(&report), not_kept(&report)), (Vec::new(), Vec::new()), "{summary}");
    let engine = Engine::start(&directory.path().join("data"));
    let found = orders(&engine);
    let expected =
        ["R-1 FULFILLED 1029.90 0.00", "R-2 CONFIRMED 14.95 0.00", "R-3 CANCELLED 14.95 0.00"];
    assert_eq!(short(&found), expected);
    assert_eq!(found["R-1"]["address"]["street"], "Hauptstraße 5");
    assert_eq!(found["R-1"]["ordered_at"], "2026-03-02T08:15:00Z");
    assert_eq!(found["R-2"]["ordered_at"], "2026-07-02T07:15:00Z");
    assert_eq!(found["R-1"]["lines"][0]["title"], "Tasse; blau");
}

const TILL: &str = "[columns]\nnumber = 'No'\nordered_at = 'Date'\nsku = 'Item'\nquantity = 'Qty'\n\
                    price = 'Price'\ntotal = 'Total'\nemail = 'Mail'\nship_country = 'Country'\n\
                    [constants]\nship_country = 'IE'\n";

/// Loads these lines by a small mapping.
fn till(directory: &Path, lines: &str, flags: &[&str]) -> (Value, Value) {
    let (mapping, csv) = (directory.join("mapping.toml"), directory.join("till.csv"));
    std::fs::write(&mapping, TILL).unwrap();
    std::fs::write(&csv, lines).unwrap();
    let all = [&["--mapping", mapping.to_str().unwrap()], flags].concat();
    load(directory, csv.to_str().unwrap(), &all)
}

#[test]
fn what_is_wrong_with_an_order_is_told_and_costs_no_other() {
    let directory = TempDir::new().unwrap();
    let lines = "No,Date,Item,Qty,Price,Total,Mail,Country\n\
        1,2026-03-02,MUG,2,4.50,9.00,a@example.com,Ireland\n\
        2,02/03/2026,MUG,1,4.50,,,\n\
        3,2026-03-02,MUG,x,4.50,,,\n\
        4,2026-03-02,MUG,1,\"4,50\",,,\n\
        5,2026-03-02,MUG,1,4.50,5.00,,\n\
        6,2026-03-02,\"MUG,1,4.50,,,\n\
        7,2026-03-02,MUG,1,4.50,,not an address,\n\
        8,2026-03-02,MUG,1,4.50,,,\n\
        8,2026-03-02,MUG,1,4.50,,,\n\
        1,2026-03-02,MUG,2,4.50,9.00,,\n\
        9,2026-03-02,MUG,1,4.50,,,Atlantis\n\
        10,2026-03-02,MUG,1,4.50,4.50,,\n\
        10,2026-03-02,MUG,1,4.50,9.00,,\n";
    let (summary, report) = till(directory.path(), lines, &[]);
    let mut told = codes(&report);
    told.sort_unstable();
    let expected = [
        ("1", "ORDER_REPEATED"),
        ("10", "ORDER_MIXED"),
        ("2", "TIME_UNREADABLE"),
        ("3", "QUANTITY_UNREADABLE"),
        ("4", "PRICE_UNREADABLE"),
        ("5", "TOTALS_MISMATCH"),
        ("6", "QUOTE_NOT_CLOSED"),
        ("9", "INVALID_ADDRESS"),
    ];
    assert_eq!(told, expected, "{report}");
    let quote =
        &report["problems"].as_array().unwrap().iter().find(|p| p["invoice"] == "6").unwrap();
    assert_eq!(quote["line"], 7);
    assert_eq!(not_kept(&report), [("7", "e-mail address"), ("8", "line 10")]);
    assert_eq!((&summary["placed"], &summary["lines"]), (&json!(3), &json!(13)));
}

#[test]
fn flags_say_how_a_file_is_written() {
    let directory = TempDir::new().unwrap();
    let lines = "No;Date;Item;Qty;Price\n1;02/03/2026 09:15;MUG;2,0;4,50\n";
    let wide: Vec<u8> =
        format!("\u{feff}{lines}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let csv = directory.path().join("till.csv");
    let mapping = directory.path().join("mapping.toml");
    std::fs::write(&mapping, TILL).unwrap();
    std::fs::write(&csv, wide).unwrap();
    let flags = [
        "--mapping",
        mapping.to_str().unwrap(),
        "--decimal-mark",
        ",",
        "--date-pattern",
        "%d/%m/%Y %H:%M",
        "--time-zone",
        "America/New_York",
    ];
    let (summary, _) = load(directory.path(), csv.to_str().unwrap(), &flags);
    assert_eq!(summary["sums"]["GBP"]["total"], 900, "{summary}");
    let engine = Engine::start(&directory.path().join("data"));
    assert_eq!(orders(&engine)["1"]["ordered_at"], "2026-03-02T14:15:00Z");
    // The invoices of the default format can be written so, too.
    let invoices = "InvoiceNo;StockCode;Quantity;InvoiceDate;UnitPrice;CustomerID;Country\n\
                    7;MUG;1;02/03/2026 09:15;4,50;1;Norway\n";
    std::fs::write(&csv, invoices).unwrap();
    let flags = [&["--separator", ";"], &flags[2..]].concat();
    let all = [&["load", "--csv", csv.to_str().unwrap()], &flags[..]].concat();
    assert_eq!(loaded(&engine.run(&all))["placed"], 1);
}

#[test]
fn a_faulty_mapping_or_flag_is_refused_before_an_engine_starts() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data");
    let mapping = directory.path().join("mapping.toml");
    std::fs::write(&mapping, TILL.replace("number", "numbre")).unwrap();
    let mapping = mapping.to_str().unwrap();
    for (flags, named) in [
        (&["--mapping", mapping][..], "numbre"),
        (&["--format", "shopify"], "none of Name"),
        (&["--format", "olist"], "order_items"),
        (&["--format", "woocommerce", "--time-zone", "Europe/Nowhere"], "Europe/Nowhere"),
        (&["--format", "amazon", "--separator", "::"], "separator"),
        (&["--format", "amazon", "--encoding", "klingon"], "klingon"),
    ] {
        let all = ["load", "--csv", "examples/orders.csv", "--data", data.to_str().unwrap()];
        let output = ordinal(&[&all[..], flags].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {error}");
        assert!(error.contains(named), "{flags:?}: {error}");
    }
    assert!(!data.exists(), "an engine was started");
}

/// An export of a thousand orders, and the sums of its totals by currency as its script has them.
fn export(directory: &Path, format: &str) -> (String, BTreeMap<String, i64>) {
    let made = Command::new("scripts/make-orders").args([format, "1000", "--seed", "7"]).output();
    let made = made.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let path = directory.join("export.csv");
    std::fs::write(&path, &made.stdout).unwrap();
    // Read by another program than the one that is tested.
    let sum = "import csv, sys, collections, decimal\n\
        sums, seen = collections.Counter(), set()\n\
        for row in csv.DictReader(open(sys.argv[1], newline='', encoding='utf-8')):\n\
        \x20   number, total = row.get('Name') or row.get('order_number'), row.get('Total') or row.get('order_total')\n\
        \x20   currency = row.get('Currency') or row.get('order_currency')\n\
        \x20   if total and number not in seen:\n\
        \x20       seen.add(number)\n\
        \x20       sums[currency] += int(decimal.Decimal(total) * (1 if currency == 'JPY' else 100))\n\
        for currency, sum in sums.items(): print(currency, sum)\n";
    let summed = Command::new("python3").args(["-c", sum]).arg(&path).output().unwrap();
    assert!(summed.status.success(), "{}", String::from_utf8_lossy(&summed.stderr));
    let summed = String::from_utf8(summed.stdout).unwrap();
    let sums = summed.lines().map(|line| {
        let (currency, sum) = line.split_once(' ').unwrap();
        (currency.to_owned(), sum.parse().unwrap())
    });
    (path.to_str().unwrap().to_owned(), sums.collect())
}

fn a_thousand_orders(format: &str, database: &[&str]) {
    let directory = TempDir::new().unwrap();
    let (csv, sums) = export(directory.path(), format);
    let flags = [&["--format", format], database].concat();
    let (summary, report) = load(directory.path(), &csv, &flags);
    assert_eq!((codes(&report), not_kept(&report)), (Vec::new(), Vec::new()), "{summary}");
    let shown = (&summary["orders"], &summary["placed"], &summary["confirmed"]);
    assert_eq!(shown, (&json!(1_000), &json!(1_000), &json!(1_000)), "{summary}");
    assert_eq!(sums.len(), 4);
    for (currency, sum) in sums {
        assert_eq!(summary["sums"][&currency]["total"], sum, "{currency}: {summary}");
    }
    let data = directory.path().join("data");
    let on = if database.is_empty() { &["--data", data.to_str().unwrap()][..] } else { database };
    let output = ordinal(&[&["--json", "verify"], on].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_thousand_shopify_orders_keep_their_totals_on_sqlite() {
    a_thousand_orders("shopify", &[]);
}

#[test]
fn a_thousand_woocommerce_orders_keep_their_totals_on_sqlite() {
    a_thousand_orders("woocommerce", &[]);
}

#[test]
fn a_thousand_orders_of_each_shop_keep_their_totals_on_postgres() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for format in ["shopify", "woocommerce"] {
        let database = runtime.block_on(TestDatabase::create());
        a_thousand_orders(format, &["--database-url", &database.url()]);
        runtime.block_on(database.drop());
    }
}
