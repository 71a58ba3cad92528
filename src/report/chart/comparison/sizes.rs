//! A lane for each label on a log axis of sizes: filled arrived intact, hollow was refused; the
//! refuser at the lane's end.

use super::super::axis::Scale;
use super::super::canvas::{Align, Color, Figure, GRID, INK, MARGIN, MUTED, SMALL};
use super::super::{letters, palette};
use crate::model::{Marker, Point};
use crate::report::cells::{Cells, reason};
use crate::report::group::known_or_new;
use crate::report::quantity;
use crate::result::ComparedCell;

const LABEL: f64 = 11.5;
/// The words behind a lane, and the room between lanes.
const WORDS: f64 = 10.5;
const WORDS_ROOM: f64 = 212.0;
const LINE: f64 = 12.5;

/// How a size went over all payloads and codecs that were tried.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Went {
    Intact,
    Some,
    Refused,
}

struct SizeLane<'a> {
    label: &'a str,
    system: &'a str,
    client: Option<&'a str>,
    sizes: Vec<(f64, Went)>,
    words: String,
}

pub fn draw(figure: &mut Figure, cells: &Cells<'_>, top: f64) -> f64 {
    let lanes: Vec<SizeLane<'_>> =
        cells.labels().into_iter().flat_map(|label| lanes(cells, label)).collect();
    let name = |lane: &SizeLane<'_>| {
        lane.client.map_or_else(|| lane.label.to_owned(), |client| format!("… {client} client"))
    };
    let widest = lanes
        .iter()
        .map(|lane| letters::width(&name(lane), LABEL, false))
        .fold(0.0, f64::max)
        .min(150.0);
    let (left, right) = (MARGIN + widest + 16.0, figure.width - MARGIN - WORDS_ROOM - 16.0);
    let scale = Scale::log(
        lanes.iter().flat_map(|lane| lane.sizes.iter().map(|(size, _)| *size)),
        left,
        right,
    );
    let mut y = legend(figure, top + 4.0);
    for lane in &lanes {
        let words = letters::wrap_to(&lane.words, WORDS, false, WORDS_ROOM, 4);
        let height = LINE * words.len().max(1) as f64 + 7.0;
        let middle = y + height / 2.0;
        scale.draw_grid(figure, y, y + height);
        figure.line(vec![(MARGIN, y), (figure.width - MARGIN, y)], GRID, 1.0, &[]);
        let label = letters::fit(&name(lane), LABEL, false, widest + 1.0);
        figure.text((MARGIN + widest, middle), label, LABEL, INK, Align::Right);
        let look = palette::of(lane.system);
        let intact = || {
            lane.sizes
                .iter()
                .filter(|(_, went)| *went != Went::Refused)
                .map(|(size, _)| scale.at(*size))
        };
        if let (Some(from), Some(to)) = (intact().reduce(f64::min), intact().reduce(f64::max)) {
            figure.line(vec![(from, middle), (to, middle)], look.color, 2.0, &[]);
        }
        for (size, went) in &lane.sizes {
            mark(figure, (scale.at(*size), middle), look.marker, look.color, *went);
        }
        let first = middle - LINE * (words.len() as f64 - 1.0) / 2.0;
        figure.lines(
            (right + 14.0, first),
            LINE,
            &words,
            WORDS,
            if lane.sizes.is_empty() { MUTED } else { INK },
        );
        y += height;
    }
    scale.draw_labels(figure, y, quantity::decimal_bytes);
    figure.centred(
        ((left + right) / 2.0, y + 27.0),
        "message size, bytes (log)",
        SMALL,
        MUTED,
        right - left + 60.0,
    )
}

/// Filled, hollow, or hollow with a core.
fn mark(figure: &mut Figure, at: (f64, f64), shape: Marker, color: Color, went: Went) {
    figure.marker(at, shape, 4.5, color, went == Went::Intact);
    if went == Went::Some {
        figure.marker(at, shape, 1.8, color, true);
    }
}

/// What the marks mean, in the colour of no system.
fn legend(figure: &mut Figure, y: f64) -> f64 {
    let shape = palette::of("kafka").marker;
    let mut x = MARGIN + 5.0;
    let names = [
        ("intact", Went::Intact),
        ("intact with some payloads or codecs only", Went::Some),
        ("refused", Went::Refused),
    ];
    for (name, went) in names {
        mark(figure, (x, y), shape, MUTED, went);
        figure.text((x + 9.0, y), name, SMALL, MUTED, Align::Left);
        x += letters::width(name, SMALL, false) + 30.0;
    }
    y + 12.0
}

