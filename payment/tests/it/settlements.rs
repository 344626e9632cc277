//! Reports of what a provider paid out: imported once, matched, and what they prove.

use payment::domain::{LineState, OperationState, Stage, Status, report_lines};
use payment::settlement::{Asked, Imported, Report, SettlementError};
use payment::store::{self, LineFilter, SettlementLine};
use payment::{PaymentLaw, audit};
use psp::Capabilities;
use shared_events::contract::{
    CapturePolicy, FactBody, LineAccount, LineKind, Money, PaymentFact, PspName,
};
use shared_events::stream::{AskedBy, Cursors, Dialect, OperatorAction, Source as _, Verb};

use crate::domain::support::{AUTHORIZE, CAPABLE, CAPTURE, REFUND, at};
use crate::on_both::on_both;
use crate::scripted::{Act, Scripted};
use crate::support::{Bench, Story, gbp};
use crate::webhooks::{now, paid, status};

on_both! { two_threads:
    a_report_is_imported_once_and_its_lines_are_matched,
    a_line_with_other_content_refuses_the_whole_report,
    a_report_with_a_bad_line_is_not_imported,
    lines_that_differ_say_by_how_much,
    an_unknown_line_is_resolved_by_a_person_once,
    a_line_is_written_off,
    a_line_proves_a_reservation_that_nobody_knew,
    a_line_proves_a_capture_and_a_refund_that_are_stuck,
    a_line_of_more_than_was_asked_for_proves_nothing,
    an_adjustment_that_a_person_resolves_proves_nothing,
    what_was_reversed_is_two_lines,
    what_no_report_names_is_missing,
    what_is_tried_is_not_kept,
    damaged_lines_are_found,
}

const COLUMNS: &str = "line_id,kind,our_reference,psp_reference,currency,gross,fee,net,date\n";
const DAY: i64 = 24 * 3_600;

/// A line without a fee.
fn line(name: &str, kind: &str, reference: &str, gross: &str) -> String {
    let (ours, theirs) = match reference.parse::<uuid::Uuid>() {
        Ok(_) => (reference, ""),
        Err(_) => ("", reference),
    };
    format!("{name},{kind},{ours},{theirs},GBP,{gross},0.00,{gross},2026-11-30\n")
}

fn report(lines: &[String]) -> String {
    format!("{COLUMNS}{}", lines.concat())
}

fn scripted() -> PspName {
    "scripted".parse().unwrap()
}

async fn import(bench: &Bench, lines: &[String]) -> Result<Imported, SettlementError> {
    let (psp, text) = (scripted(), report(lines));
    let report = Report { psp: &psp, text: &text, file_name: "november.csv" };
    bench.payments.settlements().import(report, &Asked::default()).await
}

async fn resolve(
    bench: &Bench,
    name: &str,
    to: Option<&str>,
) -> Result<SettlementLine, SettlementError> {
    let by = AskedBy { role: "OPS".to_owned(), subject: "anna".to_owned() };
    let action = OperatorAction::new(&by, Verb::ResolveSettlementLine, name, "asked", at(0));
    let (psp, said) = (scripted(), format!("{} asked", to.unwrap_or("WRITTEN_OFF")));
    let asked = Asked::default();
    bench.payments.settlements().resolve((&psp, name), to, (action, said.as_str()), &asked).await
}

async fn lines(bench: &Bench) -> Vec<SettlementLine> {
    store::settlement_lines(&bench.database, &LineFilter::default(), 100).await.unwrap()
}

/// State, by how much it differs, and whether it names an operation.
async fn stands(bench: &Bench) -> Vec<(LineState, i64, bool)> {
    let all = lines(bench).await;
    all.iter().map(|one| (one.state, one.off_by, one.operation_id.is_some())).collect()
}

/// What was told of lines: which, and what they are booked against.
async fn told(bench: &Bench) -> Vec<(String, LineAccount)> {
    let batch = bench.payments.facts().read_after(&Cursors::default(), 10_000).await.unwrap();
    let of = |body| match body {
        FactBody::Payment(
            PaymentFact::SettlementLine { line, account }
            | PaymentFact::SettlementResolved { line, account },
        ) => Some((line.psp_line, account)),
        _ => None,
    };
    batch.items.into_iter().filter_map(|fact| of(fact.body)).collect()
}

