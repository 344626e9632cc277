use shared_events::contract::Timestamp;

use super::{Command, Event, Order};

/// The next thing that must happen to an order, and by when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// What.
    pub kind: DeadlineKind,
    /// By when.
    pub due: Timestamp,
}

/// The kinds of deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeadlineKind {
    /// The order must be confirmed, or it lapses.
    Confirm,
    /// The return must be judged, or operators are reminded.
    Judge,
    /// Stock must answer an edit, or it ends.
    Edit,
    /// The money must be secured, or the order lapses.
    Pay,
}

impl DeadlineKind {
    /// Every kind, in the order of `next`.
    pub fn all() -> impl Iterator<Item = Self> {
        std::iter::successors(Some(Self::Confirm), |kind| kind.next())
    }

    const fn next(self) -> Option<Self> {
        match self {
            Self::Confirm => Some(Self::Judge),
            Self::Judge => Some(Self::Edit),
            Self::Edit => Some(Self::Pay),
            Self::Pay => None,
        }
    }

    /// The stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Confirm => "CONFIRM",
            Self::Judge => "JUDGE",
            Self::Edit => "EDIT",
            Self::Pay => "PAY",
        }
    }

    /// The kind of deadline that an event sets, if it sets one.
    #[must_use]
    pub const fn set_by(event: &Event) -> Option<Self> {
        match event {
            Event::OrderPlaced { .. } => Some(Self::Confirm),
            Event::StockHeld(_) => Some(Self::Pay),
            Event::ReturnRequested { .. } => Some(Self::Judge),
            Event::OrderEditRequested(_) => Some(Self::Edit),
            _ => None,
        }
    }

    /// The command that a passed deadline sends to its order.
    #[must_use]
    pub const fn command(self) -> Command {
        match self {
            Self::Confirm | Self::Pay => Command::Lapse,
            Self::Judge => Command::Escalate,
            Self::Edit => Command::LapseEdit,
        }
    }
}

/// The next deadline of an order in this state, if it has one. Each return that waits for its
/// judgement has one; the next is the earliest.
#[must_use]
pub fn deadline(order: &Order) -> Option<Deadline> {
    if let Order::Pending(order) = order {
        let held = order.details.payment.as_ref().is_some_and(|payment| payment.held.is_some());
        let kind = if held { DeadlineKind::Pay } else { DeadlineKind::Confirm };
        return Some(Deadline { kind, due: order.lapses_at() });
    }
    let details = order.details()?;
    // It waits before the first parcel, and returns come after that.
    if let Some(due) = details.waiting_edit().and_then(|edit| edit.answer_by) {
        return Some(Deadline { kind: DeadlineKind::Edit, due });
    }
    let waiting = &details.waiting;
    let open = waiting.iter().filter(|one| !one.escalated && one.approval.is_none());
    let due = open.map(|one| one.judge_by).min()?;
    Some(Deadline { kind: DeadlineKind::Judge, due })
}
