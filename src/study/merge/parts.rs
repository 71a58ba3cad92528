//! Which shards are to be merged, and why not, by name: one that is there twice, is missing, has
//! not finished or not ended well, is of another run, or ran something else.

use super::MergeError;
use crate::result::shard::{SealedShard, Sharded};
use crate::result::{Build, Manifest, ResultError, ScenarioInfo, Status, files, words};
use crate::schedule::Shard;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A shard that can be read.
pub struct Part {
    pub shard: Shard,
    pub sealed: SealedShard,
    pub manifest: Manifest,
}

/// The shards of one run, in order, and what is wrong with those that are not there or did not end
/// well.
pub struct Parts {
    pub all: Vec<Part>,
    pub run_id: String,
    pub count: u16,
    pub lacking: Vec<String>,
}

/// Shard folders: those that are named, and those inside of named folders.
pub fn folders(paths: &[PathBuf]) -> Result<Vec<PathBuf>, MergeError> {
    let mut found = Vec::new();
    for path in paths {
        if is_run(path) {
            found.push(path.clone());
            continue;
        }
        let before = found.len();
        found.extend(files::folders(path)?.into_iter().filter(|inside| is_run(inside)));
        if found.len() == before {
            return Err(MergeError::Refused(format!(
                "{}: neither a shard nor a folder of shards; they lie in \
                 `<results>/shards/<run id>`",
                path.display()
            )));
        }
    }
    Ok(found)
}

fn is_run(path: &Path) -> bool {
    path.join("manifest.json").is_file()
}

/// What a folder says that it is.
pub fn claimed(path: &Path) -> Result<(Manifest, Shard, String), MergeError> {
    let manifest: Manifest = files::read_json(&path.join("manifest.json"))?;
    match manifest.sharded.clone() {
        Some(Sharded { run_id, shard: Some(shard), .. }) => Ok((manifest, shard, run_id)),
        _ => Err(MergeError::Refused(format!(
            "{}: a run of its own and no shard of one; `brokerbench report` shows it",
            path.display()
        ))),
    }
}

impl Parts {
    /// Reads what is there. The error names what cannot be part of one run, whatever is forced.
    pub fn read(paths: &[PathBuf]) -> Result<Self, MergeError> {
        let mut by_number: BTreeMap<Shard, (PathBuf, Manifest)> = BTreeMap::new();
        let mut first: Option<(Manifest, Shard, String)> = None;
        for path in folders(paths)? {
            let (manifest, shard, run_id) = claimed(&path)?;
            let (known, of, known_id) =
                first.get_or_insert_with(|| (manifest.clone(), shard, run_id.clone()));
            let other = match () {
                () if run_id != *known_id => Some(format!("of run `{run_id}`, not `{known_id}`")),
                () if shard.count != of.count => {
                    Some(format!("one of {}, not of {}", shard.count, of.count))
                }
                () => other_than(known, &manifest),
            };
            if let Some(other) = other {
                let path = path.display();
                return Err(MergeError::Refused(format!("{path}: shard {shard} is {other}")));
            }
            if let Some((before, _)) = by_number.insert(shard, (path.clone(), manifest)) {
                return Err(MergeError::Refused(format!(
                    "shard {shard} is there twice: {} and {}",
                    before.display(),
                    path.display()
                )));
            }
        }
        let Some((_, of, run_id)) = first else {
            return Err(MergeError::Refused("no shard is named".into()));
        };
        let (mut all, mut lacking) = (Vec::new(), Vec::new());
        for shard in of.all() {
            match by_number.remove(&shard) {
                None => lacking.push(format!("shard {shard} is missing")),
                Some((path, manifest)) => match sealed(shard, &path, &manifest)? {
                    Ok((part, trouble)) => {
                        lacking.extend(trouble);
                        all.push(part);
                    }
                    Err(why) => lacking.push(why),
                },
            }
        }
        Ok(Self { all, run_id, count: of.count, lacking })
    }
}

/// A shard as it ended, and what went wrong if something did; or why it cannot be read as such.
type Sealed = Result<(Part, Option<String>), String>;

fn sealed(shard: Shard, path: &Path, manifest: &Manifest) -> Result<Sealed, ResultError> {
    let on = format!("shard {shard} (on {})", manifest.host.name);
    if !SealedShard::is_there(path) {
        return Ok(Err(format!("{on} has not finished")));
    }
    let sealed = SealedShard::open(path)?;
    let content = sealed.read("manifest.json", files::LARGEST)?;
    let manifest: Manifest = files::parse_json(&content, &path.join("manifest.json"))?;
    let trouble = (manifest.status != Status::Complete).then(|| {
        // Whom it names is why; the others are of brokers and machines.
        let names = |warning: &&String| warning.contains("shard ");
        let why = manifest.warnings.iter().find(names).or(manifest.warnings.last());
        let why = why.map_or_else(String::new, |why| format!(": {why}"));
        format!("{on} ended {}{why}", words::name(&manifest.status))
    });
    Ok(Ok((Part { shard, sealed, manifest }, trouble)))
}

/// What another shard ran otherwise.
fn other_than(first: &Manifest, other: &Manifest) -> Option<String> {
    let program = |manifest: &Manifest| {
        format!("{} ({})", manifest.brokerbench_version, Build::words(manifest.build.as_ref()))
    };
    if program(first) != program(other) {
        let (first, other) = (program(first), program(other));
        return Some(format!("by brokerbench {other}, the others by {first}"));
    }
    if first.seed != other.seed {
        return Some(format!("at the seed {}, the others at {}", other.seed, first.seed));
    }
    if first.profile != other.profile {
        return Some("under another profile than the others".into());
    }
    let bare = |info: &ScenarioInfo| ScenarioInfo { source: String::new(), ..info.clone() };
    if bare(&first.scenario) == bare(&other.scenario) {
        return None;
    }
    let value = |info: &ScenarioInfo, key: &str| {
        let row = info.resolved.iter().find(|row| row.key == key);
        row.map_or_else(|| "unset".to_owned(), |row| row.value.clone())
    };
    let keys = first.scenario.resolved.iter().chain(&other.scenario.resolved).map(|row| &row.key);
    let differs = keys
        .map(|key| (key, value(&first.scenario, key), value(&other.scenario, key)))
        .find(|(_, mine, theirs)| mine != theirs);
    Some(match differs {
        Some((key, mine, theirs)) => {
            format!("of another scenario: `{key}` is {theirs}, of the others {mine}")
        }
        None => format!(
            "of another scenario: `{}`, the others of `{}`",
            other.scenario.name, first.scenario.name
        ),
    })
}
