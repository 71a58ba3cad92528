//! What a scenario may ask of faults: kinds that the system and its nodes have, keys that belong to the kind, and a
//! window that holds every injection with its healing and a recovery, and no two of them that would undo one another.
//!
//! Every refusal names the key and a remedy. Nothing is changed here.

use super::cell::Message;
use super::experiment::Experiment;
use super::fault::{FaultAction, FaultKeys, FaultPlan, Heal, Lasts};
use super::load::{Load, Model};
use super::system::SystemConfig;
use super::timeline::PHASE;
use crate::model::{Codec, FaultKind, FaultTarget, Grip, Software};
use crate::units::{Bytes, Span};
use crate::yaml::Problem;

/// After the last healing, the window must go on for at least this.
const RECOVERY: Span = Span::from_secs(5);
const MOST_TIMES: u16 = 1000;

type Check = Result<(), Problem>;

fn problem(index: usize, key: &str, what: impl std::fmt::Display, remedy: &str) -> Problem {
    Problem::new(["faults", &index.to_string(), key], what, remedy)
}

fn refuse(index: usize, key: &str, what: impl std::fmt::Display, remedy: &str) -> Check {
    Err(problem(index, key, what, remedy))
}

/// What concerns the plans and the load that they interrupt.
pub(super) fn plans(plans: &[FaultPlan], load: &Load, message: &Message, experiment: Option<&Experiment>) -> Check {
    if plans.is_empty() {
        return Ok(());
    }
    let whole = |what: String, remedy: &str| Err(Problem::new(["faults"], what, remedy));
    if let Some(experiment) = experiment {
        let what = format!("faults come into plain load; the experiment `{}` has its own procedure", experiment.kind());
        return whole(what, "remove `experiment`, or `faults`");
    }
    if load.model == Model::Closed || load.messages.is_some() {
        let what = "faults need a load that goes on whatever the broker does, for a time fixed beforehand".to_owned();
        return whole(what, "write `load: {model: open, rate: …, duration: …}` without `messages`");
    }
    for (index, plan) in plans.iter().enumerate() {
        values(index, plan.action)?;
        times(index, plan, load)?;
        if plan.kind() == FaultKind::NetBitflip && message.codec != Codec::None {
            let what = "a compressed message is not found among the bytes that pass";
            return refuse(index, "kind", what, "write `message: {codec: none}`");
        }
    }
    apart(plans)
}

/// The plans of a file: no key that a kind does not know, and all that it cannot do without.
pub(super) fn resolved(faults: &[FaultKeys]) -> Result<Vec<FaultPlan>, Problem> {
    faults.iter().enumerate().map(|(index, keys)| resolved_one(index, keys)).collect()
}

fn resolved_one(index: usize, written: &FaultKeys) -> Result<FaultPlan, Problem> {
    let kind = written.kind;
    let mut keys = written.clone();
    let action = keys.take(kind);
    if let Some(key) = keys.left() {
        let takes = |kind: &FaultKind| {
            let mut keys = keys.clone();
            // Whether it has all that it needs is not asked here.
            let _ = keys.take(*kind);
            keys.left() != Some(key)
        };
        let names: Vec<&str> = FaultKind::all().filter(takes).map(FaultKind::name).collect();
        let what = format!("it belongs to {}; {} has none", names.join(" and "), kind.name());
        return Err(problem(index, key, what, "remove the key"));
    }
    action.map(|action| written.plan(action)).map_err(|(key, meaning, example)| {
        let what = format!("{} needs this key: {meaning}", kind.name());
        problem(index, key, what, &format!("add `{key}: {example}`"))
    })
}

/// Values that would do nothing, or something else.
fn values(index: usize, action: FaultAction) -> Check {
    let zero = |key: &str, what: &str| refuse(index, key, what, "write a value above zero");
    match action {
        FaultAction::NetLatency { delay: Span(0), .. } | FaultAction::DiskSlow { delay: Span(0) } => {
            zero("delay", "no delay at all")
        }
        FaultAction::NetBandwidth { bandwidth: Bytes(0) } => {
            refuse(index, "bandwidth", "nothing would pass", "write a size such as `1MiB`, or use `net-stall`")
        }
        FaultAction::MemFull { room: Bytes(0) } => {
            refuse(index, "room", "for Redis, 0 is no limit at all", "write a size such as `16MiB`")
        }
        FaultAction::NetBitflip { one_in: 0 } => zero("one-in", "no message at all"),
        FaultAction::SlowConsumer { rate } if rate.micro_per_s() == 0 => {
            zero("rate", "a consumer that takes nothing is another experiment (`delivery`)")
        }
        _ => Ok(()),
    }
}

