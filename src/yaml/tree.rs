//! A scenario file as a tree in which every value knows where it came from.
//!
//! File, profile, `--set`, `--sweep` and matrix points all write into the same tree, so that one
//! decoder serves them and every error can point at its cause. The tree knows YAML, not the meaning
//! of keys.

use super::error::Problem;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, MessageFormatter, Spanned};
use std::fmt;

/// Which layer a value was written by. Its text form is the origin shown by `explain`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layer {
    File,
    Profile(String),
    Set,
    Sweep,
    Seed,
}

impl Layer {
    pub fn is_flag(&self) -> bool {
        matches!(self, Self::Set | Self::Sweep | Self::Seed)
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("file"),
            Self::Profile(name) => write!(f, "profile {name}"),
            Self::Set => f.write_str("--set"),
            Self::Sweep => f.write_str("--sweep"),
            Self::Seed => f.write_str("--seed"),
        }
    }
}

/// Where a value stands. Line and column count from 1; 0 where there is no file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub layer: Layer,
    pub line: u32,
    pub column: u32,
}

impl Place {
    pub fn flag(layer: Layer) -> Self {
        Self { layer, line: 0, column: 0 }
    }

    fn of(location: Location) -> Self {
        let number = |n: u64| u32::try_from(n).unwrap_or(0);
        Self {
            layer: Layer::File,
            line: number(location.line()),
            column: number(location.column()),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct YamlNode {
    pub value: Value,
    pub place: Place,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<YamlNode>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub key: String,
    pub key_place: Place,
    pub node: YamlNode,
}

impl Entry {
    /// Where to point for this entry: at a plain value, but at the key of a map or list, which may
    /// begin a line later.
    pub fn place(&self) -> &Place {
        if self.node.scalar().is_some() { &self.node.place } else { &self.key_place }
    }
}

/// The largest file that is read, and the deepest nesting: far above any real scenario.
pub const MAX_TEXT: usize = 1 << 20;
const MAX_DEPTH: usize = 16;
const MAX_NODES: usize = 20_000;

/// Splits a dotted key. Below some keys the rest is one raw key with dots
/// of its own (`client.linger.ms`).
pub fn segments(dotted: &str) -> Vec<&str> {
    let (mut path, mut rest) = (Vec::new(), dotted);
    while let Some((head, tail)) = rest.split_once('.').filter(|_| !holds_raw_keys(&path)) {
        path.push(head);
        rest = tail;
    }
    path.push(rest);
    path
}

/// Whether the keys below `path` are raw: names of someone else's settings, or dotted keys.
pub fn holds_raw_keys(path: &[&str]) -> bool {
    matches!(
        path,
        ["matrix"]
            | ["profiles", _]
            | ["systems", _, "broker" | "client"]
            | ["systems", _, "topic", "config"]
    )
}

impl From<serde_saphyr::Error> for Problem {
    fn from(error: serde_saphyr::Error) -> Self {
        let mut what = serde_saphyr::UserMessageFormatter.format_message(&error).into_owned();
        if what.contains("limit") {
            // The library names what was exceeded, and not always how much there may be.
            what = format!(
                "{what} (a scenario has at most {MAX_DEPTH} levels and {MAX_NODES} values)"
            );
        }
        Self { place: error.location().map(Place::of), ..Self::new::<String>([], what, "") }
    }
}

impl YamlNode {
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let options = serde_saphyr::options! {
            with_snippet: false,
            strict_booleans: true,
            leading_zero_numbers_as_strings: true,
            underscored_numbers_as_strings: true,
            merge_keys: serde_saphyr::MergeKeyPolicy::Error,
            budget: serde_saphyr::budget! {
                max_depth: MAX_DEPTH,
                max_nodes: MAX_NODES,
                max_events: 4 * MAX_NODES,
                max_documents: 1,
                max_total_scalar_bytes: MAX_TEXT,
            },
        };
        Ok(serde_saphyr::from_str_with_options::<Spanned<Value>>(text, options)?.into())
    }

    /// A value from a command line: `10`, `true`, `[a, b]`, or plain text.
    pub fn from_flag(text: &str, raw: bool, layer: &Layer) -> Result<Self, Problem> {
        if !raw && text.starts_with(['[', '{']) {
            let mut node = Self::parse(text)?;
            node.relayer(layer);
            return Ok(node);
        }
        let number =
            |text: &str| text.parse::<u64>().ok().filter(|n| n.to_string() == text).map(Into::into);
        let float = |text: &str| text.parse::<f64>().ok().and_then(serde_json::Number::from_f64);
        let value = match text {
            text if raw => Value::Text(text.to_owned()),
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            text => number(text)
                .or_else(|| float(text))
                .map_or_else(|| Value::Text(text.to_owned()), Value::Number),
        };
        Ok(Self { value, place: Place::flag(layer.clone()) })
    }

    /// Its text, if it is a scalar.
    pub fn scalar(&self) -> Option<String> {
        match &self.value {
            Value::Bool(flag) => Some(flag.to_string()),
            Value::Number(number) => Some(number.to_string()),
            Value::Text(text) => Some(text.clone()),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    pub fn entries(&self) -> &[Entry] {
        if let Value::Map(entries) = &self.value { entries } else { &[] }
    }

    fn child(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(entries) => {
                entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
            }
            Value::List(items) => key.parse::<usize>().ok().and_then(|index| items.get(index)),
            _ => None,
        }
    }

    pub fn get(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.child(key))
    }

    /// The place of the value (or the key) at `path`, or of the innermost one that encloses it.
    /// Never of the root: that says nothing.
    pub fn nearest_place(&self, path: &[&str], of_key: bool) -> Option<&Place> {
        let (last, parents) = path.split_last()?;
        let place = self.get(parents).and_then(|parent| match &parent.value {
            Value::Map(entries) => {
                let entry = entries.iter().find(|entry| entry.key == *last)?;
                Some(if of_key { &entry.key_place } else { entry.place() })
            }
            _ => parent.child(last).map(|node| &node.place),
        });
        place.or_else(|| self.nearest_place(parents, false))
    }

    /// Writes `node` at `path`, making the maps on the way. `false` when something that is no map
    /// stands there.
    pub fn set(&mut self, path: &[&str], node: Self) -> bool {
        let Some((key, rest)) = path.split_first() else {
            *self = node;
            return true;
        };
        if self.value == Value::Null {
            self.value = Value::Map(Vec::new());
        }
        let Value::Map(entries) = &mut self.value else { return false };
        if let Some(entry) = entries.iter_mut().find(|entry| entry.key == *key) {
            return entry.node.set(rest, node);
        }
        let place = node.place.clone();
        let mut child = Self { value: Value::Null, place: place.clone() };
        let done = child.set(rest, node);
        entries.push(Entry { key: (*key).to_owned(), key_place: place, node: child });
        done
    }

    pub fn remove(&mut self, path: &[&str]) {
        let Some((key, parents)) = path.split_last() else { return };
        let parent = parents.iter().try_fold(self, |node, key| {
            let Value::Map(entries) = &mut node.value else { return None };
            entries.iter_mut().find(|entry| entry.key == *key).map(|entry| &mut entry.node)
        });
        if let Some(Value::Map(entries)) = parent.map(|node| &mut node.value) {
            entries.retain(|entry| entry.key != *key);
        }
    }

    /// Says that this value was written by another layer. Lines stay those of the file;
    /// a flag has none.
    pub fn relayer(&mut self, layer: &Layer) {
        let change = |place: &mut Place| match layer.is_flag() {
            true => *place = Place::flag(layer.clone()),
            false => place.layer = layer.clone(),
        };
        change(&mut self.place);
        match &mut self.value {
            Value::List(items) => items.iter_mut().for_each(|item| item.relayer(layer)),
            Value::Map(entries) => entries.iter_mut().for_each(|entry| {
                change(&mut entry.key_place);
                entry.node.relayer(layer);
            }),
            _ => {}
        }
    }
}

impl From<Spanned<Value>> for YamlNode {
    fn from(spanned: Spanned<Value>) -> Self {
        Self { value: spanned.value, place: Place::of(spanned.referenced) }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Value, E> {
        serde_json::Number::from_f64(number)
            .map(Value::Number)
            .ok_or_else(|| E::custom("not a finite number"))
    }
    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element::<Spanned<Value>>()? {
            items.push(item.into());
        }
        Ok(Value::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let node = map.next_value::<Spanned<Value>>()?.into();
            entries.push(Entry { key: key.value, key_place: Place::of(key.referenced), node });
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_keys_keep_their_dots() {
        assert_eq!(segments("load.rate"), ["load", "rate"]);
        assert_eq!(segments("systems.k.client.linger.ms"), ["systems", "k", "client", "linger.ms"]);
        assert_eq!(
            segments("systems.k.topic.config.flush.ms"),
            ["systems", "k", "topic", "config", "flush.ms"]
        );
        assert_eq!(segments("systems.k.topic.partitions"), ["systems", "k", "topic", "partitions"]);
        assert_eq!(
            segments("profiles.quick.load.duration"),
            ["profiles", "quick", "load.duration"]
        );
        assert_eq!(segments(""), [""]);
    }

    #[test]
    fn every_value_and_key_knows_its_line() {
        let tree = YamlNode::parse("load:\n  rate: 1k/s\n  sizes: [1, 2]\n").unwrap();
        let rate = tree.get(&["load", "rate"]).unwrap();
        assert_eq!((rate.place.line, rate.place.column), (2, 9));
        assert_eq!(tree.get(&["load", "sizes", "1"]).unwrap().place.line, 3);
        let load = tree.get(&["load"]).unwrap();
        assert_eq!((load.entries()[1].key_place.line, load.entries()[1].key_place.column), (3, 3));
    }

    #[test]
    fn settings_that_look_like_yes_stay_text() {
        let tree = YamlNode::parse("a: yes\nb: 007\nc: 5\nd: '5'\n").unwrap();
        let value = |key| tree.get(&[key]).unwrap().value.clone();
        assert_eq!(value("a"), Value::Text("yes".into()));
        assert_eq!(value("b"), Value::Text("007".into()));
        assert_eq!(value("c"), Value::Number(5.into()));
        assert_eq!(value("d"), Value::Text("5".into()));
    }

    #[test]
    fn writing_makes_maps_and_never_replaces_a_scalar_by_one() {
        let mut tree = YamlNode::parse("a: {b: 1}\nc: ~\n").unwrap();
        let flag = |text| YamlNode::from_flag(text, false, &Layer::Set).unwrap();
        assert!(tree.set(&["a", "b"], flag("2")) && tree.set(&["c", "d"], flag("x")));
        assert!(!tree.set(&["a", "b", "deeper"], flag("2")));
        assert_eq!(tree.get(&["a", "b"]).unwrap().scalar().as_deref(), Some("2"));
        assert_eq!(tree.get(&["c", "d"]).unwrap().place.layer, Layer::Set);
        tree.remove(&["a", "b"]);
        assert!(tree.get(&["a", "b"]).is_none());
    }

    #[test]
    fn bombs_are_refused() {
        let deep = YamlNode::parse(&"[".repeat(500)).unwrap_err();
        assert!(deep.what.contains("at most 16 levels"), "{}", deep.what);
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n\
                    b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n\
                    c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                    d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n\
                    e: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n";
        let large = YamlNode::parse(bomb).unwrap_err();
        assert!(large.what.contains("20000 values"), "{}", large.what);
        assert!(YamlNode::parse("a: 1\na: 2\n").is_err(), "a key that stands twice");
    }
}
