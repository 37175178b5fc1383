//! What an operator does to the journal while the daemon is stopped.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use syva_journal::JournalReader;
use syva_journal::anchor::Anchor as _;
use syva_journal::journal::prune::Before;
use syva_model::command::Command;
use syva_model::entry::Peer;

use super::{CLOCK, Run, Told, Violation};
use crate::odds::Died;

impl Run {
    /// Prunes the oldest entries.
    pub(super) fn prune(&mut self) -> Result<(), Violation> {
        self.stop()?;
        let Some(mut journal) =
            self.offline(|run| run.disk.open().map(|(journal, _)| journal).ok())
        else {
            return Ok(());
        };
        self.see(&journal.reader())?;
        // What the entries say of a zone that is gone is in the state that stands for them.
        let head = journal.head().seq;
        if head == 0 {
            return Ok(());
        }
        let before = Before::Seq(1 + self.odds.below(head as usize) as u64);
        self.note(format!("prunes {before:?}"));
        let peer = self.peer();
        let pruned = self.offline(|_| {
            let plan = journal.plan_pruning(before, &mut |_| ()).ok()?;
            journal.prune(plan, peer, CLOCK.get(), &mut |_| ()).ok()?;
            Some(journal)
        });
        match pruned {
            Some(journal) => self.see(&journal.reader()),
            None => Ok(()),
        }
    }

    /// The store loses entries that were acknowledged: the journal is refused until that is accepted.
    pub(super) fn lose_the_end(&mut self) -> Result<(), Violation> {
        self.stop()?;
        // It is the operator who mends the disk, and the loss is what is of interest.
        self.odds.calm();
        self.disk.set_available(None);
        let open = |run: &mut Run| run.disk.open().map_err(|error| error.to_string());
        let (journal, _) = open(self)?;
        self.see(&journal.reader())?;
        let (head, base) = (journal.head().seq, self.rests_on(&journal.reader()));
        drop(journal);
        if head <= base {
            return Ok(());
        }
        let kept = base + self.odds.below((head - base) as usize) as u64;
        self.note(format!("the store loses what comes after entry {kept}"));
        self.disk.shorten(kept);
        // It would stand for the history, and nothing be lost but that.
        self.disk.forget_snapshot();
        let anchored = self
            .disk
            .clone()
            .read()
            .map_err(|error| error.to_string())?;
        let acknowledged = anchored.head.map_or(0, |head| head.seq);
        let refused = open(self).is_err();
        self.must(
            "a journal that lost what was acknowledged is refused, and no other",
            refused == (acknowledged > kept),
        )?;
        let opened = self.disk.open_accepting_loss();
        let (mut journal, loss) = opened.map_err(|error| error.to_string())?;
        self.must("what is there is kept", loss.head.seq == kept)?;
        let peer = self.peer();
        journal
            .accept(loss, "the simulation", &peer, CLOCK.get(), &mut |_| ())
            .map_err(|error| error.to_string())?;
        self.forget(kept, &journal.reader())?;
        self.see(&journal.reader())
    }

    /// The entry that nothing may be lost of: the one that what was pruned rests on.
    fn rests_on(&self, reader: &JournalReader) -> u64 {
        let base = reader.base().seq;
        let records = reader.read(base + 1, usize::MAX / 2).unwrap_or_default();
        let prunes = records.iter().rev().find(
            |record| matches!(record.entry.command, Command::Prune { up_to, .. } if up_to == base),
        );
        prunes.map_or(base, |record| record.seq)
    }

    /// The model forgets what came after an entry, as everybody must.
    fn forget(&mut self, kept: u64, reader: &JournalReader) -> Result<(), Violation> {
        let model = &mut self.model;
        model.seen.truncate(usize::try_from(kept).unwrap_or(0));
        model
            .told
            .retain(|_, told| !matches!(told, Told::Entry(seq) if *seq > kept));
        let mut state = reader.beginning().map_err(|error| error.to_string())?;
        let left = usize::try_from(kept - state.seq()).unwrap_or(0);
        let records = reader.read(state.seq() + 1, left);
        for record in records.map_err(|error| error.to_string())? {
            let folded = state.fold(&record.entry, record.hash);
            folded.map_err(|error| error.to_string())?;
        }
        model.reference = state;
        Ok(())
    }

    /// Does something without a daemon, which ends at most with the death of whoever does it.
    fn offline<T>(&mut self, act: impl FnOnce(&mut Run) -> Option<T>) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(|| act(self))) {
            Ok(done) => done,
            Err(cause) if cause.is::<Died>() => {
                self.died();
                None
            }
            Err(cause) => resume_unwind(cause),
        }
    }

    fn peer(&mut self) -> Peer {
        self.marks += 1;
        Peer {
            pid: self.marks,
            ..Peer::default()
        }
    }
}
