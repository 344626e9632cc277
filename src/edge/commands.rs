//! Commands of a stream: each waits for a slot and counts against its caller's rate limit, as a call
//! does. One that another node forwarded was counted there.
//! Never here: what a command means.

use std::net::{IpAddr, Ipv4Addr};

use async_trait::async_trait;
use order_actor::domain::By;
use tonic::Status;

use super::forward::COMMANDS;
use super::limit::RateLimits;
use super::shares::Caller;
use super::slots::Slots;

/// Slots and limits for commands of streams.
pub(crate) struct CommandSlots {
    pub(crate) slots: Slots,
    pub(crate) limits: RateLimits,
}

/// Without limits.
#[async_trait]
impl order_actor::grpc::Slots for Slots {
    async fn slot(&self, by: &By, _: bool) -> Result<Box<dyn Send + Sync>, Status> {
        Ok(Box::new(Self::slot(self, &caller(by)).await))
    }
}

fn caller(by: &By) -> Caller {
    Caller::of(Some(by), IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

#[async_trait]
impl order_actor::grpc::Slots for CommandSlots {
    async fn slot(&self, by: &By, forwarded: bool) -> Result<Box<dyn Send + Sync>, Status> {
        let caller = caller(by);
        // The limit of the stream's own method counts its commands.
        if !forwarded && let Some(counting) = self.limits.begin(&caller, COMMANDS)? {
            counting.settle().await?;
        }
        Ok(Box::new(self.slots.slot(&caller).await))
    }
}
