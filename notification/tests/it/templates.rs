//! Templates of the shop's own: which is used, what it may name, and faults before it is used.

use std::path::Path;
use std::sync::Arc;

use notification::{Channel, Config, Kind, Message, Shop, Templates, TrackingUrl, compose};
use shared_events::contract::{
    CancelReason, Contact, Fact, FactBody, LineUnits, Money, OrderFact, Quantity, ReturnId,
    ShipmentId,
};
use shared_events::stream::Dialect;

use crate::support::{Bench, fact, placed, start};

/// A directory with these templates: name and text.
fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn read(folder: &Path) -> Arc<Templates> {
    Templates::from_directory(folder).unwrap_or_else(|error| panic!("{error}"))
}

fn faults(files: &[(&str, &str)]) -> Vec<String> {
    let folder = directory(files);
    let prefix = format!("{}/", folder.path().display());
    let faults = Templates::from_directory(folder.path()).map_err(|error| error.faults);
    faults.err().unwrap_or_default().iter().map(|fault| fault.replace(&prefix, "")).collect()
}

fn config(templates: Arc<Templates>) -> Config {
    Config { templates, ..Config::to_directory("unused".into()) }
}

/// A placed order of a customer with this language and total.
fn order(locale: &str, total: (i64, &str)) -> Fact {
    let mut fact = placed(1);
    if let FactBody::Order(OrderFact::Created { order, .. }) = &mut fact.body {
        order.contact = Contact::new("ada@example.org", "", locale).unwrap();
        order.total = Money::new(total.0, total.1.parse().unwrap());
    }
    fact
}

fn mail(fact: &Fact, config: &Config) -> Message {
    compose(fact, config).into_iter().find(|one| one.channel == Channel::Email).unwrap()
}

#[test]
fn the_built_in_templates_have_no_faults() {
    assert_eq!(faults(&[]), Vec::<String>::new());
}

#[test]
fn a_template_is_chosen_by_kind_channel_and_language_with_fallback() {
    let folder = directory(&[
        ("en/received.email.txt", "Subject: own\n\nown {{ language }} of {{ customer.locale }}\n"),
        ("de/received.email.txt", "Subject: eigene\n\neigene {{ language }}\n"),
        ("de-AT/received.email.txt", "Subject: eigene\n\neigene {{ language }}\n"),
        ("de/_footer.txt", "--\nFußzeile\n"),
        ("de/confirmed.sms.txt", "Danke! {{ order.total }}\n"),
    ]);
    let config = config(read(folder.path()));
    for (locale, body) in [
        ("de-AT", "eigene de-AT\n"),
        ("de-Latn-DE", "eigene de\n"),
        ("en-GB", "own en of en-GB\n"),
        ("fr-CA", "own en of fr-CA\n"),
    ] {
        assert_eq!(mail(&order(locale, (1, "EUR")), &config).body, body, "{locale}");
    }
    // Other kinds are the built-in ones, with the shop's own parts.
    let german = |mut fact: Fact| {
        if let FactBody::Order(
            OrderFact::Cancelled { order, .. } | OrderFact::Confirmed { order, .. },
        ) = &mut fact.body
        {
            order.contact = Contact::new("ada@example.org", "+442071838750", "de").unwrap();
        }
        fact
    };
    let cancelled = german(fact(1, |order| OrderFact::Cancelled {
        order,
        reason: CancelReason::SlaTimeout,
        was_confirmed: false,
        skus: Vec::new(),
        text: String::new(),
        refund_id: None,
        payments: Vec::new(),
    }));
    let text = mail(&cancelled, &config).body;
    assert!(text.contains("nicht rechtzeitig") && text.ends_with("--\nFußzeile\n"), "{text}");
    // A text message by its own template, and by the subject of the mail where it has none.
    let confirmed = |english: bool| {
        let reservation_id = shared_events::contract::ReservationId::mint();
        let confirmed = fact(1, |order| OrderFact::Confirmed {
            order,
            reservation_id,
            backordered: Vec::new(),
            payments: Vec::new(),
        });
        let confirmed = if english { confirmed } else { german(confirmed) };
        let sms = compose(&confirmed, &config).into_iter().find(|one| one.channel == Channel::Sms);
        sms.unwrap().body
    };
    assert_eq!(confirmed(false), "Danke! 15,30 GBP");
    assert!(confirmed(true).ends_with(": it is confirmed"), "{}", confirmed(true));
}

