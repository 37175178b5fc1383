//! `syva-cli`: asks the daemon of this node, in words for people or JSON for scripts.

use std::process::ExitCode;

fn main() -> ExitCode {
    syva_ctl::main()
}
