//! A provider that does what a script says, and keeps its own book.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use payment::domain::OperationKind;
use psp::{
    Answer, Authorize, CallKey, Capabilities, Capture, Found, OurReference, Payout, Psp,
    PspReference, Refund, Theirs, Void,
};
use shared_events::contract::{Currency, Money};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::domain::support::CAPABLE;

/// What it does with a call.
#[derive(Clone, Debug)]
pub enum Act {
    /// Does it and answers.
    Do,
    /// Does it, and the answer is lost.
    LoseAnswer,
    /// Does not do it, and nothing is heard.
    LoseRequest,
    /// Does it and never answers.
    Hang,
    /// Answers so, and does nothing.
    Say(Answer),
}

/// Where a question is held up after its answer was found.
#[derive(Default)]
pub struct Gate {
    /// Somebody waits for the answer.
    pub asked: Notify,
    /// They get it.
    pub open: Notify,
}

#[derive(Default)]
struct Book {
    script: BTreeMap<OperationKind, VecDeque<Act>>,
    answers: BTreeMap<String, Answer>,
    /// Every effect: what, by which operation, how much.
    effects: Vec<(OperationKind, Uuid, i64)>,
    /// Calls, the repeated ones too, by their keys.
    calls: Vec<String>,
    questions: usize,
    hanging: bool,
    /// What others did, by its reference.
    theirs: BTreeMap<String, Answer>,
    /// Questions that find nothing, whatever happened.
    blind: usize,
    /// Holds up the next question.
    gate: Option<Arc<Gate>>,
}

pub struct Scripted {
    book: Mutex<Book>,
    pub capabilities: Capabilities,
}

impl Default for Scripted {
    fn default() -> Self {
        Self { book: Mutex::default(), capabilities: CAPABLE }
    }
}

impl Scripted {
    pub fn able(capabilities: Capabilities) -> Self {
        Self { capabilities, ..Self::default() }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }

    pub fn will(&self, kind: OperationKind, acts: impl IntoIterator<Item = Act>) {
        self.book().script.entry(kind).or_default().extend(acts);
    }

    pub fn is_blind_for(&self, questions: usize) {
        self.book().blind = questions;
    }

    pub fn effects(&self) -> Vec<(OperationKind, i64)> {
        self.book().effects.iter().map(|(kind, _, minor)| (*kind, *minor)).collect()
    }

    pub fn calls(&self) -> Vec<String> {
        self.book().calls.clone()
    }

    /// Whether somebody waits for an answer that never comes.
    pub fn is_hanging(&self) -> bool {
        self.book().hanging
    }

    pub fn questions(&self) -> usize {
        self.book().questions
    }

    /// From now on a question for an operation finds this.
    pub fn knows(&self, operation: Uuid, answer: Answer) {
        self.book().answers.insert(CallKey { operation, generation: 0 }.to_string(), answer);
    }

    /// The next question is held up.
    pub fn holds_up(&self) -> Arc<Gate> {
        let gate = Arc::new(Gate::default());
        self.book().gate = Some(Arc::clone(&gate));
        gate
    }

    /// Somebody else did this.
    pub fn did(&self, reference: &str, amount: Money) {
        let named = reference.parse().unwrap();
        let answer = Answer::Done { reference: named, amount, valid_until: None };
        self.book().theirs.insert(reference.to_owned(), answer);
    }

    async fn act(&self, kind: OperationKind, key: CallKey, amount: Money) -> Answer {
        {
            let mut book = self.book();
            book.calls.push(key.to_string());
            if let Some(answer) = book.answers.get(&key.to_string()) {
                return answer.clone();
            }
            let act = book.script.get_mut(&kind).and_then(VecDeque::pop_front).unwrap_or(Act::Do);
            let answer = match &act {
                Act::LoseRequest => return Answer::Unknown { why: "cut".to_owned() },
                // Nothing is kept of what may be accepted later.
                Act::Say(answer @ Answer::Refused { repairable: true, .. }) => {
                    return answer.clone();
                }
                Act::Say(answer) => answer.clone(),
                Act::Do | Act::LoseAnswer | Act::Hang => {
                    let reference: PspReference =
                        format!("psp_{}", book.answers.len()).parse().unwrap();
                    book.effects.push((kind, key.operation, amount.minor));
                    Answer::Done { reference, amount, valid_until: None }
                }
            };
            book.answers.insert(key.to_string(), answer.clone());
            match act {
                Act::LoseAnswer => return Answer::Unknown { why: "timeout".to_owned() },
                Act::Hang => book.hanging = true,
                _ => return answer,
            }
        }
        std::future::pending().await
    }
}

#[async_trait]
impl Psp for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    async fn authorize(&self, call: Authorize) -> Answer {
        assert_eq!(call.token.expose(), "tok_1");
        self.act(OperationKind::Authorize, call.key, call.amount).await
    }

    async fn capture(&self, call: Capture) -> Answer {
        self.act(OperationKind::Capture, call.key, call.amount).await
    }

    async fn void(&self, call: Void) -> Answer {
        let none = Money::zero("GBP".parse::<Currency>().unwrap());
        self.act(OperationKind::Void, call.key, none).await
    }

    async fn refund(&self, call: Refund) -> Answer {
        self.act(OperationKind::Refund, call.key, call.amount).await
    }

    async fn payout(&self, call: Payout) -> Answer {
        self.act(OperationKind::Payout, call.key, call.amount).await
    }

    async fn fetch(&self, of: OurReference) -> Found {
        let (found, gate) = {
            let mut book = self.book();
            book.questions += 1;
            if book.blind > 0 {
                book.blind -= 1;
                return Found::Nothing;
            }
            let mut ours = book.answers.iter().rev();
            let ours = ours.find(|(key, _)| key.starts_with(&of.0.to_string()));
            let found = ours.map_or(Found::Nothing, |(_, answer)| Found::Known(answer.clone()));
            (found, book.gate.take())
        };
        if let Some(gate) = gate {
            gate.asked.notify_one();
            gate.open.notified().await;
        }
        found
    }

    async fn look(&self, of: &Theirs) -> Found {
        let mut book = self.book();
        book.questions += 1;
        let known = book.theirs.get(of.reference.as_str());
        known.map_or(Found::Nothing, |answer| Found::Known(answer.clone()))
    }
}
