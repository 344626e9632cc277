use std::path::Path;

use include_dir::{Dir, include_dir};
use shared_events::contract::Locale;

use super::check::TemplateError;
use super::kind::Kind;
use crate::Channel;

static BUILT_IN: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/templates");

/// Bytes of a template.
const SIZE_MAX: usize = 64 * 1024;
/// How the first line of a mail template begins.
const SUBJECT: &str = "Subject:";

/// A template before it is compiled.
pub(super) struct Source {
    /// Language and file: `de/confirmed.email.txt`.
    pub(super) name: String,
    /// The file, as faults show it.
    pub(super) shown: String,
    pub(super) text: String,
}

impl Source {
    pub(super) fn language(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }

    pub(super) fn file(&self) -> &str {
        self.name.split('/').next_back().unwrap_or_default()
    }

    /// Whether other templates include it, and no message is made of it alone.
    pub(super) fn is_part(&self) -> bool {
        self.file().starts_with('_')
    }

    /// What is compiled: name and text. A mail is two, its subject and its body.
    pub(super) fn parts(&self) -> Vec<(String, String)> {
        match mail_parts(&self.name, &self.text) {
            Some((subject, body)) => {
                // A comment in the place of the header, so that lines keep their numbers.
                let body = format!("{{#\n\n#}}{body}");
                vec![(subject_of(&self.name), subject.to_owned()), (self.name.clone(), body)]
            }
            None => vec![(self.name.clone(), self.text.clone())],
        }
    }
}

/// The subject and the body of a mail template.
fn mail_parts<'a>(name: &str, text: &'a str) -> Option<(&'a str, &'a str)> {
    let header = name.ends_with(".email.txt").then_some(text)?;
    let (first, rest) = header.split_once('\n')?;
    let (empty, body) = rest.split_once('\n')?;
    let subject = first.strip_prefix(SUBJECT)?.trim();
    (empty.trim().is_empty() && !subject.is_empty()).then_some((subject, body))
}

/// The file of a kind and channel.
pub(super) fn name(kind: Kind, channel: Channel) -> String {
    format!("{}.{}.txt", kind.code().to_ascii_lowercase(), channel.code().to_ascii_lowercase())
}

/// The name of a mail's subject among the compiled templates.
pub(super) fn subject_of(mail: &str) -> String {
    format!("{mail}/subject")
}

/// The built-in templates.
pub(super) fn built_in() -> Vec<Source> {
    let files = BUILT_IN.dirs().flat_map(Dir::files);
    let source = |file: &include_dir::File<'_>| {
        let name = file.path().to_str()?.to_owned();
        let text = file.contents_utf8()?.to_owned();
        Some(Source { shown: format!("built-in {name}"), name, text })
    };
    files.filter_map(source).collect()
}

/// The templates of a directory, and what is wrong with their names and headers.
///
/// # Errors
/// What cannot be read.
pub(super) fn read(directory: &Path) -> Result<(Vec<Source>, Vec<String>), TemplateError> {
    let (mut sources, mut faults) = (Vec::new(), Vec::new());
    for (language, path) in entries(directory)? {
        let known = language.parse::<Locale>().is_ok_and(|locale| locale.as_str() == language);
        if !known || !path.is_dir() {
            let fault = "not a directory named by a language, such as en or de-AT";
            faults.push(format!("{}: {fault}", path.display()));
            continue;
        }
        for (file, path) in entries(&path)? {
            if let Some(fault) = unusable_name(&file) {
                faults.push(format!("{}: {fault}", path.display()));
                continue;
            }
            let text = std::fs::read_to_string(&path)
                .map_err(|error| TemplateError::unreadable(&path, &error))?;
            let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
            let (name, shown) = (format!("{language}/{file}"), path.display().to_string());
            if text.len() > SIZE_MAX {
                faults.push(format!("{shown}: larger than {SIZE_MAX} bytes"));
            } else if file.ends_with(".email.txt") && mail_parts(&name, &text).is_none() {
                let fault = "a mail begins with `Subject: …`, then an empty line";
                faults.push(format!("{shown}:1: {fault}"));
            }
            sources.push(Source { name, shown, text });
        }
    }
    Ok((sources, faults))
}

/// The names in a directory, sorted, without hidden files.
fn entries(directory: &Path) -> Result<Vec<(String, std::path::PathBuf)>, TemplateError> {
    let unreadable = |error: std::io::Error| TemplateError::unreadable(directory, &error);
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            entries.push((name, entry.path()));
        }
    }
    entries.sort();
    Ok(entries)
}

/// Why a file would never be used.
fn unusable_name(file: &str) -> Option<String> {
    if file.starts_with('_') && file.ends_with(".txt") {
        return None;
    }
    let both = [Channel::Email, Channel::Sms];
    let mut names = Kind::all().flat_map(|kind| both.map(|channel| name(kind, channel)));
    if names.any(|known| known == file) {
        return None;
    }
    let kinds: Vec<_> = Kind::all().map(|kind| kind.code().to_ascii_lowercase()).collect();
    Some(format!(
        "not the name of a template: KIND.email.txt, KIND.sms.txt, or _NAME.txt to be included; \
         kinds are {}",
        kinds.join(", ")
    ))
}
