use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};
use shared_events::contract::Locale;

use super::files::{self, Source, subject_of};
use super::kind::Kind;
use super::sample::Sample;
use super::values::{Numbers, Shop, TrackingUrl, Values, values};
use super::{LANGUAGE, Templates};
use crate::Channel;

/// Why templates are not used: every fault, with its file and line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("templates: {}", .faults.join("; "))]
pub struct TemplateError {
    /// What is wrong, a text each.
    pub faults: Vec<String>,
}

impl TemplateError {
    pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self { faults: vec![format!("{}: {error}", path.display())] }
    }
}

/// A fault as people read it: the file, the line, and what is wrong there.
pub(super) fn fault(sources: &[Source], name: &str, error: &Error) -> String {
    let error = innermost(error);
    let name = error.name().unwrap_or(name);
    let name = name.strip_suffix("/subject").unwrap_or(name);
    let shown = sources.iter().find(|source| source.name == name);
    let shown = shown.map_or(name, |source| source.shown.as_str());
    let line = error.line().unwrap_or(1);
    let text = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => "runs without end".to_owned(),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    };
    format!("{shown}:{line}: {text}")
}

/// Of a failed include, the error in the included file.
pub(super) fn innermost(error: &Error) -> &Error {
    let mut error = error;
    while let Some(cause) = std::error::Error::source(error).and_then(|one| one.downcast_ref()) {
        error = cause;
    }
    error
}

/// What is wrong with templates that parse: variables that their message does not have or, where
/// there are none, whatever fails when they are rendered with made-up facts.
pub(super) fn faults(templates: &Templates, sources: &[Source]) -> Vec<String> {
    let samples: Vec<Sample> = [true, false].into_iter().filter_map(Sample::new).collect();
    let unknown = sources.iter().flat_map(|source| {
        let kinds = kinds_of(source, source.is_part());
        unknown_variables(templates, source, &kinds, &samples)
    });
    let unknown: BTreeSet<String> = unknown.collect();
    if !unknown.is_empty() {
        return unknown.into_iter().collect();
    }
    let mut faults = BTreeSet::new();
    for source in sources {
        let kinds = kinds_of(source, false);
        let facts =
            samples.iter().flat_map(|sample| kinds.iter().flat_map(|kind| sample.facts(*kind)));
        for fact in facts {
            let values = sample_values(&fact, source.language());
            for (name, _) in source.parts() {
                let rendered = templates.environment.get_template(&name);
                let rendered = rendered.and_then(|template| template.render(values.clone()));
                faults.extend(rendered.err().map(|error| fault(sources, &name, &error)));
            }
        }
    }
    faults.into_iter().collect()
}

/// The kinds of messages that a template is for; all of them where `any`.
fn kinds_of(source: &Source, any: bool) -> Vec<Kind> {
    let is_of = |kind: &Kind| {
        let names = [Channel::Email, Channel::Sms].map(|channel| files::name(*kind, channel));
        any || names.iter().any(|name| name == source.file())
    };
    Kind::all().filter(is_of).collect()
}

fn sample_values(fact: &shared_events::contract::OrderFact, language: &str) -> Values {
    let tracking =
        TrackingUrl { carrier: "text".to_owned(), url: "https://x/{tracking}".to_owned() };
    let name = fact.order().contact.email.is_some().then(|| "Shop".to_owned());
    let shop = Shop { name, tracking: vec![tracking] };
    let locale: Locale = language.parse().unwrap_or_default();
    values(fact, &shop, language, &locale, &Numbers::of(language))
}

/// Variables that no message of these kinds has, each at the first line that names it.
fn unknown_variables(
    templates: &Templates,
    source: &Source,
    kinds: &[Kind],
    samples: &[Sample],
) -> Vec<String> {
    let facts = samples.iter().flat_map(|sample| kinds.iter().flat_map(|kind| sample.facts(*kind)));
    let known: BTreeSet<String> =
        facts.flat_map(|fact| paths(&sample_values(&fact, LANGUAGE))).collect();
    let globals: BTreeSet<&str> = templates.environment.globals().map(|(name, _)| name).collect();
    let compiled = [source.name.clone(), subject_of(&source.name)];
    let compiled = compiled.iter().filter_map(|name| templates.environment.get_template(name).ok());
    let named: BTreeSet<String> =
        compiled.flat_map(|template| template.undeclared_variables(true)).collect();
    let unknown = named.into_iter().filter(|path| {
        let root = path.split('.').next().unwrap_or_default();
        !known.contains(path) && !globals.contains(root)
    });
    let roots: BTreeSet<&str> = known.iter().filter_map(|path| path.split('.').next()).collect();
    let roots = roots.into_iter().collect::<Vec<_>>().join(", ");
    unknown
        .map(|path| {
            let line = source.text.lines().position(|line| line.contains(&path)).unwrap_or(0) + 1;
            format!("{}:{line}: unknown variable {path}; there are {roots}", source.shown)
        })
        .collect()
}

/// Every variable and attribute, and the kinds that have it.
pub(super) fn variables() -> BTreeMap<String, Vec<Kind>> {
    let mut variables: BTreeMap<String, Vec<Kind>> = BTreeMap::new();
    let sample = Sample::new(true);
    for kind in Kind::all() {
        let facts = sample.iter().flat_map(|sample| sample.facts(kind));
        let paths: BTreeSet<String> =
            facts.flat_map(|fact| paths(&sample_values(&fact, LANGUAGE))).collect();
        for path in paths {
            variables.entry(path).or_default().push(kind);
        }
    }
    variables
}

/// Every variable of a message, with its attributes: `order`, `order.id` …
fn paths(values: &Values) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for (name, value) in values {
        add_paths(&mut paths, name.clone(), value);
    }
    paths
}

fn add_paths(paths: &mut BTreeSet<String>, path: String, value: &Value) {
    if value.kind() == ValueKind::Seq {
        if let Ok(first) = value.get_item_by_index(0) {
            add_paths(paths, format!("{path}[]"), &first);
        }
    } else if value.kind() == ValueKind::Map
        && let Ok(names) = value.try_iter()
    {
        for name in names {
            if let Ok(inner) = value.get_item(&name) {
                add_paths(paths, format!("{path}.{name}"), &inner);
            }
        }
    }
    paths.insert(path);
}
