//! A lane for each label on a log axis of sizes: filled arrived intact, hollow was refused; the
//! refuser at the lane's end.

use super::super::canvas::{Align, Figure, MARGIN, MUTED, SMALL};
use super::super::rows::{self, Axis, Block, Marks, Row, Went};
use super::super::{letters, palette};
use crate::model::metric::LARGEST_INTACT;
use crate::model::{Point, System};
use crate::report::cells::{Cells, reason};
use crate::report::group::known_or_new;
use crate::report::quantity;
use crate::result::ComparedCell;

pub fn draw(figure: &mut Figure, cells: &Cells<'_>, top: f64) -> f64 {
    let block = |row: Row| Block { header: String::new(), rows: vec![row] };
    let lanes = cells.labels().into_iter().flat_map(|label| lanes(cells, label));
    let blocks: Vec<Block> = lanes.map(block).collect();
    let axis = Axis {
        name: "message size, bytes (log)".to_owned(),
        better: LARGEST_INTACT.better,
        log: true,
        tick: &quantity::decimal_bytes,
    };
    let y = legend(figure, top + 4.0);
    rows::draw(figure, &blocks, &[axis], y)
}

/// What the marks mean, in the colour of no system; returns where lanes may begin.
fn legend(figure: &mut Figure, top: f64) -> f64 {
    let shape = palette::of(System::Kafka.name()).marker;
    let (mut x, mut y) = (MARGIN + 5.0, top);
    let names = [
        ("intact", Went::Well),
        ("intact with some payloads or codecs only", Went::Partly),
        ("refused", Went::Badly),
    ];
    for (name, went) in names {
        let wide = letters::width(name, SMALL, false);
        if x + 9.0 + wide > figure.width - MARGIN {
            (x, y) = (MARGIN + 5.0, y + 16.0);
        }
        rows::draw_try(figure, (x, y), (shape, MUTED), went);
        figure.text((x + 9.0, y), name, SMALL, MUTED, Align::Left);
        x += wide + 30.0;
    }
    y + 14.0
}

/// The lanes of one label: one for each client that tried.
fn lanes(cells: &Cells<'_>, (label, system): (&str, &str)) -> Vec<Row> {
    let tries = cells.of_label(label, "intact");
    let mut clients: Vec<Option<&str>> =
        tries.iter().map(|cell| Point::read(&cell.cell).get("client")).collect();
    clients.sort_unstable();
    clients.dedup();
    if clients.is_empty() {
        clients.push(None);
    }
    let lane = |client: Option<&str>| {
        let of_client = |cell: &&&ComparedCell| Point::read(&cell.cell).get("client") == client;
        let sizes = sizes(tries.iter().filter(of_client).copied());
        let intact = sizes.iter().filter(|(_, went)| *went != Went::Badly).map(|(size, _)| *size);
        let bar = intact.clone().reduce(f64::min).zip(intact.reduce(f64::max));
        let text = words(cells, label, client, &sizes);
        let named = |client: &str| format!("{label}, {client} client");
        let marks = Marks { bar, text, tries: sizes, ..Marks::default() };
        Row {
            label: client.map_or_else(|| label.to_owned(), named),
            system: system.to_owned(),
            marks: vec![marks],
        }
    };
    clients.into_iter().map(lane).collect()
}

/// How each size went over all payloads and codecs that were tried.
fn sizes<'a>(tries: impl Iterator<Item = &'a ComparedCell>) -> Vec<(f64, Went)> {
    let mut sizes: Vec<(f64, Went)> = Vec::new();
    for cell in tries {
        let (Some(size), Some(value)) = (Point::read(&cell.cell).number("size"), cell.value) else {
            continue;
        };
        let went = match value {
            share if share >= 1.0 => Went::Well,
            share if share <= 0.0 => Went::Badly,
            _ => Went::Partly,
        };
        let known = &mut known_or_new(&mut sizes, |(known, _)| *known == size, || (size, went)).1;
        *known = if *known == went { went } else { Went::Partly };
    }
    sizes.sort_by(|a, b| a.0.total_cmp(&b.0));
    sizes
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
    let rung = sizes.iter().filter(|(_, went)| *went != Went::Badly).map(|(size, _)| *size);
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
    // What the broker logged stands in the figures.
    let refuser = refuser.map(|text| text.split(" (broker's log:").next().unwrap_or(text));
    let way = if found.is_some() { " uncompressed" } else { "" };
    match (intact, refuser) {
        (Some(size), Some(refuser)) => {
            format!("up to {}{way}; {refuser}", quantity::decimal_bytes(size))
        }
        (Some(size), None) => {
            format!("up to {}{way}, nothing refused", quantity::decimal_bytes(size))
        }
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
