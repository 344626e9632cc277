//! Every reason is on one page with its remedy, and no reason is anywhere else only.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use ordinal::verbs::reasons::{COMMAND_LINE, CliReason, LOAD, all, page};
use shared_events::contract::{Reason, StatusCode};
use tonic::Status;
use tonic_types::StatusExt as _;

/// Fails where the page does not list a refusal, or lists another status for it.
pub fn stands_on_the_page(status: &Status) {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no reason: {status}"));
    let reason = Reason::of(&info.reason).unwrap_or_else(|| panic!("{} has no row", info.reason));
    let status_name = ordinal::client::code_name(status.code());
    let listed: Vec<&str> = reason.statuses().iter().copied().map(StatusCode::name).collect();
    assert!(listed.contains(&status_name), "{status}: the page says {listed:?}");
    let violations = status.get_details_bad_request().map(|bad| bad.field_violations);
    for violation in violations.unwrap_or_default() {
        assert!(Reason::of(&violation.reason).is_some(), "{} has no row", violation.reason);
    }
}

/// The page is generated from the table in the code. `ORDINAL_WRITE_GOLDEN=1` rewrites it.
#[test]
fn the_page_of_reasons_matches_the_code() {
    let file = root().join("docs/reasons.md");
    if std::env::var_os("ORDINAL_WRITE_GOLDEN").is_some() {
        fs::write(&file, page()).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap();
    assert!(kept == page(), "docs/reasons.md differs; ORDINAL_WRITE_GOLDEN=1 writes it anew");
}

#[test]
fn each_reason_is_listed_once_in_order_with_fitting_text() {
    let calls = Reason::ALL.iter().map(|reason| CliReason {
        code: reason.code(),
        meaning: reason.meaning(),
        remedy: reason.remedy(),
    });
    let calls: Vec<CliReason> = calls.collect();
    for group in [&calls, COMMAND_LINE, LOAD] {
        let codes: BTreeSet<&str> = group.iter().map(|reason| reason.code).collect();
        assert_eq!(codes.len(), group.len(), "one of {codes:?} stands twice");
        for CliReason { code, meaning, remedy } in group {
            for words in [meaning, remedy] {
                assert!(words.ends_with('.') || words.ends_with('?'), "{code}: {words}");
                let spoils = ["|", "\n", "  "].into_iter().find(|text| words.contains(text));
                assert_eq!(spoils, None, "{code}: {words}");
            }
        }
    }
    assert!(calls.is_sorted_by_key(|reason| reason.code));
    for reason in Reason::ALL {
        assert_eq!(Reason::of(reason.code()), Some(*reason));
        assert_eq!(reason.statuses().first(), Some(&reason.status()));
    }
}

/// The numbers of docs/limits.md equal those of the code, and its reasons are on the page.
#[test]
fn documented_limits_match_the_code() {
    use order_actor::domain::bounds::{CUSTOMER_ASKS_MAX, EVENTS_MAX, LINES_MAX, TEXT_MAX};
    use order_actor::grpc::parse::Violations;
    use shared_events::contract::{Quantity, Sku};
    let limits = fs::read_to_string(root().join("docs/limits.md")).unwrap();
    let grouped = |number: u64| {
        let digits = number.to_string();
        let groups = digits.as_bytes().rchunks(3).rev();
        let groups = groups.map(|group| String::from_utf8_lossy(group).into_owned());
        groups.collect::<Vec<_>>().join(",")
    };
    let number = |number: usize| grouped(number.try_into().unwrap());
    let seconds = |limit: std::time::Duration| format!("{} s", limit.as_secs());
    let deadlines = [order_actor::grpc::DEADLINE_DEFAULT, order_actor::grpc::DEADLINE_MAX];
    let [given, most] = deadlines.map(seconds);
    for (what, documented) in [
        ("lines of an order", number(LINES_MAX)),
        ("units of a line", grouped(Quantity::MAX.into())),
        ("characters of a reason", number(TEXT_MAX)),
        ("characters of a sku", number(Sku::LEN_MAX)),
        ("events of an order", grouped(EVENTS_MAX)),
        ("partial cancellations", grouped(CUSTOMER_ASKS_MAX)),
        ("commands that wait for one order", number(order_actor::limits::COMMANDS_WAITING_MAX)),
        ("fields at fault", number(Violations::SHOWN_MAX)),
        ("deadline of a call", format!("{given} unless the client sets one, {most}")),
    ] {
        let row = limits.lines().find(|line| line.starts_with(&format!("| {what}")));
        let row = row.unwrap_or_else(|| panic!("{what} is not there"));
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        assert_eq!(cells[2], documented, "{row}");
    }
    let reasons: BTreeSet<String> = limits
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.len() > 3 && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
        .map(str::to_owned)
        .collect();
    for reason in reasons {
        let mut statuses = Reason::ALL.iter().flat_map(|reason| reason.statuses());
        let is_status = statuses.any(|status| status.name() == reason);
        assert!(is_status || Reason::of(&reason).is_some(), "{reason} has no row");
    }
}

/// Calls that create a refusal with a code, or a line that is left out.
const MAKERS: [&str; 12] = [
    "with_error_info(",
    "refused(",
    " Reason::",
    "(Reason::",
    "Failure::Refused {",
    "Problem::new(",
    "Problem::at(",
    "fn code(&self) -> &'static str",
    "fn reason(&self) -> String",
    "stable code",
    // Why an order was cancelled, and why a line of a file matches no order.
    "pub enum CancelReason",
    "Result<Vec<Match>, &'static str>",
];

/// Codes in the files that create refusals which are not reasons.
const OTHERS: [(&str, &[&str]); 22] = [
    // A product.
    ("rest/tests/bodies.rs", &["MUG"]),
    // The end of the name of an enumeration's zero.
    ("service-edge/src/violation.rs", &["UNSPECIFIED"]),
    // Metadata of ALREADY_EXISTS.
    (
        "domain/rejection.rs",
        &["ORDER", "SHIPMENT", "RETURN", "REJECTED_RETURN", "JUDGEMENT", "RECEIPT"],
    ),
    ("domain/rejection.rs", &["HOLD", "RELEASED_HOLD", "DELIVERY", "UNDONE_SHIPMENT", "EDIT"]),
    // How it stands with an order's money, with what it gives back, and with a refund.
    (
        "domain/payment.rs",
        &["NOT_REQUIRED", "AWAITED", "SECURED", "LOST", "CAPTURED", "RELEASED", "NONE", "RUNNING"],
    ),
    ("domain/payment.rs", &["DONE", "PENDING", "POSSIBLE", "SETTLED"]),
    // Statements, and formats of them.
    ("archive/leave.rs", &["COMMIT", "ROLLBACK"]),
    ("journal/copied.rs", &["COPY", "NULL"]),
    // Values of health.
    ("src/verbs/health.rs", &["SERVING", "NOT_SERVING"]),
    // Values of enumerations and of fields.
    ("verbs/orders/mod.rs", &["ORDER_STATUS_", "ORDER_STATUS_RETURN_REQUESTED"]),
    ("load/drive.rs", &["CANCEL_REASON_", "EMPTY"]),
    ("load/orders.rs", &["CANCEL_REASON_", "EMPTY"]),
    ("load/calls.rs", &["REFUSED"]),
    ("load/steady.rs", &["GBP"]),
    ("chaos/clients.rs", &["GBP"]),
    ("chaos/mixed_copies.rs", &["GBP", "MUG", "ORDER_STATUS_CONFIRMED"]),
    // How a hold ended.
    ("wallets/answers.rs", &["POSTED", "EXPIRED", "VOIDED"]),
    // The beginning of the names of an enumeration.
    ("grpc/payouts.rs", &["PAYOUT_STATE_"]),
    // The roles of callers.
    ("edge/certificates.rs", &["CUSTOMER", "SERVICE", "RETURNS_DESK"]),
    ("limit/rules.rs", &["CUSTOMER", "SERVICE", "NOBODY"]),
    // The names of statuses without a reason.
    (
        "client/failure.rs",
        &["ABORTED", "DATA_LOSS", "FAILED_PRECONDITION", "INVALID_ARGUMENT", "OUT_OF_RANGE"],
    ),
    ("client/failure.rs", &["PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "UNKNOWN"]),
];

/// Every code in the sources that create refusals must have a row.
#[test]
fn every_code_in_the_sources_has_a_row() {
    let known: BTreeSet<&str> = all().collect();
    let mut met = BTreeSet::new();
    let mut without: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (file, text) in sources() {
        if !MAKERS.iter().any(|maker| text.contains(maker)) {
            continue;
        }
        let others: Vec<&str> = OTHERS
            .iter()
            .filter(|(name, _)| file.ends_with(name))
            .flat_map(|(_, words)| words.iter().copied())
            .collect();
        for code in codes_used(&text) {
            if known.contains(code.as_str()) {
                met.insert(code);
            } else if !others.contains(&code.as_str()) {
                without.entry(code).or_default().push(file.display().to_string());
            }
        }
    }
    assert!(without.is_empty(), "without a row: {without:#?}");
    let unused: Vec<&&str> = known.iter().filter(|code| !met.contains(**code)).collect();
    assert!(unused.is_empty(), "{unused:?} are used no more");
}

/// Files with texts that are reasons of calls as well: names of statuses, states of orders and
/// their results. The journal knows no calls; its errors are named as the reasons that they become.
const ALSO: [&str; 11] = [
    "contract/order_header.rs",
    "domain/order.rs",
    "event-journal/src/error.rs",
    "templates/kind.rs",
    "demo/mod.rs",
    "demo/paid.rs",
    "edge/codes.rs",
    "notification/src/traced.rs",
    "top/picture.rs",
    "through_grpc.rs",
    // Names in stored rows; the edge maps them to reasons by variant.
    "ledger/src/domain/refusal.rs",
];

/// A refusal of a call names the reason by its variant, which the compiler checks.
#[test]
fn reasons_of_calls_are_named_by_their_variant() {
    for (file, text) in sources() {
        if ALSO.iter().any(|also| file.ends_with(also)) {
            continue;
        }
        for code in codes(&text) {
            assert!(Reason::of(&code).is_none(), "{}: {code}", file.display());
        }
    }
}

/// An `ErrorInfo` is created where refusals become statuses, and nowhere else.
#[test]
fn error_infos_are_made_in_one_place() {
    let makers: BTreeSet<String> = sources()
        .into_iter()
        .filter(|(_, text)| text.contains("with_error_info(") || text.contains("ErrorInfo::new"))
        .map(|(file, _)| file.strip_prefix(root()).unwrap().display().to_string())
        .collect();
    assert_eq!(makers, BTreeSet::from(["service-edge/src/refusal.rs".to_owned()]));
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What is compiled into the program, without its tests and without the page itself.
fn sources() -> Vec<(PathBuf, String)> {
    let folders = [
        "src",
        "event-journal/src",
        "order-actor/src",
        "inventory-stream/src",
        "notification/src",
        "ledger/src",
        "payment/src",
    ];
    let mut found = Vec::new();
    for folder in folders.iter().chain(&["shared-events/src", "service-edge/src", "web-edge/src"]) {
        read(&root().join(folder), &mut found);
    }
    let others = [
        "src/verbs/reasons.rs",
        "src/verbs/toy.rs",
        "contract/reason/table.rs",
        "contract/reason/mod.rs",
        "tests.rs",
        "rest/tests/mod.rs",
        "rest/tests/streams.rs",
        "rest/tests/spellings.rs",
    ];
    found.retain(|(file, _)| !others.iter().any(|other| file.ends_with(other)));
    found
}

fn read(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            found.push((path, code.to_owned()));
        }
    }
}

/// Codes in use: by their variant, and as texts.
fn codes_used(text: &str) -> BTreeSet<String> {
    let variants = text.match_indices("Reason::").filter_map(|(start, path)| {
        // CancelReason is another enum.
        let ours = !text[..start].ends_with(|before: char| before.is_ascii_alphanumeric());
        let rest = text[start + path.len()..].chars();
        let name: String = rest.take_while(char::is_ascii_alphanumeric).collect();
        Reason::ALL.iter().find(|reason| ours && format!("{reason:?}") == name)
    });
    let mut found = codes(text);
    found.extend(variants.map(|reason| reason.code().to_owned()));
    found
}

/// Texts that look like codes, except names of variables, values and packages.
fn codes(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (start, _) in text.match_indices('"') {
        let rest = &text[start + 1..];
        let length = rest.bytes().take_while(|b| b.is_ascii_uppercase() || *b == b'_').count();
        let word = &rest[..length];
        let is_code = length > 2 && rest[length..].starts_with('"') && !word.starts_with('_');
        let before = &text[..start];
        let named = ["env!(", "env = ", "value_name = ", "rename_all = "];
        if is_code
            && !word.starts_with("ORDINAL_")
            && !named.iter().any(|name| before.ends_with(name))
        {
            found.insert(word.to_owned());
        }
    }
    found
}
