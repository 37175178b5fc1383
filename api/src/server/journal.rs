//! ReadJournal: entries in order, as they stand.

use syva_journal::{JournalError, JournalReader};
use tokio::sync::mpsc;
use tonic::Status;

use crate::v1;

/// How many entries are read at once, and how many wait for the client.
const STEP: usize = 256;

/// How large a piece of a state is, in bytes: a message holds four MiB at most.
const PIECE: usize = 1024 * 1024;

/// What stands for pruned entries, in pieces.
pub fn horizon(reader: &JournalReader) -> Vec<Result<v1::HorizonPart, Status>> {
    if let Err(error) = reader.is_open() {
        return vec![Err(Status::data_loss(error.to_string()))];
    }
    let Some(horizon) = reader.horizon() else {
        return Vec::new();
    };
    let pieces = horizon.state.chunks(PIECE);
    let mut parts: Vec<_> = pieces
        .map(|piece| v1::HorizonPart {
            state: piece.to_vec(),
            ..v1::HorizonPart::default()
        })
        .collect();
    if let Some(first) = parts.first_mut() {
        first.seq = horizon.head.seq;
        first.hash = horizon.head.hash.0.to_vec();
        first.time_unix_ns = horizon.time_unix_ns;
        first.pruned_by = horizon.by.seq;
        first.pruned_by_hash = horizon.by.hash.0.to_vec();
    }
    parts.into_iter().map(Ok).collect()
}

/// Streams entries `from` to `to` (0: to the end there is now). Reading blocks, so a thread does it.
pub fn stream(
    reader: JournalReader,
    request: v1::ReadJournalRequest,
) -> mpsc::Receiver<Result<v1::JournalEntry, Status>> {
    let (sender, receiver) = mpsc::channel(STEP);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = reader.is_open() {
            let _ = sender.blocking_send(Err(Status::data_loss(error.to_string())));
            return;
        }
        let end = reader.head().seq;
        let last = if request.to_seq == 0 {
            end
        } else {
            request.to_seq.min(end)
        };
        // Asked for by its number, a pruned entry is refused; asked for the first, the first is given.
        let mut next = match request.from_seq {
            0 | 1 => reader.base().seq + 1,
            from => from,
        };
        while next <= last {
            let left = usize::try_from(last - next + 1).unwrap_or(STEP).min(STEP);
            let records = match reader.read(next, left) {
                Ok(records) if records.is_empty() => return,
                Ok(records) => records,
                Err(error) => {
                    let status = match error {
                        JournalError::Pruned { .. } => Status::out_of_range(error.to_string()),
                        _ => Status::data_loss(error.to_string()),
                    };
                    // The client may have gone away meanwhile.
                    let _ = sender.blocking_send(Err(status));
                    return;
                }
            };
            for record in records {
                next = record.seq + 1;
                let hash = record.hash.0.to_vec();
                let entry = v1::JournalEntry {
                    seq: record.seq,
                    payload: record.payload,
                    hash,
                };
                if sender.blocking_send(Ok(entry)).is_err() {
                    return;
                }
            }
        }
    });
    receiver
}
