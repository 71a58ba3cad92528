//! Colour, laid over text that is harmless already: the marks with which lines begin carry the
//! meaning, with colour or without. Whether it is shown is decided where it is printed.

use anstyle::{AnsiColor, Style};

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const OPEN: Style = AnsiColor::Yellow.on_default();

/// What our lines begin with, indented or not, and a space behind it.
const MARKS: [(&str, Style); 14] = [
    ("✓", GOOD),
    ("ok", GOOD),
    ("✗", BAD),
    ("FAIL", BAD),
    ("FAIL:", BAD),
    ("error:", BAD),
    ("invalid:", BAD),
    ("violated:", BAD),
    ("stalled:", BAD),
    ("?", OPEN),
    ("warn", OPEN),
    ("warning:", OPEN),
    ("overloaded:", OPEN),
    ("unsteady:", OPEN),
];

/// Colours the mark of every line that has one.
pub fn paint(text: &str) -> String {
    text.split_inclusive('\n').map(line).collect()
}

fn line(line: &str) -> String {
    let rest = line.trim_start_matches(' ');
    let indent = &line[..line.len() - rest.len()];
    let mark = rest.split_once(' ').map_or("", |(mark, _)| mark);
    match MARKS.iter().find(|(known, _)| *known == mark) {
        Some((_, style)) => format!("{indent}{style}{mark}{style:#}{}", &rest[mark.len()..]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_coloured_and_nothing_else_is() {
        let text = "✓ held\n  FAIL java\n│ ✓ right │\nwarning: x\nokay then\n?\n";
        let painted = paint(text);
        let expected = format!(
            "{GOOD}✓{GOOD:#} held\n  {BAD}FAIL{BAD:#} java\n│ ✓ right │\n\
             {OPEN}warning:{OPEN:#} x\nokay then\n?\n"
        );
        assert_eq!(painted, expected);
        assert_eq!(anstream::adapter::strip_str(&painted).to_string(), text, "it adds no letter");
        assert_eq!(paint(""), "");
    }
}
