//! A figure as a list of shapes in CSS pixels, written as SVG or PNG through plotters' backends.
//!
//! plotters draws on integer coordinates, so a figure is drawn four times as large: an SVG gets
//! that as its `viewBox`, a PNG is averaged down to twice its size. Text needs the embedded fonts;
//! no system font is ever looked for. The same figure gives the same bytes.

pub use super::colors::*;
use super::colors::{THEME, hex};
use super::letters;
use crate::model::Marker;
use crate::report::table::DataTable;
use crate::result::ResultError;
use crate::sanitize;
use plotters::prelude::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    Color as _, FontDesc, FontFamily, FontStyle, RGBColor, ShapeStyle, TextStyle,
};

const FINE: f64 = 4.0;
/// Of a PNG while it is drawn: three bytes each. The overview takes a tenth.
const MOST_PIXELS: u64 = 200_000_000;

/// How a backend has to be asked for letters of a size, centred on a point: each has its own idea
/// of both.
#[derive(Clone, Copy)]
struct Letters {
    /// What it takes for a size of 1: plotters divides by 1.24 for SVG, the font's own line height
    /// is 1.164.
    size: f64,
    /// How much lower to place them, per font size.
    drop: f64,
}

const SVG_LETTERS: Letters = Letters { size: 1.24, drop: 0.0 };
const PNG_LETTERS: Letters = Letters { size: letters::LINE_HEIGHT, drop: 0.157 };

/// Of a chart of a run.
pub const WIDTH: f64 = 900.0;
pub const MARGIN: f64 = 16.0;
/// Letters inside a chart.
pub const SMALL: f64 = 12.0;

/// Lengths of strokes and gaps in pixels; empty for a solid line.
pub type Dash = &'static [f64];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    Middle,
    Right,
}

#[derive(Clone, Debug)]
enum CanvasItem {
    Line { points: Vec<(f64, f64)>, color: Color, width: f64, dash: Dash },
    Text { at: (f64, f64), text: String, size: f64, color: Color, align: Align, bold: bool },
    Marker { at: (f64, f64), shape: Marker, radius: f64, color: Color, filled: bool },
    Area { points: Vec<(f64, f64)>, color: Color },
}

/// A drawing with its finding, its caption and the table of what it shows.
#[derive(Clone, Debug)]
pub struct Figure {
    pub width: f64,
    pub height: f64,
    /// States the finding.
    pub title: String,
    /// Sample size, what was left out, how to read it.
    pub caption: String,
    /// Sentences that a page sets below the picture.
    pub notes: Vec<String>,
    pub data: DataTable,
    items: Vec<CanvasItem>,
}

impl Figure {
    pub fn new(width: f64, title: String, caption: String) -> Self {
        let (notes, data, items) = Default::default();
        Self { width, height: 0.0, title, caption, notes, data, items }
    }

    pub fn line(&mut self, points: Vec<(f64, f64)>, color: Color, width: f64, dash: Dash) {
        if points.len() > 1 {
            self.items.push(CanvasItem::Line { points, color, width, dash });
        }
    }

    /// A chart of a run, which begins with its title; and where its drawing begins.
    pub fn titled(title: String, caption: String) -> (Self, f64) {
        let mut figure = Self::new(WIDTH, title, caption);
        let top =
            figure.wrapped((MARGIN, 24.0), &figure.title.clone(), 15.0, INK, figure.room(), true);
        (figure, top)
    }

    #[must_use]
    pub fn captioned(mut self, y: f64) -> Self {
        self.height = self.note(y, &self.caption.clone()) + 4.0;
        self
    }

    pub fn room(&self) -> f64 {
        self.width - 2.0 * MARGIN
    }

    pub fn text(
        &mut self,
        at: (f64, f64),
        text: impl Into<String>,
        size: f64,
        color: Color,
        align: Align,
    ) {
        self.write(at, text.into(), (size, false), color, align);
    }

