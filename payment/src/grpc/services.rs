//! The gRPC services of payments, and how long a message of each may be.

use super::proto::payment_service_server::PaymentServiceServer;
use super::proto::payout_service_server::PayoutServiceServer;
use super::proto::settlement_service_server::SettlementServiceServer;
use super::{PaymentEdge, PayoutEdge, SettlementEdge};
use crate::Payments;

impl Payments {
    /// The handler of its calls.
    #[must_use]
    pub fn edge(&self) -> PaymentEdge {
        PaymentEdge::new(self.clone())
    }

    /// Its gRPC service.
    #[must_use]
    pub fn grpc(&self) -> PaymentServiceServer<PaymentEdge> {
        PaymentServiceServer::new(self.edge()).max_decoding_message_size(64 * 1024)
    }

    /// The gRPC service of reports. A message has one of them.
    #[must_use]
    pub fn settlement_grpc(&self) -> SettlementServiceServer<SettlementEdge> {
        let edge = SettlementEdge::new(self.settlements());
        SettlementServiceServer::new(edge).max_decoding_message_size(1024 * 1024)
    }

    /// The handler of its calls about payouts.
    #[must_use]
    pub fn payout_edge(&self) -> PayoutEdge {
        PayoutEdge::new(self.clone())
    }

    /// Its gRPC service of payouts.
    #[must_use]
    pub fn payout_grpc(&self) -> PayoutServiceServer<PayoutEdge> {
        PayoutServiceServer::new(self.payout_edge()).max_decoding_message_size(64 * 1024)
    }
}
