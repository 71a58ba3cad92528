//! How wide a text is, in the embedded fonts, and how it is made to fit: wrapped, or cut with an
//! ellipsis where a chart of a run has room for one line only.
//!
//! The one measure of every chart. A viewer's own sans-serif is narrower than the embedded DejaVu
//! or as wide, so what fits here fits there.

use plotters::style::{FontDesc, FontFamily, FontStyle, register_font};
use std::sync::OnceLock;

/// The font's line height, by which plotters asks for a size.
pub const LINE_HEIGHT: f64 = 1.164;
const FINE: f64 = 1000.0;
/// Em per character where the fonts cannot be read.
const GUESS: f64 = 0.62;

pub fn fonts() -> Result<(), &'static str> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    let registered = REGISTERED.get_or_init(|| {
        let regular = include_bytes!("../../../assets/DejaVuSans.subset.ttf");
        let bold = include_bytes!("../../../assets/DejaVuSans-Bold.subset.ttf");
        register_font("sans-serif", FontStyle::Normal, regular).is_ok()
            && register_font("sans-serif", FontStyle::Bold, bold).is_ok()
    });
    if *registered { Ok(()) } else { Err("the embedded fonts are damaged") }
}

pub fn width(text: &str, size: f64, bold: bool) -> f64 {
    let weight = if bold { FontStyle::Bold } else { FontStyle::Normal };
    let font =
        || FontDesc::new(FontFamily::SansSerif, FINE * LINE_HEIGHT, weight).layout_box(text).ok();
    match fonts().ok().and_then(|()| font()) {
        Some(((left, _), (right, _))) => f64::from(right - left) / FINE * size,
        None => text.chars().count() as f64 * GUESS * size,
    }
}

/// The text, cut with an ellipsis where it is wider than `room`.
pub fn fit(text: &str, size: f64, bold: bool, room: f64) -> String {
    if width(text, size, bold) <= room {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars() {
        let longer = format!("{kept}{c}");
        if width(&format!("{longer}…"), size, bold) > room {
            break;
        }
        kept = longer;
    }
    format!("{}…", kept.trim_end())
}

/// Lines no wider than `room`, broken at spaces; a word that is wider by itself is broken behind
/// its marks, and one without any of them anywhere.
pub fn wrap(text: &str, size: f64, bold: bool, room: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if width(&longer, size, bold) <= room {
            line = longer;
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        for piece in pieces(word) {
            let longer = format!("{line}{piece}");
            if width(&longer, size, bold) <= room {
                line = longer;
                continue;
            }
            if !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            for c in piece.chars() {
                let longer = format!("{line}{c}");
                if !line.is_empty() && width(&longer, size, bold) > room {
                    lines.push(std::mem::take(&mut line));
                    line.push(c);
                } else {
                    line = longer;
                }
            }
        }
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// The parts between which a word may be broken: `redis-` and `streams`.
fn pieces(word: &str) -> impl Iterator<Item = &str> {
    word.split_inclusive(['-', '=', ',', '/', '.', '_'])
}

/// The width of what `wrap` breaks last.
pub fn widest_piece(text: &str, size: f64, bold: bool) -> f64 {
    let pieces = text.split_whitespace().flat_map(pieces);
    pieces.map(|piece| width(piece, size, bold)).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_those_of_the_font() {
        // DejaVu Sans: `i` is 0.278 em, `m` 0.974 em.
        assert!((width("i", 100.0, false) - 27.8).abs() < 0.2);
        assert!((width("mm", 10.0, false) - 19.48).abs() < 0.1);
        assert!(width("mm", 10.0, true) > width("mm", 10.0, false));
    }

    #[test]
    fn the_fonts_have_every_mark() {
        let none = width("\u{e000}", 1000.0, false);
        let flags = crate::report::marks::FLAGS.map(|(mark, _)| mark);
        for mark in flags.into_iter().chain(["←", "→", "✓", "✗", "◐", "‡"]) {
            assert_ne!(width(mark, 1000.0, false), none, "{mark}");
        }
    }

    #[test]
    fn nothing_is_wider_than_its_room() {
        let text = "◐ right for redis-pubsub at message.size=100B, antidisestablishmentarianism";
        for room in [30.0, 60.0, 200.0] {
            let lines = wrap(text, 12.0, true, room);
            assert!(lines.iter().all(|line| width(line, 12.0, true) <= room), "{room}: {lines:?}");
            assert_eq!(lines.concat().replace(' ', ""), text.replace(' ', ""), "nothing is lost");
            assert!(width(&fit(text, 12.0, false, room), 12.0, false) <= room);
        }
        assert_eq!(wrap("one two", 12.0, false, 1000.0), ["one two"]);
        assert_eq!(fit("short", 12.0, false, 100.0), "short");
    }

    #[test]
    fn a_long_name_is_broken_behind_its_marks() {
        let name = "redis-streams-aof-everysec";
        assert_eq!(wrap(name, 12.0, false, 100.0), ["redis-streams-", "aof-everysec"]);
        let widest = widest_piece(name, 12.0, false);
        assert!(wrap(name, 12.0, false, widest).iter().all(|line| name.contains(line.as_str())));
        assert!(widest >= width("streams-", 12.0, false));
    }
}
