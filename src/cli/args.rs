//! What can be typed. Types only; nothing here does anything.

mod shards;

use super::exit::Code;
use super::gate_args::{BaselineCommand, DiffArgs, StoreArgs, TermArgs};
use super::live;
use super::tag;
use crate::claims;
use crate::model::System;
use crate::scenario::{Usd, claim_ids};
use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
pub use shards::{Engine, MergeArgs, ShardArgs, ShardsArgs};
use shards::{MERGE_EXAMPLES, SHARDS_EXAMPLES};
use std::net::SocketAddr;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  brokerbench compare                            the comparison table, about ten minutes
  brokerbench compare --only latency             one row of it again, merged into the table
  brokerbench run latency --system kafka         one scenario, one system
  brokerbench run latency --sweep load.rate=1k/s,5k/s,20k/s
  brokerbench run my-scenario.yaml --set load.duration=60s --json
  brokerbench list                               the scenarios, and when each was run last
  brokerbench report latest -v                   a run again from raw data: every cell and block
  brokerbench table                              the newest comparison again
  brokerbench explain throughput --profile full  every setting and where it comes from";

const COMPARE_EXAMPLES: &str = "\
Examples:
  brokerbench compare
  brokerbench compare --profile standard --tag change=batch-size
  brokerbench compare --only latency --only throughput
  brokerbench compare --profile standard --resume
  brokerbench compare --systems msk,sns --targets aws.yaml --allow-remote --spend 5USD";

const RUN_EXAMPLES: &str = "\
Examples:
  brokerbench run latency --system kafka --system redis-streams
  brokerbench run latency --sweep load.rate=1k/s,5k/s,20k/s -v
  brokerbench run latency --threshold 'kafka: end_to_end.p99 < 50ms' -q
  brokerbench run my-scenario.yaml --baseline main --set blocks=10
  brokerbench run my-scenario.yaml --seed 7 --tag change=batch-size --json
  brokerbench run my-soak.yaml --metrics 127.0.0.1:9464 --tui";

const DIFF_EXAMPLES: &str = "\
Examples:
  brokerbench diff results/runs/2026-11-29T221000.123Z-latency-abc123 latest
  brokerbench diff baselines/main/latency.json latest --tolerance 10%
  brokerbench diff A B --relative-to redis-lists   where the machine was not the same";

const REPORT_EXAMPLES: &str = "\
Examples:
  brokerbench report
  brokerbench report latest -v
  brokerbench report results/runs/2026-11-29T221000.123Z-latency-abc123";

const TABLE_EXAMPLES: &str = "\
Examples:
  brokerbench table                              the newest comparison
  brokerbench table --profile standard
  brokerbench table --check --inject README.md   that of `standard`, unless told otherwise
  brokerbench table --rewrite                    verdicts again, from comparison.json alone";

/// The profiles of `compare`, with what each is.
fn profiles() -> PossibleValuesParser {
    let profiles = claims::profiles().iter();
    let value = |profile: &'static claims::Profile| {
        PossibleValue::new(profile.name.as_str()).help(profile.what.as_str())
    };
    PossibleValuesParser::new(profiles.map(value))
}

/// The systems that a service of AWS runs.
fn services() -> impl Iterator<Item = &'static str> {
    System::ALL.into_iter().filter(|system| system.service().is_some()).map(System::name)
}

/// Examples, and every exit code.
fn after_help() -> String {
    let codes = Code::list()
        .into_iter()
        .map(|(code, meaning)| format!("\n  {code:<3} {meaning}"))
        .collect::<String>();
    format!("{EXAMPLES}\n\nExit codes (from 10 on there is a result to read):{codes}")
}

