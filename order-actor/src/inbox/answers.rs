//! What the answers of other services have in common: how they are sent, which refusals are final,
//! and which are heard again. Never here: which command answers to which fact.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use futures::StreamExt as _;
use shared_events::contract::{Fact, OrderId};
use shared_events::stream::{Blame, Cursors, Handler, Tx};
use tokio::time::Instant;

use crate::actor::{Context, Executed, Refusal, Registry};
use crate::domain::{By, Command, NO_SUCH_REFUND, Rejection};
use crate::limits::{CONCURRENT_REACTIONS_MAX, REACTION_DEADLINE};
use crate::projections::Again;

/// How orders answer to the facts of one service.
#[async_trait]
pub trait Answering: Default + Send + Sync + 'static {
    /// The follower's name.
    const NAME: &'static str;

    /// The command that answers to a fact; none where it needs no answer.
    fn command_of(&self, fact: &Fact) -> Option<Command>;

    /// Executes it.
    ///
    /// # Errors
    /// [`Unanswered`] where the order did not take it.
    async fn execute(
        &self,
        registry: &Registry,
        order_id: OrderId,
        command: Command,
        fact: &Fact,
    ) -> Result<(), Unanswered>;
}

/// Sends the answers of a service to the orders. The effect is a command whose request id is the
/// fact's id, so repeating a batch after a crash changes nothing.
pub struct Answers<K> {
    registry: Registry,
    missing: Missing,
    again: Again,
    pub(super) kind: K,
}

impl<K: Answering> Answers<K> {
    /// The follower's name.
    pub const FOLLOWER: &'static str = K::NAME;

    /// Sends answers to the orders of this registry.
    #[must_use]
    pub fn new(registry: Registry) -> Self {
        let (missing, again) = (Missing::of(K::NAME), Again::of(K::NAME));
        Self { registry, missing, again, kind: K::default() }
    }
}

#[async_trait]
impl<K: Answering> Handler<Fact> for Answers<K> {
    async fn handle(&mut self, tx: &mut Tx, facts: &[Fact]) -> Result<(), Blame> {
        self.again.begin(tx, facts).await?;
        let (registry, again, kind) = (&self.registry, &self.again, &self.kind);
        let command_of =
            |fact: &Fact| if again.passes_over(fact) { None } else { kind.command_of(fact) };
        let execute = |order_id, command, index: usize| async move {
            kind.execute(registry, order_id, command, &facts[index]).await
        };
        answer((registry, &self.missing), facts, command_of, execute).await
    }

    fn committed(&mut self) {
        self.again.committed();
    }

    async fn set_back(
        &mut self,
        tx: &mut Tx,
        from: &Cursors,
        to: &Cursors,
    ) -> Result<Cursors, Blame> {
        self.again.set_back(tx, from, to).await?;
        Ok(to.clone())
    }

    fn resumes(&mut self) {
        self.again.resumes();
    }

    fn is_in_doubt(&self) -> bool {
        self.again.is_in_doubt(self.registry.incarnation())
    }

    async fn shards_in_doubt(&mut self) -> Result<BTreeSet<u16>, Blame> {
        Ok(self.again.shards())
    }

    async fn read_again(
        &mut self,
        tx: &mut Tx,
        shards: &BTreeSet<u16>,
    ) -> Result<BTreeSet<u16>, Blame> {
        Ok(self.again.read_again(tx, shards, self.registry.incarnation()).await?)
    }

    fn failed_with(&mut self) -> Vec<String> {
        self.missing.failed_with(&self.registry)
    }

    fn retried(&mut self, letters: u64) {
        self.missing.retried(letters);
    }
}

/// What becomes of answers about orders, or refunds, that the journal does not hold. Such an answer
/// is a dead letter at once: it holds up no answer about another order. Where the journal was set
/// back, which is noticed some seconds later, it is retried then, and passed over.
struct Missing {
    follower: &'static str,
    /// The incarnation of the journal for which letters were put back, and the one for which they
    /// are to be.
    retried: (u64, u64),
}

impl Missing {
    /// Of the follower with this name.
    const fn of(follower: &'static str) -> Self {
        Self { follower, retried: (1, 1) }
    }

    /// Where the journal continues as another incarnation, the errors of letters about orders and
    /// refunds that it did not hold: they are retried, once.
    fn failed_with(&mut self, registry: &Registry) -> Vec<String> {
        self.retried.1 = self.retried.0.max(registry.incarnation());
        let another = self.retried.1 > self.retried.0;
        if !another {
            return Vec::new();
        }
        let refund = Rejection::PaymentMismatch { detail: NO_SUCH_REFUND };
        [Rejection::NotFound, refund].map(|one| Refusal::Rejected(one).to_string()).into()
    }

