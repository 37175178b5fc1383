//! The ledger: what the writer decides, without ractor. Admits commands on a state that includes the
//! batch not yet flushed, folds them, and makes the batch durable at once (group commit).
//!
//! | what happens | journal | state | the batch's callers are told |
//! |---|---|---|---|
//! | a command is refused | as before | as before | the refusal, at once |
//! | the journal's file system is nearly full | as before | as before | that, at once |
//! | a command asks for what is so | as before | as before | done, once what it rests on is durable |
//! | the flush succeeds | the batch is durable | as folded | done, once the kernel holds it |
//! | the flush fails | unknown | folded ahead of it: dropped | what the store turns out to hold |
//!
//! After a failed flush the store is read again ([`Ledger::reload`]), since it may hold the batch: if
//! its head is then the batch's, the batch was journaled; if not, it was not.

use std::thread::JoinHandle;

use syva_journal::snapshot::{self, Snapshots};
use syva_journal::{Head, Journal, JournalError, JournalReader};
use syva_model::admit::{Admission, Node, admit};
use syva_model::command::{BootId, Command};
use syva_model::entry::Peer;
use syva_model::fold::{FoldError, Touched};
use syva_model::image::Image;
use syva_model::plan::Diff;
use syva_model::project;
use syva_model::state::State;

use crate::outcome::{CommandError, Done};
use crate::park::Lent;

/// How many entries lie between two snapshots. A start folds a hundred thousand in half a second.
const SNAPSHOT_EVERY: u64 = 10_000;

/// How many records are read at once.
const STEP: usize = 1024;

/// Tells the wall clock's time, in nanoseconds since the Unix epoch.
pub type Clock = fn() -> u64;

/// Why there is no state to work on.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// It was read, and does not fold.
    #[error("the journal cannot be folded: {0}; use the version that wrote it, or restore a copy")]
    Fold(#[from] FoldError),
    /// It was folded, and the kernel's maps are to be made too small for it.
    #[error(
        "the journal holds {held} {what}, which do not fit --max-{what} {max}: start with at least {held}"
    )]
    TooSmall {
        /// Of what.
        what: &'static str,
        /// How many.
        held: usize,
        /// How many there may be.
        max: u32,
    },
}

/// What admission and entries need to know of the node.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Capacities and what may not be claimed or attached.
    pub node: Node,
    /// The running boot.
    pub boot: BootId,
    /// The wall clock.
    pub clock: Clock,
}

/// The state, the journal it comes from, and the batch in hand. `T` is whatever brings the answer to
/// a command's caller.
pub struct Ledger<T> {
    journal: Lent<Journal>,
    facts: Facts,
    state: State,
    image: Image,
    payloads: Vec<Vec<u8>>,
    waiting: Vec<Waiting<T>>,
    touched: Touched,
    head: Head,
    /// Why the batch in hand must be dropped, if it must.
    broken: Option<String>,
    saved: Saved,
}

/// The snapshot that was begun last.
#[derive(Default)]
struct Saved {
    seq: u64,
    by: Option<JoinHandle<()>>,
}

struct Waiting<T> {
    ticket: T,
    done: Done,
}

/// A batch that is durable.
#[derive(Debug)]
pub struct Batch<T> {
    /// Whom to tell what, once the kernel holds it.
    pub answers: Vec<(T, Done)>,
    /// What the desired image gains; nothing if no entry was written.
    pub change: Option<(Diff, Touched)>,
}

/// A batch whose flush failed.
#[derive(Debug)]
pub struct Undurable<T> {
    /// Whom to tell what, if the store turns out to hold it.
    pub answers: Vec<(T, Done)>,
    /// Where the journal ends if it does.
    pub head: Head,
    /// Why it failed.
    pub said: String,
}

impl<T> Ledger<T> {
    /// Folds the whole journal.
    ///
    /// # Errors
    /// [`LedgerError`]: nothing may be enforced from it.
    pub fn open(journal: Lent<Journal>, facts: Facts) -> Result<Ledger<T>, LedgerError> {
        let mut ledger = Ledger {
            head: journal.head(),
            journal,
            facts,
            state: State::default(),
            image: Image::default(),
            payloads: Vec::new(),
            waiting: Vec::new(),
            touched: Touched::default(),
            broken: None,
            saved: Saved::default(),
        };
        ledger.replay()?;
        ledger.fits()?;
        Ok(ledger)
    }

