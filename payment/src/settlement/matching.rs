//! What the lines of one import are matched with: the payments that they name, locked.

use std::collections::{BTreeMap, BTreeSet};

use shared_events::contract::{LineKind, OperationId, OrderId, PaymentId, PspName};
use shared_events::stream::{Database, DatabaseError, Tx};

use super::SettlementError;
use crate::domain::{
    Context, Input, LineState, Named, OperationKind, ReportLine, Settled, Stage, capture_of,
    done_elsewhere, finding, proof, settled,
};
use crate::store::{self, OpenCase, Origins};

/// What the lines of one import are matched with.
pub(super) struct Matching {
    /// Orders by our names of operations at this provider.
    ours: BTreeMap<OperationId, OrderId>,
    /// Payments by the provider's names.
    theirs: BTreeMap<String, (OrderId, PaymentId)>,
    pub(super) cases: BTreeMap<OrderId, OpenCase>,
    named: Named,
    /// Open operations of which a call has left, or of which a person is asked.
    left: BTreeSet<OperationId>,
    context: Context,
    pub(super) origins: Origins,
    /// Operations of which nobody had known what became.
    pub(super) proved: u64,
}

/// The order of a line, and the shard of its facts.
pub(super) type Place = Option<(OrderId, u16)>;

impl Matching {
    /// Locks the payments that lines of a provider name.
    pub(super) async fn begin(
        database: &Database,
        tx: &mut Tx,
        psp: &PspName,
        lines: &[&ReportLine],
        (context, origins): (Context, Origins),
    ) -> Result<Self, DatabaseError> {
        let ours: BTreeSet<OperationId> =
            lines.iter().filter_map(|said| said.our_reference).collect();
        let rows = store::operations_of(database, &ours).await?;
        let rows = rows.into_iter().filter(|row| row.psp == *psp);
        let ours: BTreeMap<OperationId, OrderId> = rows.map(|row| (row.id, row.order_id)).collect();
        let theirs: Vec<&str> =
            lines.iter().filter_map(|said| said.psp_reference.as_deref()).collect();
        let theirs = store::payments_named(database, psp, &theirs).await?;
        let of_theirs = theirs.values().map(|(order, _)| *order);
        let orders: BTreeSet<OrderId> = ours.values().copied().chain(of_theirs).collect();
        let cases = store::lock(database, tx, &orders, &BTreeSet::new()).await?;
        let named = store::named(database, tx, &orders).await?;
        let open: BTreeSet<OperationId> = cases
            .values()
            .flat_map(|open| &open.case.payments)
            .flat_map(|payment| &payment.operations)
            .filter(|one| one.is_open())
            .map(|one| one.id)
            .collect();
        let rows = store::operations_of(database, &open).await?;
        let left = rows
            .into_iter()
            .filter(|row| row.schedule.last_call.is_some() || row.schedule.stage == Stage::Stuck);
        let left = left.map(|row| row.id).collect();
        Ok(Self { ours, theirs, cases, named, left, context, origins, proved: 0 })
    }

    fn place(&self, said: &ReportLine) -> Option<(OrderId, Option<PaymentId>)> {
        let ours = said.our_reference.and_then(|id| self.ours.get(&id));
        ours.map(|order| (*order, None)).or_else(|| {
            let (order, payment) = self.theirs.get(said.psp_reference.as_deref()?)?;
            Some((*order, Some(*payment)))
        })
    }

    /// What a line is, once what it proves is heard.
    pub(super) fn line(&mut self, said: &ReportLine) -> (Settled, Place) {
        self.found(said, true)
    }

    /// The same, where only a proof is heard.
    fn found(&mut self, said: &ReportLine, is_proof: bool) -> (Settled, Place) {
        let Some((order, payment)) = self.place(said) else {
            return (settled(None, said, &self.named), None);
        };
        if is_proof {
            self.prove(order, payment, said);
        }
        let Some(open) = self.cases.get(&order) else {
            return (settled(None, said, &self.named), None);
        };
        let found = finding(&open.case, payment, said, &self.named);
        let settled = settled(found, said, &self.named);
        let place = settled.of.map(|_| (order, open.shard.unwrap_or_default()));
        self.named.extend(settled.names);
        (settled, place)
    }

    /// The same of a line of which a person says what it is for, whatever the report calls it. What
    /// the report does not call a charge or a refund proves nothing that was not known.
    pub(super) fn resolved(
        &mut self,
        mut said: ReportLine,
    ) -> Result<(Settled, Place), SettlementError> {
        let found = self.place(&said).and_then(|(order, payment)| {
            let open = self.cases.get(&order)?;
            Some(finding(&open.case, payment, &said, &self.named)?.1.kind)
        });
        let kind = found.ok_or(SettlementError::ReferenceUnknown)?;
        let is_proof = matches!(said.kind, LineKind::Charge | LineKind::Refund);
        if said.kind != LineKind::Dispute {
            let is_refund = kind == OperationKind::Refund;
            said.kind = if is_refund { LineKind::Refund } else { LineKind::Charge };
        }
        let (settled, place) = self.found(&said, is_proof);
        match settled.state {
            LineState::Unknown => Err(SettlementError::OtherCurrency),
            _ => Ok((settled, place)),
        }
    }

    /// What a line says of an operation of which nobody knows what became, of the capture of a
    /// reservation that it names, and of what was taken of that without us.
    fn prove(&mut self, order: OrderId, payment: Option<PaymentId>, said: &ReportLine) {
        let Self { cases, named, left, context, origins, proved, .. } = self;
        let (named, left, context, origins) = (&*named, &*left, &*context, &*origins);
        let Some(open) = cases.get_mut(&order) else { return };
        let Some((of, found)) = finding(&open.case, payment, said, named) else { return };
        let operation_id = found.id;
        let seen = proof(found, said).filter(|_| left.contains(&operation_id));
        let first = seen.map(|seen| match done_elsewhere(of, found, said, named) {
            Some(what) => Input::Taken { operation_id, seen, what },
            None => Input::Observed { operation_id, seen },
        });
        *proved += u64::from(heard(open, first, (context, origins)));
        let of_capture = open.case.operation(operation_id).and_then(|(payment, one)| {
            let one = capture_of(payment, one, said, named)?;
            let seen = proof(one, said).filter(|_| left.contains(&one.id))?;
            Some(Input::Observed { operation_id: one.id, seen })
        });
        *proved += u64::from(heard(open, of_capture, (context, origins)));
        let stands = open.case.operation(operation_id).filter(|(_, one)| one.stands());
        let elsewhere = stands.and_then(|(payment, one)| {
            Some(Input::External(done_elsewhere(payment, one, said, named)?))
        });
        heard(open, elsewhere, (context, origins));
    }
}

/// Hears what a line proves, if it proves anything. What cannot be is left to a person: the line
/// says then that it differs.
fn heard(
    open: &mut OpenCase,
    input: Option<Input>,
    (context, origins): (&Context, &Origins),
) -> bool {
    let Some(input) = input else { return false };
    match open.hear(input, context, origins) {
        Ok(()) => true,
        Err(error) => {
            let order = open.case.order_id;
            tracing::warn!(%order, %error, "a line of a report says what cannot be");
            false
        }
    }
}