/// Everything that is injected is healed and recovered from inside the window, and no fault meets itself.
fn times(index: usize, plan: &FaultPlan, load: &Load) -> Check {
    match (plan.every, plan.times) {
        (None, Some(_)) => return refuse(index, "times", "repeated, but at which distance?", "add `every: 30s`"),
        (Some(_), None) => return refuse(index, "every", "repeated, but how often?", "add `times: 10`"),
        (_, Some(0 | MOST_TIMES..)) => {
            let what = format!("out of range, it is 1 to {}", MOST_TIMES - 1);
            return refuse(index, "times", what, "write `times: 10`");
        }
        _ => {}
    }
    let lasts = match plan.heal() {
        Heal::After(span) => span,
        Heal::AtEnd if plan.every.is_some() => {
            let what = format!("{} would last to the end of the window, and cannot come again", plan.kind().name());
            return refuse(index, "every", what, "add `for: 5s`");
        }
        Heal::Never if plan.every.is_some() => {
            return refuse(index, "for", "what is lost for good cannot be lost again", "remove `every` and `times`");
        }
        Heal::Never if plan.kind().grip() != Grip::Processes => {
            // A system that lacks one process can still be read.
            let what = format!("{} is always taken back: what came of it could not be read", plan.kind().name());
            return refuse(index, "for", what, "write a duration such as `5s`");
        }
        Heal::AtEnd | Heal::Never => Span(0),
    };
    if plan.kind() == FaultKind::ConsumerKill && plan.lasts.is_some() {
        return refuse(index, "for", "the consumer comes back at once", "remove the key");
    }
    if let (FaultKind::NetReset, Some(Lasts::For(Span(0)))) = (plan.kind(), plan.lasts) {
        return refuse(index, "for", "that is what it does without this key", "remove the key");
    }
    let every = plan.every.unwrap_or(Span(0)).nanos();
    let needed = lasts.nanos().saturating_add(every / PHASE).saturating_add(RECOVERY.nanos());
    if plan.every.is_some() && every < needed {
        let least = Span((lasts.nanos().saturating_add(RECOVERY.nanos())).div_ceil(PHASE - 1).saturating_mul(PHASE));
        let what = format!("too short for a fault of {lasts}, its phase (a tenth) and {RECOVERY} of recovery");
        return refuse(index, "every", what, &format!("write at least `{}`", whole_seconds(least)));
    }
    let again = every.saturating_mul(u64::from(plan.times.unwrap_or(1) - 1));
    let end = plan.at.nanos().saturating_add(again).saturating_add(needed);
    if end > load.duration.nanos() {
        let what = format!(
            "the window of {} does not hold this fault with its healing and {RECOVERY} of recovery",
            load.duration
        );
        let remedy = format!("write `load.duration` of at least `{}`", whole_seconds(Span(end)));
        return refuse(index, "at", what, &remedy);
    }
    Ok(())
}

/// From when to when one injection of a plan may last, as planned.
struct PlannedInjection<'a> {
    from: Span,
    to: Span,
    index: usize,
    plan: &'a FaultPlan,
}

impl<'a> PlannedInjection<'a> {
    fn all(index: usize, plan: &'a FaultPlan) -> impl Iterator<Item = Self> {
        let every = plan.every.unwrap_or(Span(0)).nanos();
        (0..u64::from(plan.times.unwrap_or(1))).map(move |number| {
            let from = plan.at.nanos().saturating_add(every.saturating_mul(number));
            let lasts = match plan.heal() {
                Heal::After(span) => span.nanos().saturating_add(every / PHASE),
                // Nobody takes it back, and nothing can be done to it any more.
                Heal::Never if plan.kind().takes_down() => 0,
                Heal::AtEnd | Heal::Never => u64::MAX,
            };
            Self { from: Span(from), to: Span(from.saturating_add(lasts)), index, plan }
        })
    }
}

