use shared_events::contract::Timestamp;
use shared_events::stream::Tx;

use super::{Runner, RunnerError, traced};
use crate::domain::{Case, Input, Observation, OperationKind, Schedule, Stage};
use crate::store::{self, OpenCase, OperationRow};

impl Runner {
    /// An authorisation that never left and is of no use any more ends without a call.
    pub(super) async fn dropped(&self, row: &OperationRow) -> Result<bool, RunnerError> {
        if row.kind != OperationKind::Authorize || row.schedule.last_call.is_some() {
            return Ok(false);
        }
        let mut tx = self.database.begin().await?;
        match self.locked(&mut tx, row.order_id).await? {
            Some(open) if is_of_no_use(&open.case, row, (self.now)()) => {
                self.drop_it(tx, open, row).await
            }
            _ => Ok(false),
        }
    }

    pub(super) async fn drop_it(
        &self,
        mut tx: Tx,
        mut open: OpenCase,
        row: &OperationRow,
    ) -> Result<bool, RunnerError> {
        // Whoever took it up meanwhile calls it.
        let done = Schedule { stage: Stage::Done, ..row.schedule.clone() };
        if !store::claim(&mut tx, row, &done).await? {
            return Ok(false);
        }
        let context = self.context(Some(&row.psp));
        let origins = traced::origins(row, None);
        // Where the time to pay is over, that is why nothing is wanted.
        open.hear(Input::Tick, &context, &origins)?;
        let seen = Observation::Declined { code: "not_wanted".to_owned() };
        open.hear(Input::Observed { operation_id: row.id, seen }, &context, &origins)?;
        let became = self.write(&mut tx, open).await?;
        self.commit(tx, became).await?;
        Ok(true)
    }
}

/// Whether an operation is an open authorisation that never left, of money that nobody wants.
pub(super) fn is_of_no_use(case: &Case, row: &OperationRow, now: Timestamp) -> bool {
    let of_case = case.operation(row.id).filter(|(_, one)| one.is_open());
    let Some((payment, operation)) = of_case else { return false };
    let never_left = row.schedule.stage == Stage::Due && row.schedule.last_call.is_none();
    // Once money was secured and lost, it may be paid anew without an end.
    let may_be_late = case.secured || !case.lost.is_empty();
    let late = case.plan.as_ref().is_some_and(|plan| now >= plan.pay_by) && !may_be_late;
    let unwanted = !case.is_wanted() || !payment.failed.is_empty() || !payment.is_short();
    let unwanted = unwanted || payment.is_earlier(operation.id);
    operation.kind == OperationKind::Authorize && never_left && (late || unwanted)
}
