//! Calls about payments, repeated until the engine answers.

use payment::grpc::proto;

use super::calls::{Calls, Outcome};
use crate::client::Failure;

/// Payments on a page, the most that the engine shows.
const PAGE: i32 = 100;

impl Calls {
    /// Makes an attempt to pay; the same again is the same attempt.
    pub async fn attempt(&self, request: proto::AttemptRequest) -> Result<Outcome<()>, Failure> {
        let answer = self.persist(|| {
            let (mut payments, request) = (self.payments(), self.request(request.clone()));
            async move { payments.attempt(request).await }
        });
        Ok(answer.await?.map(drop))
    }

    /// The payments of an order.
    pub async fn payments_of(&self, order_id: String) -> Result<Vec<proto::Payment>, Failure> {
        let request =
            proto::ListPaymentsRequest { order_id, page_size: PAGE, ..Default::default() };
        Ok(self.listed(request).await?.payments)
    }

    /// A page of all payments.
    pub async fn payments_after(
        &self,
        page_token: String,
    ) -> Result<proto::ListPaymentsResponse, Failure> {
        let request =
            proto::ListPaymentsRequest { page_token, page_size: PAGE, ..Default::default() };
        self.listed(request).await
    }

    async fn listed(
        &self,
        request: proto::ListPaymentsRequest,
    ) -> Result<proto::ListPaymentsResponse, Failure> {
        let answer = self.persist(|| {
            let (mut payments, request) = (self.payments(), self.request(request.clone()));
            async move { payments.list_payments(request).await }
        });
        answer.await?.map_err(|refused| anyhow::anyhow!("payments: {}", refused.message).into())
    }

    /// What was done at the provider for a payment.
    pub async fn operations_of(
        &self,
        payment_id: String,
    ) -> Result<Vec<proto::Operation>, Failure> {
        let request = proto::GetPaymentRequest { payment_id };
        let answer = self.persist(|| {
            let (mut payments, request) = (self.payments(), self.request(request.clone()));
            async move { payments.get_payment(request).await }
        });
        let answer = answer.await?;
        let answer = answer.map_err(|refused| anyhow::anyhow!("payment: {}", refused.message))?;
        Ok(answer.operations)
    }
}