    /// So many letters are put back.
    fn retried(&mut self, letters: u64) {
        self.retried.0 = self.retried.1;
        if letters > 0 {
            let follower = self.follower;
            tracing::warn!(follower, letters, "dead letters are retried: the journal was set back");
        }
    }

    /// Why an answer of a service, refused like this, is a dead letter; `None` where it is done: the
    /// order accepted it, or no longer needs it.
    async fn judge(
        &self,
        registry: &Registry,
        fact: &Fact,
        refusal: Refusal,
    ) -> Result<Option<String>, Blame> {
        match refusal {
            // Cancelled or lapsed meanwhile: that fact of the order tells the service. An archived
            // order was over before.
            Refusal::Rejected(Rejection::InvalidTransition { .. }) | Refusal::Archived { .. } => {
                Ok(None)
            }
            // About an order, or a refund, that the journal no longer holds since it was set back.
            Refusal::Rejected(
                Rejection::NotFound | Rejection::PaymentMismatch { detail: NO_SUCH_REFUND },
            ) if registry
                .was_set_back()
                .await
                .map_err(|error| Blame::World(error.to_string()))? =>
            {
                let (order, follower) = (fact.subject, self.follower);
                tracing::warn!(%order, follower, "answered about what the journal no longer holds");
                Ok(None)
            }
            refusal @ (Refusal::Rejected(_)
            | Refusal::Quarantined(_)
            | Refusal::RequestIdReused
            | Refusal::TooLarge
            | Refusal::TooManyEvents
            | Refusal::VersionMismatch { .. }) => Ok(Some(refusal.to_string())),
            refusal => Err(Blame::World(refusal.to_string())),
        }
    }
}

/// Why an order did not take an answer.
pub enum Unanswered {
    /// It refused the command.
    Refused(Refusal),
    /// The answer cannot be: a dead letter, whatever the order says.
    Never(&'static str),
}

impl From<Refusal> for Unanswered {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Executes the commands that answer to facts: those about one order in their order, those about
/// different orders at the same time.
///
/// # Errors
/// [`Blame`] for every fact that can never be answered, or for what is outside.
async fn answer<F>(
    (registry, missing): (&Registry, &Missing),
    facts: &[Fact],
    command_of: impl Fn(&Fact) -> Option<Command>,
    execute: impl Fn(OrderId, Command, usize) -> F,
) -> Result<(), Blame>
where
    F: Future<Output = Result<(), Unanswered>>,
{
    let execute = &execute;
    let mut answers = futures::stream::iter(by_order(facts, command_of))
        .map(|(order_id, commands)| async move {
            let mut outcomes = Vec::with_capacity(commands.len());
            for (index, command) in commands {
                outcomes.push((index, execute(order_id, command, index).await));
            }
            outcomes
        })
        .buffer_unordered(CONCURRENT_REACTIONS_MAX);
    let mut poison = Vec::new();
    while let Some(outcomes) = answers.next().await {
        for (index, outcome) in outcomes {
            let error = match outcome {
                Ok(()) => None,
                Err(Unanswered::Never(error)) => Some(error.to_owned()),
                Err(Unanswered::Refused(refusal)) => {
                    missing.judge(registry, &facts[index], refusal).await?
                }
            };
            poison.extend(error.map(|error| (index, error)));
        }
    }
    Blame::of_items(poison)
}

/// The commands that answer to facts, by their orders, each with the index of its fact.
fn by_order(
    facts: &[Fact],
    command_of: impl Fn(&Fact) -> Option<Command>,
) -> BTreeMap<OrderId, Vec<(usize, Command)>> {
    let mut of_orders: BTreeMap<OrderId, Vec<(usize, Command)>> = BTreeMap::new();
    for (index, fact) in facts.iter().enumerate() {
        if let (Some(order_id), Some(command)) = (fact.body.order_id(), command_of(fact)) {
            of_orders.entry(order_id).or_default().push((index, command));
        }
    }
    of_orders
}

/// Sends a command whose request id is the fact's id: repeating it changes nothing.
pub(super) async fn send(
    registry: &Registry,
    by: By,
    order_id: OrderId,
    command: Command,
    fact: &Fact,
) -> Result<Executed, Refusal> {
    let mut context = Context::new(by, Instant::now() + REACTION_DEADLINE);
    context.request_id = Some(fact.id.as_request_id());
    context.causation = Some(fact.id.to_string());
    context.traceparent = fact.trace().map(str::to_owned);
    context.tracestate = fact.trace_state().map(str::to_owned);
    registry.execute(order_id, command, context).await
}
