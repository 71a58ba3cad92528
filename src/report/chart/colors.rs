//! The colours of charts, each with its name in the style of a page and what it is on dark paper.

/// Red, green, blue.
pub type Color = [u8; 3];

pub const INK: Color = [0x1F, 0x23, 0x28];
pub const MUTED: Color = [0x59, 0x63, 0x6E];
pub const GRID: Color = [0xD8, 0xDE, 0xE4];
/// Behind what lies outside the measured window.
pub const SHADE: Color = [0xF3, 0xF5, 0xF7];
pub const PAPER: Color = [0xFF, 0xFF, 0xFF];
/// Behind the time for which a fault lasts.
pub const BAND: Color = [0xFB, 0xE4, 0xE1];
/// A fault took effect; it was taken back.
pub const BAD: Color = [0xA4, 0x0E, 0x26];
pub const GOOD: Color = [0x0B, 0x6E, 0x4F];
/// What is right in part.
pub const HALF: Color = [0x7A, 0x4B, 0x00];
/// Behind words in these two.
pub const GOOD_BAND: Color = [0xDD, 0xF4, 0xE8];
pub const HALF_BAND: Color = [0xFF, 0xF3, 0xD6];

/// Each with its name in the style of a page, and what it is where paper is dark.
pub const THEME: [(Color, &str, Color); 11] = [
    (INK, "ink", [0xE6, 0xED, 0xF3]),
    (MUTED, "muted", [0x9D, 0xA7, 0xB1]),
    (GRID, "grid", [0x30, 0x36, 0x3D]),
    (SHADE, "soft", [0x16, 0x1B, 0x22]),
    (PAPER, "paper", [0x0D, 0x11, 0x17]),
    (BAND, "band", [0x3A, 0x1B, 0x1F]),
    (BAD, "bad", [0xFF, 0x7B, 0x86]),
    (GOOD, "good", [0x4A, 0xC0, 0x8F]),
    (HALF, "half", [0xE3, 0xB3, 0x41]),
    (GOOD_BAND, "good-band", [0x12, 0x26, 0x1E]),
    (HALF_BAND, "half-band", [0x33, 0x27, 0x01]),
];

pub fn hex([red, green, blue]: Color) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}
