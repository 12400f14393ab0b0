//! `epm`: asks DCE/RPC endpoint mappers.

use std::process::ExitCode;

fn main() -> ExitCode {
    epmapper::cli::main()
}
