//! `syva-cli`: asks the daemon of this node, in words for people or JSON for scripts.
//!
//! The flow: [`args`] says what was asked, [`commands`] ask it (one file a group), [`output`] prints
//! the answer in the wanted format, [`exit`] turns the outcome into the process's exit code.

mod args;
mod commands;
mod exit;
mod output;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Args;
use crate::exit::Failure;
use crate::output::Output;

fn main() -> ExitCode {
    let args = Args::parse();
    let out = Output::new(args.format, args.group.operation());
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::Runtime)
        .and_then(|runtime| runtime.block_on(args.group.run(&args.socket, &out)));
    match outcome {
        Ok(()) => exit::Exit::Done.into(),
        Err(failure) => {
            out.failed(&failure);
            failure.exit().into()
        }
    }
}
