//! `--tag key=value`: what a user wants to find a run by later. Kept in its manifest, shown on its
//! page and in lists.

use super::exit::{Code, Failure};
use crate::sanitize;
use std::collections::BTreeMap;

const LONGEST_KEY: usize = 40;
/// Letters.
const LONGEST_VALUE: usize = 100;

/// One tag as typed. The error says what is allowed.
pub fn parse(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it like `--tag change=batch-size`")?;
    let (key, value) = (key.trim(), value.trim());
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
    if key.is_empty() || key.len() > LONGEST_KEY || !key.bytes().all(plain) {
        return Err(format!(
            "its name may hold a to z, 0 to 9, `-`, `_` and `.`, {LONGEST_KEY} of them at most"
        ));
    }
    if value.is_empty() || value.chars().count() > LONGEST_VALUE || sanitize::line(value) != value {
        return Err(format!(
            "its value is 1 to {LONGEST_VALUE} letters on one line, without control characters"
        ));
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// All of a command; each key once.
pub fn all(tags: &[(String, String)]) -> Result<BTreeMap<String, String>, Failure> {
    let mut all = BTreeMap::new();
    for (key, value) in tags {
        if let Some(other) = all.insert(key.clone(), value.clone()) {
            let text = format!(
                "--tag {key}: stands twice, as `{other}` and as `{value}`: give each key once"
            );
            return Err(Failure::new(Code::Usage, text));
        }
    }
    Ok(all)
}

/// `change=batch-size, host=laptop`.
pub fn in_words(tags: &BTreeMap<String, String>) -> String {
    tags.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_and_harmless_values() {
        let tag = |key: &str, value: &str| Ok((key.to_owned(), value.to_owned()));
        assert_eq!(parse("change=batch 2"), tag("change", "batch 2"));
        assert_eq!(parse("a.b_c-1 = x=y"), tag("a.b_c-1", "x=y"));
        let longest = format!("{}={}", "k".repeat(40), "ü".repeat(100));
        assert!(parse(&longest).is_ok());
        for (text, why) in [
            ("change", "like `--tag"),
            ("=x", "its name"),
            ("A=x", "its name"),
            ("a b=x", "its name"),
            (&"k".repeat(41), "like `--tag"),
            (&format!("{}=x", "k".repeat(41)), "its name"),
            ("a=", "its value"),
            ("a=\u{1b}[31m", "its value"),
            ("a=x\ny", "its value"),
            ("a=\u{202e}x", "its value"),
            (&format!("a={}", "ü".repeat(101)), "its value"),
        ] {
            assert!(parse(text).unwrap_err().contains(why), "{text:?}");
        }
    }

    #[test]
    fn a_key_stands_once() {
        let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let known = all(&[tag("b", "2"), tag("a", "1")]).unwrap();
        assert_eq!(in_words(&known), "a=1, b=2");
        let failure = all(&[tag("a", "1"), tag("a", "2")]).unwrap_err();
        assert_eq!(failure.code, Code::Usage);
        assert!(failure.message.contains("--tag a") && failure.message.contains("once"));
    }
}