    /// Capacities are checked at admission, so only another start's can be too small (D8).
    fn fits(&self) -> Result<(), LedgerError> {
        let (state, capacity) = (&self.state, self.facts.node.capacity);
        // A new boot is about to void the memberships of the last one.
        let same_boot = state.boot == Some(self.facts.boot);
        let members = if same_boot { state.members.len() } else { 0 };
        for (what, held, max) in [
            ("zones", state.zones.len(), capacity.zones),
            ("members", members, capacity.members),
            (
                "claims",
                state.claims.len() + state.lost.len(),
                capacity.claims,
            ),
            ("pairs", state.open_pairs().len(), capacity.pairs),
            (
                "host-sockets",
                // Those of service units go with the last boot's memberships.
                match same_boot {
                    true => state.host_socket_rows(),
                    false => state.host_sockets.len() + state.lost_sockets.len(),
                },
                capacity.host_sockets,
            ),
        ] {
            if held > max as usize {
                return Err(LedgerError::TooSmall { what, held, max });
            }
        }
        Ok(())
    }

    /// Reads the store again, after a flush that failed.
    ///
    /// # Errors
    /// As [`Ledger::open`]; the ledger can then only be reloaded or dropped.
    pub fn reload(&mut self) -> Result<(), LedgerError> {
        self.journal.reopen()?;
        self.replay()
    }

    fn replay(&mut self) -> Result<(), LedgerError> {
        self.head = self.journal.head();
        let reader = self.journal.reader();
        self.state = match snapshot::trusted(&self.journal.snapshots(), &reader) {
            Ok(None) => folded(State::default(), &reader)?,
            Ok(Some(state)) => {
                self.saved.seq = state.seq();
                tracing::info!(seq = state.seq(), "folding on from a snapshot");
                folded(state, &reader).or_else(|error| {
                    ignored(&error);
                    folded(State::default(), &reader)
                })?
            }
            Err(fault) => {
                ignored(&fault);
                folded(State::default(), &reader)?
            }
        };
        self.image = project::project(&self.state);
        self.payloads.clear();
        self.touched = Touched::default();
        Ok(())
    }

    /// The state, the batch in hand included.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What the maps should hold, without the batch in hand.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// The running boot.
    pub fn boot(&self) -> BootId {
        self.facts.boot
    }

    /// The last entry, the batch in hand included.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Whether there is something that only a flush can settle: a batch, or one that must be dropped.
    pub fn is_due(&self) -> bool {
        !self.waiting.is_empty() || self.broken.is_some()
    }

    /// How many callers wait for the batch in hand.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether the journal's file system has room for entries.
    pub fn has_room(&self) -> bool {
        self.journal.room_for(0).is_ok()
    }

    /// Admits a command into the batch in hand.
    ///
    /// # Errors
    /// The ticket, and why the command is not taken; nothing has changed.
    pub fn admit(
        &mut self,
        command: Command,
        peer: Peer,
        ticket: T,
    ) -> Result<(), (T, CommandError)> {
        if let Some(said) = &self.broken {
            return Err((ticket, CommandError::NotJournaled(said.clone())));
        }
        match admit(&self.state, &self.facts.node, &command) {
            Err(refusal) => Err((ticket, refusal.into())),
            Ok(Admission::Unchanged(reply)) => {
                self.waiting.push(Waiting {
                    ticket,
                    done: Done { reply, seq: None },
                });
                Ok(())
            }
            Ok(Admission::Append) => match self.write(command, peer) {
                Ok(done) => {
                    self.waiting.push(Waiting { ticket, done });
                    Ok(())
                }
                Err(said) => Err((ticket, CommandError::NotJournaled(said))),
            },
        }
    }

    fn write(&mut self, command: Command, peer: Peer) -> Result<Done, String> {
        let time = (self.facts.clock)();
        let entry = self.head.next(time, self.facts.boot, peer, command);
        let payload = entry.encode().map_err(|error| error.to_string())?;
        let in_hand: usize = self.payloads.iter().map(Vec::len).sum();
        let room = self.journal.room_for(in_hand + payload.len());
        room.map_err(|error| error.to_string())?;
        let head = self.head.after(&payload);
        // An admitted command folds. If one does not, admission and fold disagree: the state may be
        // half changed, so the batch is dropped and the store is read again.
        let folded = self.state.fold(&entry, head.hash).map_err(|error| {
            let said = format!("admission and fold disagree: {error}");
            self.broken = Some(said.clone());
            said
        })?;
        self.payloads.push(payload);
        self.touched.merge(folded.touched);
        self.head = head;
        Ok(Done {
            reply: folded.reply,
            seq: Some(entry.seq),
        })
    }

    /// Makes the batch in hand durable. It blocks.
    ///
    /// # Errors
    /// [`Undurable`]; [`Ledger::reload`] before anything else.
    pub fn flush(&mut self) -> Result<Batch<T>, Undurable<T>> {
        let payloads = std::mem::take(&mut self.payloads);
        let waiting = std::mem::take(&mut self.waiting);
        let touched = std::mem::take(&mut self.touched);
        let answers = waiting.into_iter().map(|w| (w.ticket, w.done)).collect();
        // Without payloads appending does nothing, and cannot fail.
        let appended = match self.broken.take() {
            None => self
                .journal
                .append(&payloads)
                .map_err(|error| error.to_string()),
            Some(said) => Err(said),
        };
        if let Err(said) = appended {
            return Err(Undurable {
                answers,
                head: self.head,
                said,
            });
        }
        self.snapshot_if_due();
        let change = (!payloads.is_empty()).then(|| {
            let diff = project::update(&mut self.image, &self.state, &touched);
            (diff, touched)
        });
        Ok(Batch { answers, change })
    }
}

