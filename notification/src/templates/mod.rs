//! Texts of messages: the built-in templates, and those of the shop over them. One file per
//! language, kind and channel. Never here: who gets a message, or how it is sent.

mod check; // faults, found before a template is used
mod files; // where templates come from, and how they are named
mod kind;
mod lines; // the variables about lines, and what they cost
mod sample;
mod values; // the variables

pub use check::TemplateError;
pub use kind::Kind;
pub use values::{Shop, TrackingUrl};

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, LazyLock};

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};
use shared_events::contract::{Locale, OrderFact};

use crate::Channel;
use files::Source;
use values::{Numbers, values};

/// The language of operators, and of customers whose own has no templates.
const LANGUAGE: &str = "en";
/// Steps of one template, so that none runs without end: a mail of 100 lines takes some 2,000.
const FUEL: u64 = 200_000;
/// Characters of a subject line that are kept.
const SUBJECT_MAX: usize = 200;

/// The templates of all messages.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
    names: Arc<BTreeSet<String>>,
}

/// The text of a message.
pub(crate) struct Text {
    pub(crate) subject: String,
    pub(crate) body: String,
}

static BUILT_IN: LazyLock<Arc<Templates>> =
    LazyLock::new(|| Arc::new(Templates::compiled(&files::built_in()).0));

impl Templates {
    /// The built-in templates, in English and German.
    #[must_use]
    pub fn built_in() -> Arc<Self> {
        Arc::clone(&BUILT_IN)
    }

    /// Those in a directory, and the built-in ones for what it does not have.
    ///
    /// # Errors
    /// [`TemplateError`] with every fault, its file and its line.
    pub fn from_directory(directory: &Path) -> Result<Arc<Self>, TemplateError> {
        let (own, mut faults) = files::read(directory)?;
        let mut sources = files::built_in();
        sources.retain(|source| !own.iter().any(|one| one.name == source.name));
        sources.extend(own);
        let (templates, unparsed) = Self::compiled(&sources);
        faults.extend(unparsed);
        if faults.is_empty() {
            faults = check::faults(&templates, &sources);
        }
        if faults.is_empty() { Ok(Arc::new(templates)) } else { Err(TemplateError { faults }) }
    }

    /// Every variable and attribute, and the kinds of messages that have it: `order.id`,
    /// `lines[].sku` …
    #[must_use]
    pub fn variables() -> BTreeMap<String, Vec<Kind>> {
        check::variables()
    }

    /// Compiles all, and lists those that do not parse.
    fn compiled(sources: &[Source]) -> (Self, Vec<String>) {
        let names: BTreeSet<String> = sources.iter().map(|source| source.name.clone()).collect();
        let names = Arc::new(names);
        let mut environment = Environment::new();
        let mut syntax = SyntaxConfig::builder();
        syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true);
        if let Ok(syntax) = syntax.build() {
            environment.set_syntax(syntax);
        }
        environment.set_debug(false);
        environment.set_fuel(Some(FUEL));
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        // Plain text: nothing is escaped.
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        let known = Arc::clone(&names);
        environment.set_path_join_callback(move |name, parent| {
            let language = parent.split('/').next().unwrap_or(LANGUAGE);
            let mut places = languages(language).map(|language| format!("{language}/{name}"));
            places.find(|place| known.contains(place)).unwrap_or_else(|| name.to_owned()).into()
        });
        let mut faults = Vec::new();
        for source in sources {
            for (name, text) in source.parts() {
                if let Err(error) = environment.add_template_owned(name, text) {
                    faults.push(check::fault(sources, &source.name, &error));
                }
            }
        }
        (Self { environment, names }, faults)
    }

    /// The text of the message about a fact: in the customer's language, or the next that has it.
    /// Where a template of the shop's own fails, by the built-in one.
    pub(crate) fn text(
        &self,
        fact: &OrderFact,
        channel: Channel,
        shop: &Shop,
        locale: &Locale,
    ) -> Text {
        let kind = Kind::of(fact).map_or("FACT", Kind::code);
        let own = self.rendered(fact, channel, shop, locale).map_err(|error| {
            // Its detail may show personal data.
            let error = check::innermost(&error);
            let (line, template) = (error.line(), error.name());
            tracing::error!(kind, template, line, error = ?error.kind(), "template failed");
        });
        let text = own.or_else(|()| BUILT_IN.rendered(fact, channel, shop, locale).map_err(drop));
        text.unwrap_or_else(|()| {
            let subject = format!("{kind} {}", fact.order().order_id);
            Text { body: format!("{subject}\n"), subject }
        })
    }

    fn rendered(
        &self,
        fact: &OrderFact,
        channel: Channel,
        shop: &Shop,
        locale: &Locale,
    ) -> Result<Text, Error> {
        let kind = Kind::of(fact).ok_or(ErrorKind::TemplateNotFound)?;
        let (mail, sms) = (files::name(kind, Channel::Email), files::name(kind, Channel::Sms));
        let has = |language: &str, name: &str| self.names.contains(&format!("{language}/{name}"));
        let sms_too = channel == Channel::Sms;
        let language = languages(locale.as_str())
            .find(|language| has(language, &mail) || (sms_too && has(language, &sms)))
            .unwrap_or(LANGUAGE);
        let same = locale.language() == language.split('-').next().unwrap_or_default();
        let numbers = if same { locale.as_str() } else { language };
        // Clones share it.
        let values = Value::from(values(fact, shop, language, locale, &Numbers::of(numbers)));
        let render = |name: String| self.environment.get_template(&name)?.render(values.clone());
        if sms_too && has(language, &sms) {
            let body = render(format!("{language}/{sms}"))?.trim().to_owned();
            return Ok(Text { subject: one_line(&body), body });
        }
        let mail = format!("{language}/{mail}");
        let subject = one_line(&render(files::subject_of(&mail))?);
        // Without a template of its own, an SMS is the subject of the mail.
        let body = match channel {
            Channel::Sms => subject.clone(),
            _ => render(mail)?.trim().to_owned() + "\n",
        };
        Ok(Text { subject, body })
    }
}

/// A locale and what it falls back to: `de-AT`, `de`, `en`.
fn languages(locale: &str) -> impl Iterator<Item = &str> {
    let tags = std::iter::successors(Some(locale), |tag| Some(tag.rsplit_once('-')?.0));
    tags.chain([LANGUAGE])
}

/// As a header field takes it: on one line.
fn one_line(text: &str) -> String {
    let line = text.split(char::is_control).map(str::trim).filter(|part| !part.is_empty());
    let line = line.collect::<Vec<_>>().join(" ");
    line.chars().take(SUBJECT_MAX).collect()
}
