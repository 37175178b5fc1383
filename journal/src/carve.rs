//! Looking for entries in sled's log without sled: when sled gives up on a store, this still says which
//! entries are in it whole, and which is the first that is not.
//!
//! Sled keeps a value's bytes together, and a value begins with the payload's hash. So a payload is
//! found by how every one begins, and is whole if it hashes to the 32 bytes before it. Of a payload
//! above [`PIECE`] only the first piece is found that way: nothing is said of it.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use syva_model::entry::{Entry, FORMAT, Hash};

use crate::store::sled::PIECE;

/// What is read at once.
const CHUNK: usize = 8 << 20;
/// How a payload goes on after its format and the size of its map.
const BEGINS: &[u8] = b"\xa3seq\xce";
const HASH: usize = 32;

/// What a search of sled's log has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carved {
    /// How many entries are there whole.
    pub whole: u64,
    /// The first entry, of those that must be there, that is nowhere whole.
    pub first_bad: Option<u64>,
}

impl fmt::Display for Carved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its file still holds {} entries whole", self.whole)?;
        match self.first_bad {
            Some(seq) => write!(f, ", entry {seq} is the first that is not"),
            None => {
                f.write_str(", every acknowledged one of up to 4 KiB among them: what is damaged is a longer one, or sled's own")
            }
        }
    }
}

/// Searches `log` for the entries up to `last`, or those that are there if that is not known.
///
/// # Errors
/// The operating system's.
pub(crate) fn carve(log: &Path, last: Option<u64>) -> io::Result<Carved> {
    let mut file = File::open(log)?;
    let (mut window, mut seen) = (Vec::new(), Seen::default());
    loop {
        let read = (&mut file)
            .take(u64::try_from(CHUNK).unwrap_or(u64::MAX))
            .read_to_end(&mut window)?;
        seen.search(&window);
        if read == 0 {
            break;
        }
        // The longest value may lie across the border.
        let keep = window.len().saturating_sub(PIECE + HASH);
        window.drain(..keep);
    }
    let last = last.or(seen.whole.last().copied()).unwrap_or(0);
    let first_bad =
        (1..=last).find(|seq| !seen.whole.contains(seq) && !seen.in_pieces.contains(seq));
    Ok(Carved {
        whole: u64::try_from(seen.whole.len()).unwrap_or(u64::MAX),
        first_bad,
    })
}

#[derive(Default)]
struct Seen {
    whole: BTreeSet<u64>,
    in_pieces: BTreeSet<u64>,
}

impl Seen {
    fn search(&mut self, bytes: &[u8]) {
        let mut from = HASH;
        while let Some(found) = find(&bytes[from.min(bytes.len())..]) {
            let at = from + found;
            self.look(&bytes[at - HASH..]);
            from = at + 1;
        }
    }

    /// What stands here: a hash, and perhaps the payload that hashes to it.
    fn look(&mut self, bytes: &[u8]) {
        let Some((hash, rest)) = bytes.split_first_chunk::<HASH>() else {
            return;
        };
        let first_piece = PIECE - HASH;
        let value = &rest[..rest.len().min(first_piece)];
        match Entry::decode_first(value) {
            Ok((entry, after)) => {
                if Hash::of(&value[..value.len() - after.len()]).0 == *hash {
                    self.whole.insert(entry.seq);
                }
            }
            Err(error) if error.is_cut_short() && value.len() == first_piece => {
                self.in_pieces.extend(sequence(value));
            }
            Err(_) => {}
        }
    }
}

fn find(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(BEGINS.len() + 2)
        .position(|window| window[0] == FORMAT && window[1] & 0xf0 == 0x80 && is_seq(&window[2..]))
}

/// The field `seq` and its value, in whichever of MessagePack's sizes.
fn is_seq(bytes: &[u8]) -> bool {
    bytes[..4] == BEGINS[..4] && (bytes[4] < 0x80 || (0xcc..=0xcf).contains(&bytes[4]))
}

/// The number in a payload that goes on elsewhere.
fn sequence(payload: &[u8]) -> Option<u64> {
    let (size, rest) = payload.get(6..)?.split_first()?;
    let bytes = match size {
        0..0x80 => return Some(u64::from(*size)),
        0xcc => 1,
        0xcd => 2,
        0xce => 4,
        0xcf => 8,
        _ => return None,
    };
    let digits = rest.get(..bytes)?;
    Some(
        digits
            .iter()
            .fold(0, |seq, byte| seq << 8 | u64::from(*byte)),
    )
}

#[cfg(test)]
mod tests {
    use syva_model::command::{BootId, Command};
    use syva_model::entry::Peer;

    use super::*;
    use crate::record::Head;

    fn value(head: Head, len: usize) -> (Vec<u8>, Head) {
        let command = Command::DetachContainer {
            container: "x".repeat(len),
            source: String::new(),
            generation: 0,
        };
        let payload = head
            .next(7, BootId([1; 16]), Peer::default(), command)
            .encode()
            .expect("encodes");
        let mut value = Hash::of(&payload).0.to_vec();
        value.extend_from_slice(&payload);
        (value, head.after(&payload))
    }

    #[test]
    fn whole_entries_are_found_between_anything_and_a_changed_one_is_named() {
        for spoilt in [None, Some(3), Some(300)] {
            let (mut head, mut log) = (Head::EMPTY, b"\x01\x86\xa3seq\xcd\x01".to_vec());
            for seq in 1..=400 {
                let (mut value, after) = value(head, 5);
                head = after;
                if spoilt == Some(seq) {
                    value[72] ^= 1;
                }
                log.extend_from_slice(&value);
                log.extend_from_slice(b"between");
            }
            let dir = tempfile::tempdir().expect("a directory");
            let path = dir.path().join("log");
            std::fs::write(&path, &log).expect("writes");
            let found = carve(&path, Some(400)).expect("reads");
            assert_eq!(found.first_bad, spoilt);
            assert_eq!(found.whole, 400 - u64::from(spoilt.is_some()));
        }
    }

    #[test]
    fn nothing_is_said_of_an_entry_in_pieces() {
        let (one, head) = value(Head::EMPTY, 9000);
        let (two, _) = value(head, 5);
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("log");
        std::fs::write(&path, [&one[..PIECE], &two].concat()).expect("writes");
        let found = carve(&path, Some(2)).expect("reads");
        let (whole, first_bad) = (1, None);
        assert_eq!(found, Carved { whole, first_bad });
    }
}
