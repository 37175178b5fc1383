//! The export: a journal as one file that needs neither sled nor this directory layout to be read.
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | `SYVAJRNL` |
//! | 8..12 | the format, [`FORMAT`] |
//! | 12..20 | the first entry's number |
//! | 20..52 | the hash of the entry before it; zero before entry 1 |
//! | 52..60 | the last entry's number; the first's less one in an empty journal |
//! | 60..92 | the last entry's hash |
//! | 92..124 | SHA-256 of bytes 0..92 |
//! | then, an entry | 4 bytes: its payload's length; 32: the payload's SHA-256; the payload |
//!
//! Integers are big-endian. Nothing follows the last entry. A payload is what the journal holds: one
//! version byte and MessagePack (`syva_model::entry`), with the hash of the payload before it inside.

use std::io::{self, ErrorKind, Read, Write};

use syva_model::entry::{Entry, Hash};

use crate::record::{Fault, Head, RawRecord, inspect};

/// The format this version writes, and the highest it reads.
pub const FORMAT: u32 = 1;

const MAGIC: &[u8; 8] = b"SYVAJRNL";
const HEADER: usize = 92;

/// Why an export cannot be written or is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The system said no.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("this is not the export of a journal: it does not begin with SYVAJRNL")]
    NotAnExport,
    /// A newer version wrote it.
    #[error(
        "the export has format {0}, this version reads up to {FORMAT}: use the version that wrote it"
    )]
    Newer(u32),
    /// Its header is not what was written.
    #[error("the export's header is damaged: restore the file from a copy")]
    HeaderDamaged,
    /// It ends too early.
    #[error(
        "the export ends before entry {seq} does, and should go on to entry {last}: it was cut short"
    )]
    Truncated {
        /// The entry that is not whole.
        seq: u64,
        /// The last entry, by the header.
        last: u64,
    },
    /// An entry is not what was written.
    #[error("entry {seq} of the export cannot be taken: {fault}")]
    BadEntry {
        /// The first bad entry.
        seq: u64,
        /// What is wrong with it.
        fault: Fault,
    },
    /// Its entries are not those the header was written for.
    #[error("the export ends with {found}, its header says {said}")]
    Different {
        /// The header's word.
        said: Head,
        /// The last entry.
        found: Head,
    },
    /// It goes on.
    #[error("something follows the last entry of the export, entry {0}")]
    Trailing(u64),
}

/// What an export holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// What comes before its first entry; [`Head::EMPTY`] for a whole journal.
    pub base: Head,
    /// Its last entry.
    pub head: Head,
}

impl Extent {
    fn encode(self) -> Vec<u8> {
        let mut header = Vec::with_capacity(HEADER + 32);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&FORMAT.to_be_bytes());
        header.extend_from_slice(&(self.base.seq + 1).to_be_bytes());
        header.extend_from_slice(&self.base.hash.0);
        header.extend_from_slice(&self.head.seq.to_be_bytes());
        header.extend_from_slice(&self.head.hash.0);
        let sum = Hash::of(&header);
        header.extend_from_slice(&sum.0);
        header
    }

    fn decode(header: &[u8; HEADER + 32]) -> Result<Extent, ExportError> {
        let mut rest = header.as_slice();
        let magic = take::<8>(&mut rest)?;
        let format = u32::from_be_bytes(take(&mut rest)?);
        let first = u64::from_be_bytes(take(&mut rest)?);
        let before = Hash(take(&mut rest)?);
        let last = u64::from_be_bytes(take(&mut rest)?);
        let hash = Hash(take(&mut rest)?);
        let sum = Hash(take(&mut rest)?);
        if magic != *MAGIC {
            return Err(ExportError::NotAnExport);
        }
        // The magic and the number of the format stay where they are in every format.
        if format > FORMAT {
            return Err(ExportError::Newer(format));
        }
        let base = first.checked_sub(1).ok_or(ExportError::HeaderDamaged)?;
        if Hash::of(&header[..HEADER]) != sum || format != FORMAT || last < base {
            return Err(ExportError::HeaderDamaged);
        }
        Ok(Extent {
            base: Head {
                seq: base,
                hash: before,
            },
            head: Head { seq: last, hash },
        })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], ExportError> {
    let (bytes, after) = rest.split_first_chunk().ok_or(ExportError::HeaderDamaged)?;
    *rest = after;
    Ok(*bytes)
}

/// Writes an export. Every entry is checked on its way.
pub struct Writer<W> {
    to: W,
    extent: Extent,
    at: Head,
}