    pub fn bold(
        &mut self,
        at: (f64, f64),
        text: impl Into<String>,
        size: f64,
        color: Color,
        align: Align,
    ) {
        self.write(at, text.into(), (size, true), color, align);
    }

    fn write(
        &mut self,
        at: (f64, f64),
        text: String,
        (size, bold): (f64, bool),
        color: Color,
        align: Align,
    ) {
        let text = sanitize::line(&text);
        self.items.push(CanvasItem::Text { at, text, size, color, align, bold });
    }

    pub fn marker(
        &mut self,
        at: (f64, f64),
        shape: Marker,
        radius: f64,
        color: Color,
        filled: bool,
    ) {
        self.items.push(CanvasItem::Marker { at, shape, radius, color, filled });
    }

    pub fn area(&mut self, points: Vec<(f64, f64)>, color: Color) {
        self.items.push(CanvasItem::Area { points, color });
    }

    /// A band with round ends, `at` its upper left corner.
    pub fn pill(&mut self, at: (f64, f64), (wide, high): (f64, f64), color: Color) {
        let radius = high / 2.0;
        let end = |x: f64, from: f64| {
            (0..=12).map(move |step| {
                let angle = from + f64::from(step) / 12.0 * std::f64::consts::PI;
                (x + radius * angle.sin(), at.1 + radius - radius * angle.cos())
            })
        };
        let right = end(at.0 + wide - radius, 0.0);
        self.area(right.chain(end(at.0 + radius, std::f64::consts::PI)).collect(), color);
    }

    /// Text over several lines, none wider than `width`; returns where the next line would stand.
    pub fn wrapped(
        &mut self,
        at: (f64, f64),
        text: &str,
        size: f64,
        color: Color,
        width: f64,
        bold: bool,
    ) -> f64 {
        let mut y = at.1;
        for line in letters::wrap(text, size, bold, width) {
            let (at, text, align) = ((at.0, y), sanitize::line(&line), Align::Left);
            self.items.push(CanvasItem::Text { at, text, size, color, align, bold });
            y += size * 1.35;
        }
        y
    }

    /// Small text from margin to margin; returns where the next line would stand.
    pub fn note(&mut self, y: f64, text: &str) -> f64 {
        self.wrapped((MARGIN, y), text, SMALL, MUTED, self.room(), false)
    }

    pub fn lines(
        &mut self,
        (x, y): (f64, f64),
        step: f64,
        lines: &[String],
        size: f64,
        color: Color,
    ) {
        for (row, line) in lines.iter().enumerate() {
            self.text((x, y + step * row as f64), line, size, color, Align::Left);
        }
    }

    /// Text over several lines, each centred on `at.0`; returns where the next line would stand.
    pub fn centred(
        &mut self,
        at: (f64, f64),
        text: &str,
        size: f64,
        color: Color,
        width: f64,
    ) -> f64 {
        let lines = letters::wrap(text, size, false, width);
        let below = at.1 + size * 1.3 * lines.len() as f64;
        for (row, line) in lines.into_iter().enumerate() {
            self.text((at.0, at.1 + size * 1.3 * row as f64), line, size, color, Align::Middle);
        }
        below
    }

