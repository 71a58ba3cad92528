//! The binary: hands over to the command line, or to the janitor when it was started as one.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = brokerbench::environment::helper_process() {
        return ExitCode::from(code);
    }
    brokerbench::cli::main()
}
