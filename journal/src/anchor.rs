//! The head anchor: how far the journal was acknowledged, in a file the store knows nothing of.
//!
//! Two slots of [`SLOT`] bytes, a page apart, written in turn, so that a torn write costs the newer
//! and leaves the older. A slot, integers big-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | `SYVAHEAD` |
//! | 8..16 | the format, [`FORMAT`] |
//! | 16..24 | how many writes came before: the higher slot counts |
//! | 24..32 | the head's sequence |
//! | 32..64 | the head's hash |
//! | 64..96 | SHA-256 of bytes 0..64 |

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use syva_model::entry::Hash;

use crate::error::JournalError;
use crate::record::Head;
use crate::store::StoreError;

/// The anchor's file, below the journal's directory.
pub const FILE: &str = "anchor";
/// The format this version writes, and the highest it reads.
pub const FORMAT: u64 = 1;
/// A slot's size in bytes.
pub const SLOT: usize = 96;
/// The distance between the slots in bytes: a torn write of one must not reach the other.
pub const STRIDE: u64 = 4096;

const MAGIC: &[u8; 8] = b"SYVAHEAD";

/// What the anchor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The head that was acknowledged last; nothing when neither slot is valid.
    pub head: Option<Head>,
    /// How many slots are not valid. One: a torn write, or a page that went bad. In the second case
    /// `head` may be one append behind what was acknowledged.
    pub damaged: u8,
}

/// Keeps the head, durably and apart from the store.
pub trait Anchor: Send {
    /// Reads it.
    ///
    /// # Errors
    /// [`JournalError::AnchorNewer`], or the operating system's.
    fn read(&mut self) -> Result<Reading, JournalError>;

    /// Replaces it. Durable on return. After an error, the old or the new is there.
    ///
    /// # Errors
    /// The operating system's.
    fn write(&mut self, head: Head) -> Result<(), StoreError>;
}

/// The anchor in a file.
#[derive(Debug)]
pub struct AnchorFile {
    file: File,
    path: PathBuf,
    // What the next write counts, which also chooses its slot.
    next: u64,
}

impl AnchorFile {
    /// Opens the anchor in `dir`; nothing if there is none.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn open(dir: &Path) -> Result<Option<AnchorFile>, JournalError> {
        let path = dir.join(FILE);
        match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => Ok(Some(AnchorFile {
                file,
                path,
                next: 0,
            })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(JournalError::io("opening the head anchor", &path, source)),
        }
    }

    /// Makes the anchor of an empty journal, whole or not at all, and durable.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn create(dir: &Path) -> Result<AnchorFile, JournalError> {
        let path = dir.join(FILE);
        let draft = dir.join("anchor.new");
        let write = || {
            let file = File::create(&draft)?;
            for count in 0..2 {
                file.write_all_at(&encode(count, Head::EMPTY), place(count))?;
            }
            file.sync_all()?;
            fs::rename(&draft, &path)?;
            File::open(dir)?.sync_all()
        };
        write().map_err(|source| JournalError::io("creating the head anchor", &path, source))?;
        AnchorFile::open(dir)?.ok_or_else(|| {
            JournalError::io(
                "opening the head anchor just created",
                &path,
                std::io::ErrorKind::NotFound.into(),
            )
        })
    }
}

impl Anchor for AnchorFile {
    fn read(&mut self) -> Result<Reading, JournalError> {
        let mut newest: Option<(u64, Head)> = None;
        let mut damaged = 0;
        for count in 0..2 {
            let mut slot = [0; SLOT];
            let read = self.file.read_exact_at(&mut slot, place(count));
            match read {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    damaged += 1;
                    continue;
                }
                Err(source) => {
                    return Err(JournalError::io(
                        "reading the head anchor",
                        &self.path,
                        source,
                    ));
                }
            }
            match decode(&slot) {
                Slot::Valid { count, head } if newest.is_none_or(|(last, _)| count > last) => {
                    newest = Some((count, head));
                }
                Slot::Valid { .. } => {}
                Slot::Newer { format } => {
                    return Err(JournalError::AnchorNewer {
                        path: self.path.clone(),
                        format,
                    });
                }
                Slot::Damaged => damaged += 1,
            }
        }
        self.next = newest.map_or(0, |(count, _)| count + 1);
        Ok(Reading {
            head: newest.map(|(_, head)| head),
            damaged,
        })
    }

    fn write(&mut self, head: Head) -> Result<(), StoreError> {
        self.file
            .write_all_at(&encode(self.next, head), place(self.next))
            .and_then(|()| self.file.sync_data())
            .map_err(|source| StoreError::Io {
                doing: format!("writing the head anchor ({})", self.path.display()),
                source,
            })?;
        self.next += 1;
        Ok(())
    }
}

const fn place(count: u64) -> u64 {
    (count % 2) * STRIDE
}

enum Slot {
    Valid { count: u64, head: Head },
    Newer { format: u64 },
    Damaged,
}

