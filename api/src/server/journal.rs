//! ReadJournal: entries in order, as they stand.

use syva_journal::JournalReader;
use tokio::sync::mpsc;
use tonic::Status;

use crate::v1;

/// How many entries are read at once, and how many wait for the client.
const STEP: usize = 256;

/// Streams entries `from` to `to` (0: to the end there is now). Reading blocks, so a thread does it.
pub fn stream(
    reader: JournalReader,
    request: v1::ReadJournalRequest,
) -> mpsc::Receiver<Result<v1::JournalEntry, Status>> {
    let (sender, receiver) = mpsc::channel(STEP);
    tokio::task::spawn_blocking(move || {
        let end = reader.head().seq;
        let last = if request.to_seq == 0 {
            end
        } else {
            request.to_seq.min(end)
        };
        let mut next = request.from_seq.max(1);
        while next <= last {
            let left = usize::try_from(last - next + 1).unwrap_or(STEP).min(STEP);
            let records = match reader.read(next, left) {
                Ok(records) if records.is_empty() => return,
                Ok(records) => records,
                Err(error) => {
                    // The client may have gone away meanwhile.
                    let _ = sender.blocking_send(Err(Status::data_loss(error.to_string())));
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
