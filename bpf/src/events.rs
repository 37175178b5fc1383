//! The ring buffer's reading end: records become events.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use libbpf_rs::{MapHandle, RingBuffer, RingBufferBuilder};
use syva_model::decision::Operation;
use syva_model::hook::{Hook, ObjectKind};
use syva_model::image::{CgroupId, ZoneId};
use syva_model::kernel::{EventSource, KernelError, KernelEvent, Verdict};

use crate::error;
use crate::missed::MissedMoves;
use crate::pod::{text_of, value_of};
use crate::skel::types::{event, verdict};
use crate::syscall;
use crate::tables::key_from;

/// What has been read since the last poll.
#[derive(Debug, Default)]
struct Batch {
    events: Vec<KernelEvent>,
    undecodable: u64,
}

/// Reads the ring.
pub(crate) struct Ring {
    ring: RingBuffer<'static>,
    batch: Arc<Mutex<Batch>>,
    moves: MissedMoves,
    /// Keeps the descriptor that the ring polls open.
    _map: MapHandle,
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").finish_non_exhaustive()
    }
}

impl Ring {
    /// Reads `map`; whoever polls it also looks for moves that were missed.
    pub(crate) fn new(map: MapHandle, moves: MissedMoves) -> Result<Self, KernelError> {
        let batch = Arc::new(Mutex::new(Batch::default()));
        let filled = Arc::clone(&batch);
        let failed = |e: libbpf_rs::Error| error::from_libbpf("read the ring buffer", "events", &e);
        let mut builder = RingBufferBuilder::new();
        builder
            .add(&map, move |record| {
                let mut batch = filled.lock().unwrap_or_else(PoisonError::into_inner);
                match decode(record) {
                    Some(event) => batch.events.push(event),
                    None => batch.undecodable += 1,
                }
                0
            })
            .map_err(failed)?;
        let ring = builder.build().map_err(failed)?;
        Ok(Ring {
            ring,
            batch,
            moves,
            _map: map,
        })
    }
}

impl EventSource for Ring {
    fn poll(
        &mut self,
        timeout: Duration,
        sink: &mut dyn FnMut(KernelEvent),
    ) -> Result<u64, KernelError> {
        self.moves.look()?;
        let polled = self.ring.poll(timeout);
        let batch = std::mem::take(&mut *self.batch.lock().unwrap_or_else(PoisonError::into_inner));
        batch.events.into_iter().for_each(sink);
        match polled {
            Err(e) if e.kind() != libbpf_rs::ErrorKind::Interrupted => {
                Err(error::from_libbpf("poll the ring buffer", "events", &e))
            }
            _ => Ok(batch.undecodable),
        }
    }
}

/// A record's event, if it is one.
fn decode(record: &[u8]) -> Option<KernelEvent> {
    let raw: event = value_of(record)?;
    let hook = Hook::from_index(raw.hook)?;
    Some(KernelEvent {
        monotonic_ns: raw.monotonic_ns,
        hook,
        verdict: match verdict(raw.verdict) {
            verdict::VERDICT_DENY => Verdict::Deny,
            verdict::VERDICT_WOULD_DENY => Verdict::WouldDeny,
            verdict::VERDICT_ESCAPE => Verdict::Escape,
            _ => return None,
        },
        subject: ZoneId(raw.subject),
        subject_cgroup: CgroupId(raw.subject_cgroup),
        kind: *ObjectKind::ALL.get(usize::try_from(raw.kind).ok()?)?,
        object: ZoneId(raw.object),
        pid: raw.pid,
        tid: raw.tid,
        comm: text_of(&raw.comm),
        object_pid: raw.object_pid,
        signal: raw.signal,
        operation: *Operation::ALL.get(usize::try_from(raw.operation).ok()?)?,
        inode: raw.inode,
        claim: (raw.claim.ino != 0).then(|| key_from(&raw.claim)),
        depth: raw.depth,
        name: match hook {
            Hook::Bpf => command_name(raw.detail),
            Hook::Capable => syscall::name(raw.detail),
            _ => text_of(&raw.name),
        },
        applied: raw.applied,
        applying: raw.applying,
    })
}

