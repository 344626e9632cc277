use crate::domain::Order;

/// What an actor does after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifespan {
    /// Stays awake until it was idle for long or its slot is needed.
    Awake,
    /// Goes to sleep as soon as no call waits for it.
    Sleep,
}

/// Missing orders and ended orders do not stay awake: an unknown id costs no memory, and an ended
/// order is read again if it is requested.
pub(super) const fn after(order: &Order) -> Lifespan {
    match order {
        Order::Absent | Order::Returned(_) | Order::Cancelled(_) => Lifespan::Sleep,
        Order::Pending(_)
        | Order::Confirmed(_)
        | Order::Fulfilled(_)
        | Order::ReturnRequested(_) => Lifespan::Awake,
    }
}
