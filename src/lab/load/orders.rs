use order_actor::grpc::{proto, render};
use shared_events::contract::{Currency, Money, Reason};
use uuid::Uuid;

use super::calls::Refused;
use super::drive::Shared;
use super::files::NotKept;
use super::files::order::FileOrder;
use super::files::states::{Back, Shipped};
use super::plan::{Problem, derived};
use crate::client::Failure;

/// Why an order does not get the number of its file: another has it, the journal cannot keep numbers
/// apart, or it is there under another one.
const NUMBER_REFUSED: [Reason; 3] =
    [Reason::OrderNumberTaken, Reason::NamesNeedOneDatabase, Reason::AlreadyExists];

impl Shared {
    /// Places an order of a file and brings it to where the file says it is.
    pub(super) async fn file_order(&self, order: &FileOrder) -> Result<(), Failure> {
        let mut request = match &order.request {
            Ok(request) => request.as_ref().clone(),
            Err(problems) => {
                let code = problems.first().map_or("EMPTY", |problem| &problem.code).to_owned();
                self.refuse_order(order, &code, problems.clone());
                return Ok(());
            }
        };
        let Ok(order_id) = Uuid::try_parse(&request.order_id) else { return Ok(()) };
        request.payment = self.plan(order_id);
        let answered = self.expect_answer(order_id);
        let (answer, without) = self.place_numbered(request).await?;
        let placed = match answer {
            Ok(order) => order,
            Err(refused) => {
                self.forget(order_id);
                self.refuse_order(order, &refused.code.clone(), problems(order, &refused));
                return Ok(());
            }
        };
        self.report.count(|counts| counts.placed += 1);
        if let Some(total) = &placed.total {
            let minor = minor(total);
            self.report.sum(&total.currency_code, |sums| {
                sums.orders += 1;
                sums.total += minor;
            });
        }
        let placed = self.secured(placed, answered).await?;
        self.forget(order_id);
        for not_kept in &order.not_kept {
            self.report.not_kept(&order.number, not_kept);
        }
        if let Some(why) = without {
            let what = "order_number".to_owned();
            self.report.not_kept(&order.number, &NotKept { what, why });
        }
        if self.is_meant_unpaid(order_id, &placed) {
            self.left_out(order, "UNPAID", "its order was placed, and nobody pays it");
            self.report.intended(order.lines);
            return Ok(());
        }
        self.answered(order, &placed).await
    }

    /// Places an order; without its number, where that is refused, and then why.
    async fn place_numbered(
        &self,
        mut request: proto::PlaceOrderRequest,
    ) -> Result<(Result<proto::Order, Refused>, Option<String>), Failure> {
        let placed = |answer: proto::PlaceOrderResponse| *answer.order.unwrap_or_default();
        let number = std::mem::take(&mut request.order_number);
        if number.is_empty() {
            return Ok((self.calls.place(request).await?.map(placed), None));
        }
        let numbered = proto::PlaceOrderRequest { order_number: number, ..request.clone() };
        match self.calls.place(numbered).await? {
            // An order that was loaded without its number keeps it out of its names, too.
            Err(refused) if NUMBER_REFUSED.iter().any(|reason| refused.code == reason.code()) => {
                let answer = self.calls.place(request).await?.map(placed);
                let why = answer.is_ok().then_some(refused.message);
                Ok((answer, why))
            }
            answer => Ok((answer.map(placed), None)),
        }
    }

    /// Continues with an order that stock has answered, or has not in time.
    async fn answered(&self, order: &FileOrder, placed: &proto::Order) -> Result<(), Failure> {
        let is_ours = order.course.cancelled.is_some() && order.course.shipped == Shipped::Nothing;
        match placed.status() {
            proto::OrderStatus::Cancelled
                if is_ours && placed.cancel_reason() == proto::CancelReason::Ops =>
            {
                // By an earlier load of the file.
                self.report.count(|counts| {
                    counts.confirmed += 1;
                    counts.cancelled_by_file += 1;
                });
            }
            proto::OrderStatus::Cancelled => {
                let reason = placed.cancel_reason().as_str_name();
                let reason = reason.trim_start_matches("CANCEL_REASON_").to_owned();
                self.report
                    .count(|counts| *counts.cancelled.entry(reason.clone()).or_default() += 1);
                self.left_out(order, &reason, "its order was placed and then cancelled");
            }
            proto::OrderStatus::Pending | proto::OrderStatus::Unspecified => {
                self.report.count(|counts| counts.unconfirmed += 1);
                let detail = "its order was placed; stock has not answered";
                self.left_out(order, "UNCONFIRMED", detail);
            }
            _ => {
                self.report.count(|counts| counts.confirmed += 1);
                if let Err(refused) = self.follow(order, placed).await? {
                    let problems = problems(order, &refused);
                    problems.iter().for_each(|p| self.report.problem(&order.number, p));
                }
            }
        }
        Ok(())
    }