fn encode(count: u64, head: Head) -> Vec<u8> {
    let mut slot = Vec::with_capacity(SLOT);
    slot.extend_from_slice(MAGIC);
    slot.extend_from_slice(&FORMAT.to_be_bytes());
    slot.extend_from_slice(&count.to_be_bytes());
    slot.extend_from_slice(&head.seq.to_be_bytes());
    slot.extend_from_slice(&head.hash.0);
    let sum = Hash::of(&slot);
    slot.extend_from_slice(&sum.0);
    slot
}

fn decode(slot: &[u8; SLOT]) -> Slot {
    let mut rest = slot.as_slice();
    let (Some(magic), Some(format), Some(count), Some(seq), Some(hash), Some(sum)) = (
        take::<8>(&mut rest),
        take::<8>(&mut rest).map(u64::from_be_bytes),
        take::<8>(&mut rest).map(u64::from_be_bytes),
        take::<8>(&mut rest).map(u64::from_be_bytes),
        take::<32>(&mut rest),
        take::<32>(&mut rest),
    ) else {
        return Slot::Damaged;
    };
    if magic != *MAGIC || Hash::of(&slot[..SLOT - sum.len()]).0 != sum {
        return Slot::Damaged;
    }
    if format != FORMAT {
        return Slot::Newer { format };
    }
    Slot::Valid {
        count,
        head: Head {
            seq,
            hash: Hash(hash),
        },
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(seq: u64) -> Head {
        Head {
            seq,
            hash: Hash::of(&seq.to_be_bytes()),
        }
    }

    fn reading(dir: &Path) -> Reading {
        AnchorFile::open(dir)
            .expect("opens")
            .expect("is there")
            .read()
            .expect("reads")
    }

    fn anchored(to: u64) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        let mut anchor = AnchorFile::create(dir.path()).expect("creates");
        anchor.read().expect("reads");
        for seq in 1..=to {
            anchor.write(head(seq)).expect("writes");
        }
        dir
    }

    #[test]
    fn the_last_head_written_is_read_back() {
        for to in 1..5 {
            let dir = anchored(to);
            assert_eq!(
                reading(dir.path()),
                Reading {
                    head: Some(head(to)),
                    damaged: 0
                }
            );
        }
        let empty = anchored(0);
        assert_eq!(reading(empty.path()).head, Some(Head::EMPTY));
    }

    #[test]
    fn either_slot_may_be_damaged_at_any_byte_and_the_other_is_read() {
        for to in [4, 5] {
            let dir = anchored(to);
            let whole = fs::read(dir.path().join(FILE)).expect("reads");
            for slot in [0, usize::try_from(STRIDE).expect("fits")] {
                for byte in slot..slot + SLOT {
                    for bit in [0x01, 0x80] {
                        let mut bytes = whole.clone();
                        bytes[byte] ^= bit;
                        fs::write(dir.path().join(FILE), &bytes).expect("writes");
                        let found = reading(dir.path());
                        assert_eq!(found.damaged, 1, "byte {byte}");
                        let seq = found.head.expect("one slot is left").seq;
                        assert!(seq == to || seq == to - 1, "byte {byte}: {seq}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_write_after_a_torn_one_takes_the_damaged_slot() {
        let dir = anchored(5);
        let path = dir.path().join(FILE);
        let mut bytes = fs::read(&path).expect("reads");
        // Head 5 was the seventh write and stands in the first slot.
        bytes[40] ^= 1;
        fs::write(&path, &bytes).expect("writes");
        let mut anchor = AnchorFile::open(dir.path())
            .expect("opens")
            .expect("is there");
        assert_eq!(anchor.read().expect("reads").head, Some(head(4)));
        anchor.write(head(6)).expect("writes");
        assert_eq!(
            reading(dir.path()),
            Reading {
                head: Some(head(6)),
                damaged: 0
            }
        );
    }

    #[test]
    fn both_slots_damaged_or_the_file_emptied_leave_no_head() {
        let dir = anchored(3);
        let path = dir.path().join(FILE);
        let mut bytes = fs::read(&path).expect("reads");
        bytes[20] ^= 1;
        bytes[4096 + 20] ^= 1;
        fs::write(&path, &bytes).expect("writes");
        let neither = Reading {
            head: None,
            damaged: 2,
        };
        assert_eq!(reading(dir.path()), neither);
        fs::write(&path, []).expect("writes");
        assert_eq!(reading(dir.path()), neither);
    }

    #[test]
    fn a_newer_format_is_refused_by_name() {
        let dir = anchored(1);
        let mut slot = encode(9, head(9));
        slot[15] = 2;
        let sum = Hash::of(&slot[..64]);
        slot[64..].copy_from_slice(&sum.0);
        let path = dir.path().join(FILE);
        let mut bytes = fs::read(&path).expect("reads");
        bytes[..SLOT].copy_from_slice(&slot);
        fs::write(&path, &bytes).expect("writes");
        let refused = AnchorFile::open(dir.path())
            .expect("opens")
            .expect("is there")
            .read();
        assert!(matches!(
            refused,
            Err(JournalError::AnchorNewer { format: 2, .. })
        ));
    }
}
