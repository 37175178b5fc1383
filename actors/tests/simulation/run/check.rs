//! What must hold: after every step of a plan, every answer, and every operation.

use syva_actors::{CommandError, Done};
use syva_journal::JournalReader;
use syva_model::image::Image;
use syva_model::project::project;
use syva_model::state::State;

use super::{Daemon, Run, Told, Violation};
use crate::reach::Scene;

impl Run {
    /// I3. What others have made of the maps is no end that the engine knows of, unless it `looked`: a plan
    /// for an entry is made without looking.
    pub(super) fn prefixes_are_safe(
        &mut self,
        mut now: Image,
        desired: Option<Image>,
        looked: bool,
    ) -> Result<(), Violation> {
        let steps = self.kernel.recorded();
        if steps.is_empty() || (self.tampered > 0 && !looked) {
            return Ok(());
        }
        let cgroups = self.cgroups();
        let scene = Scene {
            cgroups: &cgroups,
            files: &self.files,
        };
        let before = scene.end(&now);
        let mut after = before.clone();
        if let Some(desired) = desired {
            after = scene.end(&scene.with_born(&desired));
        }
        for (done, step) in steps.iter().enumerate() {
            now.apply(step);
            self.figures.prefixes += 1;
            if let Some(question) = scene.reach(&now).beyond(&before, &after) {
                let done = done + 1;
                return Err(format!(
                    "question {question} is open after {done} of {steps:#?}"
                ));
            }
        }
        Ok(())
    }

    pub(super) fn answered(
        &mut self,
        mark: u32,
        outcome: Result<Done, CommandError>,
    ) -> Result<(), Violation> {
        self.note(format!("{mark}: told {outcome:?}"));
        self.see_journal()?;
        let is = |seq: u64| {
            let index = usize::try_from(seq).unwrap_or(0).checked_sub(1);
            index
                .and_then(|n| self.model.seen.get(n))
                .is_some_and(|(_, held)| *held == mark)
        };
        let told = match outcome {
            Ok(Done { seq: Some(seq), .. }) => {
                self.must("what is acknowledged is in the journal", is(seq))?;
                Told::Entry(seq)
            }
            Err(CommandError::NotEnforced { seq, .. }) if is(seq) => Told::Entry(seq),
            Ok(Done { seq: None, .. }) | Err(_) => Told::None,
        };
        match &outcome {
            Ok(_) => {
                self.figures.acknowledged += 1;
                let violation = self.daemon.as_mut().and_then(|d| d.hands.violation.take());
                if let Some(violation) = violation {
                    return Err(violation);
                }
                if self.tampered == 0 {
                    let agrees = self.agrees();
                    self.must("what is acknowledged is in force", agrees)?;
                }
            }
            Err(CommandError::NotEnforced { .. }) => self.figures.not_enforced += 1,
            Err(_) => self.figures.not_journaled += 1,
        }
        self.model.told.insert(mark, told);
        Ok(())
    }

    pub(super) fn is_healthy(&self) -> bool {
        let ready = self
            .daemon
            .as_ref()
            .is_some_and(|daemon| daemon.desk.is_some());
        ready && self.board.told().reasons.is_empty()
    }

    /// What must hold whatever happened.
    pub(super) fn check(&mut self) -> Result<(), Violation> {
        self.see_journal()?;
        for (mark, told) in &self.model.told {
            let held = |n: &u64| {
                let index = usize::try_from(*n).unwrap_or(0).checked_sub(1);
                index
                    .and_then(|n| self.model.seen.get(n))
                    .is_some_and(|(_, held)| held == mark)
            };
            if let Told::Entry(seq) = told {
                self.must(&format!("{mark} is entry {seq}"), held(seq))?;
            }
        }
        if let Some(Daemon {
            desk: Some(desk), ..
        }) = &self.daemon
            && !desk.is_due()
        {
            let digest = |state: &State| state.digest().map_err(|error| error.to_string());
            let (held, folded) = (desk.state(), &self.model.reference);
            // What is derived from a state and not in its digest shows in the rows.
            let same = digest(held)? == digest(folded)? && project(held) == project(folded);
            self.must("the state is what the journal adds up to", same)?;
        }
        if self.is_healthy() && self.tampered == 0 {
            let agrees = self.agrees();
            self.must("the maps of a healthy node are right", agrees)?;
        }
        Ok(())
    }

    /// Looks at what the journal has become: it only ever grows, and never by what was refused.
    pub(super) fn see_journal(&mut self) -> Result<(), Violation> {
        let reader = self.daemon.as_ref().map(|daemon| daemon.reader.clone());
        reader.map_or(Ok(()), |reader| self.see(&reader))
    }

    pub(super) fn see(&mut self, reader: &JournalReader) -> Result<(), Violation> {
        let from = self.model.seen.len() as u64;
        let head = reader.head().seq;
        self.must("nothing that was seen is lost", head >= from)?;
        let Ok(records) = reader.read(from.max(1), usize::MAX - 1) else {
            // It is closed until it can be reopened.
            return Ok(());
        };
        for record in records {
            if record.seq == from {
                let last = self.model.seen.last().map(|(hash, _)| *hash);
                self.must("what was seen stays as it is", last == Some(record.hash))?;
                continue;
            }
            let mark = record.entry.peer.pid;
            let told = self.model.told.get(&mark);
            self.must(
                "what was refused is no entry",
                !matches!(told, Some(Told::None)),
            )?;
            let folded = self.model.reference.fold(&record.entry, record.hash);
            folded.map_err(|error| error.to_string())?;
            self.model.seen.push((record.hash, mark));
            self.figures.kinds.saw(&record.entry.command);
        }
        Ok(())
    }

    /// Whether the maps hold what the journal says, kernel-born rows included, and say so.
    pub(super) fn agrees(&self) -> bool {
        let cgroups = self.cgroups();
        let scene = Scene {
            cgroups: &cgroups,
            files: &self.files,
        };
        let control = self.kernel.control_row();
        let seq = self.model.reference.seq();
        self.kernel.image() == scene.with_born(&project(&self.model.reference))
            && (control.applied, control.applying) == (seq, seq)
            && control.mode == self.model.reference.mode
    }

    /// I2: from the first entry on, or from what stands for those that were pruned, it is the same state, byte
    /// for byte, and the daemon's too, which may come from a snapshot.
    pub(super) fn replays_from_the_beginning(&mut self) -> Result<(), Violation> {
        self.see_journal()?;
        let Some(Daemon {
            desk: Some(desk),
            reader,
            ..
        }) = &self.daemon
        else {
            return Err("a calm node starts".into());
        };
        let mut state = reader.beginning().map_err(|error| error.to_string())?;
        for record in reader
            .read(state.seq() + 1, usize::MAX / 2)
            .map_err(|error| error.to_string())?
        {
            let folded = state.fold(&record.entry, record.hash);
            folded.map_err(|error| error.to_string())?;
        }
        let digest = |state: &State| state.digest().map_err(|error| error.to_string());
        let same = digest(&state)? == digest(desk.state())?;
        self.must("a replay gives the same digest", same)
    }
}