/// An order that was delivered and paid; the id of its capture, and what the provider calls it.
async fn taken(bench: &Bench) -> (Story, String, String) {
    let mut story = paid(bench).await;
    bench.follow(&[story.shipped(5_000)]).await.unwrap();
    bench.turns().await;
    let id = bench.operation(CAPTURE).await.id;
    let case = bench.case(story.order_id).await;
    let reference = case.operation(id).unwrap().1.reference.clone().unwrap();
    (story, id.to_string(), reference)
}

async fn a_report_is_imported_once_and_its_lines_are_matched(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let (mut story, capture, _) = taken(&bench).await;
    bench.follow(&[story.refunded(1_000)]).await.unwrap();
    bench.turns().await;
    let refund = bench.operation(REFUND).await.id;
    let case = bench.case(story.order_id).await;
    let theirs = case.operation(refund).unwrap().1.reference.clone().unwrap();
    let of_both = [
        line("t1", "charge", &capture, "50.00"),
        line("t2", "refund", &theirs, "-10.00"),
        "t3,fee,,,GBP,0.00,3.00,-3.00,2026-11-30T12:00:00Z\n".to_owned(),
    ];
    let first = import(&bench, &of_both).await.unwrap();
    let counts = first.settlement.counts;
    assert!(!first.is_again);
    assert_eq!((counts.lines, counts.new_lines, counts.matched), (3, 3, 3));
    let matched = (LineState::Matched, 0, true);
    assert_eq!(stands(&bench).await, [matched, matched, (LineState::Matched, 0, false)]);
    let all = lines(&bench).await;
    assert_eq!(all[1].operation_id, Some(refund));
    assert_eq!(all[1].order_id, Some(story.order_id));
    let receivable = |name: &str| (name.to_owned(), LineAccount::Receivable);
    let three = [receivable("t1"), receivable("t2"), receivable("t3")];
    // Facts are in the shards of what they are about.
    let mut all = told(&bench).await;
    all.sort();
    assert_eq!(all, three);

    // The same bytes, and the same lines in another report, change nothing.
    let again = import(&bench, &of_both).await.unwrap();
    assert!(again.is_again);
    assert_eq!(again.settlement, first.settlement);
    let other = [of_both[1].clone(), of_both[0].clone(), of_both[0].clone()];
    let other = import(&bench, &other).await.unwrap().settlement.counts;
    assert_eq!((other.lines, other.new_lines), (2, 0));
    assert_eq!(told(&bench).await.len(), 3);
    let reports = store::settlements(&bench.database, None, None, 10).await.unwrap();
    assert_eq!(reports.len(), 2);
    bench.laws_hold().await;
}

async fn a_line_with_other_content_refuses_the_whole_report(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let (_, capture, _) = taken(&bench).await;
    import(&bench, &[line("t1", "charge", &capture, "50.00")]).await.unwrap();
    let altered = [line("t0", "charge", "nobody", "1.00"), line("t1", "charge", &capture, "49.00")];
    let Err(SettlementError::Altered(faults)) = import(&bench, &altered).await else {
        panic!("an altered line was taken")
    };
    let said: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["line 3: t1 of scripted stands with other content already"]);
    assert_eq!(stands(&bench).await, [(LineState::Matched, 0, true)]);
    assert_eq!(told(&bench).await.len(), 1);
    bench.laws_hold().await;
}

async fn a_report_with_a_bad_line_is_not_imported(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let bad = "t2,charge,,x,GBP,10.00,0.30,9.80,2026-11-30\n".to_owned();
    let text = [line("t1", "charge", "nobody", "1.00"), bad];
    let Err(SettlementError::Faulty(faults)) = import(&bench, &text).await else {
        panic!("a bad line was taken")
    };
    let said: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["line 3: gross is not fee and net"]);
    assert_eq!(stands(&bench).await, []);
    let reports = store::settlements(&bench.database, None, None, 10).await.unwrap();
    assert_eq!(reports, []);
    bench.laws_hold().await;
}

