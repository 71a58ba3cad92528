//! `--shard`: which part of a run this process is, as typed, or as the engine says that started it.

use super::args::ShardArgs;
use super::exit::{Code, Failure};
use crate::schedule::Shard;
use crate::study::RunPart;

/// Names a folder and topics.
const LONGEST_ID: usize = 48;

type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// `None` where this process runs everything.
pub fn part(args: &ShardArgs) -> Result<Option<RunPart>, Failure> {
    told(args, &|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

fn told(args: &ShardArgs, variable: Variable<'_>) -> Result<Option<RunPart>, Failure> {
    let Some(text) = &args.shard else { return Ok(None) };
    let shard = match text.as_str() {
        "auto" => engine(variable),
        typed => typed.parse::<Shard>().map_err(|why| format!("--shard {typed}: {why}")),
    };
    let shard = shard.map_err(|why| Failure::new(Code::Usage, why))?;
    let given = args.run_id.clone().or_else(|| variable("BROKERBENCH_RUN_ID"));
    let run_id = given.or_else(|| variable("SLURM_JOB_ID").map(|id| format!("slurm-{id}")));
    match run_id {
        None => {
            let why = "--shard: the run has no name: give all of its shards the same --run-id (or \
                       BROKERBENCH_RUN_ID), and no other run that one";
            Err(Failure::new(Code::Usage, why))
        }
        Some(run_id) => {
            check_id(&run_id)?;
            Ok(Some(RunPart { shard, run_id, wait: args.wait.std() }))
        }
    }
}

/// The name of a run.
pub(super) fn check_id(id: &str) -> Result<(), Failure> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if (1..=LONGEST_ID).contains(&id.len()) && !id.starts_with('-') && id.bytes().all(plain) {
        return Ok(());
    }
    let why = format!(
        "--run-id {id}: it may hold a to z, 0 to 9 and dashes, {LONGEST_ID} of them at most, and \
         starts with no dash"
    );
    Err(Failure::new(Code::Usage, why))
}

/// Index and number as the engine tells them: an Indexed Job of Kubernetes, a task of Docker Swarm,
/// a task of Slurm.
fn engine(variable: Variable<'_>) -> Result<Shard, String> {
    let number = |name: &str| -> Result<Option<u16>, String> {
        let Some(text) = variable(name) else { return Ok(None) };
        let wrong = || format!("--shard auto: {name} is `{text}`, which is no number of a shard");
        text.parse().map(Some).map_err(|_| wrong())
    };
    let shards = || {
        number("BROKERBENCH_SHARDS")?
            .ok_or("--shard auto: BROKERBENCH_SHARDS does not say how many there are".to_owned())
    };
    let (index, count) = if let Some(index) = number("JOB_COMPLETION_INDEX")? {
        (Some(index), shards()?)
    } else if let Some(slot) = number("BROKERBENCH_SLOT").map_err(slots)? {
        // Slots of Swarm count from 1.
        (slot.checked_sub(1), shards()?)
    } else if let Some(index) = number("SLURM_PROCID")? {
        let tasks = number("SLURM_NTASKS")?;
        (Some(index), tasks.ok_or("--shard auto: SLURM_NTASKS is not set")?)
    } else {
        return Err("--shard auto: no engine says which shard this is (JOB_COMPLETION_INDEX, \
                    BROKERBENCH_SLOT, SLURM_PROCID): write it like `--shard 0/8`"
            .into());
    };
    let index = index.ok_or_else(|| slots("--shard auto: the slot is 0".into()))?;
    format!("{index}/{count}").parse::<Shard>().map_err(|why| format!("--shard auto: {why}"))
}

/// Swarm's other mode counts otherwise, and calls its first task by the node's id.
fn slots(why: String) -> String {
    format!("{why}; a service of mode `replicated-job` has no slots from 1: use `replicated`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Span;

    fn part(
        shard: &str,
        run_id: Option<&str>,
        set: &[(&str, &str)],
    ) -> Result<(String, String), String> {
        let args = ShardArgs {
            shard: Some(shard.into()),
            run_id: run_id.map(str::to_owned),
            wait: Span::from_secs(1),
            merge_into: None,
        };
        let variable = |name: &str| {
            set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let part = told(&args, &variable).map_err(|failure| failure.message)?.unwrap();
        Ok((part.shard.to_string(), part.run_id))
    }

    #[test]
    fn each_engine_has_its_own_words_for_it() {
        let found = |set: &[(&str, &str)]| part("auto", Some("night"), set).map(|part| part.0);
        let four = ("BROKERBENCH_SHARDS", "4");
        assert_eq!(found(&[("JOB_COMPLETION_INDEX", "0"), four]), Ok("0/4".into()));
        assert_eq!(found(&[("BROKERBENCH_SLOT", "4"), four]), Ok("3/4".into()));
        let slurm = [("SLURM_PROCID", "2"), ("SLURM_NTASKS", "3")];
        assert_eq!(found(&slurm), Ok("2/3".into()));
        for (set, why) in [
            (&[][..], "no engine says"),
            (&[("JOB_COMPLETION_INDEX", "1")], "BROKERBENCH_SHARDS"),
            (&[("JOB_COMPLETION_INDEX", "4"), four], "the last of 4 is 3"),
            (&[("BROKERBENCH_SLOT", "oxt381j3g3y3"), four], "replicated-job"),
            (&[("BROKERBENCH_SLOT", "0"), four], "replicated-job"),
            (&[("SLURM_PROCID", "1")], "SLURM_NTASKS"),
        ] {
            let error = found(set).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_run_has_a_name_of_its_own() {
        assert_eq!(part("1/2", Some("a-1"), &[]), Ok(("1/2".into(), "a-1".into())));
        let set = [("BROKERBENCH_RUN_ID", "b")];
        assert_eq!(part("1/2", None, &set).unwrap().1, "b");
        assert_eq!(part("0/2", None, &[("SLURM_JOB_ID", "77")]).unwrap().1, "slurm-77");
        assert!(part("1/2", None, &[]).unwrap_err().contains("--run-id"));
        for wrong in ["", "A", "-a", "a b", &"x".repeat(49)] {
            assert!(part("1/2", Some(wrong), &[]).is_err(), "{wrong}");
        }
    }
}
