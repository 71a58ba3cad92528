//! Names that could break a page, a table, a picture or a spreadsheet.

use super::*;
use crate::model::metric;
use crate::result::Observation;
use crate::result::testing::{cell as raw_cell, manifest, throughput_run};

/// What someone could name a system to break a page, a table or a spreadsheet.
pub const HOSTILE: &str =
    "=\u{1b}[2J\u{202e}<script>alert('x')</script>|\"a\"\n[l](javascript:1) {{ 1337*7331 }}";

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
        let raw = name.ends_with(".json") || name.ends_with(".png");
        assert!(
            raw || !text.contains(['\u{1b}', '\u{202e}']),
            "{name}: acts on whoever looks at it"
        );
        match name.as_str() {
            "comparison.json" | "overview.png" => {}
            "comparison.csv" => {
                assert!(csv::Reader::from_reader(text.as_bytes()).records().all(|record| {
                    record.unwrap().iter().all(|field| !field.starts_with(['=', '+', '@', '-']))
                }))
            }
            _ => {
                assert!(!text.contains("<script"), "{name}");
                assert!(
                    !text.contains("href=\"javascript:") && !text.contains("<javascript:"),
                    "{name}: a link to a script"
                );
                assert!(
                    !text.contains("9801547"),
                    "{name}: a template inside a name was evaluated"
                );
            }
        }
        if name == "comparison.md" {
            let rows = text
                .lines()
                .filter(|line| line.starts_with("| **Throughput**"))
                .collect::<Vec<_>>();
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
    assert!(
        !index.contains("<script")
            && index.contains("&lt;script&gt;")
            && !index.contains("9801547")
    );
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
    let hostile =
        |seen: Observation| Observation { metric: NAME.into(), unit: NAME.into(), ..seen };
    output.record.observations = vec![
        hostile(Observation::measured(metric::INTACT, NAME, 1.0, 1).with_text(NAME)),
        hostile(Observation::cannot(metric::INTACT, "x", NAME)),
    ];
    folder.write_cell(&output).unwrap();
    report(&folder).unwrap();
    let mut comparison = testing::comparison();
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

#[test]
fn hostile_and_endless_names_stay_inside_their_panels() {
    let mut comparison = testing::comparison();
    for claim in &mut comparison.claims {
        claim.verdict = HOSTILE.repeat(6);
        for cell in &mut claim.cells {
            cell.label = format!("{}-{HOSTILE}", cell.label);
            cell.text = HOSTILE.repeat(4);
        }
    }
    let mut drawn = String::new();
    for panel in chart::comparison::panels(&comparison).iter().flatten().flatten() {
        assert_eq!(crowded(panel), Vec::<String>::new(), "{}", panel.title);
        drawn += &panel.svg().unwrap();
    }
    assert!(!drawn.contains("<script") && drawn.contains("&lt;script&gt;"));
}
