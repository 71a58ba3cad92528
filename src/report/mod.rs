//! Tables and charts from a run folder. Reads results, and what `claims` says of their form; needs
//! no broker.
//!
//! Everything here is a pure function of the raw files: rendered twice, it gives the same bytes.

mod cells;
mod chart;
mod escape;
mod face;
mod faults;
mod group;
mod headline;
mod html;
mod index;
mod lines;
mod marks;
mod observed;
mod provenance;
mod quantity;
mod ratios;
mod scaling;
mod table;
mod text;

pub use index::write_index;
pub use lines::{judged, lines, outcome, reasons};
pub use marks::{CLIENT, CLIENT_HEAVY};
pub use observed::observations;
pub use text::{markdown, markdown_findings, markdown_lines, terminal};

use crate::result::{
    Censored, Comparison, ResultError, RunFolder, StoredCell, Summary, files, slug, summarize,
};
use chart::canvas::Figure;
use chart::series::SecondsPanel;
use chart::spectrum::SpectrumCurve;
use std::path::Path;

/// Renders `summary.json`, `charts/*.svg` and `report.html` of a run from its raw files alone.
pub fn report(folder: &RunFolder) -> Result<Summary, ResultError> {
    let summary = summarize(folder)?;
    let manifest = folder.read_manifest()?;
    let cells = folder.read_cells(&manifest)?;
    let figures = figures(&summary, &cells)?;
    folder.write_summary(&summary)?;
    for (name, figure) in &figures {
        folder.write(&format!("charts/{name}.svg"), figure.svg()?.as_bytes())?;
    }
    folder.write("report.html", html::run(&manifest, &summary, &cells, &figures)?.as_bytes())?;
    Ok(summary)
}

pub fn write_comparison(dir: &Path, comparison: &Comparison) -> Result<(), ResultError> {
    let path = |extension: &str| dir.join(format!("comparison.{extension}"));
    comparison.write(dir)?;
    files::write_atomic(&path("md"), markdown(comparison).as_bytes())?;
    files::write_atomic(&path("csv"), &text::csv(comparison, &path("csv"))?)?;
    for (name, bytes) in overview(comparison)? {
        files::write_atomic(&dir.join(name), &bytes)?;
    }
    // A link leads nowhere where only the comparison is kept, as in a repository.
    let results = dir.parent().unwrap_or(dir);
    let page = html::comparison(comparison, &|page| results.join(page).is_file())?;
    files::write_atomic(&path("html"), page.as_bytes())
}

/// The comparison at a glance: each file by its name.
pub fn overview(comparison: &Comparison) -> Result<[(&'static str, Vec<u8>); 3], ResultError> {
    let figure = chart::overview::draw(comparison);
    Ok([
        ("overview.svg", figure.svg()?.into_bytes()),
        ("overview-dark.svg", figure.dark_svg()?.into_bytes()),
        ("overview.png", figure.png()?),
    ])
}

fn figures(summary: &Summary, cells: &[StoredCell]) -> Result<Vec<(String, Figure)>, ResultError> {
    let groups = group::groups(summary);
    let mut figures: Vec<(String, Option<Figure>)> = Vec::new();
    let mut add = |name: &str, figure: Option<Figure>| figures.push((name.to_owned(), figure));
    add("throughput", chart::run::throughput(&groups));
    add("latency", chart::run::latency(&groups));
    add("p99-by-rate", chart::tail::draw(&groups));
    add("size-ladder", chart::sweep::ladder(&observed::gather(&groups)));
    add("fan-out", chart::sweep::scaling(scaling::FAN_OUT, &groups));
    add("sharing", chart::sweep::scaling(scaling::SHARING, &groups));
    add("fault-matrix", chart::fault_matrix::draw(&faults::fault_costs(&groups)));
    for (at, point) in group::points(&groups).into_iter().enumerate() {
        // The number keeps names apart that differ only in characters that a file name cannot hold.
        let name = |chart: &str| format!("{chart}-{}-{}", at + 1, slug(point));
        let (mut lines, mut plain, mut faulted, mut absent) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for group in groups.iter().filter(|group| group.point == point) {
            let stored = || {
                cells.iter().filter(|cell| {
                    cell.record.label == group.label && cell.record.cell == group.point
                })
            };
            let sound = |cell: &&StoredCell| {
                group.blocks.iter().any(|block| block.block == cell.record.block && block.valid)
            };
            if let Some(cell) = stored().find(sound).or_else(|| stored().next()) {
                let panels = if cell.record.faults.is_empty() { &mut plain } else { &mut faulted };
                panels.push(SecondsPanel { record: &cell.record, windows: cell.windows()? });
            }
            match group.absent() {
                Some(reason) => absent.push(reason),
                None if group.open_loop() => {
                    let (histogram, censored) = merged(stored().filter(sound))?;
                    lines.push(SpectrumCurve {
                        label: group.label.to_owned(),
                        system: group.system.to_owned(),
                        histogram,
                        censored,
                    });
                }
                None => {}
            }
        }
        add(&name("spectrum"), chart::spectrum::draw(point, &lines, &absent));
        add(&name("rates"), chart::rates::draw(point, &plain));
        add(&name("faults"), chart::faults::draw(point, &faulted));
    }
    Ok(figures.into_iter().filter_map(|(name, figure)| Some((name, figure?))).collect())
}

/// End-to-end latencies of several blocks in one histogram, and those that have none.
fn merged<'a>(
    cells: impl Iterator<Item = &'a StoredCell>,
) -> Result<(hdrhistogram::Histogram<u64>, Censored), ResultError> {
    let failed =
        |cause: String| ResultError::Draw { what: "the percentile spectrum".to_owned(), cause };
    let mut total = hdrhistogram::Histogram::new(3).map_err(|error| failed(error.to_string()))?;
    let mut censored = Censored::default();
    for cell in cells {
        censored = censored.and(cell.record.censored(crate::model::Latency::EndToEnd));
        if let Some(histogram) = cell.histograms()?.get(&crate::model::Latency::EndToEnd) {
            total.add(histogram).map_err(|error| failed(error.to_string()))?;
        }
    }
    Ok((total, censored))
}

#[cfg(any(test, fuzzing))]
pub mod fuzz;

#[cfg(test)]
mod testing;
#[cfg(test)]
pub use testing::comparison as example_comparison;
#[cfg(test)]
mod tests;
