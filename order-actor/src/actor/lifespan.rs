use crate::domain::Order;

/// What becomes of an actor after it answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifespan {
    /// Stays until it is idle for long, or room is needed.
    Awake,
    /// Sleeps as soon as nobody waits for it.
    Sleep,
}

/// Orders that do not exist, and those to which nothing can happen any more, need not stay:
/// an unknown id costs no memory, and whoever asks for an ended order reads it again.
pub(super) const fn after(order: &Order) -> Lifespan {
    match order {
        Order::Absent | Order::Returned(_) | Order::Cancelled(_) => Lifespan::Sleep,
        Order::Pending(_)
        | Order::Confirmed(_)
        | Order::Fulfilled(_)
        | Order::ReturnRequested(_) => Lifespan::Awake,
    }
}
