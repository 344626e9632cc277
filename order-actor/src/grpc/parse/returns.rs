use service_edge::one_of;
use shared_events::contract::{OrderId, Quantity, Reason, ReturnId};

use super::Form;
use crate::domain::{ExchangeOf, OutcomeUnits, Rejection, UnitOutcome, bounds};
use crate::grpc::proto;

impl Form {
    /// The warehouse's own id of a return; empty if absent.
    pub(crate) fn return_reference(&mut self, text: String) -> Option<String> {
        self.own_id("return_reference", text)
    }

    /// What becomes of units of a return; that they are units of it is for the order to decide.
    pub(crate) fn outcomes(
        &mut self,
        outcomes: &[proto::OutcomeUnits],
    ) -> Option<Vec<OutcomeUnits>> {
        let reason = Reason::InvalidReturnLines;
        if outcomes.len() > bounds::LINES_MAX {
            self.violations.add("outcomes", reason, Rejection::TooManyLines);
            return None;
        }
        let mut parsed = Vec::with_capacity(outcomes.len());
        for (index, units) in outcomes.iter().enumerate() {
            let mut wrong = |field: &str, detail: &dyn std::fmt::Display| {
                self.violations.add(format!("outcomes[{index}].{field}"), reason, detail);
            };
            if units.line == 0 {
                wrong("line", &"lines are numbered from 1");
            }
            let quantity = Quantity::new(units.quantity);
            let quantity = quantity.map_err(|error| wrong("quantity", &error)).ok();
            let outcome = outcome(units.outcome);
            if outcome.is_none() {
                wrong("outcome", &one_of(proto::UnitOutcome::as_str_name));
            }
            let line = units.line;
            parsed.push(quantity.zip(outcome).map(|(quantity, outcome)| OutcomeUnits {
                line,
                quantity,
                outcome,
            }));
        }
        parsed.into_iter().collect()
    }

    /// The return whose goods an order replaces.
    pub(crate) fn exchange_of(
        &mut self,
        exchange: Option<&proto::ExchangeOf>,
    ) -> Option<Option<ExchangeOf>> {
        let Some(exchange) = exchange else { return Some(None) };
        let order_id: Option<OrderId> = self.id("exchange_of.order_id", &exchange.order_id);
        let return_id: Option<ReturnId> = self.id("exchange_of.return_id", &exchange.return_id);
        Some(Some(ExchangeOf { order_id: order_id?, return_id: return_id? }))
    }
}

fn outcome(wire: i32) -> Option<UnitOutcome> {
    match proto::UnitOutcome::try_from(wire) {
        Ok(proto::UnitOutcome::Restock) => Some(UnitOutcome::Restock),
        Ok(proto::UnitOutcome::WriteOff) => Some(UnitOutcome::WriteOff),
        Ok(proto::UnitOutcome::NotArrived) => Some(UnitOutcome::NotArrived),
        Ok(proto::UnitOutcome::Rejected) => Some(UnitOutcome::Rejected),
        Ok(proto::UnitOutcome::Unspecified) | Err(_) => None,
    }
}
