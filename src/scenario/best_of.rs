//! `load.best-of`: a few settings of the generator, of which each label is measured at the one that
//! carries most.
//!
//! How fast a system goes depends on who asks: one connection is no limit of a broker. The same
//! settings are tried on every label, once and before the first block; what they carried then
//! chooses and is never judged. Nothing here measures: what is tried is a cell like any other.

use super::cell::Cell;
use super::load::{Load, Model};
use crate::model::{Measure, metric};
use crate::units::Span;
use crate::yaml::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// One setting: what it does not name is as the load has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Setting {
    pub producers: Option<u16>,
    pub connections: Option<u16>,
    pub in_flight: Option<u32>,
    pub batch: Option<u32>,
}

/// The keys that a setting may name.
pub(super) const KEYS: [&str; 4] =
    ["load.producers", "load.connections", "load.in-flight", "load.batch"];
/// Where its list stands.
pub(super) const LIST: [&str; 2] = ["load", "best-of"];
/// More would be a search, and the best of many is the luckiest of them.
const MOST: usize = 8;

/// Long enough to tell settings apart that differ by more than the verdict's margin.
const WARM_UP: Span = Span::from_secs(2);
const WARM_UP_LIMIT: Span = Span::from_secs(3);
const WINDOW: Span = Span::from_secs(4);

impl Setting {
    pub fn on(self, load: &Load) -> Load {
        Load {
            producers: self.producers.unwrap_or(load.producers),
            connections: self.connections.unwrap_or(load.connections),
            in_flight: self.in_flight.unwrap_or(load.in_flight),
            batch: self.batch.unwrap_or(load.batch),
            best_of: Vec::new(),
            ..load.clone()
        }
    }
}

