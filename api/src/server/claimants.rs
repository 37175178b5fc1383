//! Who claimed a path, and when: the journal's word, read when it is asked for. The state keeps the
//! entry's number only, so that neither its size nor its digest has to carry what the entry says.

use std::collections::BTreeMap;

use syva_journal::JournalReader;
use tonic::Status;

use crate::v1;

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
        let mut entries = BTreeMap::new();
        for path in &mut paths {
            if !entries.contains_key(&path.seq) {
                let found = journal.read(path.seq, 1)?;
                let said = found.into_iter().next().map(|record| {
                    let peer = record.entry.peer;
                    let claimant = v1::Claimant {
                        uid: peer.uid,
                        gid: peer.gid,
                        pid: peer.pid,
                        adapter: peer.adapter,
                    };
                    (claimant, record.entry.time_unix_ns)
                });
                entries.insert(path.seq, said);
            }
            if let Some(Some((claimant, time))) = entries.get(&path.seq) {
                path.claimed_by = Some(claimant.clone());
                path.claimed_at_unix_ns = *time;
            }
        }
        Ok::<_, syva_journal::JournalError>(paths)
    });
    let read = reading
        .await
        .map_err(|error| Status::internal(error.to_string()))?;
    read.map_err(|error| Status::data_loss(error.to_string()))
}
