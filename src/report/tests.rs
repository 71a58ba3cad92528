//! The comparison in all its forms. Its page, runs and hostile names have files of their own.

mod faults;
mod hostile;
mod page;
mod provenance;
mod run;

use super::*;
use crate::claims::{self, Material};
use crate::result::testing::{latency_run, manifest};
use crate::result::{
    BlockValue, CellOutcome, Claim, ComparedCell, Decision, Finding, Kind, RunInfo, SCHEMA, Status,
    Survives, Verdict,
};
use std::collections::BTreeMap;

/// Every file under `dir` with its content.
fn snapshot(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                files.insert(
                    path.strip_prefix(dir).unwrap().to_string_lossy().into_owned(),
                    std::fs::read(&path).unwrap(),
                );
            }
        }
    }
    files
}

fn cell(
    label: &str,
    system: &str,
    point: &str,
    metric: &str,
    unit: &str,
    value: Option<f64>,
) -> ComparedCell {
    let block = |block, factor: f64| BlockValue {
        block,
        value: value.map(|value| value * factor),
        at_most: None,
        at_least: None,
        floor: None,
        n: 10_000,
        valid: true,
        outcome: if value.is_none() { CellOutcome::Overloaded } else { CellOutcome::Ok },
        because: if value.is_none() { "overloaded: backlog grew".into() } else { String::new() },
    };
    ComparedCell {
        label: label.into(),
        system: system.into(),
        variant: None,
        same_as: None,
        nodes: Some(1),
        cell: point.into(),
        metric: metric.into(),
        kind: Kind::Measured,
        value,
        at_most: None,
        at_least: None,
        unit: unit.into(),
        interval: value.map(|value| [value * 0.96, value * 1.04]),
        n: 30_000,
        blocks: 3,
        setting: None,
        notes: vec![],
        text: "survives process kill, 1 copy".into(),
        run: Some("2026-11-22T190000.000Z-x-abc".into()),
        n_unit: "messages".into(),
        resources: None,
        source: None,
        survives: Some(Survives { process_kill: true, copies: 1, ..Survives::default() }),
        per_block: vec![block(1, 0.98), block(2, 1.0), block(3, 1.02)],
    }
}

fn claim(id: &str, verdict: &str, cells: Vec<ComparedCell>) -> Claim {
    Claim {
        id: id.into(),
        kafka_claim: "Higher, because it works asynchronously".into(),
        redis_claim: "Lower, because it waits for acknowledgements".into(),
        source: "https://example.org/kafka_and_redis".into(),
        verdict: verdict.into(),
        answer: match verdict {
            "not measured" => Verdict::NotMeasured,
            _ => Verdict::Open,
        },
        findings: vec![],
        because: "first reason; second reason".into(),
        rule: "Interval of the ratio above 1.05.".into(),
        cells,
    }
}

/// Both measured claims and one that is not, of the four systems.
fn table() -> Comparison {
    let systems = ["kafka", "redis-pubsub", "redis-streams", "redis-lists"];
    let mut throughput = Vec::new();
    let mut latency = Vec::new();
    for (system, (rate, ns)) in systems.into_iter().zip([
        (612_345.0, 1.63e6),
        (540_000.0, 1.2e5),
        (310_000.0, 2.5e5),
        (333_000.0, 2.1e5),
    ]) {
        for (size, share) in [("100B", 1.0), ("1KiB", 0.4)] {
            throughput.push(cell(
                system,
                system,
                &format!("message.size={size}"),
                "goodput",
                "msg/s",
                Some(rate * share),
            ));
        }
        for point in ["load.rate=1k/s", "load.rate=10k/s"] {
            for (metric, factor) in [("p50", 1.0), ("p99", 2.3), ("p99_9", 9.0)] {
                let value =
                    (system != "redis-lists" || point.contains("=1k")).then_some(ns * factor);
                latency.push(cell(
                    system,
                    system,
                    point,
                    &format!("end_to_end.{metric}"),
                    "ns",
                    value,
                ));
            }
        }
    }
    let mut ratio = cell(
        "redis-streams",
        "redis-streams",
        "message.size=100B",
        "ratio(goodput, kafka, redis-streams)",
        "×",
        Some(1.98),
    );
    ratio.per_block.clear();
    ratio.text = "shown".into();
    throughput.push(ratio);
    Comparison {
        schema: SCHEMA,
        profile: "standard".into(),
        runs: vec![RunInfo {
            run: "2026-11-22T190000.000Z-x-abc".into(),
            scenario: "throughput".into(),
            claim: Some("throughput".into()),
            environment: "native".to_owned().try_into().unwrap(),
            network_path: "loopback".into(),
            status: Status::Complete,
            started_at: "2026-11-22T19:00:00Z".into(),
            blocks: 3,
            versions: BTreeMap::from([(
                "kafka".into(),
                "Apache Kafka 4.4.0; librdkafka 2.12.1".into(),
            )]),
            promises: BTreeMap::from([("kafka".into(), "acks=all, one copy".into())]),
            host: "Test CPU, 2 cores, 6.1".into(),
            cores: Some(2),
            selfcheck: "passed".into(),
            ..RunInfo::default()
        }],
        claims: vec![
            claim("retention", "not measured", vec![]),
            claim("throughput", "✓ right", throughput),
            claim("latency", "? open: redis-lists overloaded", latency),
        ],
        managed: vec![],
        uses: vec![claim("session-cache", "not measured", vec![])],
    }
}

