use std::sync::Arc;

use async_trait::async_trait;

use super::{Batch, Comparison, Cursors, Place, Reader, Source, SourceError};
use crate::contract::{Fact, Timestamp};

/// The facts of another source without what says how customers are reached. So it is in no dead
/// letter of a reader that does not need it either.
pub struct WithoutContact(Arc<dyn Source<Fact>>);

impl WithoutContact {
    /// The facts of this source.
    #[must_use]
    pub const fn new(facts: Arc<dyn Source<Fact>>) -> Self {
        Self(facts)
    }
}

#[async_trait]
impl Source<Fact> for WithoutContact {
    async fn read_after(
        &self,
        cursors: &Cursors,
        limit: usize,
    ) -> Result<Batch<Fact>, SourceError> {
        let Batch { items, through, more } = self.0.read_after(cursors, limit).await?;
        let items = items.into_iter().map(Fact::without_contact).collect();
        Ok(Batch { items, through, more })
    }

    async fn changed(&self, cursors: &Cursors) {
        self.0.changed(cursors).await;
    }

    async fn pause(&self) {
        self.0.pause().await;
    }

    async fn begins_after(&self) -> Result<Cursors, SourceError> {
        self.0.begins_after().await
    }

    async fn compare(&self, places: &[Place], incarnation: u64) -> Result<Comparison, SourceError> {
        self.0.compare(places, incarnation).await
    }

    async fn meet(&self, reader: &Reader) -> Result<bool, SourceError> {
        self.0.meet(reader).await
    }

    fn shards(&self) -> Option<u16> {
        self.0.shards()
    }

    async fn heads(&self) -> Result<Cursors, SourceError> {
        self.0.heads().await
    }

    async fn ends(&self) -> Result<Cursors, SourceError> {
        self.0.ends().await
    }

    async fn oldest_after(&self, cursors: &Cursors) -> Result<Option<Timestamp>, SourceError> {
        self.0.oldest_after(cursors).await
    }
}