async fn lines_that_differ_say_by_how_much(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let (_, capture, theirs) = taken(&bench).await;
    let said = [
        // The provider pays a penny less, and then all of it once more.
        line("t1", "charge", &capture, "49.99"),
        line("t2", "charge", &theirs, "50.00"),
        line("t3", "dispute", &theirs, "-50.00"),
        line("t4", "charge", "nobody", "7.00"),
        line("t5", "adjustment", &capture, "1.00"),
        format!("t6,charge,{capture},,EUR,50.00,0.00,50.00,2026-11-30\n"),
    ];
    let counts = import(&bench, &said).await.unwrap().settlement.counts;
    assert_eq!((counts.matched, counts.discrepancies, counts.unknown), (0, 3, 3));
    let unknown = (LineState::Unknown, 0, false);
    let differs = |by| (LineState::Discrepancy, by, true);
    let all = [differs(-1), differs(5_000), differs(-5_000), unknown, unknown, unknown];
    assert_eq!(stands(&bench).await, all);
    let notes: Vec<String> = lines(&bench).await.into_iter().map(|one| one.note).collect();
    assert_eq!(notes[0], "another amount is known");
    assert_eq!(notes[1], "it was settled by another line");
    let against: Vec<LineAccount> =
        told(&bench).await.into_iter().map(|(_, account)| account).collect();
    let of = |account| against.iter().filter(|one| **one == account).count();
    let (suspense, disputed) = (of(LineAccount::Suspense), of(LineAccount::Disputed));
    assert_eq!((of(LineAccount::Receivable), disputed, suspense), (2, 1, 3));
    let filter = LineFilter { state: Some(LineState::Unknown), ..LineFilter::default() };
    let unknown = store::settlement_lines(&bench.database, &filter, 2).await.unwrap();
    assert_eq!(unknown.len(), 2);
    bench.laws_hold().await;
}

async fn an_unknown_line_is_resolved_by_a_person_once(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let (_, capture, theirs) = taken(&bench).await;
    let strange = [line("t1", "adjustment", "txn_of_march", "50.00")];
    import(&bench, &strange).await.unwrap();
    let unknown = resolve(&bench, "t1", Some("nobody")).await;
    assert!(matches!(unknown, Err(SettlementError::ReferenceUnknown)), "{unknown:?}");
    let nobody = resolve(&bench, "t9", Some(&capture)).await;
    assert!(matches!(nobody, Err(SettlementError::LineUnknown)), "{nobody:?}");
    let known = resolve(&bench, "t1", Some(&theirs)).await.unwrap();
    assert_eq!((known.state, known.off_by), (LineState::Matched, 0));
    assert_eq!(known.operation_id.map(|id| id.to_string()), Some(capture.clone()));
    assert_eq!(lines(&bench).await, std::slice::from_ref(&known));
    assert_eq!(known.said.kind, LineKind::Adjustment, "what the report says stays");
    let again = resolve(&bench, "t1", Some(&theirs)).await;
    let is_known = matches!(again, Err(SettlementError::NotUnknown(LineState::Matched)));
    assert!(is_known, "{again:?}");
    let of_it = |account| ("t1".to_owned(), account);
    assert_eq!(told(&bench).await, [of_it(LineAccount::Suspense), of_it(LineAccount::Receivable)]);
    // What it was resolved to is settled: the line of the provider's own comes too late.
    import(&bench, &[line("t2", "charge", &capture, "50.00")]).await.unwrap();
    assert_eq!(stands(&bench).await[1], (LineState::Discrepancy, 5_000, true));
    bench.laws_hold().await;
}

async fn a_line_is_written_off(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    import(&bench, &[line("t1", "adjustment", "x", "-0.30")]).await.unwrap();
    let line = resolve(&bench, "t1", None).await.unwrap();
    assert_eq!((line.state, line.operation_id), (LineState::WrittenOff, None));
    assert_eq!(told(&bench).await[1].1, LineAccount::WrittenOff);
    bench.laws_hold().await;
}