#[test]
fn markdown_of_a_comparison() {
    insta::assert_snapshot!(markdown(&table()));
}

#[test]
fn terminal_of_a_comparison() {
    insta::assert_snapshot!(terminal(&table(), 140));
}

/// The services of AWS: what documents say, then what was measured, when, where and how.
#[test]
fn the_managed_table_stands_in_every_form() {
    let mut comparison = claims::build(&Material::default()).unwrap();
    let forms = |comparison: &Comparison| {
        let page = super::html::comparison(comparison, &|_| false).unwrap();
        [markdown(comparison), page]
    };
    for form in forms(&comparison) {
        for words in ["Amazon MSK", "Amazon MemoryDB", "single-digit milliseconds to write"] {
            assert!(form.contains(words), "{words}: {form}");
        }
    }
    assert!(!terminal(&comparison, 140).contains("Amazon MSK"), "documents only");
    let mut run = table().runs.remove(0);
    run.services = [("msk".into(), "eu-central-1, three m7g".into())].into();
    let measured = cell("msk", "msk", "message.size=100B", "goodput", "msg/s", Some(51_000.0));
    let row = comparison.managed.iter_mut().find(|row| row.id == "throughput").unwrap();
    row.cells.insert(0, ComparedCell { run: Some(run.run.clone()), ..measured });
    comparison.runs = vec![run];
    let place = "measured 2026-11-22, eu-central-1, three m7g, loopback";
    for form in forms(&comparison) {
        assert!(form.contains("100B: 51,000 msg") && form.contains(place), "{form}");
    }
    assert!(terminal(&comparison, 200).contains("51,000"));
}

#[test]
fn all_files_are_written_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let comparison = table();
    write_comparison(dir.path(), &comparison).unwrap();
    let first = snapshot(dir.path());
    let names: Vec<&str> = first.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "comparison.csv",
            "comparison.html",
            "comparison.json",
            "comparison.md",
            "overview-dark.svg",
            "overview.png",
            "overview.svg"
        ]
    );
    assert_eq!(Comparison::read(dir.path()).unwrap(), comparison);
    write_comparison(dir.path(), &comparison).unwrap();
    assert!(first == snapshot(dir.path()), "writing again changed a byte");
    write_comparison(dir.path(), &testing::comparison()).unwrap();
    keep(dir.path(), "comparison");
}

/// The templates escape slashes too.
fn plain_slashes(page: &str) -> String {
    page.replace("&#x2f;", "/")
}

#[test]
fn markdown_of_all_eight_rows() {
    insta::assert_snapshot!(text::markdown_table(&testing::comparison()));
}

#[test]
fn claims_and_documents_name_their_sources() {
    let mut comparison = table();
    comparison.claims[1].cells.push(ComparedCell {
        kind: Kind::Documented,
        text: "the broker does it (read 2026-11-22)".into(),
        source: Some("https://kafka.apache.org/44/design_notes/".into()),
        ..cell("kafka-share", "kafka", "", "worker", "", None)
    });
    let text = markdown(&comparison);
    assert!(
        text.contains("in our own words, are those of <https://example.org/kafka_and_redis>."),
        "{text}"
    );
    assert!(
        text.contains(
            "| kafka-share | worker | the broker does it (read 2026-11-22) | \
            <https://kafka.apache.org/44/design_notes/> |"
        ),
        "{text}"
    );
    let dir = tempfile::tempdir().unwrap();
    write_comparison(dir.path(), &comparison).unwrap();
    let page = plain_slashes(&std::fs::read_to_string(dir.path().join("comparison.html")).unwrap());
    for address in
        ["https://example.org/kafka_and_redis", "https://kafka.apache.org/44/design_notes/"]
    {
        assert!(page.contains(&format!("<a href=\"{address}\" rel=\"noreferrer\">")), "{address}");
    }
}

#[test]
fn pages_need_no_network_and_no_script() {
    let dir = tempfile::tempdir().unwrap();
    write_comparison(dir.path(), &table()).unwrap();
    let folder = latency_run(dir.path());
    report(&folder).unwrap();
    for path in [dir.path().join("comparison.html"), folder.path().join("report.html")] {
        let page =
            std::fs::read_to_string(&path).unwrap().replace("http://www.w3.org/2000/svg", "");
        // A reader may follow a link; the page loads nothing.
        let page = page.replace("<a href=\"https:", "").replace("\">https:", "");
        for forbidden in ["http:", "https:", "<script", "@import", "url("] {
            assert!(!page.contains(forbidden), "{forbidden} in {path:?}");
        }
        assert!(page.contains("<details>") && page.contains("role=\"img\""));
    }
}