/// No two plans have hold of the same at the same time. Whom they hit is known when they do it, not before: `leader` and
/// `node` may be one.
fn apart(plans: &[FaultPlan]) -> Check {
    let mut all: Vec<PlannedInjection<'_>> =
        plans.iter().enumerate().flat_map(|(index, plan)| PlannedInjection::all(index, plan)).collect();
    all.sort_by_key(|held| (held.plan.kind().grip(), held.from, held.index));
    let mut last: Option<&PlannedInjection<'_>> = None;
    for held in &all {
        let Some(before) = last.filter(|last| last.plan.kind().grip() == held.plan.kind().grip()) else {
            last = Some(held);
            continue;
        };
        if held.from <= before.to && held.index != before.index {
            let what = format!(
                "`{}` comes while `faults[{}]`, `{}`, may still last: both have hold of {}, and the one that is taken \
                 back first would take the other back too",
                held.plan.kind().name(),
                before.index,
                before.plan,
                held.plan.kind().grip().words()
            );
            let remedy = if before.to == Span(u64::MAX) {
                format!("write a `for` in `faults[{}]` that ends before, or remove one of them", before.index)
            } else {
                format!("let it come after `{}`, or `faults[{}]` end before", before.to, before.index)
            };
            return refuse(held.index, "at", what, &remedy);
        }
        if held.to > before.to {
            last = Some(held);
        }
    }
    Ok(())
}

fn whole_seconds(span: Span) -> Span {
    Span(span.nanos().div_ceil(1_000_000_000).saturating_mul(1_000_000_000))
}

/// What concerns a system and its nodes.
pub(super) fn system(label: &str, config: &SystemConfig, plans: &[FaultPlan]) -> Check {
    let kafka = config.system.software() == Software::Kafka;
    let alone = config.nodes == 1;
    for (index, plan) in plans.iter().enumerate() {
        let (kind, target) = (plan.kind(), plan.target);
        let without = |what: String, remedy: &str| refuse(index, "target", what, remedy);
        if kind.is_ours() {
            if target != FaultTarget::Node {
                let what = format!("{} befalls our own consumers, not a node", kind.name());
                return without(what, "remove the key");
            }
            continue;
        }
        match target {
            FaultTarget::Controller if !kafka => {
                return without(format!("{label} is Redis, which has no controller"), "write `target: leader`");
            }
            FaultTarget::Primary if kafka => {
                return without(format!("{label} is Kafka, which has no primary"), "write `target: leader`");
            }
            FaultTarget::Replica if alone => {
                return without(format!("{label} has one node, and no replica"), "write `target: node`, or `nodes: 3`");
            }
            _ => {}
        }
        if plan.heal() == Heal::Never && (alone || target == FaultTarget::All) {
            let what = format!("{label} would have no node left to read from");
            return refuse(
                index,
                "for",
                what,
                "write a duration such as `5s`, or `nodes: 3` and one of them as target",
            );
        }
        match kind {
            FaultKind::NetPartition if alone => {
                let what = format!("{label} has one node: there is nobody to cut it off from");
                return refuse(index, "kind", what, "write `nodes: 3`, or `kind: net-refuse`");
            }
            FaultKind::NetPartition if kafka => {
                let what = format!(
                    "{label} is Kafka: its nodes reach each other both ways, and what stands before one of them cuts \
                     only the ways that lead to it"
                );
                return refuse(index, "kind", what, "write `kind: pause`, or leave the label out");
            }
            // A replica goes on to its primary by itself.
            FaultKind::NetPartition if !matches!(target, FaultTarget::Leader | FaultTarget::Primary) => {
                let what = "only the primary can be cut off whole: the others come to it".to_owned();
                return without(what, "write `target: primary`");
            }
            FaultKind::MemFull if kafka => {
                let what = format!("{label} is Kafka, which keeps its messages on disk");
                return refuse(index, "kind", what, "write `kind: disk-full`, or leave the label out");
            }
            FaultKind::MemFull if matches!(target, FaultTarget::Replica | FaultTarget::All) => {
                let what = "the limit is set where the writes are taken".to_owned();
                return without(what, "write `target: primary`");
            }
            _ => {}
        }
    }
    Ok(())
}
