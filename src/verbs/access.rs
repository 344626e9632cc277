//! The page docs/access.md: who may call each method, made from the option beside it in its proto.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::edge::policy::{Kind, Policy, Whose};
use crate::engine::services;

const HEAD: &str = "# Access

Who may call each method, and the scope that a token needs for it. This page is made from the option
`ordinal.policy.v1.policy` beside each method in [proto](../proto/ordinal): the check in front of
every service reads the same option, and a test calls every method as every kind of caller. A method
without it does not build.

\"own\" means a customer's own orders. Scopes count for tokens that have any
([security.md](security.md#signed-tokens)): customers need none, and a token with the scope `*` is
not limited. `orders.execute` stands for all commands, because they come in one stream.

";

/// The page.
#[must_use]
pub fn page() -> String {
    let calls = services::calls(services::ALL);
    let mut page = HEAD.to_owned();
    let mut of_services: BTreeMap<&str, Vec<(&str, &Policy)>> = BTreeMap::new();
    for (name, policy) in calls.policies() {
        let (service, method) = name.split_once('/').unwrap_or_default();
        of_services.entry(service).or_default().push((method, policy));
    }
    for (service, methods) in of_services {
        let _ = writeln!(page, "## {service}\n");
        let kinds = Kind::ALL.map(Kind::code).join(" | ");
        let _ = writeln!(page, "| Method | {kinds} | Scope |\n|---|---|---|---|---|---|");
        for (method, policy) in methods {
            let may = Kind::ALL.map(|kind| may(policy, kind)).join(" | ");
            let scope = match policy.scope.as_str() {
                "" => "–".to_owned(),
                scope => format!("`{scope}`"),
            };
            let _ = writeln!(page, "| `{method}` | {may} | {scope} |");
        }
        page.push('\n');
    }
    page.push_str(&scopes(&calls));
    page
}

fn may(policy: &Policy, kind: Kind) -> &'static str {
    match (policy.callers.contains(&kind), kind, policy.whose) {
        (false, ..) => "–",
        (true, Kind::Customer, Whose::Service | Whose::OrderId) => "own",
        (true, ..) => "yes",
    }
}

/// The scopes, with the methods of each.
fn scopes(calls: &crate::edge::calls::Calls) -> String {
    let mut scopes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, policy) in calls.policies().filter(|(_, policy)| !policy.scope.is_empty()) {
        let method = name.split_once('/').unwrap_or_default().1;
        scopes.entry(&policy.scope).or_default().push(method);
    }
    let mut page = "## Scopes\n\n| Scope | Methods |\n|---|---|\n".to_owned();
    for (scope, methods) in scopes {
        let _ = writeln!(page, "| `{scope}` | {} |", methods.join(", "));
    }
    page
}
