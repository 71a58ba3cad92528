//! Single tries of an experiment stay in the summary of their run: the table has a line for what
//! they come to.
//!
//! The size ladder tries every size with every payload and codec; the table needs how far each way
//! came, how each rung went and who refused there, and what the ladder says of a size or of a codec
//! as a whole. Searches probe a dozen sizes or rates; the table needs their brackets. Pure;
//! done twice it is as if done once.

use super::cells::recompute;
use crate::model::{Point, Unit};
use crate::result::{BlockValue, ComparedCell, Kind};
use indexmap::IndexMap;
use std::collections::BTreeSet;

/// How a message is sent.
const WAY: [&str; 2] = ["payload", "codec"];
const INTACT: &str = "intact";
/// Begins the name of what is told of a single probe.
const PROBE: &str = "probe.";
/// What is told of a single way or try of the ladder, and not kept.
const DROPPED: [&str; 4] = ["wire_bytes", "client_peak", "broker_peak", "first_refused"];

pub fn condensed(cells: Vec<ComparedCell>) -> Vec<ComparedCell> {
    // The tries of a rung together, every other cell alone, all in the order of their first.
    let mut groups: IndexMap<_, Vec<ComparedCell>> = IndexMap::new();
    for (at, cell) in cells.into_iter().enumerate() {
        let group = match split(&cell.cell) {
            _ if cell.metric.starts_with(PROBE) => continue,
            Some(_) if DROPPED.contains(&cell.metric.as_str()) => continue,
            Some((_, rung)) if cell.metric == INTACT => {
                Ok((rung, cell.run.clone(), cell.label.clone()))
            }
            _ => Err(at),
        };
        groups.entry(group).or_default().push(cell);
    }
    let as_one =
        |(group, mut cells): (Result<(String, _, _), usize>, Vec<ComparedCell>)| match group {
            Ok((rung, ..)) => Some(of_rung(rung, &cells)),
            Err(_) => cells.pop(),
        };
    groups.into_iter().filter_map(as_one).collect()
}

/// The way that a message was sent and the rung it was sent at, from the point of a try; of other
/// points nothing.
fn split(point: &str) -> Option<(String, String)> {
    let point = Point::read(point);
    // A codec without a payload is what all payloads come to.
    point.get(WAY[0])?;
    Some((point.only(&WAY).to_string(), point.without(&WAY).to_string()))
}

/// The share of the ways tried that arrived.
fn of_rung(point: String, tries: &[ComparedCell]) -> ComparedCell {
    let numbers: BTreeSet<u32> =
        tries.iter().flat_map(|cell| &cell.per_block).map(|block| block.block).collect();
    let measured = tries.iter().any(|cell| cell.kind == Kind::Measured);
    recompute(ComparedCell {
        cell: point,
        unit: Unit::Share.name().to_owned(),
        kind: if measured { Kind::Measured } else { tries[0].kind },
        per_block: numbers.into_iter().filter_map(|number| of_block(tries, number)).collect(),
        ..tries[0].clone()
    })
}

fn of_block(tries: &[ComparedCell], number: u32) -> Option<BlockValue> {
    let own = |cell: &ComparedCell| {
        let block = cell.per_block.iter().find(|block| block.block == number)?;
        Some((split(&cell.cell)?.0, block.clone()))
    };
    let ways: Vec<(String, BlockValue)> = tries.iter().filter_map(own).collect();
    let tried: Vec<&(String, BlockValue)> =
        ways.iter().filter(|(_, block)| block.value.is_some()).collect();
    let arrived =
        tried.iter().filter(|(_, block)| block.value.is_some_and(|intact| intact > 0.5)).count();
    let (_, first) = ways.first()?;
    Some(BlockValue {
        value: (!tried.is_empty()).then(|| arrived as f64 / tried.len() as f64),
        n: tried.iter().map(|(_, block)| block.n).sum(),
        because: if tried.is_empty() { first.because.clone() } else { words(&tried, ways.len()) },
        ..first.clone()
    })
}

