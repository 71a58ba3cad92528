//! `shards`: the files by which an engine starts the shards of a scenario. Nothing is started here;
//! what is written is short, and meant to be read and changed.

use super::args::{Engine, ShardsArgs};
use super::exit::{Code, Failure};
use super::{Outcome, out, shard};
use crate::access::{Around, check_targets, targets_from_flags};
use crate::result::files::write_atomic;
use crate::scenario::{self, Overrides};
use crate::study::can_shard;

const KUBERNETES: [(&str, &str); 4] = [
    ("kustomization.yaml", include_str!("shards/kubernetes-kustomization.yaml")),
    ("job.yaml", include_str!("shards/kubernetes-job.yaml")),
    ("merge.yaml", include_str!("shards/kubernetes-merge.yaml")),
    ("results.yaml", include_str!("shards/kubernetes-results.yaml")),
];
const SWARM: [(&str, &str); 1] = [("stack.yaml", include_str!("shards/swarm-stack.yaml"))];
const SLURM: [(&str, &str); 1] = [("run.sbatch", include_str!("shards/slurm.sbatch"))];

const SCENARIO: &str = "scenario.yaml";
const TARGETS: &str = "targets.yaml";

pub fn shards(args: &ShardsArgs) -> Outcome {
    let profile = args.profile.clone();
    let overrides = Overrides { profile, shards: args.shards, ..Overrides::default() };
    // What cannot be run is refused before anything is written.
    let scenario = scenario::load(&args.scenario, &overrides)?;
    if args.kafka.is_none() && args.redis.is_none() && args.targets.is_none() {
        let why =
            "shards load brokers that run already: name them by --kafka, --redis or --targets";
        return Err(Failure::new(Code::Usage, why));
    }
    can_shard(&scenario, args.shards).map_err(|why| Failure::new(Code::Usage, why))?;
    shard::check_id(&args.run_id)?;
    reachable(args)?;
    let mut files = rendered(args, &scenario.name);
    files.push((SCENARIO.into(), scenario::text(&args.scenario)?));
    if let Some(targets) = &args.targets {
        files.push((TARGETS.into(), check_targets(targets)?));
    }
    for (name, text) in &files {
        write_atomic(&args.out.join(name), text.as_bytes())?;
    }
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    out(&format!("{}: {}", args.out.display(), names.join(", ")));
    out(match args.engine {
        Engine::Kubernetes => "next     read them, then: kubectl apply --kustomize .",
        Engine::Swarm => "next     read it, then as its first lines say",
        Engine::Slurm => "next     read it, then: sbatch run.sbatch",
    });
    Ok(Code::Fine)
}

/// Addresses are read as every shard will read them: a password that is written out is refused
/// before it stands in a file. What `${env:NAME}` refers to is known there and not here.
fn reachable(args: &ShardsArgs) -> Result<(), Failure> {
    let around = Around { remote: true, variable: &|_| Some("known there".to_owned()) };
    targets_from_flags(args.kafka.as_deref(), args.redis.as_deref(), &around)?;
    Ok(())
}

/// The files of the engine.
fn rendered(args: &ShardsArgs, name: &str) -> Vec<(String, String)> {
    let templates = match args.engine {
        Engine::Kubernetes => &KUBERNETES[..],
        Engine::Swarm => &SWARM[..],
        Engine::Slurm => &SLURM[..],
    };
    let source = |file: &str| format!("      - {{source: {file}, target: /scenario/{file}}}");
    let parts = [
        ("@made@", "Written by `brokerbench shards`.".to_owned()),
        ("@name@", name.to_owned()),
        ("@shards@", args.shards.to_string()),
        ("@image@", in_yaml(&args.image)),
        ("@run-id@", args.run_id.clone()),
        ("@run@", run(args)),
        ("@files@", inputs(args).join(", ")),
        ("@configs@", lines(args, source)),
        ("@config-files@", lines(args, |file| format!("  {file}: {{file: {file}}}"))),
    ];
    let filled = |text: &str| {
        parts.iter().fold(text.to_owned(), |text, (mark, value)| text.replace(mark, value))
    };
    templates.iter().map(|(name, text)| ((*name).to_owned(), filled(text))).collect()
}

/// The files that every shard reads.
fn inputs(args: &ShardsArgs) -> Vec<&'static str> {
    let targets = args.targets.as_ref().map(|_| TARGETS);
    [SCENARIO].into_iter().chain(targets).collect()
}

fn lines(args: &ShardsArgs, line: impl Fn(&str) -> String) -> String {
    inputs(args).into_iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The arguments of every shard, in the engine's way of writing a list.
fn run(args: &ShardsArgs) -> String {
    let slurm = args.engine == Engine::Slurm;
    let file = |name: &str| if slurm { name.to_owned() } else { format!("/scenario/{name}") };
    let mut words = vec!["run".to_owned(), file(SCENARIO)];
    let mut add = |flag: &str, value: Option<String>| {
        words.extend(value.into_iter().flat_map(|value| [flag.to_owned(), value]));
    };
    add("--profile", args.profile.clone());
    add("--kafka", args.kafka.clone());
    add("--redis", args.redis.clone());
    add("--targets", args.targets.as_ref().map(|_| file(TARGETS)));
    add("--shard", Some("auto".into()));
    add("--wait", Some("10m".into()));
    add("--merge-into", (args.engine == Engine::Swarm).then(|| "/bench/results".into()));
    words.push("--allow-remote".into());
    let quoted = |word: &String| match args.engine {
        Engine::Slurm => in_shell(word),
        // A compose file takes `$` for the beginning of a variable.
        Engine::Swarm => in_yaml(&word.replace('$', "$$")),
        Engine::Kubernetes => in_yaml(word),
    };
    let separator = if slurm { " " } else { ", " };
    words.iter().map(quoted).collect::<Vec<_>>().join(separator)
}

fn is_plain(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '-')
        && word.chars().all(plain)
}