    pub fn svg(&self) -> Result<String, ResultError> {
        let (wide, high) = self.size(FINE);
        let mut drawn = String::new();
        {
            let mut backend = SVGBackend::with_string(&mut drawn, (wide, high));
            self.draw(&mut backend, FINE, SVG_LETTERS)?;
        }
        let body = drawn
            .split_once("<svg")
            .and_then(|(_, rest)| rest.split_once('>'))
            .map(|(_, body)| body);
        let body = body.ok_or_else(|| self.failed("plotters wrote no <svg>"))?;
        Ok(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" viewBox=\"0 0 \
             {wide} {high}\" role=\"img\" aria-label=\"{}\">{body}",
            self.width,
            self.height,
            crate::report::escape::xml(&self.title),
        ))
    }

    /// The SVG for a page: colours of paper and ink follow the page's own, so that it can be dark.
    pub fn inline_svg(&self) -> Result<String, ResultError> {
        self.svg_in(|name, _| format!("var(--{name})"))
    }

    /// The SVG on dark paper.
    pub fn dark_svg(&self) -> Result<String, ResultError> {
        self.svg_in(|_, dark| hex(dark))
    }

    fn svg_in(&self, of: impl Fn(&str, Color) -> String) -> Result<String, ResultError> {
        let recolored = |svg: String, (color, name, dark): (Color, &str, Color)| {
            svg.replace(&format!("\"{}\"", hex(color)), &format!("\"{}\"", of(name, dark)))
        };
        Ok(THEME.into_iter().fold(self.svg()?, recolored))
    }

    /// A PNG at twice the size in pixels.
    pub fn png(&self) -> Result<Vec<u8>, ResultError> {
        let (wide, high) = self.size(FINE);
        if u64::from(wide) * u64::from(high) > MOST_PIXELS {
            return Err(self.failed(format!(
                "a picture of {wide} × {high} pixels, more than {MOST_PIXELS} in all"
            )));
        }
        let mut fine = vec![0u8; wide as usize * high as usize * 3];
        {
            let mut backend = BitMapBackend::with_buffer(&mut fine, (wide, high));
            self.draw(&mut backend, FINE, PNG_LETTERS)?;
        }
        let (half_wide, half_high) = (wide as usize / 2, high as usize / 2);
        let mut half = vec![0u8; half_wide * half_high * 3];
        for (at, byte) in half.iter_mut().enumerate() {
            let (pixel, channel) = (at / 3, at % 3);
            let (x, y) = (pixel % half_wide * 2, pixel / half_wide * 2);
            let of = |x: usize, y: usize| u16::from(fine[(y * wide as usize + x) * 3 + channel]);
            let mean = ((of(x, y) + of(x + 1, y) + of(x, y + 1) + of(x + 1, y + 1)) / 4) as u8;
            // Five bits of each colour: nobody sees the difference, and half of the file is gone.
            *byte = mean & 0xF8 | mean >> 5;
        }
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, half_wide as u32, half_high as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        // Flat colours: no filter, and a third of what plotters' own encoder writes.
        encoder.set_compression(png::Compression::Best);
        encoder.set_filter(png::FilterType::NoFilter);
        let mut writer = encoder.write_header().map_err(|error| self.failed(error))?;
        writer.write_image_data(&half).map_err(|error| self.failed(error))?;
        writer.finish().map_err(|error| self.failed(error))?;
        Ok(file)
    }

    fn size(&self, scale: f64) -> (u32, u32) {
        ((self.width * scale).ceil() as u32, (self.height * scale).ceil() as u32)
    }

    fn failed(&self, cause: impl std::fmt::Display) -> ResultError {
        ResultError::Draw { what: self.title.clone(), cause: cause.to_string() }
    }

    fn draw<B: DrawingBackend>(
        &self,
        backend: &mut B,
        scale: f64,
        letters: Letters,
    ) -> Result<(), ResultError> {
        letters::fonts().map_err(|cause| self.failed(cause))?;
        let failed = |error| self.failed(format!("{error:?}"));
        let size = self.size(scale);
        backend.ensure_prepared().map_err(failed)?;
        backend
            .draw_rect((0, 0), (size.0 as i32, size.1 as i32), &style(PAPER, 0.0, scale), true)
            .map_err(failed)?;
        let at = |(x, y): (f64, f64)| ((x * scale).round() as i32, (y * scale).round() as i32);
        for item in &self.items {
            match item {
                CanvasItem::Line { points, color, width, dash } => {
                    for stroke in strokes(points, dash) {
                        backend
                            .draw_path(stroke.into_iter().map(at), &style(*color, *width, scale))
                            .map_err(failed)?;
                    }
                }
                CanvasItem::Area { points, color } => {
                    let outline: Vec<_> = points.iter().copied().map(at).collect();
                    backend.fill_polygon(outline, &style(*color, 0.0, scale)).map_err(failed)?;
                }
                CanvasItem::Text { at: point, text, size, color, align, bold } => {
                    let h_pos = match align {
                        Align::Left => HPos::Left,
                        Align::Middle => HPos::Center,
                        Align::Right => HPos::Right,
                    };
                    let weight = if *bold { FontStyle::Bold } else { FontStyle::Normal };
                    let font =
                        FontDesc::new(FontFamily::SansSerif, size * letters.size * scale, weight);
                    let color = rgb(*color);
                    let mut style = TextStyle::from(font).color(&color);
                    style.pos = Pos::new(h_pos, VPos::Center);
                    let point = &(point.0, point.1 + size * letters.drop);
                    backend.draw_text(text, &style, at(*point)).map_err(failed)?;
                }
                CanvasItem::Marker { at: point, shape, radius, color, filled } => {
                    let outline: Vec<_> =
                        outline(*point, *shape, *radius).into_iter().map(at).collect();
                    if *filled {
                        backend
                            .fill_polygon(outline, &style(*color, 0.0, scale))
                            .map_err(failed)?;
                    } else {
                        backend
                            .fill_polygon(outline.clone(), &style(PAPER, 0.0, scale))
                            .map_err(failed)?;
                        let closed = outline.iter().chain(outline.first()).copied();
                        backend.draw_path(closed, &style(*color, 1.5, scale)).map_err(failed)?;
                    }
                }
            }
        }
        backend.present().map_err(failed)
    }
}

