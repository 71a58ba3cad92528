use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = brokerbench::environment::helper_process() {
        return ExitCode::from(code);
    }
    ExitCode::SUCCESS
}