/// Who refused. Where some ways arrived, also which did not and how many were not tried.
fn words(tried: &[&(String, BlockValue)], ways: usize) -> String {
    let refused: Vec<_> =
        tried.iter().filter(|(_, block)| block.value.is_some_and(|intact| intact <= 0.5)).collect();
    let mut words = Vec::new();
    if let Some(((way, first), others)) = refused.split_first() {
        if refused.len() == tried.len() {
            return first.because.clone();
        }
        words.push(format!("{way}: {}", first.because));
        let others: Vec<&str> = others.iter().map(|(way, _)| way.as_str()).collect();
        words.extend((!others.is_empty()).then(|| format!("also refused: {}", others.join(" · "))));
    }
    let left = ways - tried.len();
    words.extend((left > 0).then(|| format!("{left} of {ways} ways not tried")));
    words.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::rules::testing::measured;

    fn tried(point: &str, intact: f64, words: &str) -> ComparedCell {
        let mut cell = measured("kafka", INTACT, point, &[intact]);
        cell.unit = "yes".into();
        cell.per_block[0].because = words.into();
        recompute(cell)
    }

    fn not_tried(point: &str) -> ComparedCell {
        let mut cell = tried(point, 0.0, "needs 4 GB, 2 GB are free");
        cell.per_block[0].value = None;
        cell.kind = Kind::NotMeasured;
        recompute(cell)
    }

    fn ladder() -> Vec<ComparedCell> {
        vec![
            tried("size=1KiB,payload=text,codec=none", 1.0, "1024 B back"),
            measured("kafka", "client_peak", "size=1KiB,payload=text,codec=none", &[3e7]),
            tried("size=1KiB,payload=text,codec=none,client=second", 1.0, "1024 B back"),
            tried("size=1KiB,payload=text,codec=lz4", 1.0, "1024 B back"),
            tried("size=1MiB,payload=text,codec=none", 0.0, "broker: too large"),
            tried("size=1MiB,payload=text,codec=lz4", 1.0, "1048576 B back"),
            not_tried("size=1MiB,payload=random,codec=none"),
            tried("size=1GB,payload=text,codec=none", 0.0, "broker: too large"),
            not_tried("size=1GB,payload=text,codec=lz4"),
            not_tried("size=2GB,payload=text,codec=lz4"),
            measured("kafka", "client_peak", "size=1MiB", &[4e7]),
            measured("kafka", "first_refused", "payload=text,codec=none", &[1048576.0]),
            measured("kafka", "first_refused", "codec=none", &[1048576.0]),
            measured("kafka", "probe.intact", "size=20KiB,payload=text,codec=none", &[1.0]),
            measured("kafka", "largest_intact", "payload=text,codec=lz4", &[1048576.0]),
            measured("kafka", "probe.p99", "probe=1,rate=8000/s,went=passed", &[3e6]),
        ]
    }

    #[test]
    fn a_line_for_each_rung() {
        let cells = condensed(ladder());
        let lines: Vec<(&str, &str, Option<f64>, &str)> = cells
            .iter()
            .map(|c| (c.metric.as_str(), c.cell.as_str(), c.value, c.text.as_str()))
            .collect();
        let peaks = "client_peak";
        assert_eq!(
            lines,
            [
                (INTACT, "size=1KiB", Some(1.0), ""),
                (INTACT, "size=1KiB,client=second", Some(1.0), ""),
                (
                    INTACT,
                    "size=1MiB",
                    Some(0.5),
                    "payload=text,codec=none: broker: too large; 1 of 3 ways not tried"
                ),
                (INTACT, "size=1GB", Some(0.0), "broker: too large"),
                (INTACT, "size=2GB", None, "needs 4 GB, 2 GB are free"),
                (peaks, "size=1MiB", Some(4e7), lines[5].3),
                ("first_refused", "codec=none", Some(1048576.0), lines[6].3),
                ("largest_intact", "payload=text,codec=lz4", Some(1048576.0), lines[7].3),
            ]
        );
        assert_eq!((cells[0].n, cells[4].kind), (200_000, Kind::NotMeasured));
    }

    #[test]
    fn done_twice_is_done_once() {
        let once = condensed(ladder());
        assert_eq!(condensed(once.clone()), once);
    }

    #[test]
    fn blocks_stay_apart() {
        let mut second = tried("size=1KiB,payload=text,codec=lz4", 0.0, "no");
        second.per_block[0].block = 2;
        let cells = condensed(vec![tried("size=1KiB,payload=text,codec=lz4", 1.0, ""), second]);
        assert_eq!((cells.len(), cells[0].value, cells[0].blocks), (1, Some(0.5), 2));
    }
}