#[derive(Debug, Parser)]
#[command(name = "brokerbench", version, about = "Compares messaging on Apache Kafka and on Redis, \
    on real brokers, with every message accounted for.", after_help = after_help())]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the scenarios behind the claims and write results/<profile>/comparison.*
    #[command(after_help = COMPARE_EXAMPLES)]
    Compare(CompareArgs),
    /// Run scenarios and write a run folder for each
    #[command(after_help = RUN_EXAMPLES)]
    Run(Box<RunArgs>),
    /// Put the shards of a run together (`run --shard`) to a run like any other
    #[command(after_help = MERGE_EXAMPLES)]
    Merge(MergeArgs),
    /// Write the files by which an engine starts the shards of a scenario on many machines
    #[command(after_help = SHARDS_EXAMPLES)]
    Shards(ShardsArgs),
    /// Render a run's summary, page and charts again from its raw data; needs no broker
    #[command(after_help = REPORT_EXAMPLES)]
    Report {
        /// A run folder, its name, or `latest`
        #[arg(default_value = "latest")]
        run: String,
        #[command(flatten)]
        loudness: LoudnessArgs,
        #[command(flatten)]
        results: ResultsArgs,
    },
    /// Print the newest comparison table, put it into a file, or check that it is up to date
    #[command(after_help = TABLE_EXAMPLES)]
    Table(TableArgs),
    /// Put two runs beside each other: what differs, then each figure; exit code 11 where the
    /// second is worse
    #[command(after_help = DIFF_EXAMPLES)]
    Diff(DiffArgs),
    /// Keep a run as a baseline in a small file, or hold a run against one
    #[command(subcommand)]
    Baseline(BaselineCommand),
    /// Write a run in another format: for spreadsheets, test reports, trackers of benchmarks,
    /// Prometheus
    Export {
        /// A run folder, its name, or `latest`
        #[arg(default_value = "latest")]
        run: String,
        #[arg(long, value_enum, default_value_t = ExportFormat::Hgrm)]
        format: ExportFormat,
        #[command(flatten)]
        results: ResultsArgs,
    },
    /// List the scenarios that can be run by name, when each was run last, and the newest runs; or
    /// the metrics
    List {
        #[command(flatten)]
        results: ResultsArgs,
        /// The metrics instead: their units, how blocks are put together, which direction is better
        #[arg(long)]
        metrics: bool,
    },
    /// Show every setting of a scenario with its origin, its cells, and what they cost
    Explain {
        /// Scenario name or path
        #[arg(value_name = "SCENARIO")]
        scenario: String,
        /// A run folder or a comparison.json, by whose spreads it says what the design can show
        #[arg(long, value_name = "PATH", default_value = "results/standard/comparison.json")]
        spreads: PathBuf,
        /// Prices of AWS in place of the built-in ones: see docs/aws.md
        #[arg(long, value_name = "FILE")]
        prices: Option<PathBuf>,
        #[command(flatten)]
        overrides: OverrideArgs,
    },
    /// Check scenario files, under each of their profiles
    Validate {
        /// Scenario names or paths
        #[arg(required = true, value_name = "SCENARIO")]
        scenarios: Vec<String>,
    },
    /// Print the JSON Schema of scenario files, or of a result file
    Schema {
        #[arg(value_enum, default_value_t = SchemaOf::Scenario)]
        of: SchemaOf,
    },
    /// Check what this machine offers, what is missing and what to do about it;
    /// starts and changes nothing
    Doctor {
        /// Print one JSON object on stdout
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        environment: EnvironmentArgs,
    },
    /// Fetch what brokers as processes of this machine need and lack, Kafka and a current Redis,
    /// into the cache; prints where each is
    Fetch {
        /// Only this
        #[arg(value_enum, value_name = "SOFTWARE")]
        software: Vec<Fetched>,
    },
    /// Prove the instrument against a fake broker whose truth is known
    Selfcheck,
    /// Print a completion script for a shell
    Completions {
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page of the program, or of one of its commands
    Man {
        /// Such as `run`
        #[arg(value_name = "COMMAND")]
        command: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    Scenario,
    Summary,
    Comparison,
}

/// What can be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fetched {
    Kafka,
    Redis,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Brokers")]
pub struct FetchArgs {
    /// Do not ask before Kafka or a current Redis is fetched to be started here
    #[arg(long)]
    pub fetch: bool,
}

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Brokers")]
pub struct SpendArgs {
    /// What a run on AWS may cost, such as 5USD: none runs without, and the load stops there
    #[arg(long, value_name = "AMOUNT")]
    pub spend: Option<Usd>,
    /// Prices in place of the built-in ones: see docs/aws.md
    #[arg(long, value_name = "FILE")]
    pub prices: Option<PathBuf>,
}

/// Where brokers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EnvironmentKind {
    /// External if addresses or targets are given; docker if an engine answers and its images can
    /// be had; else native
    Auto,
    /// Real Kafka and redis-server as child processes on loopback
    Native,
    /// Real Kafka and Redis in containers, through docker compose
    Docker,
    /// Brokers that run already
    External,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Brokers")]
pub struct EnvironmentArgs {
    /// Where brokers come from
    #[arg(long = "env", value_enum, default_value_t = EnvironmentKind::Auto, value_name = "KIND")]
    pub kind: EnvironmentKind,
    /// Kafka that runs already
    #[arg(long, value_name = "HOST:PORT[,…]")]
    pub kafka: Option<String>,
    /// Redis that runs already, or a Sentinel of it; rediss:// for TLS, unix:///path, a password as
    /// ${env:NAME}
    #[arg(long, value_name = "URL")]
    pub redis: Option<String>,
    /// Brokers that run already, with TLS, login and client settings: see docs/secured-brokers.md
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kafka", "redis"])]
    pub targets: Option<PathBuf>,
    /// Load brokers that are not on this machine: only ones that you own
    #[arg(long)]
    pub allow_remote: bool,
}

#[derive(Debug, Args)]
pub struct ResultsArgs {
    /// Folder of all results
    #[arg(long, default_value = "results", value_name = "DIR")]
    pub results: PathBuf,
}

/// How much is said beside results and errors.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct LoudnessArgs {
    /// Only the result and errors: no progress, no warnings
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
    /// More: every cell and block of each scenario, every count while it runs
    #[arg(short, long)]
    pub verbose: bool,
}

