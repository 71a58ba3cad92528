//! Text of others (scenario files, brokers, results, the environment) made harmless to look at:
//! what acts on a terminal or a page instead of being shown by it is replaced, visibly. Escaping
//! for a format comes on top of it.

/// Stands where something was that must not be shown.
const REPLACED: char = '\u{fffd}';

/// Controls (escape sequences begin with one), what turns the direction of writing, what hides
/// between letters, and what no XML may hold.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e007f}')
}

fn breaks(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}')
}

/// As one line.
pub fn line(text: &str) -> String {
    text.chars().map(shown).collect()
}

/// One character of [`line`].
pub fn shown(c: char) -> char {
    match c {
        c if breaks(c) => ' ',
        c if acts(c) => REPLACED,
        c => c,
    }
}

/// With the line breaks that it has.
pub fn lines(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { c } else { shown(c) }).collect()
}

/// JSON with the same meaning; what acts can only stand inside strings,
/// where it has another spelling.
pub fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if acts(c) && c != '\n' {
            let mut units = [0; 2];
            c.encode_utf16(&mut units)
                .iter()
                .for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    out
}

/// For a text cell of CSV, besides quoting: a spreadsheet must not take it for a formula.
pub fn csv(text: &str) -> String {
    let text = line(text);
    // Some look past blanks, and some take the wide forms for the same.
    let formula = text
        .trim_start()
        .starts_with(['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}']);
    if formula { format!("'{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_seen_instead() {
        assert_eq!(
            line("a\u{1b}[31mb\u{9b}c\u{7f}\n\u{202e}d\u{2066}\u{200b}\u{2028}e"),
            "a\u{fffd}[31mb\u{fffd}c\u{fffd} \u{fffd}d\u{fffd}\u{fffd} e"
        );
        assert_eq!(lines("a\r\nb\tc\u{7}"), "a \nb c\u{fffd}");
        for kept in ["Zürich – 10 µs", "→ │ ✓", "日本語 עברית العربية", "\u{1f600}", ""]
        {
            assert_eq!((line(kept), json(kept)), (kept.to_owned(), kept.to_owned()));
        }
    }

    #[test]
    fn json_keeps_its_meaning() {
        let hostile = "a\u{202e}\u{7f}\u{9b}\u{e0041}\"\\\u{1b}\n";
        let text = json(&serde_json::to_string(&hostile).unwrap());
        assert!(text.is_ascii() && !text.chars().any(acts), "{text}");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), hostile);
    }

    #[test]
    fn no_cell_is_a_formula() {
        assert_eq!(csv("=HYPERLINK(\"x\")"), "'=HYPERLINK(\"x\")");
        assert_eq!(csv("@SUM(1)"), "'@SUM(1)");
        assert_eq!(csv("-1+2"), "'-1+2");
        assert_eq!(csv("kafka"), "kafka");
        assert_eq!(csv("\t\u{ff1d}1\u{1b}"), "' \u{ff1d}1\u{fffd}");
    }
}
