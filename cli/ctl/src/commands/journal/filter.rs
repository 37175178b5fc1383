//! Which entries `journal inspect` shows.

use clap::Args;
use syva_model::entry::Entry;

use super::point::time;
use crate::commands::summary::Whereabouts;

/// Each that is given must hold.
#[derive(Debug, Args)]
pub struct Filter {
    /// The first entry
    #[arg(long, value_name = "SEQ", default_value_t = 1)]
    pub from: u64,
    /// The last entry [default: the last there is]
    #[arg(
        long,
        value_name = "SEQ",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub to: u64,
    /// Only entries not made before this (RFC 3339: 2026-01-31T14:00:00Z), by the clock at the time
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<u64>,
    /// Only entries made before this
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<u64>,
    /// Only entries of this kind (`register_zone`, `attach_container`, `boot`, ...)
    #[arg(long)]
    kind: Option<String>,
    /// Only entries that name this zone, or a container that was in it
    #[arg(long)]
    zone: Option<String>,
    /// Only entries that this user (a uid) or client (`syva-cli`, `syva-core`, ...) asked for
    #[arg(long, value_name = "UID|CLIENT")]
    peer: Option<String>,
}

impl Filter {
    /// Where reading must begin: where a container is at the first entry wanted, only earlier ones say.
    pub fn reads_from(&self) -> u64 {
        if self.zone.is_some() { 1 } else { self.from }
    }

    /// Whether the entry is shown. Entries must be asked about in their order.
    pub fn wants(&self, entry: &Entry, whereabouts: &mut Whereabouts) -> bool {
        // First, since it learns from every entry.
        let concerned = self
            .zone
            .as_ref()
            .is_none_or(|zone| whereabouts.concerns(&entry.command, zone));
        let kind = self.kind.as_deref();
        let time = entry.time_unix_ns;
        concerned
            && entry.seq >= self.from
            && kind.is_none_or(|kind| kind == entry.command.kind())
            && self.since.is_none_or(|since| time >= since)
            && self.until.is_none_or(|until| time < until)
            && self.peer.as_ref().is_none_or(|peer| asked(entry, peer))
    }
}

/// Whether `peer`, a uid or the name of a client, asked for the entry.
fn asked(entry: &Entry, peer: &str) -> bool {
    match peer.parse::<u32>() {
        Ok(uid) => entry.peer.uid == uid,
        Err(_) => entry.peer.adapter == peer,
    }
}
