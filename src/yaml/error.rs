//! Errors of scenario files and overrides: file, line, key, value, what is wrong, and one thing to
//! do about it.
//!
//! A [`Problem`] knows the key; a [`ScenarioError`] also knows the place and the text around it.
//! Nothing that looks like a secret is ever shown.

use super::tree::{Layer, Place, YamlNode};
use crate::sanitize;
use serde::de;
use std::fmt;

/// What is wrong with one key.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{what}")]
pub struct Problem {
    /// From the root to the key.
    pub path: Vec<String>,
    /// The key is wrong, not its value.
    pub of_key: bool,
    pub place: Option<Place>,
    pub value: Option<String>,
    pub what: Box<str>,
    pub remedy: Box<str>,
}

impl Problem {
    pub fn new<S: Into<String>>(
        path: impl IntoIterator<Item = S>,
        what: impl fmt::Display,
        remedy: &str,
    ) -> Self {
        let (path, what) = (path.into_iter().map(Into::into).collect(), what.to_string().into());
        Self { path, of_key: false, place: None, value: None, what, remedy: remedy.into() }
    }

    /// Points at the key rather than at its value.
    pub fn of_key(self) -> Self {
        Self { of_key: true, ..self }
    }

    pub fn at(self, place: &Place) -> Self {
        Self { place: Some(place.clone()), ..self }
    }

    /// The same of a value that stands below `path`.
    pub fn inside<S: Into<String>>(mut self, path: impl IntoIterator<Item = S>) -> Self {
        self.path.splice(0..0, path.into_iter().map(Into::into));
        self
    }

    /// Looks up where the key stands.
    pub fn located(mut self, tree: &YamlNode) -> Self {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let place = self.place.take().or_else(|| tree.nearest_place(&path, self.of_key).cloned());
        let value = self.value.take().or_else(|| tree.get(&path).and_then(YamlNode::scalar));
        Self { place, value, ..self }
    }

    pub fn key(&self) -> String {
        let mut key = String::new();
        for segment in &self.path {
            match segment.parse::<usize>() {
                Ok(index) => key += &format!("[{index}]"),
                Err(_) if key.is_empty() => key += segment,
                Err(_) => key += &format!(".{segment}"),
            }
        }
        key
    }

    /// Makes it an error that a reader can act upon.
    pub fn into_error(mut self, source: &str, text: &str) -> ScenarioError {
        let secret = is_secret(&self.key());
        if secret {
            self.value = self.value.map(|_| HIDDEN.to_owned());
        }
        self.place = self.place.filter(|place| place.line > 0 || place.layer.is_flag());
        let number = self.place.as_ref().map_or(0, |place| place.line as usize);
        let line = number.checked_sub(1).filter(|_| !secret).and_then(|at| text.lines().nth(at));
        ScenarioError {
            source: source.to_owned(),
            line: line.map(str::to_owned),
            problem: Box::new(self),
        }
    }
}

impl de::Error for Problem {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self::new::<String>([], what, "")
    }
    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::custom(format_args!("expected {}, found {found}", in_words(&expected.to_string())))
    }
    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(found, expected)
    }
    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new::<String>([], "unknown key", &suggest(field, expected.iter().copied())).of_key()
    }
    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let expected = expected.iter().copied().filter(|name| *name != "fake");
        Self::new::<String>([], "unknown value", &suggest(variant, expected))
    }
    fn missing_field(field: &'static str) -> Self {
        Self::new([field], "this key is missing", &format!("add `{field}:`"))
    }
}

/// Rust's type names, for people.
fn in_words(expected: &str) -> String {
    match expected {
        "u16" => "a whole number from 0 to 65535".into(),
        "u32" => "a whole number from 0 to 4294967295".into(),
        "u64" => "a whole number".into(),
        "f64" => "a number".into(),
        struct_name if struct_name.starts_with("struct ") => "a map of keys and values".into(),
        other => other.to_owned(),
    }
}

