//! A return of an order, as lists show it and as its row is.

use serde::{Deserialize, Serialize};
use shared_events::contract::{CustomerId, Money, OrderId, ReturnId, Timestamp};
use shared_events::stream::DatabaseError;
use shared_events::stream::row::json;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::domain::{Approval, Details, JudgedReturn, LineQuantity, Order, Return};

/// The state of a return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReturnState {
    /// It waits for its judgement.
    Requested,
    /// It is approved, and its goods have not been received yet.
    Approved,
    /// Units were taken back.
    Received,
    /// It was rejected.
    Rejected,
}

impl ReturnState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Requested, Self::Approved, Self::Received, Self::Rejected];

    /// Its name in the table.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Requested => "REQUESTED",
            Self::Approved => "APPROVED",
            Self::Received => "RECEIVED",
            Self::Rejected => "REJECTED",
        }
    }
}

/// A return as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnSummary {
    /// Its order.
    pub order_id: OrderId,
    /// Its id.
    pub return_id: ReturnId,
    /// The customer of its order.
    pub customer_id: CustomerId,
    /// Its state.
    pub state: ReturnState,
    /// When it was requested.
    pub requested_at: Timestamp,
    /// When operators are reminded if it is not judged.
    pub judge_by: Timestamp,
    /// What lists are not sorted or filtered by.
    pub content: ReturnContent,
}

/// What a list shows of a return, beside what it is found by. No text of people is in it: those are
/// in the journal alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnContent {
    /// The number of its order.
    pub order_number: String,
    /// The units that were requested.
    pub lines: Vec<LineQuantity>,
    /// While approved: the units that may come back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved_lines: Vec<LineQuantity>,
    /// The warehouse's own id of it; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reference: String,
    /// The order that replaces what is sent back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange_order_id: Option<OrderId>,
    /// Whether operators were reminded of it.
    #[serde(default)]
    pub escalated: bool,
    /// While it waits: what the customer paid for its units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Money>,
    /// What was refunded; while approved, what is if all its units arrive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refund: Option<Money>,
}

impl ReturnSummary {
    /// All returns of an order: those that wait, and then the judged ones.
    #[must_use]
    pub fn all_of(order: &Order) -> Vec<Self> {
        let Some(details) = order.details() else { return Vec::new() };
        let waiting = details.waiting.iter().map(|one| Self::waiting(one, details));
        let judged = details.judged.iter().map(|one| Self::judged(one, details));
        waiting.chain(judged).collect()
    }

    fn waiting(known: &Return, details: &Details) -> Self {
        let approval = known.approval.as_ref();
        let state = approval.map_or(ReturnState::Requested, |_| ReturnState::Approved);
        let mut shown = Self::of(known, state, details);
        let content = &mut shown.content;
        content.value = Some(known.value(details));
        content.refund = approval.map(|one| one.refund);
        content.approved_lines = approval.map(Approval::units).unwrap_or_default();
        shown
    }

    fn judged(known: &JudgedReturn, details: &Details) -> Self {
        let approved = known.is_approved();
        let state = if approved { ReturnState::Received } else { ReturnState::Rejected };
        let mut shown = Self::of(&known.request, state, details);
        shown.content.refund = known.refund();
        shown
    }

    /// What is the same in every state.
    fn of(known: &Return, state: ReturnState, details: &Details) -> Self {
        Self {
            order_id: details.order_id,
            return_id: known.return_id,
            customer_id: details.customer_id,
            state,
            requested_at: known.requested_at,
            judge_by: known.judge_by,
            content: ReturnContent {
                order_number: details.order_number(),
                lines: known.lines.clone(),
                approved_lines: Vec::new(),
                reference: known.reference.clone(),
                exchange_order_id: known.exchange_order_id,
                escalated: known.escalated,
                value: None,
                refund: None,
            },
        }
    }
}

pub(super) fn order_of(row: &AnyRow) -> Result<OrderId, DatabaseError> {
    let text: String = row.try_get("order_id")?;
    OrderId::recorded(&text).map_err(|_| DatabaseError::Corrupt("order of a return"))
}

pub(super) fn summary(row: &AnyRow) -> Result<ReturnSummary, DatabaseError> {
    let text = |column: &str| -> Result<String, DatabaseError> { Ok(row.try_get(column)?) };
    let (state, content) = (text("state")?, text("content")?);
    Ok(ReturnSummary {
        order_id: order_of(row)?,
        return_id: ReturnId::recorded(&text("return_id")?)
            .map_err(|_| DatabaseError::Corrupt("id of a return"))?,
        customer_id: CustomerId::recorded(&text("customer_id")?)
            .map_err(|_| DatabaseError::Corrupt("customer of a return"))?,
        state: ReturnState::ALL
            .into_iter()
            .find(|known| known.code() == state)
            .ok_or(DatabaseError::Corrupt("state of a return"))?,
        requested_at: Timestamp::from_micros(row.try_get("requested_at")?),
        judge_by: Timestamp::from_micros(row.try_get("judge_by")?),
        content: serde_json::from_str(&content)
            .map_err(|_| DatabaseError::Corrupt("content of a return"))?,
    })
}

/// A return as a row, by column names.
#[derive(Serialize)]
pub(super) struct Row {
    order_id: OrderId,
    return_id: ReturnId,
    customer_id: CustomerId,
    version: u64,
    state: &'static str,
    requested_at: i64,
    judge_by: i64,
    /// JSON.
    content: String,
}

impl Row {
    pub(super) fn of(known: &ReturnSummary, version: u64) -> Result<Self, DatabaseError> {
        Ok(Self {
            order_id: known.order_id,
            return_id: known.return_id,
            customer_id: known.customer_id,
            version,
            state: known.state.code(),
            requested_at: known.requested_at.micros(),
            judge_by: known.judge_by.micros(),
            content: json(&known.content)?,
        })
    }
}
