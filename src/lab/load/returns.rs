use shared_events::contract::Reason;
use std::collections::{BTreeMap, BTreeSet};

use order_actor::grpc::proto;
use uuid::Uuid;

use super::calls::Refused;
use super::drive::Shared;
use super::invoices::Invoice;
use super::plan::{self, Problem};
use super::purchases::Match;
use crate::client::Failure;

impl Shared {
    #[expect(clippy::too_many_lines, reason = "a credit note, from its first line to its last")]
    pub(super) async fn take_back(&self, credit_note: &Invoice) -> Result<(), Failure> {
        if credit_note.more > 0 {
            self.report.count(|counts| {
                let refused = counts.returns_refused.entry(Reason::TooManyLines.to_string());
                *refused.or_default() += credit_note.more;
            });
            self.further_lines(credit_note, Reason::TooManyLines.code());
        }
        // Which units each line returns from which order; a line counts as returned once all of its
        // parts are.
        let mut returns: BTreeMap<Uuid, Vec<(usize, Match)>> = BTreeMap::new();
        let mut values = Vec::with_capacity(credit_note.rows.len());
        for (index, row) in credit_note.rows.iter().enumerate() {
            match self.matches(credit_note, row).await? {
                Ok((value, matches)) => {
                    values.push(Some(value));
                    for taken in matches {
                        returns.entry(taken.order_id).or_default().push((index, taken));
                    }
                }
                Err(problem) => {
                    values.push(None);
                    self.report.count(|counts| {
                        *counts.unmatched.entry(problem.code.clone()).or_default() += 1;
                    });
                    self.report.problem(&credit_note.number, &problem);
                }
            }
        }
        let mut refused: BTreeMap<usize, Refused> = BTreeMap::new();
        let mut returned = BTreeSet::new();
        for (order_id, taken) in returns {
            match self.take_back_of(credit_note, order_id, &taken).await? {
                Ok(()) => {
                    for (index, taken) in taken {
                        returned.insert(index);
                        let Some(Some(price)) = values.get(index) else { continue };
                        let minor = price.minor.saturating_mul(i64::from(taken.units));
                        self.report.count(|counts| {
                            counts.returned.units += u64::from(taken.units);
                            counts.returned.minor += minor;
                        });
                    }
                    self.report.count(|counts| counts.returned.returns += 1);
                }
                Err(no) => {
                    for (index, _) in taken {
                        refused.entry(index).or_insert_with(|| no.clone());
                    }
                }
            }
        }
        for (index, row) in credit_note.rows.iter().enumerate() {
            if !values.get(index).is_some_and(Option::is_some) {
                continue;
            }
            if let Some(no) = refused.get(&index) {
                // The engine took the units of some orders and refused those of others.
                let partly = returned.contains(&index);
                let code = if partly { "PARTLY_RETURNED" } else { no.code.as_str() };
                self.report.count(|counts| {
                    *counts.returns_refused.entry(code.to_owned()).or_default() += 1;
                });
                let detail = format!("{}: {}", no.code, no.message);
                self.report.problem(&credit_note.number, &Problem::new(row, code, detail));
            } else {
                self.report.count(|counts| counts.returned.lines += 1);
            }
        }
        Ok(())
    }

    /// The delivered units that a line of a credit note returns, and the price of a unit.
    async fn matches(
        &self,
        credit_note: &Invoice,
        row: &super::invoices::Row,
    ) -> Result<Result<(shared_events::contract::Money, Vec<Match>), Problem>, Failure> {
        if row.fault.is_some() {
            return Ok(plan::credit(row, self.report.currency()).map(|(_, p)| (p, Vec::new())));
        }
        if credit_note.split {
            let detail = "more than 100 other lines stand before it";
            return Ok(Err(Problem::new(row, "INVOICE_SPLIT", detail)));
        }
        if credit_note.mixed {
            let detail = "its lines name several customers";
            return Ok(Err(Problem::new(row, "CUSTOMERS_MIXED", detail)));
        }
        let (units, price) = match plan::credit(row, self.report.currency()) {
            Ok(credit) => credit,
            Err(problem) => return Ok(Err(problem)),
        };
        let customer = &credit_note.customer;
        if customer.is_empty() {
            let detail = "no customer is named, so no order of theirs can be found";
            return Ok(Err(Problem::new(row, "NO_CUSTOMER", detail)));
        }
        let taken = self.purchases.take(customer, &row.stock_code, price, units).await?;
        Ok(taken.map(|matches| (price, matches)).map_err(|code| {
            let detail = match code {
                "NO_EARLIER_ORDER" => "the customer has no delivered order before it",
                "NOT_BOUGHT" => "the customer bought no such product before",
                "OTHER_PRICE" => "the customer bought it before, at other prices only",
                _ => "the customer has fewer units of it left at this price",
            };
            Problem::new(row, code, detail)
        }))
    }

    async fn take_back_of(
        &self,
        credit_note: &Invoice,
        order_id: Uuid,
        taken: &[(usize, Match)],
    ) -> Result<Result<(), Refused>, Failure> {
        let (request, approve) = plan::returns(credit_note, order_id, units_by_line(taken));
        if let Err(refused) = self.calls.request_return(request).await? {
            for (_, taken) in taken {
                self.purchases.give_back(taken).await?;
            }
            return Ok(Err(refused));
        }
        Ok(self.calls.approve_return(approve).await?.map(drop))
    }
}

/// A return names each line of its order once.
fn units_by_line(taken: &[(usize, Match)]) -> Vec<proto::LineUnits> {
    let mut units: BTreeMap<u32, u32> = BTreeMap::new();
    for (_, taken) in taken {
        *units.entry(taken.line).or_default() += taken.units;
    }
    units.into_iter().map(|(line, quantity)| proto::LineUnits { line, quantity }).collect()
}