/// The lanes of one label: one for each client that tried.
fn lanes<'a>(cells: &Cells<'a>, (label, system): (&'a str, &'a str)) -> Vec<SizeLane<'a>> {
    let tries = cells.of_label(label, "intact");
    let mut clients: Vec<Option<&str>> =
        tries.iter().map(|cell| Point::read(&cell.cell).get("client")).collect();
    clients.sort_unstable();
    clients.dedup();
    if clients.is_empty() {
        clients.push(None);
    }
    let lane = |client: Option<&'a str>| {
        let mut sizes: Vec<(f64, Went)> = Vec::new();
        for cell in tries.iter().filter(|cell| Point::read(&cell.cell).get("client") == client) {
            let (Some(size), Some(value)) = (Point::read(&cell.cell).number("size"), cell.value)
            else {
                continue;
            };
            let went = match value {
                share if share >= 1.0 => Went::Intact,
                share if share <= 0.0 => Went::Refused,
                _ => Went::Some,
            };
            let known =
                &mut known_or_new(&mut sizes, |(known, _)| *known == size, || (size, went)).1;
            *known = if *known == went { went } else { Went::Some };
        }
        sizes.sort_by(|a, b| a.0.total_cmp(&b.0));
        let words = words(cells, label, client, &sizes);
        SizeLane { label, system, client, sizes, words }
    };
    clients.into_iter().map(lane).collect()
}

/// `up to 1 MiB uncompressed; broker: MESSAGE_TOO_LARGE`.
fn words(cells: &Cells<'_>, label: &str, client: Option<&str>, sizes: &[(f64, Went)]) -> String {
    let of_client = |cell: &&ComparedCell| Point::read(&cell.cell).get("client") == client;
    let plain = |cell: &&ComparedCell| Point::read(&cell.cell).get("codec") == Some("none");
    // Where several clients tried, what names no payload stands for the one that got farthest.
    let alone = cells.of_label(label, "intact").iter().all(of_client);
    let own = |cell: &&ComparedCell| {
        of_client(cell) && (alone || Point::read(&cell.cell).get("payload").is_some())
    };
    let limits = || cells.of_label(label, "largest_intact").into_iter().filter(plain).filter(own);
    let found = limits().filter_map(|cell| cell.value).reduce(f64::max);
    let unknown = limits().find(|cell| cell.value.is_none());
    if let Some(unknown) = unknown.filter(|_| found.is_none()) {
        return reason(unknown);
    }
    let rung = sizes.iter().filter(|(_, went)| *went != Went::Refused).map(|(size, _)| *size);
    let intact = found.or_else(|| rung.reduce(f64::max));
    let refused = (cells.of_label(label, "intact").into_iter())
        .filter(of_client)
        .filter(|cell| cell.value.is_some_and(|share| share < 1.0))
        .filter_map(|cell| Some((Point::read(&cell.cell).number("size")?, cell.text.as_str())))
        .filter(|(size, _)| intact.is_none_or(|intact| *size > intact))
        .min_by(|a, b| a.0.total_cmp(&b.0));
    let first = alone.then(|| cells.find(label, "first_refused", &[("codec", "none")])).flatten();
    let text = first.filter(|cell| cell.value.is_some()).map(|cell| cell.text.as_str());
    let refuser = text.filter(|text| !text.is_empty()).or(refused.map(|(_, text)| text));
    let way = if found.is_some() { " uncompressed" } else { "" };
    match (intact, refuser) {
        (Some(size), Some(refuser)) => format!("up to {}{way}; {refuser}", quantity::bytes(size)),
        (Some(size), None) => format!("up to {}{way}, nothing refused", quantity::bytes(size)),
        (None, Some(refuser)) => refuser.to_owned(),
        (None, None) => cells.absent(label).unwrap_or_else(|| "not measured".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::claim;

    #[test]
    fn a_lane_tells_the_limit_of_its_own_client() {
        let found = |metric: &str, point: &str, value: f64| ComparedCell {
            label: "kafka".into(),
            system: "kafka".into(),
            metric: metric.into(),
            cell: point.into(),
            value: Some(value),
            ..ComparedCell::default()
        };
        let second = "payload=text,codec=none,client=second";
        let cells = vec![
            found("intact", "size=1KiB", 1.0),
            found("intact", "size=1KiB,client=second", 1.0),
            // The best of all clients names none.
            found("largest_intact", "codec=none", 1_047_866.0),
            found("largest_intact", "payload=text,codec=none", 999_371.0),
            found("largest_intact", second, 1_047_866.0),
        ];
        let claim = claim("message-size", "✗ wrong", cells);
        let cells = Cells::of(&claim, &[]);
        let words = |client| words(&cells, "kafka", client, &[]);
        assert_eq!(words(None), "up to 999 kB uncompressed, nothing refused");
        assert_eq!(words(Some("second")), "up to 1.05 MB uncompressed, nothing refused");
    }
}
