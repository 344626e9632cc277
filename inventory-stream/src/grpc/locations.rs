use shared_events::stream::{AskedBy, Verb};
use tonic::Status;

use super::parse::LocationUpdate;
use super::refusal::{move_status, unavailable};
use super::render::rendered_location;
use super::{StockEdge, proto};
use crate::store;

impl StockEdge {
    /// Adds a location, or changes its priority.
    pub(super) async fn put_location(
        &self,
        update: &LocationUpdate,
        by: &AskedBy,
        validate_only: bool,
    ) -> Result<proto::SetLocationResponse, Status> {
        let LocationUpdate { name, priority, reason } = update;
        let mut tx = self.begin(false).await?;
        let set = store::set_location(&self.database, &mut tx, name, *priority).await;
        let (location, before) = set.map_err(|error| move_status(&error, "name"))?;
        let answer = proto::SetLocationResponse {
            location: Some(rendered_location(&location)),
            added: before.is_none(),
        };
        if validate_only || before == Some(location.priority) {
            return Ok(answer);
        }
        let text = |priority: i64| format!("priority {priority}");
        let (before, after) = (before.map(text), text(location.priority));
        let change = (before.as_deref().unwrap_or("none"), after.as_str());
        let target = format!("location {name}");
        self.record_action(&mut tx, by, Verb::SetLocation, &target, reason, change).await?;
        tx.commit().await.map_err(|error| unavailable(&error.into()))?;
        Ok(answer)
    }

    /// All locations, by priority.
    pub(super) async fn all_locations(&self) -> Result<proto::ListLocationsResponse, Status> {
        let all = async {
            let mut reader = self.database.reader().acquire().await?;
            store::locations(&mut reader).await
        };
        let all = all.await.map_err(|error| unavailable(&error))?;
        let locations = all.iter().map(rendered_location).collect();
        Ok(proto::ListLocationsResponse { locations })
    }
}
