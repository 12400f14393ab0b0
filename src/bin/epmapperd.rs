//! The daemon; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    epmapper::daemon::main()
}
