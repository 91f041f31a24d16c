//! The `tripline` program: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    tripline::cli::run(std::env::args_os())
}
