//! The command line: arguments, progress, messages and exit codes. The only group that prints.
//!
//! Results go to stdout, progress, warnings and errors to stderr; both through one place, which
//! lets no text of others act on the terminal, and colours where there is one that wants it.

mod args;
mod baseline;
mod cells;
mod colour;
mod compare;
mod doctor;
mod ending;
mod exit;
mod fetch;
mod gate_args;
mod github;
mod inspect;
mod list;
mod live;
mod merge;
mod progress;
mod raw;
mod results;
mod run;
mod selfcheck;
mod services;
mod shard;
mod shards;
mod signals;
mod spend;
mod suite;
mod tag;
mod time_left;

use crate::environment::raise_open_files;
use crate::sanitize;
use anstream::AutoStream;
use args::{Cli, Command, LoudnessArgs};
use clap::Parser;
use exit::{Code, Failure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signals::Interrupt;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::OnceLock;

/// Whoever has not answered by then has gone away.
const PATIENCE: Timespec = Timespec { tv_sec: 600, tv_nsec: 0 };

pub fn main() -> ExitCode {
    let cli = typed();
    set_loudness(&cli.command);
    raise_open_files();
    let interrupt = Interrupt::listen();
    let result = match &cli.command {
        Command::Compare(args) => compare::compare(args, &interrupt),
        Command::Run(args) => run::run(args, &interrupt),
        Command::Merge(args) => merge::merge(args, &interrupt),
        Command::Shards(args) => shards::shards(args),
        Command::Report { run, results, .. } => results::report(run, &results.results),
        Command::Table(args) => results::table(args),
        Command::Diff(args) => baseline::diff(args),
        Command::Baseline(command) => baseline::command(command),
        Command::Export { run, format, results } => results::export(run, *format, &results.results),
        Command::List { metrics: true, .. } => inspect::metrics(),
        Command::List { results, .. } => list::list(&results.results),
        Command::Explain { scenario, spreads, prices, overrides } => {
            inspect::explain(scenario, spreads, prices.as_deref(), overrides)
        }
        Command::Validate { scenarios } => inspect::validate(scenarios),
        Command::Schema { of } => inspect::schema(*of),
        Command::Doctor { json, environment } => doctor::doctor(*json, environment),
        Command::Fetch { software } => fetch::fetch(software),
        Command::Selfcheck => selfcheck::selfcheck(&interrupt),
        Command::Completions { shell } => inspect::completions(*shell),
        Command::Man { command } => inspect::man(command.as_deref()),
    };
    let code = result.unwrap_or_else(|Failure { code, message }| {
        complain(&format!("error: {message}"));
        code
    });
    ExitCode::from(code as u8)
}

/// How much is said beside results and errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loudness {
    Quiet,
    Usual,
    Verbose,
}

/// Of the whole process, and set once, before anything is said.
static LOUDNESS: OnceLock<Loudness> = OnceLock::new();

fn loudness() -> Loudness {
    *LOUDNESS.get().unwrap_or(&Loudness::Usual)
}

fn set_loudness(command: &Command) {
    let asked = match command {
        Command::Compare(args) => args.loudness,
        Command::Run(args) => args.loudness,
        Command::Merge(args) => args.loudness,
        Command::Report { loudness, .. } => *loudness,
        _ => LoudnessArgs::default(),
    };
    let loudness = match (asked.quiet, asked.verbose) {
        (true, _) => Loudness::Quiet,
        (false, true) => Loudness::Verbose,
        (false, false) => Loudness::Usual,
    };
    // Nobody has set it before.
    let _ = LOUDNESS.set(loudness);
}

/// Prints a result, whatever names and texts of others it holds. A reader that has gone away (`|
/// head`) is no error.
fn out(text: &str) {
    let text = colour::paint(&sanitize::lines(text));
    print(&mut AutoStream::auto(std::io::stdout().lock()), &text);
}

/// The same for JSON, which keeps its meaning.
fn out_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::new(Code::Internal, error))?;
    print(&mut std::io::stdout().lock(), &sanitize::json(&text));
    Ok(())
}

/// The same for text that programs read: nothing is laid over it.
fn out_plain(text: &str) {
    print(&mut std::io::stdout().lock(), &sanitize::lines(text));
}

/// Prints what is neither a result nor an error: progress, warnings. Nothing with `-q`.
fn say(text: &str) {
    if loudness() > Loudness::Quiet {
        complain(text);
    }
}

/// Prints an error, and what the user must know whatever is wanted.
fn complain(text: &str) {
    let text = colour::paint(&sanitize::lines(text));
    print(&mut AutoStream::auto(std::io::stderr().lock()), &text);
}

/// Asks on the terminal; `None` where there is none, and where nobody answers.
fn ask(question: &str) -> Option<String> {
    let (stdin, mut stderr) = (std::io::stdin(), std::io::stderr());
    if !stdin.is_terminal() || !stderr.is_terminal() {
        return None;
    }
    let _ = write!(stderr, "{}", sanitize::line(question)).and_then(|()| stderr.flush());
    if !poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&PATIENCE)).is_ok_and(|n| n > 0) {
        say("");
        return None;
    }
    let mut answer = String::new();
    stdin.read_line(&mut answer).ok().map(|_| answer)
}

fn print(stream: &mut impl Write, text: &str) {
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    let _ = write!(stream, "{text}{newline}").and_then(|()| stream.flush());
}

/// What was typed. The parser's messages repeat it, in colours of their own: where they could not
/// be told from colours that were typed, there are none.
fn typed() -> Cli {
    Cli::try_parse().unwrap_or_else(|error| {
        let hostile = std::env::args_os()
            .any(|arg| arg.to_str().is_none_or(|arg| sanitize::line(arg) != arg));
        if !hostile || !error.use_stderr() {
            error.exit();
        }
        complain(&error.render().to_string());
        std::process::exit(error.exit_code())
    })
}

/// Columns of the terminal; as many as a table likes where there is none.
fn width() -> u16 {
    let columns =
        rustix::termios::tcgetwinsize(std::io::stdout()).map(|size| size.ws_col).unwrap_or(0);
    if columns == 0 { 160 } else { columns }
}

type Outcome = Result<Code, Failure>;