impl<W: Write> Writer<W> {
    /// Writes the header of the export of `extent`. `to` should be buffered.
    ///
    /// # Errors
    /// [`ExportError::Io`].
    pub fn new(mut to: W, extent: Extent) -> Result<Writer<W>, ExportError> {
        to.write_all(&extent.encode())?;
        let at = extent.base;
        Ok(Writer { to, extent, at })
    }

    /// Writes the next entry and returns it decoded.
    ///
    /// # Errors
    /// [`ExportError::BadEntry`] and [`ExportError::Io`]: what was written is no export then.
    pub fn push(&mut self, raw: &RawRecord) -> Result<Entry, ExportError> {
        let seq = self.at.seq + 1;
        let entry = inspect(self.at, raw).map_err(|fault| ExportError::BadEntry { seq, fault })?;
        let len = u32::try_from(raw.payload.len())
            .map_err(|_| io::Error::new(ErrorKind::InvalidInput, "an entry of 4 GiB"))?;
        self.to.write_all(&len.to_be_bytes())?;
        self.to.write_all(&raw.hash.0)?;
        self.to.write_all(&raw.payload)?;
        self.at = Head {
            seq,
            hash: raw.hash,
        };
        Ok(entry)
    }

    /// Gives back where it wrote to, if everything that the header announced was written.
    ///
    /// # Errors
    /// [`ExportError::Truncated`], [`ExportError::Different`], [`ExportError::Io`].
    pub fn finish(mut self) -> Result<W, ExportError> {
        ends(self.extent, self.at)?;
        self.to.flush()?;
        Ok(self.to)
    }
}

/// Reads an export. Every entry is checked on its way.
pub struct Reader<R> {
    from: R,
    extent: Extent,
    at: Head,
}

impl<R: Read> Reader<R> {
    /// Reads the header. `from` should be buffered.
    ///
    /// # Errors
    /// [`ExportError`]: nothing of the file may be used.
    pub fn new(mut from: R) -> Result<Reader<R>, ExportError> {
        let mut header = [0; HEADER + 32];
        let got = fill(&mut from, &mut header)?;
        if !header.starts_with(MAGIC) {
            return Err(ExportError::NotAnExport);
        }
        if got >= 12 {
            let format = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
            if format > FORMAT {
                return Err(ExportError::Newer(format));
            }
        }
        if got < header.len() {
            return Err(ExportError::HeaderDamaged);
        }
        let extent = Extent::decode(&header)?;
        let at = extent.base;
        Ok(Reader { from, extent, at })
    }

    /// What it says it holds.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// The next entry's payload; nothing once all were read and nothing follows.
    ///
    /// # Errors
    /// [`ExportError`]: nothing of the file may be used.
    pub fn pull(&mut self) -> Result<Option<Vec<u8>>, ExportError> {
        if self.at.seq == self.extent.head.seq {
            ends(self.extent, self.at)?;
            let more = fill(&mut self.from, &mut [0])?;
            return match more {
                0 => Ok(None),
                _ => Err(ExportError::Trailing(self.at.seq)),
            };
        }
        let seq = self.at.seq + 1;
        let truncated = || ExportError::Truncated {
            seq,
            last: self.extent.head.seq,
        };
        let mut head = [0; 36];
        if fill(&mut self.from, &mut head)? < head.len() {
            return Err(truncated());
        }
        let len = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        // A damaged length must not reserve gigabytes: what is there is what is read.
        let mut payload = Vec::new();
        (&mut self.from)
            .take(u64::from(len))
            .read_to_end(&mut payload)?;
        if u64::try_from(payload.len()).ok() != Some(u64::from(len)) {
            return Err(truncated());
        }
        let mut hash = Hash::ZERO;
        hash.0.copy_from_slice(&head[4..]);
        let raw = RawRecord {
            key: seq,
            hash,
            payload,
        };
        inspect(self.at, &raw).map_err(|fault| ExportError::BadEntry { seq, fault })?;
        self.at = Head { seq, hash };
        Ok(Some(raw.payload))
    }
}

/// Whether the entries end where the header said they would.
fn ends(extent: Extent, at: Head) -> Result<(), ExportError> {
    let said = extent.head;
    if at.seq < said.seq {
        let (seq, last) = (at.seq + 1, said.seq);
        return Err(ExportError::Truncated { seq, last });
    }
    if at != said {
        return Err(ExportError::Different { said, found: at });
    }
    Ok(())
}

/// Reads until the buffer is full or nothing is left, and says how much that was.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> Result<usize, ExportError> {
    let mut got = 0;
    while got < buffer.len() {
        match from.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(got)
}
