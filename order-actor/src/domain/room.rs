//! How many events answers of payments may still lead to: at an order's limit of events they have
//! their room.
//! Never here: the limit (`bounds`), or which commands it is for (`guards`).

use super::{Details, Needs, Payment, ShipWhen};

impl Payment {
    /// The most events that answers of payments may still lead to: about refunds that came about,
    /// about what a cancelled order gives back, and about money that parcels wait for.
    fn answers_due(&self) -> usize {
        let refunds = self.refunds.iter().filter(|refund| refund.is_due()).count();
        let open = self.saga.map_or(Needs::default(), |saga| saga.open());
        let captures = match self.plan.ship_when {
            ShipWhen::Captured => self.parts.iter().filter(|part| !part.is_taken()).count(),
            ShipWhen::Authorized => 0,
        };
        refunds + usize::from(open.stock) + usize::from(open.money) + captures
    }
}

impl Details {
    /// The most events that answers of payments may still lead to, those about returns that wait
    /// included.
    pub(super) fn answers_due(&self) -> u64 {
        let Some(payment) = &self.payment else { return 0 };
        // Nothing was asked for yet: it will be a payment per seller, and perhaps one for charges.
        let unasked = payment.parts.is_empty() && payment.plan.ship_when == ShipWhen::Captured;
        let later = if unasked { self.sellers().len() + 1 } else { 0 };
        let due = payment.answers_due() + later + self.waiting.len();
        u64::try_from(due).unwrap_or(u64::MAX)
    }
}
