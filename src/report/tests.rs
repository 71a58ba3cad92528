use super::*;
use crate::result::Observation;
use crate::result::synthetic::{SYSTEMS, capacity_cell, cell as raw_cell, latency_run, manifest, throughput_run};
use crate::result::{BlockValue, Claim, ComparedCell, Kind, Outcome, RunInfo, SCHEMA, Status, Survives};
use std::collections::BTreeMap;

/// What someone could name a system to break a page, a table or a spreadsheet.
const HOSTILE: &str = "=<script>alert('x')</script>|\"a\"\n[l](javascript:1) {{ 1337*7331 }}";

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

fn cell(label: &str, system: &str, point: &str, metric: &str, unit: &str, value: Option<f64>) -> ComparedCell {
    let block = |block, factor: f64| BlockValue {
        block,
        value: value.map(|value| value * factor),
        floor: None,
        n: 10_000,
        valid: true,
        outcome: if value.is_none() { Outcome::Overloaded } else { Outcome::Ok },
        because: if value.is_none() { "overloaded: backlog grew".into() } else { String::new() },
    };
    ComparedCell {
        label: label.into(),
        system: system.into(),
        variant: None,
        nodes: Some(1),
        cell: point.into(),
        metric: metric.into(),
        kind: Kind::Measured,
        value,
        unit: unit.into(),
        interval: value.map(|value| [value * 0.96, value * 1.04]),
        n: 30_000,
        blocks: 3,
        text: "survives process kill, 1 copy".into(),
        run: Some("2026-11-22T190000.000Z-x-abc".into()),
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
    for (system, (rate, ns)) in
        systems.into_iter().zip([(612_345.0, 1.63e6), (540_000.0, 1.2e5), (310_000.0, 2.5e5), (333_000.0, 2.1e5)])
    {
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
                let value = (system != "redis-lists" || point.contains("=1k")).then_some(ns * factor);
                latency.push(cell(system, system, point, &format!("end_to_end.{metric}"), "ns", value));
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
            environment: "native".into(),
            network_path: "loopback".into(),
            status: Status::Complete,
            started_at: "2026-11-22T19:00:00Z".into(),
            blocks: 3,
            cross_class: None,
            versions: BTreeMap::from([("kafka".into(), "Apache Kafka 4.4.0; librdkafka 2.12.1".into())]),
            promises: BTreeMap::from([("kafka".into(), "acks=all, one copy".into())]),
            host: "Test CPU, 2 cores, 6.1".into(),
            cores: Some(2),
            selfcheck: "passed".into(),
            warnings: vec![],
        }],
        claims: vec![
            claim("retention", "not measured", vec![]),
            claim("throughput", "holds", throughput),
            claim("latency", "inconclusive (redis-lists is overloaded at load.rate=10k/s)", latency),
        ],
        uses: vec![claim("session-cache", "not measured", vec![])],
    }
}

#[test]
fn a_run_is_rendered_from_raw_data_alone_and_twice_alike() {
    let dir = tempfile::tempdir().unwrap();
    let folder = latency_run(dir.path());
    report(&folder).unwrap();
    let first = snapshot(folder.path());
    for file in [
        "summary.json",
        "report.html",
        "charts/latency.svg",
        "charts/spectrum-1-load-rate-1k-s.svg",
        "charts/rates-2-load-rate-10k-s.svg",
    ] {
        assert!(first.contains_key(file), "{file} in {:?}", first.keys());
    }
    report(&RunFolder::open(folder.path()).unwrap()).unwrap();
    assert!(first == snapshot(folder.path()), "rendering again changed a byte");
    let spectrum = String::from_utf8(first["charts/spectrum-1-load-rate-1k-s.svg"].clone()).unwrap();
    assert!(
        spectrum.contains("(redis-pubsub) to") && spectrum.contains("#0072B2"),
        "states its finding, in the system's colour"
    );
    keep(folder.path(), "latency");
}

#[test]
fn a_closed_loop_run_has_throughput_and_no_latency() {
    let dir = tempfile::tempdir().unwrap();
    let folder = throughput_run(dir.path(), 3);
    report(&folder).unwrap();
    let files = snapshot(folder.path());
    assert!(files.contains_key("charts/throughput.svg") && !files.contains_key("charts/latency.svg"));
    assert!(!files.keys().any(|file| file.starts_with("charts/spectrum")));
    keep(folder.path(), "throughput");
}

#[test]
fn markdown_of_a_comparison() {
    insta::assert_snapshot!(markdown(&table()));
}

