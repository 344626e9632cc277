use super::{OrderFact, OrderHeader};

/// What all facts of orders say of their order. A fact that is not named here does not compile.
macro_rules! headers {
    ($($variant:ident),* $(,)?) => {
        impl OrderFact {
            /// The part about its order.
            #[must_use]
            pub const fn order(&self) -> &OrderHeader {
                match self {
                    $( Self::$variant { order, .. } )|* => order,
                }
            }

            /// The same, to change it.
            pub(super) const fn order_mut(&mut self) -> &mut OrderHeader {
                match self {
                    $( Self::$variant { order, .. } )|* => order,
                }
            }
        }
    };
}

headers! {
    Created, Confirmed, LinesAllocated, LinesCancelled, Cancelled, LinesFulfilled, Fulfilled,
    ReturnRequested, ReturnApproved, ReturnOverdue, ReturnRejected, Returned, RefundRequested,
    Held, HoldReleased, Corrected, ShipmentCorrected, Delivered, ShipmentUndone, ShipmentFound,
    EditRequested, Edited, EditRefused, PaymentRequested, PaymentLost, PaymentSecured,
    RefundSettled, RefundFailed, Compensated,
}
