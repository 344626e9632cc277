use std::sync::Weak;

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

use super::registry::Shared;

/// Supervises all order actors. It logs the death of an actor and removes it. Nothing else is
/// repaired, because the next command rebuilds the order from its journal.
pub(super) struct Supervisor;

impl Actor for Supervisor {
    type Msg = Weak<Shared>;
    type State = Weak<Shared>;
    type Arguments = ();

    async fn pre_start(
        &self,
        _myself: ActorRef<Weak<Shared>>,
        (): (),
    ) -> Result<Weak<Shared>, ActorProcessingErr> {
        Ok(Weak::new())
    }

    /// Receives the state of the registry that it works for.
    async fn handle(
        &self,
        _myself: ActorRef<Weak<Shared>>,
        shared: Weak<Shared>,
        state: &mut Weak<Shared>,
    ) -> Result<(), ActorProcessingErr> {
        *state = shared;
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<Weak<Shared>>,
        event: SupervisionEvent,
        state: &mut Weak<Shared>,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(cell, _) = event
            && let Some(shared) = state.upgrade()
            && let Some(order_id) = shared.order_of(cell.get_id())
        {
            // Its error is what a panic says, which may be a value; its place is a line of its own.
            tracing::error!(order = %order_id, "an order's actor died; it will be rebuilt");
            shared.remove_actor(order_id, cell.get_id(), None);
        }
        Ok(())
    }
}