#[test]
fn terminal_of_a_comparison() {
    insta::assert_snapshot!(terminal(&table(), 140));
}

#[test]
fn all_six_files_are_written_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let comparison = table();
    write_comparison(dir.path(), &comparison).unwrap();
    let first = snapshot(dir.path());
    let names: Vec<&str> = first.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["comparison.csv", "comparison.html", "comparison.json", "comparison.md", "comparison.png", "comparison.svg"]
    );
    assert_eq!(read_comparison(dir.path()).unwrap(), comparison);
    write_comparison(dir.path(), &comparison).unwrap();
    assert!(first == snapshot(dir.path()), "writing again changed a byte");
    write_comparison(dir.path(), &example::comparison()).unwrap();
    keep(dir.path(), "comparison");
}

#[test]
fn hostile_names_stay_text_in_every_format() {
    let dir = tempfile::tempdir().unwrap();
    let mut comparison = table();
    comparison.profile = HOSTILE.into();
    comparison.runs[0].warnings = vec![HOSTILE.into()];
    comparison.runs[0].promises = BTreeMap::from([(HOSTILE.into(), HOSTILE.into())]);
    for claim in &mut comparison.claims {
        claim.verdict = HOSTILE.into();
        claim.because = HOSTILE.into();
        for cell in &mut claim.cells {
            cell.label = HOSTILE.into();
            cell.cell = HOSTILE.into();
            cell.text = HOSTILE.into();
        }
        // A document that is none, or worse.
        claim.source = "javascript:alert('x')".into();
        claim.cells.push(ComparedCell {
            kind: Kind::Documented,
            source: Some(HOSTILE.into()),
            ..cell("kafka", "kafka", "", "how", "", None)
        });
    }
    write_comparison(dir.path(), &comparison).unwrap();
    write_index(dir.path()).unwrap();
    for (name, content) in snapshot(dir.path()) {
        let text = String::from_utf8_lossy(&content);
        match name.as_str() {
            "comparison.json" | "comparison.png" => {}
            "comparison.csv" => assert!(
                csv::Reader::from_reader(text.as_bytes())
                    .records()
                    .all(|record| { record.unwrap().iter().all(|field| !field.starts_with(['=', '+', '@', '-'])) })
            ),
            _ => {
                assert!(!text.contains("<script"), "{name}");
                assert!(
                    !text.contains("href=\"javascript:") && !text.contains("<javascript:"),
                    "{name}: a link to a script"
                );
                assert!(!text.contains("9801547"), "{name}: a template inside a name was evaluated");
            }
        }
        if name == "comparison.md" {
            let rows = text.lines().filter(|line| line.starts_with("| **Throughput**")).collect::<Vec<_>>();
            assert_eq!(rows.len(), 1);
            assert_eq!(rows[0].replace("\\|", "").matches('|').count(), 7, "{}", rows[0]);
            assert!(!text.contains("[l]("), "no link");
        }
    }

    let folder = throughput_run(dir.path(), 1);
    let mut manifest = manifest(&folder, "throughput", 1);
    manifest.scenario.name = HOSTILE.into();
    manifest.scenario.question = HOSTILE.into();
    manifest.command_line = vec![HOSTILE.into()];
    manifest.warnings = vec![HOSTILE.into()];
    folder.write_manifest(&manifest).unwrap();
    report(&folder).unwrap();
    let page = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"));
    write_index(dir.path()).unwrap();
    let index = std::fs::read_to_string(dir.path().join("index.html")).unwrap();
    assert!(!index.contains("<script") && index.contains("&lt;script&gt;") && !index.contains("9801547"));
}