/// What `enum bpf_cmd` calls a command: the kernel's interface, which only grows.
const COMMANDS: [&str; 37] = [
    "MAP_CREATE",
    "MAP_LOOKUP_ELEM",
    "MAP_UPDATE_ELEM",
    "MAP_DELETE_ELEM",
    "MAP_GET_NEXT_KEY",
    "PROG_LOAD",
    "OBJ_PIN",
    "OBJ_GET",
    "PROG_ATTACH",
    "PROG_DETACH",
    "PROG_TEST_RUN",
    "PROG_GET_NEXT_ID",
    "MAP_GET_NEXT_ID",
    "PROG_GET_FD_BY_ID",
    "MAP_GET_FD_BY_ID",
    "OBJ_GET_INFO_BY_FD",
    "PROG_QUERY",
    "RAW_TRACEPOINT_OPEN",
    "BTF_LOAD",
    "BTF_GET_FD_BY_ID",
    "TASK_FD_QUERY",
    "MAP_LOOKUP_AND_DELETE_ELEM",
    "MAP_FREEZE",
    "BTF_GET_NEXT_ID",
    "MAP_LOOKUP_BATCH",
    "MAP_LOOKUP_AND_DELETE_BATCH",
    "MAP_UPDATE_BATCH",
    "MAP_DELETE_BATCH",
    "LINK_CREATE",
    "LINK_UPDATE",
    "LINK_GET_FD_BY_ID",
    "LINK_GET_NEXT_ID",
    "ENABLE_STATS",
    "ITER_CREATE",
    "LINK_DETACH",
    "PROG_BIND_MAP",
    "TOKEN_CREATE",
];

fn command_name(number: u32) -> String {
    let known = usize::try_from(number).ok().and_then(|n| COMMANDS.get(n));
    known.map_or_else(|| format!("command {number}"), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::{bytes_of, zeroed};

    #[test]
    fn a_record_of_another_size_hook_operation_or_verdict_is_not_an_event() {
        let mut raw: event = zeroed();
        raw.verdict = verdict::VERDICT_DENY.0;
        assert!(decode(bytes_of(&raw)).is_some());
        assert!(decode(&bytes_of(&raw)[1..]).is_none());
        raw.hook = u32::MAX;
        assert!(decode(bytes_of(&raw)).is_none());
        raw.hook = 0;
        raw.operation = u32::MAX;
        assert!(decode(bytes_of(&raw)).is_none());
        raw.operation = 0;
        raw.kind = u32::MAX;
        assert!(decode(bytes_of(&raw)).is_none());
        raw.kind = 0;
        raw.verdict = verdict::VERDICT_ALLOW.0;
        assert!(decode(bytes_of(&raw)).is_none());
    }

    #[test]
    fn an_event_of_bpf_2_names_the_command() {
        let mut raw: event = zeroed();
        raw.verdict = verdict::VERDICT_DENY.0;
        raw.hook = Hook::Bpf.index();
        for (number, name) in [
            (14, "MAP_GET_FD_BY_ID"),
            (36, "TOKEN_CREATE"),
            (99, "command 99"),
        ] {
            raw.detail = number;
            assert_eq!(decode(bytes_of(&raw)).unwrap().name, name);
        }
    }

    #[test]
    fn an_event_without_a_claim_has_none() {
        let mut raw: event = zeroed();
        raw.verdict = verdict::VERDICT_WOULD_DENY.0;
        assert_eq!(decode(bytes_of(&raw)).unwrap().claim, None);
        raw.claim.ino = 7;
        raw.claim.dev = 8;
        let claim = decode(bytes_of(&raw)).unwrap().claim.unwrap();
        assert_eq!((claim.dev, claim.ino, claim.subvol), (8, 7, 0));
    }
}
