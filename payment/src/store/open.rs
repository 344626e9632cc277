use shared_events::contract::{Fact, FactId, OrderId, PaymentFact};

use crate::counted::Became;
use crate::domain::{Case, Context, Event, Input, Rejection, decide, fact_id, facts};

/// The cause of what is written, for those who follow it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins {
    /// The fact, or the operation, that caused it.
    pub(crate) causationid: Option<String>,
    /// The trace of the command behind it.
    pub(crate) traceparent: Option<String>,
    /// What other systems added to that trace (W3C `tracestate`).
    pub(crate) tracestate: Option<String>,
}

/// The facts that tell an event, with their ids.
type Told = Vec<(FactId, PaymentFact)>;

/// A locked case with what happened to it in this transaction.
pub(crate) struct OpenCase {
    pub(crate) case: Case,
    /// The shard of the order's facts.
    pub(crate) shard: Option<u16>,
    /// The fact by which the order asked for money.
    pub(super) asked: Option<Asked>,
    /// Whether the journal was restored to before that fact, and was not read again yet.
    pub(super) is_doubted: bool,
    /// Whether either changed.
    pub(super) asking_changed: bool,
    pub(super) is_new: bool,
    pub(super) looked: bool,
    pub(super) happened: Vec<(Event, Told, Origins)>,
}

/// A fact by which an order asked for money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) position: u64,
    pub(super) fact: String,
}

impl OpenCase {
    /// Of an order of which nothing is known yet.
    pub(crate) const fn new(order: OrderId) -> Self {
        Self {
            case: Case::new(order),
            shard: None,
            asked: None,
            is_doubted: false,
            asking_changed: false,
            is_new: true,
            looked: false,
            happened: Vec::new(),
        }
    }

    /// The order asks for money by this fact. Whether it asked by another one in a history that is
    /// in doubt: that one is gone, since an order asks once.
    pub(crate) fn asks_by(&mut self, fact: &Fact) -> bool {
        let asked = Asked { position: fact.position, fact: fact.id.to_string() };
        let is_other = self.asked_otherwise(fact);
        let was_doubted = self.take_doubt();
        self.asking_changed |= self.asked.as_ref() != Some(&asked);
        self.asked = Some(asked);
        is_other && was_doubted
    }

    /// Whether it is known to have asked for money by another fact.
    pub(crate) fn asked_otherwise(&self, fact: &Fact) -> bool {
        self.asked.as_ref().is_some_and(|known| known.fact != fact.id.to_string())
    }

    /// Whether the journal may have lost the order.
    pub(crate) const fn is_in_doubt(&self) -> bool {
        self.is_doubted
    }

    /// It is known now whether the journal has the order; returns whether it was not before.
    pub(crate) fn take_doubt(&mut self) -> bool {
        let was_doubted = std::mem::take(&mut self.is_doubted);
        self.asking_changed |= was_doubted;
        was_doubted
    }

    /// Hears something.
    pub(crate) fn hear(
        &mut self,
        input: Input,
        context: &Context,
        origins: &Origins,
    ) -> Result<(), Rejection> {
        self.looked |= input == Input::Tick;
        let decision = decide(&self.case, input, context)?;
        let mut before = self.case.clone();
        for event in decision.events {
            let after = before.clone().evolve(&event)?;
            let told = facts(&before, &event, &after).into_iter();
            let told = told.map(|fact| (fact_id(&after, &event, &fact), fact)).collect();
            self.happened.push((event, told, origins.clone()));
            before = after;
        }
        self.case = before;
        Ok(())
    }

    /// What happened to it in this transaction, in order.
    pub(crate) fn events(&self) -> impl Iterator<Item = &Event> {
        self.happened.iter().map(|(event, _, _)| event)
    }

    /// Whether anything happened to it.
    pub(crate) fn has_happened(&self) -> bool {
        !self.happened.is_empty()
    }

    /// All that happened to it was caused by this span, which begins a trace.
    pub(crate) fn happened_in(&mut self, traceparent: &str) {
        for (_, _, origins) in &mut self.happened {
            origins.traceparent = Some(traceparent.to_owned());
            origins.tracestate = None;
        }
    }

    /// What became of its operations in this transaction.
    pub(crate) fn became(&self) -> Became {
        Became::of(&self.case, self.events())
    }

    /// Whether anything is to be written.
    pub(super) fn is_changed(&self) -> bool {
        self.is_new || self.asking_changed || self.looked || !self.happened.is_empty()
    }
}
