//! Tables and charts from a run folder. Reads results, and what `claims` says of their form; needs no broker.
//!
//! Everything here is a pure function of the raw files: rendered twice, it gives the same bytes.

mod cells;
mod chart;
mod escape;
mod fault_cost;
mod faults;
mod group;
mod headline;
mod html;
mod index;
mod observed;
mod observed_text;
mod quantity;
mod scaling;
mod table;
mod text;

pub use index::write_index;
pub use observed_text::observations;
pub use text::{markdown, markdown_table, terminal};

use crate::result::words::name;
use crate::result::{Comparison, Manifest, ResultError, RunFolder, StoredCell, Summary, files, slug, summarize};
use chart::canvas::Figure;
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

/// Writes `comparison.{md,csv,json,html,svg,png}` into `dir`.
pub fn write_comparison(dir: &Path, comparison: &Comparison) -> Result<(), ResultError> {
    let panels = chart::comparison::panels(comparison);
    let figure = chart::comparison::draw(comparison, &panels);
    let path = |extension: &str| dir.join(format!("comparison.{extension}"));
    comparison.write(dir)?;
    files::write_atomic(&path("md"), markdown(comparison).as_bytes())?;
    files::write_atomic(&path("csv"), &text::csv(comparison, &path("csv"))?)?;
    files::write_atomic(&path("svg"), figure.svg()?.as_bytes())?;
    files::write_atomic(&path("png"), &figure.png()?)?;
    files::write_atomic(&path("html"), html::comparison(comparison, &figure, &panels)?.as_bytes())
}

/// Every chart of a run with its file name.
fn figures(summary: &Summary, cells: &[StoredCell]) -> Result<Vec<(String, Figure)>, ResultError> {
    let groups = group::groups(summary);
    let mut figures: Vec<(String, Figure)> = Vec::new();
    figures.extend(chart::run::throughput(&groups).map(|figure| ("throughput".to_owned(), figure)));
    figures.extend(chart::run::latency(&groups).map(|figure| ("latency".to_owned(), figure)));
    figures.extend(chart::tail::draw(&groups).map(|figure| ("p99-by-rate".to_owned(), figure)));
    let ladder = chart::sweep::ladder(&observed::gather(&groups));
    figures.extend(ladder.map(|figure| ("size-ladder".to_owned(), figure)));
    figures.extend(chart::sweep::scaling(&groups).into_iter().map(|(name, figure)| (name.to_owned(), figure)));
    figures.extend(
        chart::fault_matrix::draw(&fault_cost::fault_costs(&groups)).map(|figure| ("fault-matrix".to_owned(), figure)),
    );
    for (at, point) in group::points(&groups).into_iter().enumerate() {
        // The number keeps names apart that differ only in characters that a file name cannot hold.
        let name = |chart: &str| format!("{chart}-{}-{}", at + 1, slug(point));
        let here: Vec<&group::Group<'_>> = groups.iter().filter(|group| group.point == point).collect();
        let (mut lines, mut panels, mut faulted, mut absent) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for group in here {
            let stored =
                || cells.iter().filter(|cell| cell.record.label == group.label && cell.record.cell == group.point);
            let sound =
                |cell: &&StoredCell| group.blocks.iter().any(|block| block.block == cell.record.block && block.valid);
            if let Some(cell) = stored().find(sound).or_else(|| stored().next()) {
                let windows = cell.windows()?;
                if cell.record.faults.is_empty() {
                    panels.push(chart::rates::RatesPanel {
                        label: group.label.to_owned(),
                        system: group.system.to_owned(),
                        windows,
                    });
                } else {
                    faulted.push(chart::faults::FaultPanel { record: &cell.record, windows });
                }
            }
            match group.absent() {
                Some(reason) => absent.push(reason),
                None if group.open_loop() => {
                    let histogram = merged(stored().filter(sound))?;
                    lines.push(chart::spectrum::SpectrumCurve {
                        label: group.label.to_owned(),
                        system: group.system.to_owned(),
                        histogram,
                    });
                }
                None => {}
            }
        }
        figures.extend(chart::spectrum::draw(point, &lines, &absent).map(|figure| (name("spectrum"), figure)));
        figures.extend(chart::rates::draw(point, &panels).map(|figure| (name("rates"), figure)));
        figures.extend(chart::faults::draw(point, &faulted).map(|figure| (name("faults"), figure)));
    }
    Ok(figures)
}

/// End-to-end latencies of several blocks in one histogram.
fn merged<'a>(cells: impl Iterator<Item = &'a StoredCell>) -> Result<hdrhistogram::Histogram<u64>, ResultError> {
    let failed = |cause: String| ResultError::Draw { what: "the percentile spectrum".to_owned(), cause };
    let mut total = hdrhistogram::Histogram::new(3).map_err(|error| failed(error.to_string()))?;
    for cell in cells {
        if let Some(histogram) = cell.histograms()?.get(&crate::model::Latency::EndToEnd) {
            total.add(histogram).map_err(|error| failed(error.to_string()))?;
        }
    }
    Ok(total)
}

/// `1 block valid of 3`, or why a run is not complete, for a page's head.
fn state(manifest: &Manifest, summary: &Summary) -> String {
    let valid = summary.cells.iter().filter(|cell| cell.valid).count();
    let (status, cells) = (name(&manifest.status), summary.cells.len());
    format!("{status}, exit code {}: {valid} of {cells} cells valid", manifest.exit_code)
}

#[cfg(any(test, fuzzing))]
pub mod fuzz;

#[cfg(test)]
mod example;
#[cfg(test)]
pub use example::comparison as example_comparison;
#[cfg(test)]
mod tests;
