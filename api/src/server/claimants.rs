//! Who claimed a path, and when: the journal's word, read when it is asked for. The state keeps the
//! entry's number only, so that neither its size nor its digest has to carry what the entry says.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use syva_journal::{JournalError, JournalReader};
use tonic::Status;

use crate::v1;

/// Who sent an entry, and when it was admitted, in nanoseconds since the Unix epoch.
type Said = Option<(v1::Claimant, u64)>;

/// Fills in what the entries say that made the claims.
///
/// # Errors
/// `DataLoss` if the journal cannot be read.
pub async fn told(
    journal: JournalReader,
    mut paths: Vec<v1::HostPath>,
) -> Result<Vec<v1::HostPath>, Status> {
    let reading = tokio::task::spawn_blocking(move || {
        // Many claims of one policy are one entry.
        let mut entries: BTreeMap<u64, Said> = BTreeMap::new();
        for path in &mut paths {
            let said = match entries.entry(path.seq) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => unknown.insert(said(&journal, path.seq)?),
            };
            if let Some((claimant, time)) = said {
                path.claimed_by = Some(claimant.clone());
                path.claimed_at_unix_ns = *time;
            }
        }
        Ok::<_, JournalError>(paths)
    });
    let read = reading
        .await
        .map_err(|error| Status::internal(error.to_string()))?;
    read.map_err(|error| Status::data_loss(error.to_string()))
}

fn said(journal: &JournalReader, seq: u64) -> Result<Said, JournalError> {
    // The claim outlives the entry that made it.
    if seq <= journal.base().seq {
        return Ok(None);
    }
    let record = journal.read(seq, 1)?.pop();
    Ok(record.map(|record| {
        let peer = record.entry.peer;
        let claimant = v1::Claimant {
            uid: peer.uid,
            gid: peer.gid,
            pid: peer.pid,
            adapter: peer.adapter,
        };
        (claimant, record.entry.time_unix_ns)
    }))
}
