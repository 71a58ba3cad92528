//! What the project is passed on as: the crate, its citation, workflows that nobody changes under
//! us, and what is written about how to install it.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A crate that is larger holds what nobody builds from.
const MOST: usize = 2 << 20;

#[test]
fn the_crate_is_small_and_holds_what_it_is_built_from() {
    let listed = Command::new(env!("CARGO"))
        .args(["package", "--list", "--allow-dirty", "--offline"])
        .output()
        .unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let files = String::from_utf8(listed.stdout).unwrap();
    let files: Vec<&Path> = files.lines().map(Path::new).collect();
    for needed in ["src/main.rs", "README.md", "scenarios/latency.yaml", "scripts/kafka/pom.xml"] {
        assert!(files.contains(&Path::new(needed)), "{needed} is left out");
    }
    // Nearly as cargo packs them; some of them it makes itself.
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    for file in files.iter().filter(|file| file.is_file()) {
        packed.write_all(&fs::read(file).unwrap()).unwrap();
    }
    let size = packed.finish().unwrap().len();
    assert!(size < MOST, "the crate has {size} B");
}

#[test]
fn the_citation_is_of_this_version() {
    let citation = fs::read_to_string("CITATION.cff").unwrap();
    let version = format!("version: {}", env!("CARGO_PKG_VERSION"));
    assert!(citation.lines().any(|line| line == version), "CITATION.cff lacks `{version}`");
}

fn workflows() -> Vec<(PathBuf, String)> {
    let files = fs::read_dir(".github/workflows").unwrap().map(|entry| entry.unwrap().path());
    let files = files.chain(["action.yml", "docs/ci.md"].map(PathBuf::from));
    files.map(|file| (file.clone(), fs::read_to_string(file).unwrap())).collect()
}

/// A tag can be moved to other code, a digest cannot.
#[test]
fn actions_of_others_are_pinned_by_digest_and_say_their_version() {
    let mut seen = 0;
    for (file, text) in workflows() {
        let used = text.lines().filter_map(|line| line.split_once("uses: "));
        // This one, by whoever publishes it.
        let ours = |action: &str| action.starts_with("./") || action.starts_with("OWNER/");
        for (_, action) in used.filter(|(_, action)| !ours(action)) {
            let pinned = action.split_once('@').and_then(|(_, pin)| pin.split_once(" # v"));
            let digest = pinned.is_some_and(|(digest, version)| {
                digest.len() == 40
                    && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
                    && version.starts_with(|c: char| c.is_ascii_digit())
            });
            assert!(digest, "{}: `{action}`", file.display());
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen}");
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// Names in quotes of which the program asks its environment: by what asks, or by how they begin.
fn variables() -> Vec<String> {
    let mut found = Vec::new();
    let shipped = sources(Path::new("src"));
    for file in shipped.iter().filter(|file| !file.to_str().unwrap().contains("test")) {
        let text = fs::read_to_string(file).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        for mark in ["variable(\"", "env::var(\"", "env::var_os(\""] {
            let asked = text.split(mark).skip(1).filter_map(|rest| rest.split('"').next());
            found.extend(asked.map(str::to_owned));
        }
        let begun = text.split('"').filter(|name| name.starts_with("BROKERBENCH_"));
        found.extend(begun.map(str::to_owned));
    }
    // Of what is compiled, and what it hands on to the library in a broker.
    let ours = |name: &str| name == "BROKERBENCH_COMMIT" || name.starts_with("BROKERBENCH_DISK_");
    found.retain(|name: &String| !ours(name));
    found
}

#[test]
fn every_variable_that_is_read_stands_in_the_table() {
    let page = fs::read_to_string("docs/install.md").unwrap();
    let names = variables();
    for known in ["REDIS_SERVER", "BROKERBENCH_KAFKA_PORT", "TERM"] {
        assert!(names.iter().any(|name| name == known), "{known} is not seen: {names:?}");
    }
    for name in names {
        let row = page.lines().any(|line| {
            line.starts_with('|') && line.split('|').nth(1).unwrap().contains(&format!("`{name}`"))
        });
        assert!(row, "docs/install.md has no row for {name}");
    }
}

/// What is fetched is said as the program says it.
#[test]
fn the_page_names_the_versions_that_are_fetched() {
    let page = fs::read_to_string("docs/install.md").unwrap();
    let pom = fs::read_to_string("scripts/kafka/pom.xml").unwrap();
    let kafka = pom.split("<artifactId>kafka_2.13</artifactId>").nth(1).unwrap();
    let kafka = kafka.split("<version>").nth(1).unwrap().split('<').next().unwrap();
    let wheel = fs::read_to_string("src/environment/native/supply/wheel.rs").unwrap();
    let wheel = wheel.split("const PROJECT: &str = \"").nth(1).unwrap().split('"').next().unwrap();
    let (project, version) = wheel.split_once("==").unwrap();
    for part in [format!("Kafka {kafka}"), format!("`{project}` {version}")] {
        assert!(page.contains(&part), "docs/install.md lacks {part}");
    }
}