#[test]
fn nothing_measured_is_still_a_page() {
    let dir = tempfile::tempdir().unwrap();
    let mut comparison = table();
    comparison.runs.clear();
    comparison.claims = vec![claim("retention", "not measured", vec![])];
    write_comparison(dir.path(), &comparison).unwrap();
    let folder = RunFolder::create(dir.path(), "empty").unwrap();
    folder.write_manifest(&manifest(&folder, "latency", 1)).unwrap();
    assert!(report(&folder).unwrap().cells.is_empty());
}

/// Texts that overlap or leave the paper.
fn crowded(figure: &Figure) -> Vec<String> {
    let texts = figure.texts();
    let mut wrong = Vec::new();
    for (at, (text, [left, top, right, bottom])) in texts.iter().enumerate() {
        if *left < 0.0 || *top < 0.0 || *right > figure.width || *bottom > figure.height {
            wrong.push(format!(
                "`{text}` leaves the paper: {left:.0} {top:.0} {right:.0} {bottom:.0}"
            ));
        }
        for (other, [l, t, r, b]) in &texts[at + 1..] {
            if left < r && l < right && top < b && t < bottom {
                wrong.push(format!("`{text}` and `{other}` overlap"));
            }
        }
    }
    wrong
}

/// A sentence never decides what the verdict of its row leaves open at that point.
#[test]
fn a_sentence_is_silent_on_what_is_open() {
    let mut comparison = testing::comparison();
    let said = |comparison: &Comparison| {
        let findings = markdown_findings(comparison);
        findings.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert!(said(&comparison).contains("lower through Redis than"));
    let latency = comparison.claims.iter_mut().find(|claim| claim.id == "latency").unwrap();
    latency.findings.push(Finding {
        primitive: "redis-streams".into(),
        condition: "at load.rate=1k/s".into(),
        decision: Decision::Open,
        missing: String::new(),
    });
    let said = said(&comparison);
    assert!(said.contains("lower through Redis Pub/Sub and Lists than"), "{said}");
}

/// Everything in it is read without a magnifying glass, on paper of either colour.
#[test]
fn the_overview_fits_its_frame() {
    for comparison in [testing::comparison(), table()] {
        let figure = chart::overview::draw(&comparison);
        assert_eq!(crowded(&figure), Vec::<String>::new());
        assert!(figure.width <= 1200.0 && figure.height <= 900.0, "{}", figure.height);
        assert!(figure.smallest_letters() >= 12.0);
        let cut = figure.texts().into_iter().find(|(text, _)| text.ends_with('…'));
        assert!(cut.is_none(), "{cut:?}");
    }
    let [(_, svg), _, (_, png)] = overview(&testing::comparison()).unwrap();
    assert!(png.len() <= 300_000, "{} B", png.len());
    assert!(String::from_utf8(svg).unwrap().contains("aria-label=\""));
}

#[test]
fn findings_follow_from_the_cells() {
    let mut comparison = testing::comparison();
    insta::assert_snapshot!(markdown_findings(&comparison));
    insta::assert_snapshot!(markdown_lines(&comparison));
    let said = markdown_findings(&comparison);
    let long = said.lines().find(|line| line.chars().count() > 100);
    assert_eq!(long, None, "a README has 100 columns");
    for cell in comparison.claims.iter_mut().flat_map(|claim| &mut claim.cells) {
        let kafka = cell.system == "kafka" && cell.metric.starts_with("end_to_end");
        for block in cell.per_block.iter_mut().filter(|_| kafka) {
            block.value = block.value.map(|value| value / 1e6);
        }
    }
    assert_ne!(said, markdown_findings(&comparison), "Kafka is a million times faster now");
}

/// Leaves rendered files in `BROKERBENCH_LOOK/<name>`, to be looked at.
fn keep(from: &Path, name: &str) {
    let Some(to) = std::env::var_os("BROKERBENCH_LOOK") else { return };
    for (file, content) in snapshot(from) {
        files::write_atomic(&Path::new(&to).join(name).join(file), &content).unwrap();
    }
}

#[test]
fn the_terminal_keeps_its_width_and_ends_with_what_came_out() {
    for width in [60, 80, 120] {
        let text = terminal(&testing::comparison(), width);
        let wide = text.lines().find(|line| line.chars().count() > usize::from(width));
        assert_eq!(wide, None, "at {width} columns");
        let [table, after] = ["═", "\nClaims. Of "].map(|words| text.find(words));
        assert!(table.is_some() && table < after, "{text}");
    }
    let nothing = Comparison { claims: Vec::new(), uses: Vec::new(), ..table() };
    assert!(!terminal(&nothing, 80).contains('─'), "no table of nothing");
}
