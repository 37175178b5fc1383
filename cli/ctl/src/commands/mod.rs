//! The commands: one file a group, each verb with its arguments, its request and its answer.

pub mod comms;
pub mod containers;
pub mod doctor;
pub mod events;
pub mod host_paths;
pub mod host_sockets;
pub mod journal;
pub mod mode;
pub mod status;
mod summary;
mod unit;
pub mod zones;

use std::path::{Path, PathBuf};

use clap::Args;
use syva_rpc::client::{self, Client};

use crate::exit::Failure;
use crate::output::Output;

/// What this client calls itself; the journal records it.
const ADAPTER: &str = "syva-cli";

/// The largest reply taken, in bytes: a list of every pair a node can hold fits.
const MAX_REPLY: usize = 1 << 28;

/// One command's way to the daemon, and to the caller.
#[derive(Debug)]
pub struct Session<'a> {
    socket: &'a Path,
    adapter: &'static str,
    /// Where the answer goes.
    pub out: &'a Output,
}

impl<'a> Session<'a> {
    /// For the daemon at `socket`; nothing is connected yet.
    pub fn new(socket: &'a Path, out: &'a Output) -> Session<'a> {
        Session::named(ADAPTER, socket, out)
    }

    /// As [`Session::new`], for a client of another name.
    pub fn named(adapter: &'static str, socket: &'a Path, out: &'a Output) -> Session<'a> {
        Session {
            socket,
            adapter,
            out,
        }
    }

    /// Connects.
    ///
    /// # Errors
    /// [`Failure::Connect`] if nobody answers.
    pub async fn client(&self) -> Result<Client, Failure> {
        let client = client::connect(self.socket, self.adapter).await?;
        Ok(client.max_decoding_message_size(MAX_REPLY))
    }
}

/// What the lists of a zone's things take.
#[derive(Debug, Args)]
pub struct OfZone {
    /// Only this zone's
    #[arg(
        long,
        value_name = "ZONE",
        default_value = "",
        hide_default_value = true
    )]
    zone: String,
}

/// A path as the protocol carries it.
fn utf8(path: PathBuf) -> Result<String, Failure> {
    path.into_os_string()
        .into_string()
        .map_err(Failure::NotUtf8)
}

/// The refusal of a reply with `ok=false`, or nothing.
fn refused_unless(ok: bool, message: &str) -> Result<(), Failure> {
    if ok {
        Ok(())
    } else if message.is_empty() {
        Err(Failure::Refused(
            "the daemon refused, without a reason".into(),
        ))
    } else {
        Err(Failure::Refused(message.to_owned()))
    }
}

/// What the daemon says was done, or in other words where it says nothing.
fn said(message: &str, otherwise: impl FnOnce() -> String) -> String {
    if message.is_empty() {
        otherwise()
    } else {
        message.to_owned()
    }
}