/// `4 producers, 2500 in flight`.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let some = |count: Option<u16>, what: &str| {
            count.map(|n| format!("{n} {what}{}", if n == 1 { "" } else { "s" }))
        };
        let parts = [
            some(self.producers, "producer"),
            some(self.connections, "connection"),
            self.in_flight.map(|n| format!("{n} in flight")),
            self.batch.map(|n| format!("batches of {n}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(if parts.is_empty() { "as it is" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

impl Serialize for Setting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Refuses a list that chooses nothing, or by what it cannot know.
pub(super) fn check<'a>(
    load: &Load,
    primary: Measure,
    plain: bool,
    mut axes: impl Iterator<Item = &'a str>,
) -> Result<(), Problem> {
    let settings = &load.best_of;
    let fail = |what: &str, remedy: &str| Err(Problem::new(LIST, what, remedy));
    if settings.is_empty() {
        return Ok(());
    }
    if load.model != Model::Closed || !plain {
        let what =
            "only plain load of the closed model is tried at several settings, without faults";
        return fail(what, "remove `best-of`, or use `model: closed`");
    }
    if primary.metric != metric::GOODPUT {
        return fail(
            "it chooses by goodput, and `primary` is another figure",
            "remove one of both",
        );
    }
    if let Some(axis) = axes.find(|axis| KEYS.contains(axis)) {
        return fail(&format!("the matrix varies `{axis}`"), "remove it from one of both");
    }
    if settings.len() > MOST {
        return fail(&format!("more than {MOST} settings"), "the best of many is the luckiest");
    }
    if settings.iter().any(|setting| setting.producers == Some(0)) {
        return fail("a setting has no producers: at least 1 is needed", "write 1 or more");
    }
    let twice =
        |at: usize| settings[..at].iter().any(|other| other.on(load) == settings[at].on(load));
    match (1..settings.len()).find(|at| twice(*at)) {
        Some(at) => {
            let what = format!("`{}` is the same as one before", settings[at]);
            fail(&what, "remove one of both")
        }
        None => Ok(()),
    }
}

impl Cell {
    /// Whether its setting is yet to be chosen.
    pub fn awaits_setting(&self) -> bool {
        !self.load.best_of.is_empty() && self.cannot().is_none()
    }

    /// The same load at one of its settings.
    #[must_use]
    pub fn at(&self, setting: Setting) -> Self {
        Self { load: setting.on(&self.load), ..self.clone() }
    }

    /// What is tried before the first block, with the setting that each stands for: the same load,
    /// and short.
    pub fn tried_settings(&self) -> Vec<(Setting, Self)> {
        let short = |setting: &Setting| {
            let mut cell = self.at(*setting);
            let load = &mut cell.load;
            load.warm_up = load.warm_up.min(WARM_UP);
            load.warm_up_limit = load.warm_up_limit.min(WARM_UP_LIMIT).max(load.warm_up);
            load.duration = load.duration.min(WINDOW);
            // Only its speed is asked.
            load.audit = false;
            (*setting, cell)
        };
        let all = if self.awaits_setting() { &self.load.best_of[..] } else { &[] };
        all.iter().map(short).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::scenario::{Overrides, Scenario, from_text};

    fn scenario(load: &str, sets: &[&str], sweeps: &[&str]) -> Result<Scenario, String> {
        let text = format!(
            "schema: 1\nname: t\nquestion: Q?\nsystems: [kafka, redis-lists]\nload: {{model: \
             closed, producers: 2, {load}}}\n"
        );
        let owned = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
        let overrides =
            Overrides { sets: owned(sets), sweeps: owned(sweeps), ..Overrides::default() };
        from_text("t.yaml", &text, &overrides).map_err(|error| error.to_string())
    }

    fn refused(load: &str, sets: &[&str]) -> String {
        scenario(load, sets, &[]).map(|_| ()).unwrap_err()
    }

    const TWO: &str = "best-of: [{producers: 1}, {connections: 4, in-flight: 500}]";

    #[test]
    fn every_label_is_tried_at_every_setting_and_keeps_what_none_names() {
        let scenario = scenario(TWO, &[], &[]).unwrap();
        let cells = scenario.cells();
        assert_eq!(cells.len(), 2, "what is tried is no cell of the matrix");
        for cell in cells {
            let tried = cell.tried_settings();
            let loads: Vec<_> = (tried.iter())
                .map(|(_, c)| {
                    (c.load.producers, c.load.connections, c.load.in_flight, c.load.batch)
                })
                .collect();
            assert_eq!(loads, [(1, 1, 1024, 1000), (2, 4, 500, 1000)]);
            assert!(tried.iter().all(|(_, cell)| !cell.awaits_setting() && !cell.load.audit));
            let words: Vec<_> = tried.iter().map(|(setting, _)| setting.to_string()).collect();
            assert_eq!(words, ["1 producer", "4 connections, 500 in flight"]);
        }
        let row = scenario.resolved().iter().find(|row| row.key == "load.best-of").unwrap();
        assert_eq!(row.value, "[1 producer, 4 connections, 500 in flight]");
    }

    #[test]
    fn what_is_asked_for_last_ends_the_choice() {
        for (sets, sweeps) in [
            (&["load.producers=3"][..], &[][..]),
            (&[], &["load.in-flight=10,20"]),
            (&["load.best-of=[]"], &[]),
        ] {
            let cells = scenario(TWO, sets, sweeps).unwrap().cells();
            assert!(cells.iter().all(|cell| !cell.awaits_setting()), "{sets:?} {sweeps:?}");
        }
        let other = scenario(TWO, &["load.duration=3s"], &[]).unwrap().cells();
        assert!(other.iter().all(|cell| cell.awaits_setting()));
    }

    #[test]
    fn what_cannot_be_chosen_is_refused() {
        let open = refused(TWO, &["load.model=open", "load.rate=1k/s"]);
        assert!(open.contains("only plain load of the closed model"), "{open}");
        for (load, words) in [
            ("best-of: [{producers: 2}, {}]", "`as it is` is the same as one before"),
            ("best-of: [{producers: 0}]", "at least 1 is needed"),
            ("best-of: [{rate: 1k/s}]", "unknown"),
        ] {
            let found = refused(load, &[]);
            assert!(found.contains(words), "{load}: {found}");
        }
        let many = (1..=9).map(|n| format!("{{producers: {n}}}")).collect::<Vec<_>>().join(", ");
        let many = refused(&format!("best-of: [{many}]"), &[]);
        assert!(many.contains("more than 8 settings"), "{many}");
    }
}
