//! What `syva-cli` is made of. `syva-core status` and `syva-core events` ask and print with it too.
//!
//! The flow: [`args`] says what was asked, [`commands`] ask it (one file a group), [`output`] prints
//! the answer in the wanted format, [`exit`] turns the outcome into the process's exit code.

mod args;
pub mod commands;
pub mod exit;
pub mod output;

use std::future::Future;
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Args;
use crate::exit::Failure;
use crate::output::Output;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let args = Args::parse();
    let out = Output::new(args.format, args.group.operation());
    finish(&out, args.group.run(&args.socket, &out))
}

/// Runs what is asked to its end, and says on `out` why it failed, if it did.
pub fn finish(out: &Output, asked: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::Runtime)
        .and_then(|runtime| runtime.block_on(asked));
    match outcome {
        Ok(()) => exit::Exit::Done.into(),
        Err(failure) => {
            out.failed(&failure);
            failure.exit().into()
        }
    }
}
