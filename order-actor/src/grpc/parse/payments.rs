use service_edge::one_of;
use shared_events::contract::{CapturePolicy, PaymentPolicy, PspName, Reason};

use super::Form;
use crate::domain::{PaymentPlan, PaymentStatus, SellerFee, ShipWhen, bounds};
use crate::grpc::proto;

impl Form {
    /// How an order is paid. Whether the sellers of its fees are those of its lines is decided later.
    pub(crate) fn payment(
        &mut self,
        plan: Option<&proto::PaymentPlan>,
    ) -> Option<Option<Box<PaymentPlan>>> {
        let Some(plan) = plan else { return Some(None) };
        let psp: Result<PspName, _> = plan.psp.parse();
        let psp = psp.map_err(|error| self.wrong_payment("payment.psp", error)).ok();
        let capture = self.capture(plan.capture);
        let policy = self.payment_policy(plan.policy);
        let ship_when = self.ship_when(plan.ship_when);
        let fee_bps = self.fee_bps("payment.fee_bps", plan.fee_bps);
        if plan.fees.len() > bounds::SELLERS_MAX {
            self.wrong_payment("payment.fees", format!("at most {}", bounds::SELLERS_MAX));
            return None;
        }
        let fees = (0..).zip(&plan.fees).map(|(index, fee): (usize, _)| {
            let path = format!("payment.fees[{index}]");
            let seller_id = fee.seller_id.parse();
            let field = format!("{path}.seller_id");
            let seller_id = seller_id.map_err(|error| self.wrong_payment(&field, error)).ok();
            let fee_bps = self.fee_bps(&format!("{path}.fee_bps"), fee.fee_bps);
            Some(SellerFee { seller_id: seller_id?, fee_bps: fee_bps? })
        });
        let fees: Vec<Option<SellerFee>> = fees.collect();
        let fees: Option<Vec<SellerFee>> = fees.into_iter().collect();
        Some(Some(Box::new(PaymentPlan {
            psp: psp?,
            capture: capture?,
            policy: policy?,
            ship_when: ship_when?,
            fee_bps: fee_bps?,
            fees: fees?,
        })))
    }

    /// The states of money that a list is filtered by.
    pub(super) fn payment_statuses(&mut self, statuses: &[i32]) -> Vec<PaymentStatus> {
        use proto::PaymentStatus as Shown;
        let parse = |(index, status): (usize, &i32)| {
            let status = match Shown::try_from(*status) {
                Ok(Shown::NotRequired) => PaymentStatus::NotRequired,
                Ok(Shown::Awaited) => PaymentStatus::Awaited,
                Ok(Shown::Secured) => PaymentStatus::Secured,
                Ok(Shown::Lost) => PaymentStatus::Lost,
                Ok(Shown::Captured) => PaymentStatus::Captured,
                Ok(Shown::Released) => PaymentStatus::Released,
                Ok(Shown::Unspecified) | Err(_) => {
                    let field = format!("filter.payment[{index}]");
                    self.invalid(field, one_of(Shown::as_str_name));
                    return None;
                }
            };
            Some(status)
        };
        statuses.iter().enumerate().filter_map(parse).collect()
    }

    fn wrong_payment(&mut self, field: &str, description: impl std::fmt::Display) {
        self.violations.add(field, Reason::InvalidPayment, description);
    }

    fn fee_bps(&mut self, field: &str, fee_bps: u32) -> Option<u16> {
        let fits = u16::try_from(fee_bps).ok().filter(|fee| *fee <= bounds::FEE_BPS_MAX);
        if fits.is_none() {
            self.wrong_payment(field, "0 to 10000 hundredths of a percent");
        }
        fits
    }

    fn capture(&mut self, capture: i32) -> Option<CapturePolicy> {
        use proto::CapturePolicy as Shown;
        match Shown::try_from(capture) {
            Ok(Shown::Unspecified | Shown::OnFulfil) => Some(CapturePolicy::OnFulfil),
            Ok(Shown::OnConfirm) => Some(CapturePolicy::OnConfirm),
            Err(_) => {
                self.wrong_payment("payment.capture", one_of(Shown::as_str_name));
                None
            }
        }
    }

    fn payment_policy(&mut self, policy: i32) -> Option<PaymentPolicy> {
        use proto::PaymentPolicy as Shown;
        match Shown::try_from(policy) {
            Ok(Shown::Unspecified | Shown::AllOrNone) => Some(PaymentPolicy::AllOrNone),
            Ok(Shown::PerSeller) => Some(PaymentPolicy::PerSeller),
            Err(_) => {
                self.wrong_payment("payment.policy", one_of(Shown::as_str_name));
                None
            }
        }
    }

    fn ship_when(&mut self, ship_when: i32) -> Option<ShipWhen> {
        use proto::ShipWhen as Shown;
        match Shown::try_from(ship_when) {
            Ok(Shown::Unspecified | Shown::Authorized) => Some(ShipWhen::Authorized),
            Ok(Shown::Captured) => Some(ShipWhen::Captured),
            Err(_) => {
                self.wrong_payment("payment.ship_when", one_of(Shown::as_str_name));
                None
            }
        }
    }
}
