//! The command line: arguments, progress, messages and exit codes. The only group that prints.
//!
//! Results go to stdout, progress, warnings and errors to stderr.

mod args;
mod compare;
mod exit;
mod inspect;
mod progress;
mod results;
mod run;
mod selfcheck;
mod signals;
mod suite;
mod verdict;

use args::{Cli, Command};
use clap::Parser;
use exit::{Code, Failure};
use signals::Interrupt;
use std::process::ExitCode;

/// Runs the command that was typed.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let interrupt = Interrupt::listen();
    let result = match &cli.command {
        Command::Compare(args) => compare::compare(args, &interrupt),
        Command::Run(args) => run::run(args, &interrupt),
        Command::Report(args) => results::report(args),
        Command::Table(args) => results::table(args),
        Command::Export(args) => results::export(args),
        Command::List(args) => inspect::list(args),
        Command::Explain(args) => inspect::explain(args),
        Command::Validate { scenarios } => inspect::validate(scenarios),
        Command::Schema { of } => inspect::schema(*of),
        Command::Doctor => inspect::doctor(),
        Command::Selfcheck => selfcheck::selfcheck(&interrupt),
        Command::Completions { shell } => inspect::completions(*shell),
        Command::Man { command } => inspect::man(command.as_deref()),
    };
    let code = result.unwrap_or_else(|Failure { code, message }| {
        eprintln!("error: {message}");
        code
    });
    ExitCode::from(code as u8)
}

/// Prints a result. A reader that has gone away (`| head`) is no error.
fn out(text: &str) {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    let _ = write!(stdout, "{text}{newline}").and_then(|()| stdout.flush());
}

/// Columns of the terminal; as many as a table likes where there is none.
fn width() -> u16 {
    let columns = rustix::termios::tcgetwinsize(std::io::stdout()).map(|size| size.ws_col).unwrap_or(0);
    if columns == 0 { 160 } else { columns }
}

/// What a command comes to.
type Outcome = Result<Code, Failure>;
