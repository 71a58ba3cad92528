//! Names and reasons come from files that anyone may have written: they must stay text wherever
//! they are put. HTML pages escape through their templates; these are the other formats. All of
//! them show [`plain`] text.

use crate::sanitize;

pub use crate::sanitize::csv;

/// Plain text, its characters of XML as entities, `\` before those of `marks`.
fn escaped(text: &str, marks: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            c => {
                out.extend(marks.contains(c).then_some('\\'));
                out.push(sanitize::shown(c));
            }
        }
    }
    out
}

/// For XML text and attributes.
pub fn xml(text: &str) -> String {
    escaped(text, "").replace('"', "&quot;").replace('\'', "&#39;")
}

/// For a cell or paragraph of Markdown: no markup, no HTML, no link, no new cell, one line.
pub fn markdown(text: &str) -> String {
    escaped(text, r"|\`*_[]#~!")
}

/// Whether a text may be a link: an address of the web that leaves no place for markup.
pub fn is_address(text: &str) -> bool {
    let plain =
        |c: char| c.is_ascii_graphic() && !matches!(c, '<' | '>' | '"' | '\'' | '`' | '|' | '\\');
    text.strip_prefix("https://").is_some_and(|rest| !rest.is_empty() && rest.chars().all(plain))
}

pub fn markdown_address(text: &str) -> String {
    if is_address(text) { format!("<{text}>") } else { markdown(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_stay_text() {
        assert_eq!(xml("<a href='x'>&\u{1b}"), "&lt;a href=&#39;x&#39;&gt;&amp;\u{fffd}");
        assert_eq!(
            markdown("a|b\n[x](y) <img> end_to_end `c` *d*"),
            "a\\|b \\[x\\](y) &lt;img&gt; end\\_to\\_end \\`c\\` \\*d\\*"
        );
        assert_eq!(
            markdown_address("https://redis.io/docs/a_b#c"),
            "<https://redis.io/docs/a_b#c>"
        );
        for bad in [
            "http://redis.io",
            "javascript:alert(1)",
            "https://",
            "https://a b",
            "https://a\"onclick",
            "https://a|b",
        ] {
            assert!(!is_address(bad), "{bad}");
            assert_eq!(markdown_address(bad), markdown(bad));
        }
    }
}
