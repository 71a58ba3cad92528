//! What can be typed of runs on several machines.

use super::{LoudnessArgs, ResultsArgs};
use crate::units::Span;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

pub(super) const MERGE_EXAMPLES: &str = "\
Examples:
  brokerbench merge results/shards/night-1
  brokerbench merge results/shards/night-1 --wait 30m --threshold 'kafka: end_to_end.p99 < 50ms'
  brokerbench merge results/shards/night-1 --force    what there is, marked as invalid";

pub(super) const SHARDS_EXAMPLES: &str = "\
Examples:
  brokerbench shards --engine kubernetes --n 8 latency --kafka kafka.test:9092
  brokerbench shards --engine swarm --n 4 my.yaml --targets targets.yaml --out night
  brokerbench shards --engine slurm --n 16 my.yaml --redis redis://10.0.0.7:6379";

/// One process of several that run a load together.
#[derive(Debug, Args)]
#[command(next_help_heading = "Shards")]
pub struct ShardArgs {
    /// This process is shard I of N, from 0, which run the load together on brokers that run
    /// already; `auto`: as Kubernetes, Docker Swarm or Slurm says that started it
    #[arg(long, value_name = "I/N")]
    pub shard: Option<String>,
    /// Names the run: the same for all of its shards, and for no other run
    #[arg(long, value_name = "ID", requires = "shard")]
    pub run_id: Option<String>,
    /// How long the other shards may take to come, and to finish for --merge-into
    #[arg(long, value_name = "SPAN", default_value = "5m")]
    pub wait: Span,
    /// Shard 0 waits for the others and merges all into this folder of results
    #[arg(long, value_name = "DIR", requires = "shard")]
    pub merge_into: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct MergeArgs {
    /// Shards, or the folder of a run's shards
    #[arg(required = true, value_name = "SHARD")]
    pub shards: Vec<PathBuf>,
    /// Merge in spite of shards that are missing or did not end well; the result is marked as
    /// invalid for ever
    #[arg(long)]
    pub force: bool,
    /// Wait so long for shards that have not finished
    #[arg(long, value_name = "SPAN")]
    pub wait: Option<Span>,
    /// Fail with exit code 10 unless this holds, beside the scenario's own; repeatable
    #[arg(long, value_name = "RULE")]
    pub threshold: Vec<String>,
    /// Print summary.json on stdout and nothing else there
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub loudness: LoudnessArgs,
    #[command(flatten)]
    pub results: ResultsArgs,
}

/// What starts the shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// An Indexed Job, and one that merges, for kustomize
    Kubernetes,
    /// A stack of Docker Swarm
    Swarm,
    /// A batch script
    Slurm,
}

#[derive(Debug, Args)]
pub struct ShardsArgs {
    /// Scenario name or path
    #[arg(value_name = "SCENARIO")]
    pub scenario: String,
    #[arg(long, value_enum)]
    pub engine: Engine,
    /// How many shards
    #[arg(long = "n", value_name = "N", value_parser = clap::value_parser!(u16).range(2..=4096))]
    pub shards: u16,
    /// A profile of the scenario
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Names the run, where the engine does not
    #[arg(long, value_name = "ID", default_value = "night-1")]
    pub run_id: String,
    /// The image that the engine starts
    #[arg(long, value_name = "IMAGE", default_value = "brokerbench")]
    pub image: String,
    /// Kafka, as the shards reach it
    #[arg(long, value_name = "HOST:PORT[,…]")]
    pub kafka: Option<String>,
    /// Redis, as the shards reach it; a password as ${env:NAME}
    #[arg(long, value_name = "URL")]
    pub redis: Option<String>,
    /// Brokers with TLS and logins: see docs/secured-brokers.md
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kafka", "redis"])]
    pub targets: Option<PathBuf>,
    /// The folder that is written
    #[arg(long, value_name = "DIR", default_value = "shards")]
    pub out: PathBuf,
}