#[derive(Debug, Args)]
pub struct CompareArgs {
    /// How much is measured
    #[arg(long, default_value = "quick", value_name = "NAME", value_parser = profiles())]
    pub profile: String,
    /// Only this claim, merged into the table that is there; repeatable
    #[arg(long, value_name = "CLAIM",
        value_parser = PossibleValuesParser::new(claim_ids().iter().copied()))]
    pub only: Vec<String>,
    /// Services of AWS in place of Kafka and Redis, such as msk,memorydb-streams,sns: fills the
    /// managed table and leaves the other as it is; see docs/aws.md
    #[arg(long, value_name = "SYSTEM[,…]", value_delimiter = ',', requires = "targets",
        conflicts_with = "resume", value_parser = PossibleValuesParser::new(services()))]
    pub systems: Vec<String>,
    /// Go on where a stopped comparison was: scenarios that have finished are kept
    #[arg(long)]
    pub resume: bool,
    /// Keep what another binary has measured: the table marks it
    #[arg(long)]
    pub mixed_builds: bool,
    /// Of everything random, in place of the scenarios' own
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// What to find the runs by later: --tag change=batch-size; repeatable
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tag::parse)]
    pub tags: Vec<(String, String)>,
    #[command(flatten)]
    pub loudness: LoudnessArgs,
    #[command(flatten)]
    pub environment: EnvironmentArgs,
    #[command(flatten)]
    pub fetch: FetchArgs,
    #[command(flatten)]
    pub spend: SpendArgs,
    #[command(flatten)]
    pub results: ResultsArgs,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// Scenario names (see `list`) or paths
    #[arg(required = true, value_name = "SCENARIO")]
    pub scenarios: Vec<String>,
    #[command(flatten)]
    pub overrides: OverrideArgs,
    #[command(flatten)]
    pub shards: ShardArgs,
    /// Fail with exit code 10 unless this holds, such as 'kafka: end_to_end.p99 < 50ms'; repeatable
    #[arg(long, value_name = "RULE")]
    pub threshold: Vec<String>,
    /// Fail with exit code 11 where it is worse than this earlier run: a baseline's name or file, or
    /// a run
    #[arg(long, value_name = "BASELINE", conflicts_with = "shard")]
    pub baseline: Option<String>,
    /// Print summary.json on stdout, one line per scenario, and nothing else there
    #[arg(long, conflicts_with = "shard")]
    pub json: bool,
    /// What to find the run by later: --tag change=batch-size; repeatable
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tag::parse)]
    pub tags: Vec<(String, String)>,
    #[command(flatten)]
    pub loudness: LoudnessArgs,
    #[command(flatten)]
    pub live: LiveArgs,
    #[command(flatten)]
    pub environment: EnvironmentArgs,
    #[command(flatten)]
    pub fetch: FetchArgs,
    #[command(flatten)]
    pub terms: TermArgs,
    #[command(flatten)]
    pub store: StoreArgs,
    #[command(flatten)]
    pub spend: SpendArgs,
    #[command(flatten)]
    pub results: ResultsArgs,
}