    /// Ships, cancels and takes back what the file says.
    async fn follow(
        &self,
        order: &FileOrder,
        placed: &proto::Order,
    ) -> Result<Result<(), Refused>, Failure> {
        let course = &order.course;
        let order_id = &placed.order_id;
        if course.shipped != Shipped::Nothing {
            let lines = match &course.shipped {
                Shipped::Lines(lines) => all_units(placed, |line| lines.contains(&line.line)),
                Shipped::Nothing | Shipped::All => Vec::new(),
            };
            let request = proto::FulfillOrderRequest {
                order_id: order_id.clone(),
                shipment_id: derived(&format!("shipment/{order_id}")).to_string(),
                lines,
                carrier: course.carrier.clone(),
                tracking: course.tracking.clone(),
                ..proto::FulfillOrderRequest::default()
            };
            if let Err(refused) = self.calls.fulfill(request).await? {
                return Ok(Err(refused));
            }
        }
        self.report.count(|counts| match course.shipped {
            Shipped::All => counts.fulfilled += 1,
            Shipped::Lines(_) => counts.partly_fulfilled += 1,
            Shipped::Nothing if course.cancelled.is_none() => counts.open_by_file += 1,
            Shipped::Nothing => {}
        });
        if let Some(text) = &course.cancelled
            && course.shipped != Shipped::All
        {
            let request = proto::CancelOrderRequest {
                order_id: order_id.clone(),
                reason: proto::CancelReason::Ops.into(),
                text: text.clone(),
                options: options(&format!("cancel/{order_id}")),
                ..proto::CancelOrderRequest::default()
            };
            if let Err(refused) = self.calls.cancel(request).await? {
                return Ok(Err(refused));
            }
            self.report.count(|counts| counts.cancelled_by_file += 1);
        }
        match &course.back {
            Some(back) => self.back(order, placed, back).await,
            None => Ok(Ok(())),
        }
    }

    /// Takes units back and pays for them.
    async fn back(
        &self,
        order: &FileOrder,
        placed: &proto::Order,
        back: &Back,
    ) -> Result<Result<(), Refused>, Failure> {
        let order_id = &placed.order_id;
        let return_id = derived(&format!("return/{order_id}")).to_string();
        let lines = if back.units.is_empty() {
            all_units(placed, |line| match &order.course.shipped {
                Shipped::Lines(lines) => lines.contains(&line.line),
                Shipped::Nothing | Shipped::All => true,
            })
        } else {
            let units = back.units.iter();
            units
                .map(|(line, quantity)| proto::LineUnits { line: *line, quantity: *quantity })
                .collect()
        };
        let units: u64 = lines.iter().map(|line| u64::from(line.quantity)).sum();
        let request = proto::RequestReturnRequest {
            order_id: order_id.clone(),
            return_id: return_id.clone(),
            lines,
            reason: "returned, as its file says".to_owned(),
            options: options(&format!("request/{return_id}")),
            ..proto::RequestReturnRequest::default()
        };
        let asked = match self.calls.request_return(request).await? {
            Ok(answer) => answer.order.unwrap_or_default(),
            Err(refused) => return Ok(Err(refused)),
        };
        let is_judged = asked.judged_returns.iter().any(|judged| judged.return_id == return_id);
        let after = if is_judged {
            asked
        } else {
            match self.calls.approve_return(approval(&asked, &return_id, back)).await? {
                Ok(answer) => answer.order.unwrap_or_default(),
                Err(refused) => return Ok(Err(refused)),
            }
        };
        self.report.count(|counts| {
            counts.returned.returns += 1;
            counts.returned.units += units;
        });
        if let Some(refunded) = &after.refunded {
            let minor = minor(refunded);
            self.report.sum(&refunded.currency_code, |sums| sums.refunded += minor);
        }
        Ok(Ok(()))
    }