/// Case 5: the authorisation whose answer never came was taken at the provider, as its report says.
async fn a_line_proves_a_reservation_that_nobody_knew(dialect: Dialect) {
    let capabilities = Capabilities { key_seconds: 60, ..CAPABLE };
    let bench = Bench::with(dialect, Scripted::able(capabilities)).await;
    bench.psp.will(AUTHORIZE, [Act::LoseRequest]);
    let mut story = Story::new();
    bench.follow(&[story.requested(5_000, CapturePolicy::OnFulfil)]).await.unwrap();
    bench.pay(story.order_id, 1).await.unwrap();
    bench.turns().await;
    bench.wait(120);
    for _ in 0..40 {
        bench.turns().await;
        bench.wait(DAY);
    }
    let row = bench.operation(AUTHORIZE).await;
    assert_eq!(row.schedule.stage, Stage::Stuck);
    let ours = row.id.to_string();
    let said = [
        // One of another currency, or that takes money, proves nothing.
        format!("t1,charge,{ours},,EUR,50.00,0.00,50.00,2026-11-30\n"),
        line("t2", "charge", &ours, "-50.00"),
    ];
    assert_eq!(import(&bench, &said).await.unwrap().settlement.counts.proved, 0);
    assert_eq!(bench.operation(AUTHORIZE).await.schedule.stage, Stage::Stuck);
    let text = "t3,charge,OURS,ch_1,GBP,50.00,1.45,48.55,2026-11-30\n".replace("OURS", &ours);
    let counts = import(&bench, &[text]).await.unwrap().settlement.counts;
    assert_eq!((counts.proved, counts.matched), (1, 1));
    let case = bench.case(story.order_id).await;
    let payment = &case.payments[0];
    assert_eq!((payment.authorized(), payment.captured()), (5_000, 5_000));
    assert_eq!(case.operation(row.id).unwrap().1.state, OperationState::Succeeded);
    let capture = payment.of_kind(CAPTURE).next().unwrap();
    assert!(capture.external && capture.reference.as_deref() == Some("ch_1"), "{capture:?}");
    assert_eq!(lines(&bench).await[2].operation_id, Some(capture.id));
    // Nothing of it is given back: it was taken.
    bench.turns().await;
    assert_eq!(bench.operation(AUTHORIZE).await.schedule.stage, Stage::Done);
    assert_eq!(bench.psp.calls().len(), 1);
    bench.laws_hold().await;
}

async fn a_line_proves_a_capture_and_a_refund_that_are_stuck(dialect: Dialect) {
    let capabilities = Capabilities { key_seconds: 60, ..CAPABLE };
    let bench = Bench::with(dialect, Scripted::able(capabilities)).await;
    let mut story = paid(&bench).await;
    bench.psp.will(CAPTURE, [Act::LoseRequest]);
    bench.follow(&[story.shipped(5_000)]).await.unwrap();
    bench.turns().await;
    // Nobody knows yet what became of it.
    let capture = bench.operation(CAPTURE).await.id.to_string();
    let said = [line("t1", "charge", &capture, "50.00")];
    assert_eq!(import(&bench, &said).await.unwrap().settlement.counts.proved, 1);
    assert_eq!(status(&bench, &story).await, Status::Captured);
    assert_eq!(bench.operation(CAPTURE).await.schedule.stage, Stage::Done);
    bench.psp.will(REFUND, [Act::LoseRequest]);
    bench.follow(&[story.refunded(2_000)]).await.unwrap();
    bench.turns().await;
    bench.wait(120);
    for _ in 0..40 {
        bench.turns().await;
        bench.wait(DAY);
    }
    let row = bench.operation(REFUND).await;
    assert_eq!(row.schedule.stage, Stage::Stuck);
    let said = [line("t2", "refund", &row.id.to_string(), "-20.00")];
    assert_eq!(import(&bench, &said).await.unwrap().settlement.counts.proved, 1);
    let case = bench.case(story.order_id).await;
    assert_eq!(case.payments[0].refunded(), 2_000);
    assert!(bench.published().await.contains(&"refund.settled.v1"));
    let matched = (LineState::Matched, 0, true);
    assert_eq!(stands(&bench).await, [matched, matched]);
    bench.laws_hold().await;
}

/// An order whose capture was lost on its way; the capture's id.
async fn lost(bench: &Bench) -> (Story, String) {
    let mut story = paid(bench).await;
    bench.psp.will(CAPTURE, [Act::LoseRequest]);
    bench.follow(&[story.shipped(5_000)]).await.unwrap();
    bench.turns().await;
    let capture = bench.operation(CAPTURE).await.id.to_string();
    (story, capture)
}

