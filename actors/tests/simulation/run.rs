//! One run: a seed's operations, failures, deaths and restarts, and what must hold after each.

mod check;
mod figures;
mod kinds;
mod life;
mod operator;
mod outside;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use syva_actors::CommandError;
use syva_actors::memory::MemoryKernel;
use syva_actors::park::Park;
use syva_actors::standing::Standing;
use syva_actors::writer::Desk;
use syva_journal::store::memory::Call;
use syva_journal::{Journal, JournalReader, Memory};
use syva_model::command::Command;
use syva_model::entry::{Hash, Peer};
use syva_model::image::CgroupId;
use syva_model::state::State;

use crate::commands::{self, Files, PATHS};
use crate::node::{Board, Hands};
use crate::odds::{Broken, Died, Odds};
use crate::tree::Tree;
pub use figures::Figures;

/// How many operations a run has.
const OPERATIONS: usize = 40;
/// What the timer does.
const COMPARE: &str = "compare";
/// How often a calm node is looked at until it must be well.
const PATIENCE: usize = 6;

thread_local! {
    /// The wall clock, which may go backwards.
    static CLOCK: Cell<u64> = const { Cell::new(0) };
}

/// What does not hold.
pub type Violation = String;

/// What the caller of a command was told, by the mark of its peer.
#[derive(Clone, Copy, Debug)]
enum Told {
    /// It is this entry.
    Entry(u64),
    /// It is no entry and never will be.
    None,
}

/// What the checks know: what was told, and what was seen of the journal.
#[derive(Default)]
struct Model {
    told: BTreeMap<u32, Told>,
    /// Hash and mark of every entry seen.
    seen: Vec<(Hash, u32)>,
    reference: State,
}

/// A daemon. Each part may be down.
struct Daemon {
    journal: Park<Journal>,
    reader: JournalReader,
    desk: Option<Desk<u32>>,
    hands: Hands,
}

/// The world and what is known of it.
pub struct Run {
    odds: Odds,
    disk: Memory,
    kernel: MemoryKernel,
    tree: Tree,
    files: Files,
    board: Board,
    standing: Arc<Standing>,
    boot: u8,
    marks: u32,
    /// How many comparisons must succeed before the maps can be expected to be right: somebody
    /// changed them, and a row of no cgroup is only sure at the second look.
    tampered: u8,
    model: Model,
    daemon: Option<Daemon>,
    pub figures: Figures,
    /// What was done, for whoever must understand a failure.
    pub trace: Vec<String>,
}

impl Run {
    pub fn new(seed: u64, broken: Option<Broken>) -> Run {
        let odds = Odds::new(seed, broken);
        let (disk, tree) = (Memory::new(), Tree::default());
        let judge = odds.clone();
        disk.judge(move |call: Call| judge.store(call));
        tree.make("/");
        CLOCK.set(1_764_000_000_000_000_000);
        Run {
            odds,
            disk,
            kernel: MemoryKernel::new(),
            tree,
            files: Files::default(),
            board: Board::default(),
            standing: Arc::default(),
            boot: 1,
            marks: 0,
            tampered: 0,
            model: Model::default(),
            daemon: None,
            figures: Figures::default(),
            trace: Vec::new(),
        }
    }

    /// Runs it to its end, where nothing goes wrong any more and the node must get well.
    pub fn all(&mut self) -> Result<(), Violation> {
        if self.odds.percent(75) {
            self.furnish()?;
        }
        for _ in 0..OPERATIONS {
            self.step()?;
        }
        self.odds.calm();
        self.disk.set_available(None);
        self.note("calm".into());
        for _ in 0..PATIENCE {
            self.up()?;
            // After a flush that failed only one that succeeds makes the journal well.
            self.ask(commands::flip(&self.model.reference));
            self.flush()?;
            self.deliver()?;
            self.compare()?;
            self.flush()?;
        }
        if !self.is_healthy() || self.tampered > 0 {
            let (reasons, tampered) = (&self.board.told().reasons, self.tampered);
            return Err(format!(
                "the node is not well in the end: {reasons:?}, {tampered}"
            ));
        }
        self.stop()?;
        self.up()?;
        self.replays_from_the_beginning()
    }

    /// Two zones with a task each and a claim, since most of what chance asks for needs some.
    fn furnish(&mut self) -> Result<(), Violation> {
        self.up()?;
        let commands = commands::furniture(&self.files, self.tree.make("/a"), self.tree.make("/b"));
        for command in commands {
            self.ask(command);
        }
        self.flush()?;
        self.check()
    }

    fn note(&mut self, what: String) {
        self.trace.push(what);
    }

    fn must(&self, what: &str, holds: bool) -> Result<(), Violation> {
        if holds { Ok(()) } else { Err(what.into()) }
    }

    fn cgroups(&self) -> Vec<(String, CgroupId)> {
        let all = self.tree.paths().into_iter();
        all.filter(|(path, _)| path != "/").collect()
    }