#[test]
fn a_fault_is_named_with_its_file_and_line() {
    let subject = "Subject: x\n\n";
    let mail = |body: &str| faults(&[("en/confirmed.email.txt", &format!("{subject}{body}"))]);
    for (body, fault) in [
        ("a\n{% if %}\n", "en/confirmed.email.txt:4: syntax error: "),
        ("a\n\n{{ ordr.id }}\n", "en/confirmed.email.txt:5: unknown variable ordr.id; there are "),
        ("{{ order.weight }}\n", "en/confirmed.email.txt:3: unknown variable order.weight; "),
        // Confirmations have no refund.
        ("{{ refund }}\n", "en/confirmed.email.txt:3: unknown variable refund; "),
        ("\n{{ order.id | shout }}\n", "en/confirmed.email.txt:4: unknown filter: "),
        ("{% include \"_none.txt\" %}\n", "en/confirmed.email.txt:3: template not found: "),
        (
            "{% for a in range(9999) %}{% for b in range(99) %}x{% endfor %}{% endfor %}",
            "en/confirmed.email.txt:3: runs without end",
        ),
    ] {
        let faults = mail(body);
        assert!(faults.len() == 1 && faults[0].starts_with(fault), "{body}: {faults:?}");
    }
    for (file, text, fault) in [
        ("en/confirmed.email.txt", "Hello\n", "en/confirmed.email.txt:1: a mail begins with"),
        ("en/confirmed.email.txt", "Subject: x\nHello\n", "en/confirmed.email.txt:1: a mail"),
        ("en/confirmed.email.txt", "Subject: {{ id }}\n\n", "en/confirmed.email.txt:1: unknown"),
        (
            "en/shipped.email.txt",
            "Subject: x\n\n\n{% for line in lines %}{{ line.skuu }}{% endfor %}",
            "en/shipped.email.txt:4: undefined value",
        ),
        ("en/confirmed.mail.txt", "", "en/confirmed.mail.txt: not the name of a template"),
        ("deutsch/confirmed.email.txt", "", "deutsch: not a directory named by a language"),
        ("de_AT/confirmed.email.txt", "", "de_AT: not a directory named by a language"),
        ("confirmed.email.txt", "", "confirmed.email.txt: not a directory named by a language"),
        ("en/_lines.txt", "\n{{ refnd }}", "en/_lines.txt:2: unknown variable refnd"),
        // Used by kinds that have no parcel.
        ("de/_lines.txt", "\n{{ parcel.link }}", "de/_lines.txt:2: undefined value"),
    ] {
        let faults = faults(&[(file, text)]);
        assert!(faults.iter().any(|one| one.starts_with(fault)), "{file} {text}: {faults:?}");
    }
    // All of them at once.
    let both = [("en/confirmed.email.txt", "x"), ("de/shipped.email.txt", "x")];
    assert_eq!(faults(&both).len(), 2);
    let missing = Templates::from_directory(Path::new("/nonexistent")).unwrap_err();
    assert!(missing.to_string().starts_with("templates: /nonexistent: "), "{missing}");
}

/// Its message is sent all the same, in the built-in text.
#[test]
fn a_template_that_fails_when_used_is_replaced_by_the_built_in_one() {
    let text = "Subject: own\n\n{% if order.total.currency == \"KWD\" %}{{ 1 // 0 }}{% endif %}own";
    let folder = directory(&[("en/received.email.txt", text)]);
    let config = config(read(folder.path()));
    assert_eq!(mail(&order("en", (1, "GBP")), &config).subject, "own");
    let failing = mail(&order("en", (1, "KWD")), &config);
    assert!(failing.subject.ends_with("we have received it"), "{failing:?}");
    assert!(failing.body.contains("Total: 0.001 KWD"), "{failing:?}");
}

#[tokio::test]
async fn no_value_adds_a_header_to_a_mail() {
    let text = "Subject: refused: {{ reason }}\n\n{{ reason }}\n";
    let folder = directory(&[("en/return_refused.email.txt", text)]);
    let templates = read(folder.path());
    let mut bench = Bench::on(Dialect::Sqlite, |config| config.templates = templates).await;
    let reason = "worn\r\nBcc: eve@example.org\r\n\r\nbody <b>&</b>".to_owned();
    let return_id = ReturnId::mint();
    let return_reference = String::new();
    let refused =
        fact(1, |order| OrderFact::ReturnRejected { order, return_id, reason, return_reference });
    bench.follow(&[refused]).await;
    bench.deliver();
    let delivered = notification::ledger::State::Delivered;
    bench.until(|entries| entries.iter().all(|entry| entry.state == delivered)).await;
    let entry = bench.entries().await.remove(0);
    assert_eq!(entry.subject, "refused: worn Bcc: eve@example.org body <b>&</b>");
    // Nothing is escaped: it is plain text.
    assert!(entry.body.contains("body <b>&</b>"), "{}", entry.body);
    let file = bench.folder.path().join("mail").join(format!("{}.eml", entry.id));
    let mail = std::fs::read_to_string(file).unwrap();
    let (head, _) = mail.split_once("\r\n\r\n").unwrap();
    assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
    bench.stop().await;
}