async fn a_line_of_more_than_was_asked_for_proves_nothing(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let (story, capture) = lost(&bench).await;
    let said = [line("t1", "charge", &capture, "50.01")];
    let counts = import(&bench, &said).await.unwrap().settlement.counts;
    assert_eq!((counts.proved, counts.discrepancies), (0, 1));
    assert_eq!(stands(&bench).await, [(LineState::Discrepancy, 5_001, true)]);
    assert_eq!(bench.case(story.order_id).await.payments[0].captured(), 0);
    bench.laws_hold().await;
    // So it is of a refund.
    let bench = Bench::on(dialect).await;
    let (mut story, ..) = taken(&bench).await;
    bench.psp.will(REFUND, [Act::LoseRequest]);
    bench.follow(&[story.refunded(2_000)]).await.unwrap();
    bench.turns().await;
    let refund = bench.operation(REFUND).await.id.to_string();
    let said = [line("t1", "refund", &refund, "-20.01")];
    let counts = import(&bench, &said).await.unwrap().settlement.counts;
    assert_eq!((counts.proved, counts.discrepancies), (0, 1));
    assert_eq!(bench.case(story.order_id).await.payments[0].refunded(), 0);
    bench.laws_hold().await;
}

async fn an_adjustment_that_a_person_resolves_proves_nothing(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let (story, capture) = lost(&bench).await;
    import(&bench, &[line("t1", "adjustment", "x", "50.00")]).await.unwrap();
    let known = resolve(&bench, "t1", Some(&capture)).await.unwrap();
    assert_eq!((known.state, known.off_by), (LineState::Discrepancy, 5_000));
    assert_eq!(bench.case(story.order_id).await.payments[0].captured(), 0);
    bench.laws_hold().await;
    // Nor is there a capture of a reservation that nothing was taken of.
    let bench = Bench::on(dialect).await;
    let other = paid(&bench).await;
    let case = bench.case(other.order_id).await;
    let reservation = case.payments[0].of_kind(AUTHORIZE).next().unwrap().id.to_string();
    import(&bench, &[line("t2", "adjustment", "y", "50.00")]).await.unwrap();
    let known = resolve(&bench, "t2", Some(&reservation)).await.unwrap();
    assert_eq!((known.state, known.off_by), (LineState::Discrepancy, 5_000));
    let case = bench.case(other.order_id).await;
    assert_eq!((case.payments[0].captured(), case.payments[0].of_kind(CAPTURE).count()), (0, 0));
    bench.laws_hold().await;
}

async fn what_was_reversed_is_two_lines(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let (story, capture, _) = taken(&bench).await;
    import(&bench, &[line("t1", "charge", &capture, "50.00")]).await.unwrap();
    // The report knows before we do that the provider took it back.
    import(&bench, &[line("t2", "charge", &capture, "-50.00")]).await.unwrap();
    let differs = (LineState::Discrepancy, -5_000, true);
    assert_eq!(stands(&bench).await, [(LineState::Matched, 0, true), differs]);
    let case = bench.case(story.order_id).await;
    assert_eq!(case.payments[0].captured(), 5_000);
    bench.laws_hold().await;
}

async fn what_no_report_names_is_missing(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let (_, capture, _) = taken(&bench).await;
    let missing =
        async || store::unsettled(&bench.database, None, (now(&bench), None), 10).await.unwrap();
    bench.wait(1);
    // Nobody imports reports of this provider.
    assert_eq!(missing().await, []);
    let fee = "t1,fee,,,GBP,0.00,1.00,-1.00,2026-11-30\n".to_owned();
    import(&bench, &[fee]).await.unwrap();
    let all = missing().await;
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].operation_id.to_string(), all[0].amount), (capture.clone(), gbp(5_000)));
    let other: PspName = "other".parse().unwrap();
    let of_other = store::unsettled(&bench.database, Some(&other), (at(1_000), None), 10).await;
    assert_eq!(of_other.unwrap(), []);
    import(&bench, &[line("t2", "charge", &capture, "50.00")]).await.unwrap();
    assert_eq!(missing().await, []);
    assert_eq!(kept_as_missing(&bench).await, 0);
    bench.laws_hold().await;
    // Nor is what a line proves, or what a person says that it is for.
    let bench = Bench::on(dialect).await;
    let (_, capture) = lost(&bench).await;
    import(&bench, &[line("t1", "charge", &capture, "50.00")]).await.unwrap();
    assert_eq!(kept_as_missing(&bench).await, 0);
    let bench = Bench::on(dialect).await;
    let (_, capture, _) = taken(&bench).await;
    import(&bench, &[line("t1", "adjustment", "x", "50.00")]).await.unwrap();
    assert_eq!(kept_as_missing(&bench).await, 1);
    resolve(&bench, "t1", Some(&capture)).await.unwrap();
    assert_eq!(kept_as_missing(&bench).await, 0);
}