fn rgb([red, green, blue]: Color) -> RGBColor {
    RGBColor(red, green, blue)
}

fn style(color: Color, width: f64, scale: f64) -> ShapeStyle {
    rgb(color).stroke_width((width * scale).round() as u32)
}

fn outline((x, y): (f64, f64), shape: Marker, r: f64) -> Vec<(f64, f64)> {
    match shape {
        Marker::Circle => (0..24)
            .map(|step| (f64::from(step) / 24.0 * std::f64::consts::TAU).sin_cos())
            .map(|(sin, cos)| (x + r * cos, y + r * sin))
            .collect(),
        Marker::Square => vec![(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)],
        Marker::Triangle => {
            vec![(x, y - 1.2 * r), (x + 1.1 * r, y + 0.9 * r), (x - 1.1 * r, y + 0.9 * r)]
        }
        Marker::Diamond => {
            vec![(x, y - 1.3 * r), (x + 1.3 * r, y), (x, y + 1.3 * r), (x - 1.3 * r, y)]
        }
        Marker::Cross => {
            let (a, b) = (r, r / 3.0);
            let turned =
                |times: u8, corner: (f64, f64)| (0..times).fold(corner, |(dx, dy), _| (dy, -dx));
            let arms = (0..4)
                .flat_map(|times| [(b, a), (b, b), (a, b)].map(|corner| turned(times, corner)));
            arms.map(|(dx, dy)| (x + dx, y + dy)).collect()
        }
    }
}

