//! Lists operators' actions: those in the databases of this process and those of the processes that
//! it can ask, merged newest first.
//! Never here: recording an action; that happens in the transaction of its effect.

use std::collections::BTreeMap;

use futures::future::join_all;
use order_actor::domain::By;
use order_actor::journal::Journal;
use service_edge::page::{PageSize, foreign_token};
use service_edge::time::timestamp;
use shared_events::contract::{TextRule, Timestamp};
use shared_events::stream::{ActionsAsked, AskedBy, Database, OperatorAction, TARGET_KINDS};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::peers::{Peer, forwarded_for_merge};
use super::{AdminEdge, proto};
use crate::edge::refusal::violation;

/// Longer than any name or target.
const FILTER_LEN_MAX: usize = 500;

/// The caller of a request, as recorded.
pub(crate) fn asked_by<T>(request: &Request<T>) -> AskedBy {
    request.extensions().get::<By>().map(recorded_caller).unwrap_or_default()
}

/// A caller, as recorded.
pub(crate) fn recorded_caller(by: &By) -> AskedBy {
    AskedBy { role: by.role().code().to_owned(), subject: by.subject().into_owned() }
}

impl AdminEdge {
    pub(super) async fn list_operator_actions(
        &self,
        request: Request<proto::ListOperatorActionsRequest>,
    ) -> Result<Response<proto::ListOperatorActionsResponse>, Status> {
        let page = Page::parse(request.get_ref())?;
        let mut away = Vec::new();
        let ask = |mut peer: Peer, asked| async move { peer.list_operator_actions(asked).await };
        if let Some(answer) = self.order_node(&request, &mut away, ask).await {
            return Ok(answer);
        }
        let (databases, journal) = (&self.parts.databases, self.parts.journal.as_ref());
        let (mut found, silent) = page.here(databases, journal).await;
        away.extend(silent);
        let asked = join_all(self.peers(&request).into_iter().map(|(name, mut peer)| {
            let asked = forwarded_for_merge(&request, request.get_ref().clone());
            async move { (name, peer.list_operator_actions(asked).await) }
        }));
        for (name, answer) in asked.await {
            match answer {
                Ok(answer) => {
                    let answer = answer.into_inner();
                    found.extend(answer.actions);
                    away.extend(answer.away);
                }
                Err(status) => {
                    tracing::debug!(name, %status, "its process did not answer");
                    away.push(name.to_owned());
                }
            }
        }
        Ok(Response::new(page.of(found, away)))
    }
}

/// The requested page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    asked: ActionsAsked,
    size: usize,
}

impl Page {
    /// From a request.
    pub(crate) fn parse(request: &proto::ListOperatorActionsRequest) -> Result<Self, Status> {
        let size = PageSize::LIST.of(request.page_size);
        let kind = request.target_kind.as_str();
        if !kind.is_empty() && !TARGET_KINDS.contains(&kind) {
            return Err(violation("target_kind", &format!("one of {}", TARGET_KINDS.join(", "))));
        }
        let texts = [("target", &request.target), ("subject", &request.subject)];
        for (field, text) in texts {
            let rule = TextRule::line(FILTER_LEN_MAX);
            rule.check(text).map_err(|error| violation(field, &error.to_string()))?;
        }
        let mut asked = ActionsAsked {
            kind: kind.to_owned(),
            target: request.target.clone(),
            subject: request.subject.clone(),
            before: None,
            // One more than fits shows whether there is a next page.
            limit: size.saturating_add(1),
        };
        if !request.page_token.is_empty() {
            asked.before = Some(place(&asked, &request.page_token).ok_or_else(foreign_token)?);
        }
        Ok(Self { asked, size: usize::try_from(size).unwrap_or(usize::MAX) })
    }