fn in_shell(word: &str) -> String {
    if is_plain(word) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

fn in_yaml(word: &str) -> String {
    if is_plain(word) { word.to_owned() } else { format!("'{}'", word.replace('\'', "''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};

    const NAME: &str = "many-machines";

    fn args(engine: Engine) -> ShardsArgs {
        ShardsArgs {
            scenario: "latency".into(),
            engine,
            shards: 4,
            profile: None,
            run_id: "night-1".into(),
            image: "brokerbench".into(),
            kafka: Some("kafka.test:9092".into()),
            redis: Some("redis://redis.test:6379".into()),
            targets: None,
            out: PathBuf::from("."),
        }
    }

    /// What lies in `deploy` is what is written: `UPDATE_DEPLOY=1` writes it again.
    #[test]
    fn the_files_in_the_repository_are_those_that_are_written() {
        for (engine, folder) in
            [(Engine::Kubernetes, "kubernetes"), (Engine::Swarm, "swarm"), (Engine::Slurm, "slurm")]
        {
            for (name, text) in rendered(&args(engine), NAME) {
                let file = Path::new("deploy").join(folder).join(&name);
                if std::env::var_os("UPDATE_DEPLOY").is_some() {
                    std::fs::write(&file, &text).unwrap();
                }
                let found = std::fs::read_to_string(&file).unwrap_or_default();
                assert_eq!(found, text, "{}: UPDATE_DEPLOY=1 writes it again", file.display());
                assert!(!text.contains('@'), "a mark is left: {text}");
            }
        }
    }

    /// Each folder is whole by itself, and its scenario is one that four shards can run.
    #[test]
    fn the_scenario_beside_them_is_one_for_shards() {
        let texts = ["kubernetes", "swarm", "slurm"]
            .map(|folder| std::fs::read_to_string(format!("deploy/{folder}/{SCENARIO}")).unwrap());
        assert!(texts.iter().all(|text| *text == texts[0]));
        let overrides = Overrides { shards: 4, ..Overrides::default() };
        let scenario = scenario::from_text("scenario.yaml", &texts[0], &overrides).unwrap();
        assert_eq!(scenario.name, NAME);
        assert!(can_shard(&scenario, 4).is_ok());
    }

    #[test]
    fn secrets_stay_references_in_every_engine() {
        let of = |engine| {
            let redis = Some("redis://:${env:PASSWORD}@redis.test".to_owned());
            run(&ShardsArgs { redis, ..args(engine) })
        };
        assert!(of(Engine::Kubernetes).contains("'redis://:${env:PASSWORD}@redis.test'"));
        assert!(of(Engine::Swarm).contains("'redis://:$${env:PASSWORD}@redis.test'"));
        assert!(of(Engine::Slurm).contains("'redis://:${env:PASSWORD}@redis.test'"));
        assert!(!of(Engine::Slurm).contains(", ") && of(Engine::Swarm).contains("--merge-into"));
    }

    #[test]
    fn a_password_that_is_written_out_is_refused_and_not_repeated() {
        let of = |redis: &str| {
            let args = ShardsArgs { redis: Some(redis.to_owned()), ..args(Engine::Swarm) };
            reachable(&args).map_err(|failure| failure.message)
        };
        assert_eq!(of("redis://:${env:PASSWORD}@redis.test"), Ok(()));
        let refused = of("redis://:s3cret@redis.test").unwrap_err();
        assert!(refused.contains("no reference") && !refused.contains("s3cret"), "{refused}");
    }

    #[test]
    fn targets_with_a_password_that_is_written_out_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("targets.yaml");
        let checked = |password: &str| {
            let redis = format!("{{address: redis.test, user: me, password: '{password}'}}");
            std::fs::write(&file, format!("schema: 1\nredis: {redis}\n")).unwrap();
            check_targets(&file).map(drop).map_err(|error| error.to_string())
        };
        assert_eq!(checked("${env:PASSWORD}"), Ok(()));
        let refused = checked("s3cret").unwrap_err();
        assert!(refused.contains("${env:NAME}") && !refused.contains("s3cret"), "{refused}");
    }

    #[test]
    fn targets_are_carried_beside_the_scenario() {
        let targets = Some(PathBuf::from("my/targets.yaml"));
        let args = ShardsArgs { targets, kafka: None, redis: None, ..args(Engine::Swarm) };
        let stack = &rendered(&args, "latency")[0].1;
        for line in [
            "--targets, /scenario/targets.yaml",
            "      - {source: targets.yaml, target: /scenario/targets.yaml}",
            "  targets.yaml: {file: targets.yaml}",
        ] {
            assert!(stack.contains(line), "`{line}` in {stack}");
        }
    }
}