/// The name of the issue: `<script>alert(1)</script>"'` as everything that a file may name.
#[test]
fn a_scenario_named_like_an_attack_does_no_harm() {
    const NAME: &str = "<script>alert(1)</script>\"'";
    let dir = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(dir.path(), NAME).unwrap();
    let mut about = manifest(&folder, NAME, 1);
    about.profile = Some(NAME.into());
    about.environment = NAME.into();
    folder.write_manifest(&about).unwrap();
    let mut output = raw_cell("kafka", NAME, 1);
    output.record.experiment = Some("size-ladder".into());
    output.record.observations = vec![
        Observation::measured(NAME, NAME, 1.0, NAME, 1).with_text(NAME),
        Observation::cannot(NAME, "x", NAME, NAME),
    ];
    folder.write_cell(&output).unwrap();
    report(&folder).unwrap();
    let mut comparison = example::comparison();
    comparison.profile = NAME.into();
    for run in &mut comparison.runs {
        (run.run, run.scenario, run.host) = (NAME.into(), NAME.into(), NAME.into());
    }
    for claim in comparison.claims.iter_mut().chain(&mut comparison.uses) {
        (claim.verdict, claim.rule, claim.because) = (NAME.into(), NAME.into(), NAME.into());
        for cell in &mut claim.cells {
            (cell.cell, cell.text, cell.unit) = (NAME.into(), NAME.into(), NAME.into());
        }
    }
    write_comparison(&dir.path().join("quick"), &comparison).unwrap();
    write_index(dir.path()).unwrap();
    for (name, content) in snapshot(dir.path()) {
        let text = String::from_utf8_lossy(&content);
        if name.ends_with(".html") || name.ends_with(".svg") || name.ends_with(".md") {
            assert!(!text.contains("<script"), "{name}");
            assert!(!text.contains("alert(1)</"), "{name}");
        }
        if name.ends_with(".html") {
            assert!(!text.contains("=\"<") && !text.contains("\"'\""), "{name}: left an attribute");
        }
    }
}

/// A run of the size ladder and one of a matrix of consumers, small and known.
fn swept_run(results: &Path) -> RunFolder {
    let folder = RunFolder::create(results, "sweep").unwrap();
    folder.write_manifest(&manifest(&folder, "parallelism", 1)).unwrap();
    for (at, label) in SYSTEMS.into_iter().enumerate() {
        for (n, work) in [1u64, 2, 4, 8].into_iter().flat_map(|n| [(n, "0s"), (n, "1ms")]) {
            let rate = if work == "1ms" { 900 * n - 20 * n * at as u64 } else { 50_000 + 100 * at as u64 };
            let mut output = capacity_cell(label, &format!("load.consumers={n},load.work={work}"), 1, rate);
            if n == 1 && work == "0s" {
                for (step, size) in ["1KiB", "64KiB", "1MiB", "16MiB", "64MiB", "256MiB", "1GB"].into_iter().enumerate()
                {
                    let point = format!("size={size}");
                    let (rate, ns) = (2e6 * (1.0 + at as f64) * 3f64.powi(step as i32), 3e5 * 4f64.powi(step as i32));
                    output.record.observations.extend([
                        Observation::measured("goodput_bytes", point.clone(), rate, "B/s", 20),
                        Observation::measured("bystander.p99", point, ns, "ns", 5_000),
                    ]);
                }
                output.record.observations.push(Observation::cannot("share.seek", "", "share", "no positions in time"));
            }
            folder.write_cell(&output).unwrap();
        }
    }
    folder
}

#[test]
fn observations_become_charts_and_a_table() {
    let dir = tempfile::tempdir().unwrap();
    let folder = swept_run(dir.path());
    report(&folder).unwrap();
    let files = snapshot(folder.path());
    for file in ["charts/size-ladder.svg", "charts/sharing.svg"] {
        assert!(files.contains_key(file), "{file} in {:?}", files.keys());
    }
    assert!(!files.contains_key("charts/fan-out.svg"));
    let page = plain_slashes(&String::from_utf8(files["report.html"].clone()).unwrap());
    for said in ["id=\"observations\"", "share.seek", "no positions in time", "cannot", "MB/s"] {
        assert!(page.contains(said), "{said}");
    }
    keep(folder.path(), "sweep");
}

#[test]
fn no_text_of_a_run_overlaps_or_is_clipped() {
    let dir = tempfile::tempdir().unwrap();
    for folder in [swept_run(dir.path()), latency_run(dir.path()), throughput_run(dir.path(), 3)] {
        let summary = summarize(&folder).unwrap();
        let cells = folder.read_cells(&folder.read_manifest().unwrap()).unwrap();
        for (name, figure) in figures(&summary, &cells).unwrap() {
            assert_eq!(crowded(&figure), Vec::<String>::new(), "{name}");
        }
    }
}

/// The templates escape slashes too.
fn plain_slashes(page: &str) -> String {
    page.replace("&#x2f;", "/")
}

