//! The page of a comparison and its panels, on a phone and on a desk.

use super::*;

#[test]
fn no_text_of_a_panel_overlaps_or_is_clipped_or_cut() {
    let panels = chart::comparison::panels(&testing::comparison());
    assert_eq!(panels.iter().flatten().count(), 8);
    let mut words = String::new();
    for panel in panels.iter().flatten().flatten() {
        assert_eq!(crowded(panel), Vec::<String>::new(), "{}", panel.title);
        assert!(panel.smallest_letters() >= 12.0, "{}", panel.title);
        // Messages; of faults the faults.
        let counted = ["n ≥ 30,000 ", "n ≥ 3 "].iter().any(|n| panel.caption.contains(n));
        assert!(counted, "sample size: {}", panel.caption);
        words.extend(panel.texts().into_iter().map(|(text, _)| text + " "));
        words.extend(panel.notes.iter().map(|note| format!("{note} ")));
    }
    assert!(!words.contains('…'), "{words}");
    for said in [
        "invalid bulk length",
        "kafka-tuned, second client",
        "99.9 %",
        "ms (log)",
        "10,412 of 20,000",
        "waiting for each reply",
        "41,234 of 100,000 lost",
        "← better",
        "better →",
    ] {
        assert!(words.contains(said), "{said}");
    }
}

/// Rows fit the phone; a table of words may be wider, and the page lets it be moved.
#[test]
fn panels_are_as_wide_as_their_screens() {
    let panels = chart::comparison::panels(&testing::comparison());
    let [narrow, middle, wide] = chart::comparison::WIDTHS;
    for [on_phone, on_paper, on_desk] in panels.iter().flatten() {
        assert_eq!(on_desk.width, wide, "{}", on_desk.title);
        let words = ["Retention", "Fault"].iter().any(|name| on_desk.title.starts_with(name));
        for (panel, screen) in [(on_phone, narrow), (on_paper, middle)] {
            let fits = panel.width == screen || (words && panel.width < 900.0);
            assert!(fits, "{}: {}", panel.title, panel.width);
        }
    }
}

/// Of each axis of a speed, by what the registry says of its metric.
#[test]
fn every_axis_says_where_it_is_better() {
    let panels = chart::comparison::panels(&testing::comparison());
    for (at, [on_phone, on_paper, on_desk]) in panels.iter().flatten().enumerate() {
        let said = |mark: &str| {
            let count = |panel: &Figure| {
                panel.texts().iter().filter(|(text, _)| text.ends_with(mark)).count()
            };
            assert_eq!([on_phone, on_paper].map(count), [count(on_desk); 2], "{}", on_desk.title);
            count(on_desk)
        };
        let marks = ["← better", "better →", "higher is better"].map(said);
        let expected = match testing::comparison().claims[at].id.as_str() {
            "message-size" | "throughput" => [0, 1, 0],
            "delivery" => [2, 0, 0],
            "error-handling" | "latency" => [1, 0, 0],
            "parallelism" => [0, 0, 2],
            _ => [0, 0, 0],
        };
        assert_eq!(marks, expected, "{}", on_desk.title);
    }
}

fn page_of(comparison: &Comparison) -> String {
    let dir = tempfile::tempdir().unwrap();
    write_comparison(&dir.path().join("standard"), comparison).unwrap();
    let page = dir.path().join("standard/comparison.html");
    plain_slashes(&std::fs::read_to_string(page).unwrap())
}

#[test]
fn the_page_begins_with_the_finding_and_a_line_for_each_claim() {
    let mut comparison = testing::comparison();
    let answers = [Verdict::Right, Verdict::Wrong, Verdict::Mixed, Verdict::Documented];
    for (claim, answer) in comparison.claims.iter_mut().zip(answers) {
        claim.answer = answer;
    }
    let page = page_of(&comparison);
    let place = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text}\n{page}"));
    let title = format!("<h1>{}</h1>", face::title(&comparison));
    for (first, then) in [
        (title.as_str(), "Test CPU, 2 cores, 6.1"),
        ("Test CPU, 2 cores, 6.1", "<strong>Claims.</strong>"),
        ("<strong>Claims.</strong>", "<table class=\"verdicts\""),
        ("<table class=\"verdicts\"", "<h2 id=\"message-size\">"),
    ] {
        assert!(place(first) < place(then), "{first} stands before {then}");
    }
    for chip in ["chip good\">✓ right", "chip bad\">✗ wrong", "chip half\">◐", "chip muted\">"]
    {
        place(chip);
    }
    // A card names the system of each value, and each line leads to its claim.
    let values = page.matches("data-label=\"Pub/Sub\"").count();
    assert_eq!(values, face::lines(&comparison).len());
    place("<th role=\"rowheader\" scope=\"row\"><a href=\"#latency\">");
    place("<th scope=\"row\">kafka</th>");
    // One picture for each screen.
    for screen in ["narrow", "middle", "wide"] {
        assert_eq!(page.matches(&format!("class=\"scroll {screen}\"")).count(), 8, "{screen}");
    }
}

#[test]
fn only_what_lies_beside_is_linked() {
    let comparison = table();
    let dir = tempfile::tempdir().unwrap();
    let standard = dir.path().join("standard");
    let read = || std::fs::read_to_string(standard.join("comparison.html")).unwrap();
    write_comparison(&standard, &comparison).unwrap();
    let alone = plain_slashes(&read());
    assert!(alone.contains(&comparison.runs[0].run) && !alone.contains("href=\"../"));
    for page in [index::page(&comparison.runs[0].run), index::FILE.to_owned()] {
        files::write_atomic(&dir.path().join(page), b"").unwrap();
    }
    write_comparison(&standard, &comparison).unwrap();
    let beside = plain_slashes(&read());
    let run = format!("href=\"../runs/{}/report.html\"", comparison.runs[0].run);
    assert!(beside.contains(&run) && beside.contains("href=\"../index.html\""), "{run}");
}

/// Notes hold notes only: what is acknowledged survives, and flags, have columns of their own.
#[test]
fn figures_have_their_class_and_flags_in_columns() {
    let mut comparison = table();
    let cell = &mut comparison.claims[1].cells[0];
    cell.text = "survives process kill, 1 copy; unsteady: medians differ".into();
    cell.per_block[0].outcome = CellOutcome::Unsteady;
    let text = markdown(&comparison);
    let row = "| 612,000 | 588,000 to 637,000 | 30,000 | 3 | process kill, 1 copy | \\* | \
        unsteady: medians differ |";
    assert!(text.contains(row), "{text}");
    assert!(text.contains("Flags: \\* unsteady in a round."), "{text}");
}

/// A label that its scenario gives a title stands under it in the panel.
#[test]
fn panels_call_labels_by_their_titles() {
    let mut comparison = testing::comparison();
    let claim = comparison.claims.iter().find(|claim| claim.id == "fault-tolerance").unwrap();
    let cell = claim.cells.iter().find(|cell| cell.label != cell.system && cell.run.is_some());
    let (label, run) = cell.map(|cell| (cell.label.clone(), cell.run.clone())).unwrap();
    let run = comparison.runs.iter_mut().find(|info| Some(&info.run) == run.as_ref()).unwrap();
    run.titles.insert(label.clone(), "Kafka as a bank has it".into());
    let panels = chart::comparison::panels(&comparison);
    let [.., wide] = panels.last().unwrap().as_ref().unwrap();
    let words: String = wide.texts().into_iter().map(|(text, _)| text + " ").collect();
    assert!(words.contains("Kafka as a bank has it"), "{words}");
    assert!(!words.contains(&label), "{label}: {words}");
}
