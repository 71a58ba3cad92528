//! Commands that read results: report, table, export.

use super::args::TableArgs;
use super::ending::Ending;
use super::exit::{Code, Failure};
use super::{Outcome, loudness, out, raw, say, width};
use crate::result::{Comparison, ResultError, RunFolder, archive, files};
use crate::sanitize;
use crate::{claims, export as formats, report as rendering};
use std::path::{Path, PathBuf};

pub fn report(run: &str, results: &Path) -> Outcome {
    let folder = find(run, results)?;
    let summary = rendering::report(&folder)?;
    rendering::write_index(results)?;
    let ending = Ending {
        manifest: &folder.read_manifest()?,
        summary: &summary,
        folder: folder.path(),
        results,
        name: run,
        width: width(),
        loudness: loudness(),
    };
    out(&ending.text());
    Ok(Code::Fine)
}

/// A run by path, by name, or the latest: which that is, is said.
fn find(run: &str, results: &Path) -> Result<RunFolder, Failure> {
    let named = results.join("runs").join(run);
    Ok(match run {
        "latest" => {
            let latest = RunFolder::latest(results)?;
            let begun = to_the_minute(&latest.epoch().to_string());
            let path = latest.path().display().to_string();
            say(&format!("latest run: {}, begun {begun}", sanitize::line(&path)));
            latest
        }
        _ if !run.contains('/') && named.is_dir() => RunFolder::open(&named)?,
        _ => RunFolder::open(Path::new(run))?,
    })
}

/// Where the lines of the claims stand in a file, and where the findings in sentences.
const LINES: &str = "";
const FINDINGS: &str = "findings:";

/// Whose table is committed: what is checked and put into files, unless another is named.
const COMMITTED: &str = "standard";

/// The folder of a comparison, and what is in it.
fn compared(args: &TableArgs) -> Result<(PathBuf, Comparison), Failure> {
    let results = &args.results.results;
    let looks = args.inject.is_none() && !args.check && !args.rewrite;
    match &args.profile {
        None if looks => {
            let (dir, comparison) = newest(results)?;
            let (at, path) = (newest_run(&comparison), dir.display().to_string());
            let profile = sanitize::line(&comparison.profile);
            say(&format!(
                "newest comparison: {}, profile {profile}, measured {}",
                sanitize::line(&path),
                to_the_minute(&at)
            ));
            Ok((dir, comparison))
        }
        named => {
            let dir = results.join(named.as_deref().unwrap_or(COMMITTED));
            let comparison = Comparison::read(&dir)?;
            Ok((dir, comparison))
        }
    }
}

/// The comparison with the newest run, of all under a folder of results. One that cannot be read
/// hides no other.
fn newest(results: &Path) -> Result<(PathBuf, Comparison), ResultError> {
    let mut folders = files::folders(results)?;
    folders.retain(|dir| dir.join("comparison.json").is_file());
    if folders.is_empty() {
        // Says what is missing, and what to do about it.
        let dir = results.join(COMMITTED);
        return Comparison::read(&dir).map(|comparison| (dir, comparison));
    }
    let mut found: Option<(PathBuf, Comparison)> = None;
    let mut unread = None;
    for dir in folders {
        match Comparison::read(&dir) {
            Ok(read)
                if found
                    .as_ref()
                    .is_none_or(|(_, known)| newest_run(known) < newest_run(&read)) =>
            {
                found = Some((dir, read));
            }
            Ok(_) => {}
            Err(error) => {
                if let Some(before) = unread.replace(error) {
                    say(&format!("warning: {before}"));
                }
            }
        }
    }
    match (found, unread) {
        (None, Some(error)) => Err(error),
        (None, None) => Err(ResultError::NoRun { path: results.to_owned() }),
        (Some(found), unread) => {
            unread.iter().for_each(|error| say(&format!("warning: {error}")));
            Ok(found)
        }
    }
}

/// When the newest run of a comparison began, RFC 3339; empty where none was made.
fn newest_run(comparison: &Comparison) -> String {
    let begun = comparison.runs.iter().map(|run| run.started_at.as_str());
    begun.max().unwrap_or_default().to_owned()
}

/// `2026-11-22 19:00Z`, of a time in RFC 3339.
pub fn to_the_minute(time: &str) -> String {
    time.parse::<jiff::Timestamp>()
        .map_or_else(|_| sanitize::line(time), |at| at.strftime("%Y-%m-%d %H:%MZ").to_string())
}