impl<T> Ledger<T> {
    /// Begins a snapshot when enough entries came since the last. Another thread writes it: commands
    /// wait for no more than a copy of the state.
    fn snapshot_if_due(&mut self) {
        let saved = &self.saved;
        let busy = saved.by.as_ref().is_some_and(|by| !by.is_finished());
        if busy || self.state.seq() < saved.seq + SNAPSHOT_EVERY {
            return;
        }
        let (state, snapshots) = (self.state.clone(), self.journal.snapshots());
        let begun = std::thread::Builder::new()
            .name("snapshot".into())
            .spawn(move || save(&snapshots, &state));
        self.saved = Saved {
            seq: self.state.seq(),
            by: begun.map_err(|error| not_saved(&error)).ok(),
        };
    }

    /// Writes a snapshot before the daemon ends, so that the next start folds nothing. It blocks.
    pub fn close(&mut self) {
        if let Some(by) = self.saved.by.take() {
            // It says itself what went wrong.
            let _ = by.join();
        }
        // A batch in hand is in the state and not in the journal.
        let durable = !self.is_due() && self.head == self.journal.head();
        if durable && self.state.seq() > self.saved.seq {
            self.saved.seq = self.state.seq();
            save(&self.journal.snapshots(), &self.state);
        }
    }
}

fn folded(mut state: State, reader: &JournalReader) -> Result<State, LedgerError> {
    let last = reader.head().seq;
    while state.seq() < last {
        for record in reader.read(state.seq() + 1, STEP)? {
            state.fold(&record.entry, record.hash)?;
        }
    }
    Ok(state)
}

fn save(snapshots: &Snapshots, state: &State) {
    match snapshots.save(state) {
        Ok(()) => tracing::debug!(seq = state.seq(), "snapshot written"),
        Err(error) => not_saved(&error),
    }
}

fn not_saved(error: &dyn std::error::Error) {
    tracing::warn!(%error, "no snapshot was written: the next start folds more of the journal");
}