/// `did you mean` for what is nearly right, else the whole list.
pub fn suggest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let score =
        |name: &str| strsim::damerau_levenshtein(&found.to_lowercase().replace('_', "-"), name);
    let best = known.iter().map(|name| (score(name), *name)).min();
    match best {
        Some((distance, name)) if distance <= 1 + name.len() / 4 => {
            format!("did you mean `{name}`?")
        }
        _ if known.is_empty() => String::new(),
        _ => format!("known: {}", known.join(", ")),
    }
}

pub const HIDDEN: &str = "(hidden)";

/// Whether the value of this key must not appear in logs, results and errors.
pub fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    // Keys of messages open nothing.
    if key.contains("message.key") {
        return false;
    }
    let words =
        "password passphrase secret token requirepass masterauth jaas credential .key. .pem";
    words.split(' ').any(|word| key.contains(word)) || key.ends_with(".key")
}

/// A scenario that cannot be used, in words for its author. Exit code 2.
#[derive(Debug, Clone, PartialEq)]
pub struct ScenarioError {
    /// The file, or the name that was asked for.
    source: String,
    line: Option<String>,
    pub problem: Box<Problem>,
}

impl ScenarioError {
    /// An error about the file as a whole.
    pub fn of_source(source: &str, what: impl fmt::Display, remedy: &str) -> Self {
        Problem::new::<String>([], what, remedy).into_error(source, "")
    }
}

impl std::error::Error for ScenarioError {}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, line, problem } = self;
        let Problem { place, value, what, remedy, .. } = &**problem;
        match place {
            Some(Place { layer, .. }) if layer.is_flag() => write!(f, "{layer}")?,
            Some(place) => write!(f, "{}:{}:{}", printable(source), place.line, place.column)?,
            None => f.write_str(&printable(source))?,
        }
        let key = problem.key();
        if !key.is_empty() {
            write!(f, ": `{}`", printable(&key))?;
        }
        if let Some(value) = value {
            write!(f, " = `{}`", printable(value))?;
        }
        if let Some(Place { layer: layer @ Layer::Profile(_), .. }) = place {
            write!(f, " ({layer})")?;
        }
        write!(f, ": {}", printable(what))?;
        if let (Some(line), Some(place)) = (line, place) {
            let line: String = printable(line).chars().take(160).collect();
            let (number, width) = (place.line, place.line.to_string().len());
            write!(
                f,
                "\n {number} | {line}\n {:width$} | {:>2$}",
                "",
                "^",
                place.column.clamp(1, 161) as usize
            )?;
        }
        if !remedy.is_empty() {
            write!(f, "\n {}", printable(remedy))?;
        }
        Ok(())
    }
}

/// Text of a file as it may go to a terminal.
/// A line break is what may be wrong with it, so it is seen.
fn printable(text: &str) -> String {
    sanitize::line(&text.replace('\n', "\u{fffd}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_suggested_and_far_ones_listed() {
        assert_eq!(suggest("durration", ["rate", "duration"]), "did you mean `duration`?");
        assert_eq!(suggest("in_flight", ["in-flight"]), "did you mean `in-flight`?");
        assert_eq!(suggest("zzzzzz", ["rate", "duration"]), "known: rate, duration");
    }

    #[test]
    fn secrets_are_hidden_in_value_and_line() {
        let place = Place { layer: Layer::File, line: 1, column: 1 };
        let mut problem = Problem::new(["client", "sasl.password"], "not here", "").at(&place);
        problem.value = Some("hunter2".into());
        let text = problem.into_error("x.yaml", "sasl.password: hunter2").to_string();
        assert!(!text.contains("hunter2") && text.contains(HIDDEN), "{text}");
    }

    #[test]
    fn control_characters_of_a_file_do_not_reach_the_terminal() {
        let text = ScenarioError::of_source("a\u{1b}[2J.yaml", "bad", "").to_string();
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }
}