pub fn table(args: &TableArgs) -> Outcome {
    let (dir, mut comparison) = compared(args)?;
    let proven = if args.rewrite || args.check { raw::table(&dir, &comparison)? } else { None };
    if args.rewrite {
        comparison = match &proven {
            Some(proven) => proven.clone(),
            None => {
                claims::again(&comparison).map_err(|error| Failure::new(Code::Internal, error))?
            }
        };
    }
    let mut wrong = claims::recheck(&comparison).err().unwrap_or_default();
    if proven.as_ref().is_some_and(|proven| *proven != comparison) {
        let raw = dir.join(archive::FILE);
        wrong.push(format!("comparison.json is not what {} comes to", raw.display()));
    }
    let injected = match args.inject.as_deref() {
        Some(file) => Some((file, inject(file, &comparison)?)),
        None => None,
    };
    if args.check {
        let long = [("comparison.md", rendering::markdown(&comparison).into_bytes())];
        for (name, bytes) in long.into_iter().chain(rendering::overview(&comparison)?) {
            let committed = dir.join(name);
            // One that is missing is one that was not written again.
            if !committed.is_file() || files::read(&committed)? != bytes {
                let path = committed.display();
                wrong.push(format!("{path} does not agree with comparison.json beside it"));
            }
        }
        if let Some((file, (old, new))) = &injected
            && old != new
        {
            let what = "its table or its findings are not those";
            wrong.push(format!("{}: {what} of {}", file.display(), dir.display()));
        }
        if let Some(last) = wrong.last_mut() {
            let profile = args.profile.as_deref().unwrap_or(COMMITTED);
            let again = format!("`brokerbench table --profile {profile} --rewrite`");
            *last += &format!("; write it again with {again}");
        }
    }
    if !wrong.is_empty() {
        return Err(Failure::new(Code::TableStale, wrong.join("\n")));
    }
    if args.check {
        return Ok(Code::Fine);
    }
    if args.rewrite {
        rendering::write_comparison(&dir, &comparison)?;
        if proven.is_some() {
            raw::pack(&args.results.results, &dir, &comparison)?;
        }
    }
    match injected {
        Some((file, (old, new))) if old != new => files::write_atomic(file, new.as_bytes())?,
        Some(_) => {}
        None => out(&rendering::terminal(&comparison, width())),
    }
    Ok(Code::Fine)
}

/// The text of `file` before and after its table, and its findings where it has a place for them,
/// are replaced.
fn inject(file: &Path, comparison: &Comparison) -> Result<(String, String), Failure> {
    let text = String::from_utf8_lossy(&files::read(file)?).into_owned();
    let lines =
        replaced(&text, LINES, &rendering::markdown_lines(comparison)).ok_or_else(|| {
            let [begin, end] = markers(LINES);
            let remedy = format!("put `{begin}` and `{end}` on lines of their own");
            Failure::new(
                Code::Usage,
                format!("{}: no place for the table; {remedy}", file.display()),
            )
        })?;
    let whole = replaced(&lines, FINDINGS, &rendering::markdown_findings(comparison));
    Ok((text, whole.unwrap_or(lines)))
}

fn markers(of: &str) -> [String; 2] {
    ["begin", "end"].map(|end| format!("<!-- brokerbench:{of}{end} -->"))
}

/// The text with what stands between two markers replaced; `None` where they are missing.
fn replaced(text: &str, of: &str, new: &str) -> Option<String> {
    let [begin, end] = markers(of);
    let begin = text.find(&begin)? + begin.len();
    let end = begin + text[begin..].find(&end)?;
    Some(format!("{}\n{}\n{}", &text[..begin], new.trim(), &text[end..]))
}

pub fn export(run: &str, results: &Path) -> Outcome {
    let folder = find(run, results)?;
    for file in formats::write_hgrm(&folder)? {
        out(&folder.path().join(file).display().to_string());
    }
    Ok(Code::Fine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example_comparison;

    fn stored(results: &Path, profile: &str, begun: &str) {
        let mut comparison = example_comparison();
        comparison.profile = profile.into();
        comparison.runs.iter_mut().for_each(|run| run.started_at = begun.into());
        comparison.write(&results.join(profile)).unwrap();
    }

    #[test]
    fn the_newest_comparison_is_the_one_with_the_newest_run() {
        let dir = tempfile::tempdir().unwrap();
        let profile = || newest(dir.path()).map(|(_, comparison)| comparison.profile);
        assert!(profile().unwrap_err().to_string().contains("standard"), "none yet");
        stored(dir.path(), "standard", "2026-11-22T19:00:00Z");
        stored(dir.path(), "quick", "2026-11-29T08:30:00.5Z");
        assert_eq!(profile().unwrap(), "quick");
        stored(dir.path(), "full", "2026-10-01T00:00:00Z");
        assert_eq!(profile().unwrap(), "quick");
        std::fs::write(dir.path().join("quick/comparison.json"), "{").unwrap();
        assert_eq!(profile().unwrap(), "standard", "what is damaged hides no other");
        std::fs::remove_dir_all(dir.path().join("standard")).unwrap();
        std::fs::remove_dir_all(dir.path().join("full")).unwrap();
        assert!(profile().unwrap_err().to_string().contains("quick"), "it is all there is");
    }

    #[test]
    fn times_are_told_to_the_minute() {
        assert_eq!(to_the_minute("2026-11-29T08:30:59.5Z"), "2026-11-29 08:30Z");
        assert_eq!(to_the_minute("today\u{1b}"), "today\u{fffd}");
    }
}