/// What is kept to be named by a report.
async fn kept_as_missing(bench: &Bench) -> i64 {
    let count = "SELECT COUNT(*) FROM to_settle";
    let (count,): (i64,) = sqlx::query_as(count).fetch_one(bench.database.reader()).await.unwrap();
    count
}

async fn what_is_tried_is_not_kept(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let (_, capture, _) = taken(&bench).await;
    let asked = Asked { validate_only: true, ..Asked::default() };
    let text = report(&[line("t1", "charge", &capture, "50.00")]);
    let psp = scripted();
    let report = Report { psp: &psp, text: &text, file_name: "" };
    let would = bench.payments.settlements().import(report, &asked).await.unwrap();
    assert_eq!((would.is_again, would.settlement.counts.matched), (false, 1));
    assert_eq!(stands(&bench).await, []);
    assert_eq!(told(&bench).await, []);
    let is = bench.payments.settlements().import(report, &Asked::default()).await.unwrap();
    assert_eq!((is.is_again, is.settlement.counts), (false, would.settlement.counts));
    bench.laws_hold().await;
}

async fn damaged_lines_are_found(dialect: Dialect) {
    for sql in [
        "UPDATE settlement_lines SET off_by = 1",
        "UPDATE settlement_lines SET operation_id = NULL",
        "UPDATE settlement_lines SET state = 'UNKNOWN'",
        "UPDATE settlement_lines SET order_id = NULL",
    ] {
        let bench = Bench::on(dialect).await;
        let (_, capture, _) = taken(&bench).await;
        import(&bench, &[line("t1", "charge", &capture, "50.00")]).await.unwrap();
        bench.laws_hold().await;
        let mut tx = bench.database.begin().await.unwrap();
        assert_eq!(sqlx::query(sql).execute(&mut *tx).await.unwrap().rows_affected(), 1);
        tx.commit().await.unwrap();
        let found = audit(&bench.database, |_| ()).await.unwrap().findings;
        let laws: Vec<PaymentLaw> = found.iter().map(|one| one.law).collect();
        assert_eq!(laws, [PaymentLaw::SettlementSums], "{sql}: {found:?}");
        for refused in [
            "UPDATE settlement_lines SET gross = 1, net = 1",
            "UPDATE settlements SET lines = 7",
            "DELETE FROM settlement_lines",
            "DELETE FROM settlements",
        ] {
            let mut tx = bench.database.begin().await.unwrap();
            let error = sqlx::query(refused).execute(&mut *tx).await.unwrap_err().to_string();
            assert!(error.contains("append-only"), "{refused}: {error}");
        }
    }
}

/// The faults of one line of a report.
fn fault(line: &str) -> String {
    let faults = report_lines(&format!("{COLUMNS}{line}\n")).unwrap_err();
    let all: Vec<String> = faults.iter().map(ToString::to_string).collect();
    all.join("; ")
}

#[test]
fn every_fault_of_a_line_is_named_with_its_number() {
    for (line, what) in [
        (",charge,,x,GBP,1.00,0.00,1.00,2026-11-30", "line 2: line_id: required"),
        ("a b,charge,,x,GBP,1.00,0.00,1.00,2026-11-30", "line 2: line_id: 1 to 100 printable"),
        ("t,gift,,x,GBP,1.00,0.00,1.00,2026-11-30", "line 2: kind: one of charge, refund"),
        ("t,charge,7,x,GBP,1.00,0.00,1.00,2026-11-30", "line 2: our_reference: a UUID"),
        ("t,charge,,x,XXX,1.00,0.00,1.00,2026-11-30", "line 2: currency: not a currency"),
        ("t,charge,,x,GBP,1.001,0.00,1.00,2026-11-30", "line 2: gross: the amount is finer"),
        ("t,charge,,x,GBP,1.00,free,1.00,2026-11-30", "line 2: fee: not an amount"),
        ("t,charge,,x,GBP,1.00,0.10,1.00,2026-11-30", "line 2: gross is not fee and net"),
        ("t,charge,,x,GBP,0.00,0.00,0.00,2026-11-30", "line 2: it moves nothing"),
        ("t,charge,,x,GBP,0.00,0.10,-0.10,2026-11-30", "line 2: gross: zero for a fee"),
        ("t,fee,,x,GBP,1.00,0.10,0.90,2026-11-30", "line 2: gross: zero for a fee"),
        ("t,charge,,x,GBP,1.00,0.00,1.00,30.11.2026", "line 2: date: a day such as"),
        ("t,charge,,\"x,GBP,1.00,0.00,1.00,2026-11-30", "line 2: a quote is not closed"),
    ] {
        let said = fault(line);
        assert!(said.starts_with(what), "{line}: {said}");
    }
    let of = |text: &str| report_lines(text).unwrap_err()[0].to_string();
    assert_eq!(of(""), "line 1: the names of the columns are missing");
    assert_eq!(of("line_id,kind\n"), "line 1: the column currency is missing");
    let twice = COLUMNS.replace("date", "date,fee");
    assert_eq!(of(&twice), "line 1: the column fee stands there twice");
    let long = format!("{COLUMNS}{}", "\n".repeat(5_001));
    assert!(of(&long).starts_with("line 1: at most 900000 bytes and 5000 lines"));
    assert!(of("a\0b").starts_with("line 1: a control"));
    let other = line("t", "charge", "x", "1.00") + &line("t", "charge", "x", "2.00");
    let said = fault(other.trim_end());
    assert_eq!(said, "line 3: line 2 has the same line_id and says otherwise");
}

