//! What a scenario may ask of faults: kinds that the system and its nodes have, keys that belong to
//! the kind, and a window that holds every injection with its healing and a recovery, and no two of
//! them that would undo one another.
//!
//! Every refusal names the key and a remedy. Nothing is changed here.

use super::cell::Message;
use super::cluster_check;
use super::experiment::Experiment;
use super::fault::{FaultAction, FaultKeys, FaultPlan, Heal, Lasts, PHASE};
use super::load::{Load, Model};
use super::system::SystemConfig;
use crate::model::{Codec, FaultKind, FaultTarget, Grip, Software};
use crate::units::{Bytes, Span};
use crate::yaml::Problem;
use itertools::Itertools;

/// After the last healing, the window must go on for at least this.
const RECOVERY: Span = Span::from_secs(5);
const MOST_TIMES: u16 = 1000;

type Check = Result<(), Problem>;

fn refuse(index: usize, key: &str, what: impl std::fmt::Display, remedy: &str) -> Check {
    Err(Problem::new(["faults", &index.to_string(), key], what, remedy))
}

/// What concerns the plans and the load that they interrupt.
pub(super) fn plans(
    plans: &[FaultPlan],
    load: &Load,
    message: &Message,
    experiment: Option<&Experiment>,
) -> Check {
    if plans.is_empty() {
        return Ok(());
    }
    if let Some(experiment) = experiment {
        let what = format!(
            "faults come into plain load; the experiment `{}` has its own procedure",
            experiment.kind()
        );
        return Err(Problem::new(["faults"], what, "remove `experiment`, or `faults`"));
    }
    if load.model == Model::Closed || load.messages.is_some() {
        let what =
            "faults need a load that goes on whatever the broker does, for a time fixed beforehand";
        let remedy = "write `load: {model: open, rate: …, duration: …}` without `messages`";
        return Err(Problem::new(["faults"], what, remedy));
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
    let one = |(index, keys): (usize, &FaultKeys)| {
        resolved_one(keys).map_err(|problem| problem.inside(["faults", &index.to_string()]))
    };
    faults.iter().enumerate().map(one).collect()
}

fn resolved_one(written: &FaultKeys) -> Result<FaultPlan, Problem> {
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
        let names = FaultKind::ALL.into_iter().filter(takes).map(FaultKind::name).join(" and ");
        let what = format!("it belongs to {names}; {} has none", kind.name());
        return Err(Problem::new([key], what, "remove the key"));
    }
    action.map(|action| written.plan(action)).map_err(|(key, meaning, example)| {
        let what = format!("{} needs this key: {meaning}", kind.name());
        Problem::new([key], what, &format!("add `{key}: {example}`"))
    })
}

