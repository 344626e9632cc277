//! Lines of the settlement reports of providers, as facts have them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::payment_parts::words;
use super::{Money, OperationId, OrderId, PaymentId, PspName, SettlementLineId, Timestamp};

/// The namespace of lines of reports, chosen once. Another value would make every line a new one.
const LINES: Uuid = Uuid::from_u128(0x6f72_6469_6e61_6c2e_8000_7365_7474_6c65);

impl SettlementLineId {
    /// The line that its provider calls so: a UUID (version 5 of both names), the same in whichever
    /// report it stands.
    #[must_use]
    pub fn of(psp: &PspName, psp_line: &str) -> Self {
        Self::from_uuid(Uuid::new_v5(&LINES, format!("{psp}/{psp_line}").as_bytes()))
    }
}

words! {
    /// What a line of a settlement report is for.
    LineKind {
        /// What was taken from a customer; below zero where the provider took that back.
        Charge = "CHARGE"
        /// What was paid back, below zero; above it where that came to nothing.
        Refund = "REFUND"
        /// A fee of its own: its gross amount is zero.
        Fee = "FEE"
        /// Anything else.
        Adjustment = "ADJUSTMENT"
        /// What the provider took for a dispute, below zero, or gave back after one.
        Dispute = "DISPUTE"
    }
    /// What the gross amount of a line is booked against.
    LineAccount {
        /// What the provider took for the shop and has not paid out.
        Receivable = "RECEIVABLE"
        /// What the provider took for disputes.
        Disputed = "DISPUTED"
        /// Nobody knows yet what it is for.
        Suspense = "SUSPENSE"
        /// It is for nothing that the shop knows, as a person said.
        WrittenOff = "WRITTEN_OFF"
    }
}

/// The part that every fact about a line of a settlement report has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettledLine {
    /// The line: [`SettlementLineId::of`] the provider and its name of it.
    pub settlement_line_id: SettlementLineId,
    /// The provider.
    pub psp: PspName,
    /// The provider's name of the line.
    pub psp_line: String,
    /// What it is for, as the report says.
    pub kind: LineKind,
    /// The order that it was matched with, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
    /// The payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_id: Option<PaymentId>,
    /// What was done at the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation_id: Option<OperationId>,
    /// Before the provider's fee; below zero where the shop loses it.
    pub gross: Money,
    /// The provider's fee.
    pub fee: Money,
    /// What is left: gross less fee.
    pub net: Money,
    /// What the provider paid out for it, where that is in another currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Money>,
    /// How much of that currency the report gives for one unit of the other, in decimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange_rate: Option<String>,
    /// When, as the report says.
    pub at: Timestamp,
}