    /// The actions in these databases and in the journal, and the names of those that did not
    /// answer.
    pub(crate) async fn here(
        &self,
        databases: &[(&'static str, Database)],
        journal: Option<&Journal>,
    ) -> (Vec<proto::OperatorAction>, Vec<String>) {
        let (mut found, mut away) = (Vec::new(), Vec::new());
        let there = databases.iter().map(|(name, database)| async move {
            (*name, OperatorAction::list(database, &self.asked).await)
        });
        for (name, listed) in join_all(there).await {
            match listed {
                Ok(actions) => found.extend(actions),
                Err(error) => {
                    tracing::warn!(%error, name, "operators' actions cannot be listed");
                    away.push(format!("{name}: its database"));
                }
            }
        }
        if let Some(journal) = journal {
            let (actions, silent) = journal.operator_actions(&self.asked).await;
            found.extend(actions);
            if silent > 0 {
                away.push(format!("journal: {silent} of its databases"));
            }
        }
        (found.into_iter().map(message).collect(), away)
    }

    /// The page out of all actions found; each source returned its first ones.
    pub(crate) fn of(
        &self,
        found: Vec<proto::OperatorAction>,
        away: Vec<String>,
    ) -> proto::ListOperatorActionsResponse {
        // By time and id: an action that several processes report is listed once.
        let all: BTreeMap<_, _> = found
            .into_iter()
            .map(|action| {
                let at = action.at.map_or((0, 0), |at| (at.seconds, at.nanos));
                ((at, action.action_id.clone()), action)
            })
            .collect();
        let more = all.len() > self.size;
        let actions: Vec<_> = all.into_values().rev().take(self.size).collect();
        let next_page_token = match actions.last() {
            Some(last) if more => self.token(last),
            _ => String::new(),
        };
        proto::ListOperatorActionsResponse { actions, next_page_token, away }
    }

    fn token(&self, last: &proto::OperatorAction) -> String {
        let at = last.at.map_or(0, |at| at.seconds * 1_000_000 + i64::from(at.nanos / 1_000));
        format!("{}{at}.{}", list(&self.asked), last.action_id)
    }
}

/// The token holds the filter, so that it is refused with any other filter.
fn list(asked: &ActionsAsked) -> String {
    format!("{}/{}/{}/", asked.kind, asked.target_spelled(), asked.subject)
}

fn place(asked: &ActionsAsked, token: &str) -> Option<(Timestamp, Uuid)> {
    let (at, id) = token.strip_prefix(&list(asked))?.split_once('.')?;
    Some((Timestamp::from_micros(at.parse().ok()?), id.parse().ok()?))
}

fn message(action: OperatorAction) -> proto::OperatorAction {
    proto::OperatorAction {
        action_id: action.id.to_string(),
        at: Some(timestamp(action.at)),
        role: action.by.role,
        subject: action.by.subject,
        verb: action.verb,
        target_kind: action.kind,
        target: action.target,
        reason: action.reason,
        before: action.before,
        after: action.after,
    }
}

#[cfg(test)]
mod tests {
    use shared_events::chance::Chance;

    use super::*;

    fn request() -> proto::ListOperatorActionsRequest {
        let (target, subject) = ("a/b".to_owned(), "anna".to_owned());
        proto::ListOperatorActionsRequest { target, subject, page_size: 1, ..Default::default() }
    }

    fn done(micros: i32) -> proto::OperatorAction {
        proto::OperatorAction {
            action_id: Chance::system().uuid().to_string(),
            at: Some(prost_types::Timestamp { seconds: 7, nanos: micros * 1_000 }),
            ..Default::default()
        }
    }

    #[test]
    fn a_page_token_continues_the_list_and_is_refused_with_another_filter() {
        let page = Page::parse(&request()).unwrap();
        let (older, newer) = (done(1), done(2));
        // The same action reported by two processes is listed once.
        let answer = page.of(vec![older.clone(), newer.clone(), newer.clone()], Vec::new());
        assert_eq!(answer.actions, std::slice::from_ref(&newer));
        let token = answer.next_page_token;
        let next = Page::parse(&proto::ListOperatorActionsRequest {
            page_token: token.clone(),
            ..request()
        });
        let before = next.unwrap().asked.before.unwrap();
        assert_eq!((before.0.micros(), before.1.to_string()), (7_000_002, newer.action_id));
        assert_eq!(page.of(vec![older], Vec::new()).next_page_token, "");
        let other = proto::ListOperatorActionsRequest { page_token: token, ..Default::default() };
        assert!(Page::parse(&other).is_err());
        for token in ["x", "/a/b/anna/7", "/a/b/anna/7.x"] {
            let wrong =
                proto::ListOperatorActionsRequest { page_token: token.to_owned(), ..request() };
            assert!(Page::parse(&wrong).is_err(), "{token}");
        }
    }
}
