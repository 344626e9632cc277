//! How an order is paid: by which provider, when money is taken, and what it is worth for whom.
//! Never here: what became of the money (`payment`).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use shared_events::contract::{CapturePolicy, PaymentPolicy, PspName, SellerId};

use super::{Rejection, bounds};

/// How an order is paid. An order without a plan is paid elsewhere, or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentPlan {
    /// The payment service provider.
    pub psp: PspName,
    /// When secured money is taken.
    pub capture: CapturePolicy,
    /// What becomes of the order where the money for one seller is not to be had.
    pub policy: PaymentPolicy,
    /// What must have happened before a parcel leaves.
    pub ship_when: ShipWhen,
    /// The shop's fee, in hundredths of a percent: 0 to [`FEE_BPS_MAX`](bounds::FEE_BPS_MAX).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub fee_bps: u16,
    /// The fee of sellers that have another one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fees: Vec<SellerFee>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(fee_bps: &u16) -> bool {
    *fee_bps == 0
}

/// The shop's fee of one seller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SellerFee {
    /// A seller of the order.
    pub seller_id: SellerId,
    /// In hundredths of a percent.
    pub fee_bps: u16,
}

/// What must have happened to the money before a parcel leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ShipWhen {
    /// It is reserved.
    #[default]
    Authorized,
    /// It was taken.
    Captured,
}

impl ShipWhen {
    /// The stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Authorized => "AUTHORIZED",
            Self::Captured => "CAPTURED",
        }
    }
}

impl PaymentPlan {
    /// The shop's fee of a seller; none for what is the shop's own.
    #[must_use]
    pub fn fee_of(&self, seller: Option<SellerId>) -> u16 {
        let Some(seller) = seller else { return 0 };
        let own = self.fees.iter().find(|fee| fee.seller_id == seller);
        own.map_or(self.fee_bps, |fee| fee.fee_bps)
    }

    /// Checks it against the sellers of the order's lines.
    ///
    /// # Errors
    /// [`Rejection::InvalidPayment`] names the first field that is wrong.
    pub(super) fn check(&self, sellers: &BTreeSet<Option<SellerId>>) -> Result<(), Rejection> {
        let wrong = |at: String, detail| Err(Rejection::InvalidPayment { at, detail });
        if sellers.len() > bounds::SELLERS_MAX {
            return wrong("payment".to_owned(), "an order with a plan has at most 100 sellers");
        }
        if self.ship_when == ShipWhen::Captured && self.capture != CapturePolicy::OnConfirm {
            let detail = "CAPTURED needs the capture ON_CONFIRM: parcels would wait for themselves";
            return wrong("payment.ship_when".to_owned(), detail);
        }
        let fits = |fee_bps: u16| fee_bps <= bounds::FEE_BPS_MAX;
        let bps = "0 to 10000 hundredths of a percent";
        if !fits(self.fee_bps) {
            return wrong("payment.fee_bps".to_owned(), bps);
        }
        let mut named = BTreeSet::new();
        for (index, fee) in self.fees.iter().enumerate() {
            let at = |field: &str| format!("payment.fees[{index}].{field}");
            if !fits(fee.fee_bps) {
                return wrong(at("fee_bps"), bps);
            }
            if !sellers.contains(&Some(fee.seller_id)) {
                return wrong(at("seller_id"), "not the seller of a line");
            }
            if !named.insert(fee.seller_id) {
                return wrong(at("seller_id"), bounds::NAMED_TWICE);
            }
        }
        Ok(())
    }
}