#[test]
fn the_index_lists_runs_and_comparisons_and_survives_damage() {
    let dir = tempfile::tempdir().unwrap();
    write_index(dir.path()).unwrap();
    let read = || plain_slashes(&std::fs::read_to_string(dir.path().join("index.html")).unwrap());
    assert!(read().contains("None yet"));
    let folder = throughput_run(dir.path(), 1);
    report(&folder).unwrap();
    write_comparison(&dir.path().join("quick"), &example::comparison()).unwrap();
    let damaged = dir.path().join("runs/2026-01-01T000000.000Z-damaged-abc");
    files::write_atomic(&damaged.join("manifest.json"), b"{").unwrap();
    write_index(dir.path()).unwrap();
    let page = read();
    for said in [
        &format!("href=\"runs/{}/report.html\"", folder.name()),
        "href=\"quick/comparison.html\"",
        "8 of 8 claims measured",
        "unreadable",
        "complete",
    ] {
        assert!(page.contains(said), "{said}");
    }
    assert!(!page.contains(&*dir.path().to_string_lossy()), "no path of this machine");
    keep(dir.path(), "results");
}

#[test]
fn markdown_of_all_eight_rows() {
    insta::assert_snapshot!(markdown_table(&example::comparison()));
}

#[test]
fn claims_and_documents_name_their_sources() {
    let mut comparison = table();
    comparison.claims[1].cells.push(ComparedCell {
        kind: Kind::Documented,
        text: "the broker does it (read 2026-11-22)".into(),
        source: Some("https://kafka.apache.org/44/design_notes/".into()),
        ..cell("kafka-share-groups", "kafka", "", "worker", "", None)
    });
    let text = markdown(&comparison);
    assert!(text.contains("in our own words, are those of <https://example.org/kafka_and_redis>."), "{text}");
    assert!(
        text.contains("| kafka-share-groups | worker | the broker does it (read 2026-11-22) | <https://kafka.apache.org/44/design_notes/> |"),
        "{text}"
    );
    let dir = tempfile::tempdir().unwrap();
    write_comparison(dir.path(), &comparison).unwrap();
    let page = plain_slashes(&std::fs::read_to_string(dir.path().join("comparison.html")).unwrap());
    for address in ["https://example.org/kafka_and_redis", "https://kafka.apache.org/44/design_notes/"] {
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
        let page = std::fs::read_to_string(&path).unwrap().replace("http://www.w3.org/2000/svg", "");
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
            wrong.push(format!("`{text}` leaves the paper: {left:.0} {top:.0} {right:.0} {bottom:.0}"));
        }
        for (other, [l, t, r, b]) in &texts[at + 1..] {
            if left < r && l < right && top < b && t < bottom {
                wrong.push(format!("`{text}` and `{other}` overlap"));
            }
        }
    }
    wrong
}

#[test]
fn no_text_of_the_figure_overlaps_or_is_clipped() {
    let comparison = example::comparison();
    let panels = chart::comparison::panels(&comparison);
    assert_eq!(panels.len(), 8);
    for panel in &panels {
        assert_eq!(crowded(panel), Vec::<String>::new(), "{}", panel.title);
        assert!(panel.caption.contains("n ≥ 30,000"), "sample size: {}", panel.caption);
    }
    let figure = chart::comparison::draw(&comparison, &panels);
    assert_eq!(crowded(&figure), Vec::<String>::new());
    let words: String = figure.texts().into_iter().map(|(text, _)| text + " ").collect();
    for said in [
        "Message size",
        "Verdict: holds only for redis-pubsub at",
        "message.size=10KiB",
        "invalid bulk length",
        "99.9 %",
        "ms (log)",
        "10,412 of 20,000",
        "waiting for each reply",
        "41,234 of 100,000 lost",
    ] {
        assert!(words.contains(said), "{said}");
    }
}

#[test]
fn hostile_and_endless_names_stay_inside_their_panels() {
    let mut comparison = example::comparison();
    for claim in &mut comparison.claims {
        claim.verdict = HOSTILE.repeat(6);
        for cell in &mut claim.cells {
            cell.label = format!("{}-{HOSTILE}", cell.label);
            cell.text = HOSTILE.repeat(4);
        }
    }
    let panels = chart::comparison::panels(&comparison);
    for panel in &panels {
        assert_eq!(crowded(panel), Vec::<String>::new(), "{}", panel.title);
    }
    let svg = chart::comparison::draw(&comparison, &panels).svg().unwrap();
    assert!(!svg.contains("<script") && svg.contains("&lt;script&gt;"));
}

/// Leaves rendered files in `BROKERBENCH_LOOK/<name>`, to be looked at.
fn keep(from: &Path, name: &str) {
    let Some(to) = std::env::var_os("BROKERBENCH_LOOK") else { return };
    for (file, content) in snapshot(from) {
        files::write_atomic(&Path::new(&to).join(name).join(file), &content).unwrap();
    }
}
