//! Syvä's journal: the one truth, from which everything the kernel enforces is folded (D9–D11).
//!
//! An append returns once the entries are safe against power loss. The store underneath (sled) is
//! not trusted with that, nor with finding its own damage; what it lacks is supplied here:
//!
//! | what sled 0.34 does | what is done about it | where |
//! |---|---|---|
//! | `flush` is `sync_file_range`: it neither commits metadata nor flushes the disk's cache | `fdatasync` on its file after every flush | `store::sled` |
//! | large values go to files of their own that are never synced | values are stored in pieces too small for that | `store::sled` |
//! | a flipped byte panics `open` | the panic is caught and becomes an error | `quiet` |
//! | zeroed regions open as a shorter store, without an error | the head anchor says how long it must be | [`anchor`] |
//! | its own checksums and recovery are all that finds damage | every record carries its hash and its predecessor's | [`record`] |
//! | a snapshot it did not finish (a full disk, a death) refuses the store | it is removed before opening | `store::sled` |
//! | once it found no space it must be opened again, which needs space | room is looked for before each entry | [`Journal::room_for`] |
//! | concurrent asynchronous flushes deadlock | one writer, `&mut`, and blocking flushes only | [`Journal`] |
//! | its background thread writes at any time and only logs what fails | it is not started | `store::sled` |
//! | opening repairs by zeroing what it cannot read | nothing helps but a copy, which is what is opened to be read | [`offline`] |
//!
//! [`Journal`] is the writer, [`JournalReader`] what everybody else holds; [`Offline`] reads the journal
//! of a daemon that does not run, [`export`] and [`import`] carry one elsewhere. All of them block: they
//! belong on a thread that may.

#[cfg(all(feature = "failpoints", not(debug_assertions)))]
compile_error!("failpoints are for tests: a release build must not be able to stop on request");

pub mod anchor;
pub mod carve;
pub mod error;
pub mod export;
pub mod horizon;
pub mod import;
pub mod journal;
mod lock;
mod medium;
pub mod offline;
mod quiet;
pub mod reader;
pub mod record;
pub mod recovery;
pub mod snapshot;
pub mod store;

pub use error::JournalError;
pub use horizon::Horizon;
pub use journal::Journal;
pub use journal::loss::Loss;
pub use offline::Offline;
pub use reader::JournalReader;
pub use record::{Head, Record};
pub use recovery::{Recovery, Tail};
#[cfg(any(test, feature = "testing"))]
pub use store::memory::Memory;