/// Values that would do nothing, or something else.
fn values(index: usize, action: FaultAction) -> Check {
    let zero = |key: &str, what: &str| refuse(index, key, what, "write a value above zero");
    match action {
        FaultAction::NetLatency { delay: Span(0), .. }
        | FaultAction::DiskSlow { delay: Span(0) } => zero("delay", "no delay at all"),
        FaultAction::NetBandwidth { bandwidth: Bytes(0) } => refuse(
            index,
            "bandwidth",
            "nothing would pass",
            "write a size such as `1MiB`, or use `net-stall`",
        ),
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

/// Everything that is injected is healed and recovered from inside the window,
/// and no fault meets itself.
fn times(index: usize, plan: &FaultPlan, load: &Load) -> Check {
    match (plan.every, plan.times) {
        (None, Some(_)) => {
            return refuse(index, "times", "repeated, but at which distance?", "add `every: 30s`");
        }
        (Some(_), None) => {
            return refuse(index, "every", "repeated, but how often?", "add `times: 10`");
        }
        (_, Some(0 | MOST_TIMES..)) => {
            let what = format!("out of range, it is 1 to {}", MOST_TIMES - 1);
            return refuse(index, "times", what, "write `times: 10`");
        }
        _ => {}
    }
    let (kind, name) = (plan.kind(), plan.kind().name());
    let lasts = match (plan.heal(), plan.every) {
        (Heal::After(span), _) => span,
        (Heal::AtEnd, Some(_)) => {
            let what = format!("{name} would last to the end of the window, and cannot come again");
            return refuse(index, "every", what, "add `for: 5s`");
        }
        (Heal::Never, Some(_)) => {
            return refuse(
                index,
                "for",
                "what is lost for good cannot be lost again",
                "remove `every` and `times`",
            );
        }
        // A system that lacks one process can still be read.
        (Heal::Never, None) if kind.grip() != Grip::Processes => {
            let what = format!("{name} is always taken back: what came of it could not be read");
            return refuse(index, "for", what, "write a duration such as `5s`");
        }
        (Heal::AtEnd | Heal::Never, None) => Span(0),
    };
    match (kind, plan.lasts) {
        (FaultKind::ConsumerKill, Some(_)) => {
            return refuse(index, "for", "the consumer comes back at once", "remove the key");
        }
        (FaultKind::Reshard, Some(_)) => {
            let what = "the slot stays where it was moved";
            return refuse(index, "for", what, "remove the key; `every` moves it on");
        }
        (FaultKind::NetReset, Some(Lasts::For(Span(0)))) => {
            return refuse(index, "for", "that is what it does without this key", "remove the key");
        }
        _ => {}
    }
    let every = plan.every.unwrap_or(Span(0)).nanos();
    let held = lasts.nanos().saturating_add(RECOVERY.nanos());
    let needed = held.saturating_add(plan.phase().nanos());
    if plan.every.is_some() && every < needed {
        let (phase, least) = match plan.phase {
            Some(phase) => (format!("its phase of {phase}"), needed),
            None => {
                let least = held.div_ceil(PHASE - 1).saturating_mul(PHASE);
                ("its phase (a tenth)".to_owned(), least)
            }
        };
        let what = format!("too short for a fault of {lasts}, {phase} and {RECOVERY} of recovery");
        return refuse(index, "every", what, &format!("write at least `{}`", whole_seconds(least)));
    }
    let again = every.saturating_mul(u64::from(plan.times.unwrap_or(1) - 1));
    let end = plan.at.nanos().saturating_add(again).saturating_add(needed);
    if end > load.duration.nanos() {
        let window = load.duration;
        let what = format!(
            "the window of {window} does not hold this fault with its healing \
            and {RECOVERY} of recovery"
        );
        let remedy = format!("write `load.duration` of at least `{}`", whole_seconds(end));
        return refuse(index, "at", what, &remedy);
    }
    Ok(())
}

fn whole_seconds(nanos: u64) -> Span {
    Span(nanos.div_ceil(1_000_000_000).saturating_mul(1_000_000_000))
}

/// From when to when one injection of a plan may last, as planned.
struct PlannedInjection<'a> {
    from: Span,
    to: Span,
    index: usize,
    plan: &'a FaultPlan,
}

impl<'a> PlannedInjection<'a> {
    fn all((index, plan): (usize, &'a FaultPlan)) -> impl Iterator<Item = Self> {
        let every = plan.every.unwrap_or(Span(0)).nanos();
        (0..u64::from(plan.times.unwrap_or(1))).map(move |number| {
            let from = plan.at.nanos().saturating_add(every.saturating_mul(number));
            let lasts = match plan.heal() {
                Heal::After(span) => span.nanos().saturating_add(plan.phase().nanos()),
                // Nobody takes it back, and nothing can be done to it any more.
                Heal::Never if plan.kind().takes_down() => 0,
                Heal::AtEnd | Heal::Never => u64::MAX,
            };
            Self { from: Span(from), to: Span(from.saturating_add(lasts)), index, plan }
        })
    }
}

/// No two plans have hold of the same at the same time. Whom they hit is known when they do it, not
/// before: `leader` and `node` may be one.
fn apart(plans: &[FaultPlan]) -> Check {
    let all = plans.iter().enumerate().flat_map(PlannedInjection::all);
    let mut last: Option<PlannedInjection<'_>> = None;
    for held in all.sorted_by_key(|held| (held.plan.kind().grip(), held.from, held.index)) {
        let grip = held.plan.kind().grip();
        let Some(before) = last.take_if(|last| last.plan.kind().grip() == grip) else {
            last = Some(held);
            continue;
        };
        let other = before.index;
        if held.from <= before.to && held.index != other {
            let what = format!(
                "`{}` comes while `faults[{other}]`, `{}`, may still last: both have hold of {}, \
                 and the one that is taken back first would take the other back too",
                held.plan.kind().name(),
                before.plan,
                grip.name()
            );
            let remedy = match before.to {
                Span(u64::MAX) => format!(
                    "write a `for` in `faults[{other}]` that ends before, or remove one of them"
                ),
                to => format!("let it come after `{to}`, or `faults[{other}]` end before"),
            };
            return refuse(held.index, "at", what, &remedy);
        }
        last = Some(if held.to > before.to { held } else { before });
    }
    Ok(())
}

/// What concerns a system and its nodes.
pub(super) fn system(label: &str, config: &SystemConfig, plans: &[FaultPlan]) -> Check {
    plans.iter().enumerate().try_for_each(|(index, plan)| match unfit(label, config, plan) {
        Some((key, what, remedy)) => refuse(index, key, what, remedy),
        None => Ok(()),
    })
}

/// The key by which a plan does not fit a system, what is wrong, and the remedy.
pub(super) type Misfit = (&'static str, String, &'static str);

fn unfit(label: &str, config: &SystemConfig, plan: &FaultPlan) -> Option<Misfit> {
    let (kafka, alone) = (config.system.software() == Software::Kafka, config.nodes == 1);
    if let Some(misfit) = cluster_check::unfit(label, config, plan) {
        return Some(misfit);
    }
    Some(match (plan.kind(), plan.target) {
        (kind, target) if kind.is_ours() => {
            let what = format!("{} befalls our own consumers, not a node", kind.name());
            return (target != FaultTarget::Node).then_some(("target", what, "remove the key"));
        }
        (_, FaultTarget::Controller) if !kafka => (
            "target",
            format!("{label} is Redis, which has no controller"),
            "write `target: leader`",
        ),
        (_, FaultTarget::Primary) if kafka => {
            ("target", format!("{label} is Kafka, which has no primary"), "write `target: leader`")
        }
        (_, FaultTarget::Replica) if alone => (
            "target",
            format!("{label} has one node, and no replica"),
            "write `target: node`, or `nodes: 3`",
        ),
        (_, target) if plan.heal() == Heal::Never && (alone || target == FaultTarget::All) => {
            let remedy = "write a duration such as `5s`, or `nodes: 3` and one of them as target";
            ("for", format!("{label} would have no node left to read from"), remedy)
        }
        (FaultKind::NetPartition, _) if alone => {
            let what = format!("{label} has one node: there is nobody to cut it off from");
            ("kind", what, "write `nodes: 3`, or `kind: net-refuse`")
        }
        // A replica goes on to its primary by itself.
        (FaultKind::NetPartition, target)
            if !kafka && !matches!(target, FaultTarget::Leader | FaultTarget::Primary) =>
        {
            let what = "of Redis, only the primary can be cut off whole: the others come to it";
            ("target", what.to_owned(), "write `target: leader`")
        }
        (FaultKind::MemFull, _) if kafka => {
            let what = format!("{label} is Kafka, which keeps its messages on disk");
            ("kind", what, "write `kind: disk-full`, or leave the label out")
        }
        (FaultKind::MemFull, FaultTarget::Replica | FaultTarget::All) => (
            "target",
            "the limit is set where the writes are taken".to_owned(),
            "write `target: primary`",
        ),
        _ => return None,
    })
}