fn strokes(points: &[(f64, f64)], dash: Dash) -> Vec<Vec<(f64, f64)>> {
    if dash.is_empty() {
        return vec![points.to_vec()];
    }
    let (mut done, mut current) = (Vec::new(), vec![points[0]]);
    let (mut at, mut left) = (0, dash[0]);
    for pair in points.windows(2) {
        let (mut from, to) = (pair[0], pair[1]);
        loop {
            let length = (to.0 - from.0).hypot(to.1 - from.1);
            if length <= left || length == 0.0 {
                left -= length;
                current.push(to);
                break;
            }
            from = (
                from.0 + (to.0 - from.0) * left / length,
                from.1 + (to.1 - from.1) * left / length,
            );
            current.push(from);
            if at % 2 == 0 {
                done.push(std::mem::take(&mut current));
            }
            current = vec![from];
            at += 1;
            left = dash[at % dash.len()];
        }
    }
    if at % 2 == 0 && current.len() > 1 {
        done.push(current);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Figure {
        pub fn smallest_letters(&self) -> f64 {
            let size = |item: &CanvasItem| match item {
                CanvasItem::Text { size, .. } => Some(*size),
                _ => None,
            };
            self.items.iter().filter_map(size).fold(f64::INFINITY, f64::min)
        }

        /// Every text with the box it fills: left, top, right, bottom.
        pub fn texts(&self) -> Vec<(String, [f64; 4])> {
            let boxed = |item: &CanvasItem| {
                let CanvasItem::Text { at, text, size, align, bold, .. } = item else {
                    return None;
                };
                let wide = letters::width(text, *size, *bold);
                let left = match align {
                    Align::Left => at.0,
                    Align::Middle => at.0 - wide / 2.0,
                    Align::Right => at.0 - wide,
                };
                // Capitals and descenders: what a reader sees of a line.
                Some((text.clone(), [left, at.1 - 0.42 * size, left + wide, at.1 + 0.42 * size]))
            };
            self.items.iter().filter_map(boxed).collect()
        }
    }

    /// The page has the same colours, light and dark.
    #[test]
    fn the_style_of_pages_has_these_colours() {
        let style = include_str!("../templates/style.css");
        for (light, name, dark) in THEME {
            for color in [light, dark] {
                assert!(style.contains(&format!("--{name}: {};", hex(color))), "{name}");
            }
        }
    }

    fn figure() -> Figure {
        let mut figure = Figure::new(300.0, "<b>\"&' finding".into(), "n = 3".into());
        figure.height = 100.0;
        figure.line(vec![(10.0, 10.0), (200.0, 50.5)], INK, 2.0, &[6.0, 3.0]);
        figure.text((10.0, 80.0), "<script>alert(1)</script>\u{0}\u{7}", 12.0, INK, Align::Left);
        for (at, shape) in
            [Marker::Circle, Marker::Square, Marker::Triangle, Marker::Diamond, Marker::Cross]
                .into_iter()
                .enumerate()
        {
            figure.marker((30.0 + 20.0 * at as f64, 60.0), shape, 5.0, MUTED, at % 2 == 0);
        }
        figure
    }

    #[test]
    fn hostile_text_stays_text() {
        let svg = figure().svg().unwrap();
        assert!(!svg.contains("<script") && svg.contains("&lt;script&gt;"), "{svg}");
        assert!(svg.contains("aria-label=\"&lt;b&gt;&quot;&amp;&#39; finding\""), "{svg}");
        assert!(!svg.contains(['\u{0}', '\u{7}']));
        assert!(svg.contains("viewBox=\"0 0 1200 400\"") && svg.trim_end().ends_with("</svg>"));
        assert!(figure().inline_svg().unwrap().contains("\"var(--ink)\""));
    }

    #[test]
    fn the_same_figure_gives_the_same_bytes() {
        assert_eq!(figure().svg().unwrap(), figure().svg().unwrap());
        let png = figure().png().unwrap();
        assert_eq!(png, figure().png().unwrap());
        assert_eq!(&png[1..4], b"PNG");
        assert_eq!(u32::from_be_bytes(png[16..20].try_into().unwrap()), 600, "twice the width");
    }

    #[test]
    fn dashes_cover_their_share_of_the_line() {
        let length = |strokes: Vec<Vec<(f64, f64)>>| {
            strokes
                .iter()
                .flat_map(|stroke| {
                    stroke.windows(2).map(|p| (p[1].0 - p[0].0).hypot(p[1].1 - p[0].1))
                })
                .sum::<f64>()
        };
        let line = [(0.0, 0.0), (30.0, 40.0), (30.0, 90.0)];
        assert_eq!(length(strokes(&line, &[])), 100.0);
        assert!((length(strokes(&line, &[3.0, 2.0])) - 60.0).abs() < 1e-9);
    }
}