    fn step(&mut self) -> Result<(), Violation> {
        match self.odds.below(26) {
            0 => {
                let odds = [(0, 0), (0, 0), (30, 0), (200, 0), (0, 150), (30, 100)];
                let (kernel, store) = self.odds.pick(&odds);
                self.odds.set_failures(kernel, store);
                self.note(format!(
                    "failures of a thousand: kernel {kernel}, store {store}"
                ));
            }
            1 => {
                let calls = u32::try_from(self.odds.below(25)).unwrap_or(0);
                self.odds.die_in(Some(calls));
                self.note(format!("dies in {calls} calls"));
            }
            2 => {
                let room = self.odds.pick(&[None, None, Some(1024)]);
                self.disk.set_available(room);
                self.note(format!("room on the disk: {room:?}"));
            }
            3 => self.drift(),
            4 => self.make_cgroup(),
            5 => self.remove_cgroup(),
            6 => self.files.0[self.odds.below(PATHS.len())] += 1,
            7 => CLOCK.set(CLOCK.get() - 5_000_000_000),
            8 => self.restart_reconciler(),
            9 => self.restart_writer()?,
            10 => self.stop()?,
            11 if self.odds.percent(50) => self.new_boot()?,
            12 | 13 => self.compare()?,
            14 => self.deliver()?,
            15 => self.prune()?,
            16 if self.odds.percent(30) => self.lose_the_end()?,
            _ => {
                for _ in 0..1 + self.odds.below(4) {
                    self.submit();
                }
                self.flush()?;
            }
        }
        if self.odds.percent(80) {
            self.up()?;
        }
        self.check()
    }

    /// Does something with the daemon that ends at most with its death. Whatever it writes reaches no
    /// further, at any moment, than what was and what is to be (I3).
    fn act<T>(
        &mut self,
        what: &str,
        act: impl FnOnce(&mut Daemon, &Board) -> T,
    ) -> Result<Option<T>, Violation> {
        let Some(mut daemon) = self.daemon.take() else {
            return Ok(None);
        };
        self.note(what.into());
        // A plan that broke off is followed by a comparison, and so is a start.
        let looks = daemon.hands.work.is_dirty() || what == COMPARE;
        let before = self.kernel.image();
        self.kernel.record();
        let board = self.board.clone();
        let acted = catch_unwind(AssertUnwindSafe(|| act(&mut daemon, &board)));
        let desired = daemon
            .hands
            .work
            .desired()
            .map(|desired| desired.image.clone());
        self.prefixes_are_safe(before, desired, looks)?;
        match acted {
            Ok(done) => {
                self.daemon = Some(daemon);
                Ok(Some(done))
            }
            Err(cause) => {
                if !cause.is::<Died>() {
                    resume_unwind(cause);
                }
                drop(daemon);
                self.died();
                Ok(None)
            }
        }
    }

    fn submit(&mut self) {
        let state = &self.model.reference;
        self.ask(commands::any(
            &self.odds,
            &self.files,
            state,
            &self.cgroups(),
        ));
    }

    fn ask(&mut self, command: Command) {
        let Some(daemon) = &mut self.daemon else {
            return;
        };
        let Some(desk) = &mut daemon.desk else { return };
        self.marks += 1;
        let mark = self.marks;
        let peer = Peer {
            pid: mark,
            ..Peer::default()
        };
        self.trace.push(format!("{mark}: {command:?}"));
        if let Err((ticket, error)) = desk.take(command, peer, mark) {
            self.model.told.insert(ticket, Told::None);
            match error {
                CommandError::Refused(_) => self.figures.refused += 1,
                _ => self.figures.not_journaled += 1,
            }
            self.trace.push(format!("{mark}: refused: {error}"));
        }
    }

    /// Flushes what is in hand, and holds every answer against what is so.
    fn flush(&mut self) -> Result<(), Violation> {
        let flushed = self.act("flush", |daemon, _| {
            let Some(desk) = &mut daemon.desk else {
                return Vec::new();
            };
            if !desk.is_due() {
                return Vec::new();
            }
            match desk.flush(&mut daemon.hands) {
                Ok(answers) => answers,
                Err(_) => {
                    // The tickets are gone, and the writer is restarted.
                    daemon.desk = None;
                    Vec::new()
                }
            }
        })?;
        for (mark, outcome) in flushed.unwrap_or_default() {
            if mark != 0 {
                self.answered(mark, outcome)?;
            }
        }
        Ok(())
    }

    /// The timer: everything is compared, if the reconciler knows what is desired.
    fn compare(&mut self) -> Result<(), Violation> {
        let compared = self.act(COMPARE, |daemon, _| {
            let hands = &mut daemon.hands;
            let known = hands.work.desired().is_some();
            known.then(|| hands.work.compare(&mut hands.maps))
        })?;
        if let Some(Some(Ok(report))) = compared {
            self.tampered = self.tampered.saturating_sub(1);
            self.figures.drift += report.repaired() as u64;
            if !report.gone.is_empty() {
                // Until the writer has taken it out, its row is put back.
                self.tampered = self.tampered.max(1);
            }
        }
        Ok(())
    }

    /// Delivers what was cast to the writer.
    fn deliver(&mut self) -> Result<(), Violation> {
        let (gone, wanted) = {
            let mut told = self.board.told();
            (
                std::mem::take(&mut told.gone),
                std::mem::take(&mut told.wanted),
            )
        };
        let handed = self.act("what was cast is delivered", |daemon, board| {
            let Some(desk) = &mut daemon.desk else {
                board.told().wanted = wanted;
                return;
            };
            for command in desk.leaving(gone) {
                let _ = desk.take(command, Peer::default(), 0);
            }
            let due = desk.is_due();
            if due && desk.flush(&mut daemon.hands).is_err() {
                daemon.desk = None;
                board.told().wanted = wanted;
                return;
            }
            let Some(desk) = &mut daemon.desk else { return };
            if wanted {
                desk.hand_over(&mut daemon.hands);
                board.told().reasons.remove("reconciler_down");
            }
            desk.glance();
        })?;
        if handed.is_none() {
            self.board.told().reasons.remove("reconciler_down");
        }
        Ok(())
    }
}