#[test]
fn amounts_are_written_as_the_language_does() {
    let french = ("fr/received.email.txt", "Subject: x\n\n{{ order.total }}\n");
    let parts = "Subject: x\n\n{{ order.total.amount }}|{{ order.total.currency }}|\
                 {{ order.total.minor }}\n";
    let folder = directory(&[french, ("sv/received.email.txt", parts)]);
    let config = config(read(folder.path()));
    for (locale, total, shown) in [
        ("en", (123_456, "GBP"), "1,234.56 GBP"),
        ("en", (-50, "GBP"), "-0.50 GBP"),
        ("de", (123_456, "EUR"), "1.234,56 EUR"),
        ("de-CH", (123_456, "CHF"), "1'234.56 CHF"),
        ("en", (1_234_567, "JPY"), "1,234,567 JPY"),
        ("de", (5, "KWD"), "0,005 KWD"),
        ("fr", (123_456, "EUR"), "1\u{202f}234,56 EUR"),
        ("sv-SE", (123_456, "SEK"), "1\u{a0}234,56|SEK|123456"),
        // English text, so English numbers.
        ("pl", (123_456, "PLN"), "1,234.56 PLN"),
    ] {
        let body = mail(&order(locale, total), &config).body;
        assert!(body.contains(shown), "{locale}: {body}");
    }
}

#[test]
fn a_parcel_has_the_link_of_its_carrier() {
    let shop = Shop {
        tracking: vec![TrackingUrl {
            carrier: "DHL".to_owned(),
            url: "https://dhl.example/?id={tracking}&lang=en".to_owned(),
        }],
        ..Shop::default()
    };
    let config = Config { shop, ..config(Templates::built_in()) };
    let body = |carrier: &str, tracking: &str| {
        let (carrier, tracking) = (carrier.to_owned(), tracking.to_owned());
        let (sku, quantity) = ("MUG".parse().unwrap(), Quantity::new(2).unwrap());
        let lines = vec![LineUnits { line: 1, sku, quantity, title: String::new() }];
        let shipment_id = ShipmentId::mint();
        let return_until = start();
        let shipped = fact(1, |order| OrderFact::Fulfilled {
            order,
            shipment_id,
            lines,
            carrier,
            tracking,
            return_until,
            shipment_reference: String::new(),
            location: None,
            payments: Vec::new(),
        });
        let body = mail(&shipped, &config).body;
        body.split_once(".\n\n").unwrap().1.to_owned()
    };
    let link = "2 x MUG\n\ndhl AB 1/2\nhttps://dhl.example/?id=AB%201%2F2&lang=en\n";
    assert_eq!(body("dhl", "AB 1/2"), link);
    assert_eq!(body("UPS", "1Z"), "2 x MUG\n\nUPS 1Z\n");
    assert_eq!(body("DHL", ""), "2 x MUG\n\nDHL\n");
    assert_eq!(body("", ""), "2 x MUG\n");
}

/// The page lists every variable with the messages that have it, and nothing else.
#[test]
fn every_variable_is_documented() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/messages.md");
    let page = std::fs::read_to_string(path).unwrap();
    let all: Vec<Kind> = Kind::all().collect();
    let row = |(path, kinds): (String, Vec<Kind>)| {
        let kinds = if kinds == all {
            "all".to_owned()
        } else {
            let codes = kinds.iter().map(|kind| kind.code().to_ascii_lowercase());
            codes.collect::<Vec<_>>().join(", ")
        };
        format!("| `{path}` | {kinds} |")
    };
    // Of amounts the attributes are described once, below the table.
    let variables = Templates::variables();
    let is_listed = |path: &str| {
        let amount = variables.contains_key(&format!("{path}.minor"));
        let inner = variables.keys().any(|other| other.starts_with(&format!("{path}.")));
        let of_amount = [".amount", ".currency", ".minor"].iter().any(|end| path.ends_with(end));
        !of_amount && !path.ends_with("[]") && (amount || !inner)
    };
    let listed = variables.clone().into_iter().filter(|(path, _)| is_listed(path));
    let expected: Vec<String> = listed.map(row).collect();
    let table = page.split("| Variable | Messages |").nth(1).expect("a table of variables");
    let shown: Vec<String> = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.split(" | ").take(2).collect::<Vec<_>>().join(" | ") + " |")
        .collect();
    assert_eq!(shown, expected, "{}", expected.join("\n"));
    for kind in Kind::all() {
        assert!(page.contains(&format!("`{}`", kind.code().to_ascii_lowercase())), "{kind:?}");
    }
}

/// The examples of the page work as they are.
#[test]
fn the_documented_templates_have_no_faults() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/messages.md");
    let page = std::fs::read_to_string(path).unwrap();
    let mut files = Vec::new();
    for block in page.split("```jinja\n").skip(1) {
        let (text, _) = block.split_once("```").unwrap();
        let (name, text) = text.split_once('\n').unwrap();
        let name = name.trim_start_matches("{# ").trim_end_matches(" #}");
        files.push((name, text));
    }
    assert!(files.len() >= 2, "{files:?}");
    assert_eq!(faults(&files), Vec::<String>::new());
}