/// Both take time from the machine that measures: what they took is told with the results.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "While it runs")]
pub struct LiveArgs {
    /// Serve the figures of every second to Prometheus, on an address of this machine alone, such
    /// as 127.0.0.1:9464
    #[arg(long, value_name = "ADDRESS", value_parser = live::own_address)]
    pub metrics: Option<SocketAddr>,
    /// Draw rates, latencies and backlog on the terminal, in place of the line of progress
    #[arg(long, conflicts_with = "quiet")]
    pub tui: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Scenario")]
pub struct OverrideArgs {
    /// A profile of the scenario, such as quick
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Only this system or label; repeatable
    #[arg(long = "system", value_name = "SYSTEM")]
    pub systems: Vec<String>,
    /// Override a setting: --set load.duration=30s; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// Vary a setting: --sweep load.rate=1k/s,10k/s; repeatable
    #[arg(long = "sweep", value_name = "KEY=A,B")]
    pub sweeps: Vec<String>,
    /// The messages of `message.payload: file`: one on each line of this text
    #[arg(long, value_name = "FILE")]
    pub payload_file: Option<PathBuf>,
    /// Of everything random, in place of the scenario's own
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

#[derive(Debug, Args)]
pub struct TableArgs {
    /// Whose table: the newest there is, or with --inject, --check and --rewrite that of `standard`
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Put the table between the markers `<!-- brokerbench:begin -->` and `<!-- brokerbench:end
    /// -->` of this file, and its findings between those of `brokerbench:findings:`
    #[arg(long, value_name = "FILE")]
    pub inject: Option<PathBuf>,
    /// Change nothing; exit 12 unless the committed table and overview agree with their data (with
    /// --inject: the file too)
    #[arg(long)]
    pub check: bool,
    /// Compute verdicts and texts again from the packed raw data (runs.tar.zst), or else from the
    /// cells in comparison.json, and write all files; measures nothing
    #[arg(long, conflicts_with = "check")]
    pub rewrite: bool,
    #[command(flatten)]
    pub results: ResultsArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// HdrHistogram percentile distribution, one file per cell and metric
    Hgrm,
    /// Every second of each cell with its time, by the names of `run --metrics`, for Prometheus
    #[value(name = "openmetrics")]
    OpenMetrics,
    /// One row for each cell and figure
    Csv,
    /// Test cases of cells, thresholds and figures held against a baseline, as test reports show
    /// them
    Junit,
    /// `customSmallerIsBetter` of github-action-benchmark
    GithubSmaller,
    /// `customBiggerIsBetter` of github-action-benchmark
    GithubBigger,
    /// Bencher Metric Format
    Bencher,
}