    /// Counts an order that was refused and records what is wrong.
    fn refuse_order(&self, order: &FileOrder, code: &str, problems: Vec<Problem>) {
        self.report.count(|counts| *counts.refused.entry(code.to_owned()).or_default() += 1);
        // What its rows had beside it goes with it.
        let told = u64::try_from(problems.len()).unwrap_or(u64::MAX);
        let mut rest = order.lines.saturating_sub(told);
        for problem in problems {
            self.report.left_out(&order.number, &problem, 1 + std::mem::take(&mut rest));
        }
    }

    /// Records that an order was placed, but did not come to where the file says it is.
    fn left_out(&self, order: &FileOrder, code: &str, detail: &str) {
        let problem =
            Problem { line: order.first, code: code.to_owned(), detail: detail.to_owned() };
        self.report.left_out(&order.number, &problem, order.lines);
    }
}

fn options(name: &str) -> Option<proto::CommandOptions> {
    let request_id = derived(name).to_string();
    Some(proto::CommandOptions { request_id, ..proto::CommandOptions::default() })
}

/// All units of these lines, as ordered.
fn all_units(
    order: &proto::Order,
    is_of: impl Fn(&proto::OrderLine) -> bool,
) -> Vec<proto::LineUnits> {
    let lines = order.lines.iter().filter(|line| is_of(line));
    lines.map(|line| proto::LineUnits { line: line.line, quantity: line.ordered }).collect()
}

/// The approval of a return: what the file paid back is for the units, then for the charges.
fn approval(asked: &proto::Order, return_id: &str, back: &Back) -> proto::ApproveReturnRequest {
    let mut request = proto::ApproveReturnRequest {
        order_id: asked.order_id.clone(),
        return_id: return_id.to_owned(),
        options: options(&format!("approval/{return_id}")),
        // What the file tells has happened.
        receive_at_once: true,
        ..proto::ApproveReturnRequest::default()
    };
    let value = asked.pending_return.as_ref().and_then(|pending| pending.value.as_ref());
    let (Some(refund), Some(value)) = (back.refund, value) else { return request };
    let mut rest = refund.saturating_sub(minor(value));
    for charge in &asked.charges {
        let Some(total) = &charge.total else { continue };
        let paid_back = charge.refunded.as_ref().map_or(0, minor);
        let amount = rest.min(minor(total).saturating_sub(paid_back));
        if amount > 0 {
            rest -= amount;
            let amount = money(amount, &total.currency_code);
            request.charges.push(proto::ChargeRefund { charge: charge.charge, amount });
        }
    }
    if rest > 0 {
        request.refund_reason = "as its file says".to_owned();
    }
    request.refund = money(refund, &value.currency_code);
    request
}

/// An amount of the engine in minor units.
fn minor(amount: &proto::Money) -> i64 {
    let currency = Currency::recorded(&amount.currency_code).ok();
    let money = currency
        .and_then(|currency| Money::from_units_nanos(amount.units, amount.nanos, currency).ok());
    money.map_or(0, |money| money.minor)
}

fn money(minor: i64, currency: &str) -> Option<proto::Money> {
    let currency = Currency::recorded(currency).ok()?;
    Some(render::money(Money::new(minor, currency)))
}

/// A refusal of an order as problems of its rows: of those that it names, or of the first.
fn problems(order: &FileOrder, refused: &Refused) -> Vec<Problem> {
    let problem = |field: &str, description: &str| {
        let index = field.strip_prefix("lines[").and_then(|rest| rest.split(']').next());
        let line = index.and_then(|index| order.rows.get(index.parse::<usize>().ok()?));
        let description = description.trim_start_matches(&format!("{}: ", refused.code));
        let description = description.trim_start_matches(&format!("{field}: "));
        let of_file = order.total.filter(|_| field == "expected.total");
        let of_file = of_file.map_or(String::new(), |total| format!("; the file says {total}"));
        Problem {
            line: line.copied().unwrap_or(order.first),
            code: refused.code.clone(),
            detail: format!("{field}: {description}{of_file}"),
        }
    };
    if refused.fields.is_empty() {
        let (code, detail) = (refused.code.clone(), refused.message.clone());
        return vec![Problem { line: order.first, code, detail }];
    }
    refused.fields.iter().map(|(field, text)| problem(field, text)).collect()
}