fn ignored(error: &dyn std::error::Error) {
    tracing::warn!(%error, "the snapshot is ignored, and the whole journal folded");
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use syva_journal::Memory;
    use syva_model::kernel::Capacity;
    use syva_model::name::ZoneName;

    use super::*;
    use crate::park::Park;

    fn facts(boot: u8) -> Facts {
        Facts {
            node: Node {
                capacity: Capacity::default(),
                engine_paths: Vec::new(),
                own_cgroup: "/own".into(),
                init_cgroup: "/init".into(),
            },
            boot: BootId([boot; 16]),
            clock: || 0,
        }
    }

    fn ledger(disk: &Memory, boot: u8) -> Ledger<u8> {
        let (journal, _) = disk.open().expect("opens");
        let lent = Park::new(journal).lend().expect("parked");
        Ledger::open(lent, facts(boot)).expect("folds")
    }

    fn register(name: &str) -> Command {
        Command::RegisterZone {
            zone: ZoneName::new(name).expect("a name"),
            policy: None,
            claims: Vec::new(),
            host_sockets: Vec::new(),
        }
    }

    #[test]
    fn a_command_that_is_admitted_and_does_not_fold_drops_the_batch_and_is_due_for_it() {
        let disk = Memory::new();
        let mut first = ledger(&disk, 1);
        let boot = Command::Boot {
            claims: Vec::new(),
            host_sockets: Vec::new(),
        };
        first.admit(boot, Peer::default(), 0).expect("admitted");
        first.flush().expect("durable");
        drop(first);
        // Another boot without its entry: every command of it is refused by the fold.
        let mut ledger = ledger(&disk, 2);
        let told = ledger.admit(register("web"), Peer::default(), 1);
        assert!(matches!(told, Err((1, CommandError::NotJournaled(_)))));
        assert!(ledger.is_due(), "though nobody waits");
        let told = ledger.admit(register("db"), Peer::default(), 2);
        assert!(matches!(told, Err((2, CommandError::NotJournaled(_)))));
        let failed = ledger.flush().expect_err("dropped");
        assert_eq!(failed.answers, []);
        ledger.reload().expect("reads");
        assert!(!ledger.is_due());
        assert_eq!((ledger.state().seq(), ledger.state().zones.len()), (1, 0));
        let boot = Command::Boot {
            claims: Vec::new(),
            host_sockets: Vec::new(),
        };
        ledger.admit(boot, Peer::default(), 3).expect("admitted");
        ledger
            .admit(register("web"), Peer::default(), 4)
            .expect("admitted");
        assert_eq!(ledger.flush().expect("durable").answers.len(), 2);
    }

    #[test]
    fn a_batch_whose_flush_failed_is_in_if_the_store_ends_with_it() {
        for kept in [false, true] {
            let disk = Memory::new();
            let mut ledger = ledger(&disk, 1);
            let boot = Command::Boot {
                claims: Vec::new(),
                host_sockets: Vec::new(),
            };
            ledger.admit(boot, Peer::default(), 0).expect("admitted");
            ledger.flush().expect("durable");
            match kept {
                true => disk.fail_next_anchor_but_keep(),
                false => disk.fail_next_flush(),
            }
            ledger
                .admit(register("web"), Peer::default(), 1)
                .expect("admitted");
            let failed = ledger.flush().expect_err("not durable");
            ledger.reload().expect("reads");
            assert_eq!(ledger.head() == failed.head, kept);
            assert_eq!(ledger.state().zones.len(), usize::from(kept));
            assert_eq!(ledger.image().zones.len(), usize::from(kept));
        }
    }

    /// A closed ledger's disk: a boot entry and two zones, and a snapshot of them.
    fn closed() -> (Memory, State) {
        let disk = Memory::new();
        let mut ledger = ledger(&disk, 1);
        let boot = Command::Boot {
            claims: Vec::new(),
            host_sockets: Vec::new(),
        };
        for (ticket, command) in [boot, register("web"), register("db")]
            .into_iter()
            .enumerate()
        {
            let ticket = u8::try_from(ticket).expect("small");
            ledger
                .admit(command, Peer::default(), ticket)
                .expect("admitted");
        }
        ledger.flush().expect("durable");
        ledger.close();
        (disk, ledger.state().clone())
    }

    fn trusted(disk: &Memory) -> Result<Option<State>, snapshot::Fault> {
        let (journal, _) = disk.open().expect("opens");
        snapshot::trusted(&journal.snapshots(), &journal.reader())
    }

    #[test]
    fn a_start_folds_on_from_the_snapshot_and_comes_to_the_same_state() {
        let (disk, state) = closed();
        assert_eq!(trusted(&disk).expect("is whole"), Some(state.clone()));
        let mut second = ledger(&disk, 1);
        assert_eq!(second.state(), &state);
        second
            .admit(register("cache"), Peer::default(), 1)
            .expect("admitted");
        second.flush().expect("durable");
        let state = second.state().clone();
        // It dies: the snapshot is behind.
        drop(second);
        assert_eq!(
            trusted(&disk).expect("is whole").map(|state| state.seq()),
            Some(3)
        );
        let third = ledger(&disk, 1);
        assert_eq!(third.state(), &state);
        assert_eq!(third.image(), &project::project(&state));
    }

    #[test]
    fn a_snapshot_that_lies_or_is_of_another_journal_is_ignored() {
        let (disk, state) = closed();
        let lie = |change: fn(&mut State)| {
            let mut liar = state.clone();
            change(&mut liar);
            liar
        };
        let liars = [
            lie(|state| state.seq = 2),
            lie(|state| state.seq = 9),
            lie(|state| state.head = syva_model::entry::Hash::of(b"another")),
        ];
        for liar in liars {
            disk.snapshots().save(&liar).expect("saves");
            assert!(trusted(&disk).is_err(), "{} {}", liar.seq, liar.head);
            assert_eq!(ledger(&disk, 1).state(), &state);
        }
    }

    #[test]
    fn a_batch_in_hand_is_in_no_snapshot() {
        let (disk, state) = closed();
        let mut second = ledger(&disk, 1);
        second
            .admit(register("cache"), Peer::default(), 1)
            .expect("admitted");
        second.close();
        assert_eq!(trusted(&disk).expect("is whole"), Some(state));
    }

    #[test]
    fn a_snapshot_is_written_beside_the_commands_when_enough_came() {
        let (disk, _) = closed();
        let mut ledger = ledger(&disk, 1);
        for n in 0..SNAPSHOT_EVERY {
            let name = if n % 2 == 0 { "a" } else { "b" };
            let allow = [
                Command::RemoveZone {
                    zone: ZoneName::new(name).expect("a name"),
                    drain: false,
                },
                register(name),
            ];
            for command in allow {
                // The first removal is of nothing.
                let _ = ledger.admit(command, Peer::default(), 1);
            }
        }
        ledger.flush().expect("durable");
        let by = ledger.saved.by.take().expect("was begun");
        by.join().expect("ends");
        let seq = trusted(&disk).expect("is whole").map(|state| state.seq());
        assert_eq!(seq, Some(ledger.state().seq()));
    }
}