#[test]
fn columns_stand_in_any_order_and_others_are_passed_over() {
    let text = "\u{feff}Memo,net,gross,fee,currency,kind,line_id,date,psp_reference\r\n\
                \"a, \"\"b\"\"\",9.70,10.00,0.30,GBP,Charge,\"t 1\",2026-11-30,ch_1\r\n\r\n";
    let refused = report_lines(text).unwrap_err();
    assert!(refused[0].to_string().starts_with("line 2: line_id"), "{refused:?}");
    let found = report_lines(&text.replace("t 1", "t1")).unwrap();
    let (number, line) = &found[0];
    assert_eq!((*number, found.len(), line.name.as_str()), (2, 1, "t1"));
    assert_eq!((line.gross, line.fee, line.net), (gbp(1_000), gbp(30), gbp(970)));
    assert_eq!(line.psp_reference.as_deref(), Some("ch_1"));
    assert_eq!((line.our_reference, line.settled.clone()), (None, None));
}

/// Case 43: the rate of the report counts, and what was paid out by it.
#[test]
fn another_currency_is_paid_out_at_the_rate_of_the_report() {
    let columns = COLUMNS.replace("date", "settled_currency,settled,rate,date");
    let of = |net: &str, currency: &str, settled: &str, rate: &str| {
        let line =
            format!("t,charge,,x,GBP,{net},0.00,{net},{currency},{settled},{rate},2026-11-30\n");
        let found = report_lines(&format!("{columns}{line}"));
        let found = found.map(|mut found| found.remove(0).1.settled);
        found.map_err(|faults| faults[0].what.clone())
    };
    let paid = |text: &str| Some((text.to_owned(), "1.168".to_owned()));
    let shown = |found: Result<Option<(Money, String)>, String>| {
        found.unwrap().map(|(money, rate)| (money.to_string(), rate))
    };
    assert_eq!(shown(of("9.70", "EUR", "", "1.168")), paid("11.33 EUR"));
    // Halves are rounded away from zero, in both directions.
    assert_eq!(shown(of("-9.70", "EUR", "", "1.168")), paid("-11.33 EUR"));
    assert_eq!(shown(of("9.70", "EUR", "11.32", "1.168")), paid("11.32 EUR"));
    assert_eq!(shown(of("9.70", "JPY", "", "1.168")), paid("11 JPY"));
    assert_eq!(shown(of("9.70", "KWD", "", "1.168")), paid("11.330 KWD"));
    assert_eq!(shown(of("9.70", "GBP", "", "")), None);
    for (settled, rate, what) in [
        ("11.30", "1.168", "settled is not net at this rate"),
        ("", "", "rate: more than 0"),
        ("", "0", "rate: more than 0"),
        ("", "-1", "rate: more than 0"),
        ("", "1.0000000001", "rate: more than 0"),
    ] {
        let said = of("9.70", "EUR", settled, rate).unwrap_err();
        assert!(said.starts_with(what), "{settled} {rate}: {said}");
    }
    let stray = of("9.70", "", "11.33", "1.168").unwrap_err();
    assert!(stray.starts_with("settled_currency: required"), "{stray}");
}
