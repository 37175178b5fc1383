//! How the daemon and its parts start, fail, die and end.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use syva_actors::atlas::Atlas;
use syva_actors::ledger::Facts;
use syva_actors::memory::MemoryKernel;
use syva_actors::park::Park;
use syva_actors::reconciler::{Notices as _, Work};
use syva_actors::writer::{Desk, Surroundings};
use syva_journal::JournalError;
use syva_journal::anchor::{Anchor as _, Reading};
use syva_model::admit::Node;
use syva_model::command::BootId;
use syva_model::entry::Peer;
use syva_model::kernel::Capacity;

use super::{CLOCK, Daemon, Run, Violation};
use crate::commands;
use crate::node::{Hands, Owned};
use crate::odds::Died;

impl Run {
    /// The process is gone; what was not durable is there, or torn, or not.
    pub(super) fn died(&mut self) {
        self.figures.deaths += 1;
        let odds = self.odds.clone();
        self.disk.lose_power(|record| match odds.below(3) {
            0 => None,
            1 => Some(record.clone()),
            _ => {
                let mut torn = record.clone();
                torn.payload.truncate(odds.below(record.payload.len()));
                Some(torn)
            }
        });
        if odds.percent(20)
            && let Ok(Reading { head, damaged: 0 }) = self.disk.clone().read()
        {
            self.disk.set_anchor(Reading { head, damaged: 1 });
        }
        self.note("the process died".into());
    }

    pub(super) fn facts(&self) -> Facts {
        Facts {
            node: Node {
                capacity: Capacity {
                    zones: 4,
                    members: 8,
                    claims: 6,
                    pairs: 6,
                    host_sockets: 6,
                },
                engine_paths: vec!["/var/lib/syva".into()],
                own_cgroup: "/own".into(),
                init_cgroup: "/init".into(),
            },
            boot: BootId([self.boot; 16]),
            clock: || {
                CLOCK.set(CLOCK.get() + 1);
                CLOCK.get()
            },
        }
    }

    /// Starts what is down.
    pub(super) fn up(&mut self) -> Result<(), Violation> {
        if self.daemon.is_none() && !self.start()? {
            return Ok(());
        }
        if self
            .daemon
            .as_ref()
            .is_some_and(|daemon| daemon.desk.is_none())
        {
            self.start_writer()?;
        }
        Ok(())
    }

    pub(super) fn start(&mut self) -> Result<bool, Violation> {
        self.note("starts".into());
        let disk = self.disk.clone();
        let opened = catch_unwind(AssertUnwindSafe(|| disk.open()));
        let journal = match opened {
            Ok(Ok((journal, _))) => journal,
            Ok(Err(error)) => {
                // The disk may refuse; the journal must never be refused for what it holds.
                let said = error.to_string();
                let refused = matches!(error, JournalError::StoreUnreadable { .. });
                return self
                    .must(&format!("the journal opens: {said}"), refused)
                    .map(|()| false);
            }
            Err(cause) if cause.is::<Died>() => {
                self.died();
                return Ok(false);
            }
            Err(cause) => resume_unwind(cause),
        };
        self.board.told().reasons.clear();
        self.standing = Arc::default();
        let Ok(maps) = self.owned() else {
            return Ok(false);
        };
        let work = self.work();
        self.daemon = Some(Daemon {
            reader: journal.reader(),
            journal: Park::new(journal),
            desk: None,
            hands: Hands {
                work,
                maps,
                violation: None,
            },
        });
        Ok(true)
    }

    pub(super) fn owned(&self) -> Result<Owned, ()> {
        let opened = catch_unwind(AssertUnwindSafe(|| {
            Owned::open(&self.kernel, &self.tree, &self.odds)
        }));
        match opened {
            Ok(Ok(maps)) => Ok(maps),
            Ok(Err(_)) => Err(()),
            Err(cause) if cause.is::<Died>() => Err(()),
            Err(cause) => resume_unwind(cause),
        }
    }

    pub(super) fn work(&self) -> Work {
        let board = Box::new(self.board.clone());
        Work::new(board, Arc::clone(&self.standing), Arc::default())
    }

    pub(super) fn start_writer(&mut self) -> Result<(), Violation> {
        let (facts, odds, files) = (self.facts(), self.odds.clone(), self.files.clone());
        let health = self.board.clone();
        let around = Surroundings {
            health: Box::new(move |message| health.health(message)),
            atlas: Atlas::default(),
            standing: Arc::clone(&self.standing),
        };
        let started = self.act("the writer starts", |daemon, _| {
            let journal = daemon.journal.lend().expect("is parked");
            let Ok(mut desk) = Desk::open(journal, facts, around) else {
                return false;
            };
            let new = desk.is_of_another_boot();
            let own = new.then(|| (commands::boot(&odds, &files, desk.state()), 0));
            if desk
                .begin(own, &Peer::default(), &mut daemon.hands)
                .is_err()
            {
                return false;
            }
            daemon.desk = Some(desk);
            true
        })?;
        let mut told = self.board.told();
        match started {
            Some(true) => drop(told.reasons.remove("actor_down")),
            _ => drop(
                told.reasons
                    .insert("actor_down".into(), "the writer".into()),
            ),
        }
        Ok(())
    }

    pub(super) fn restart_writer(&mut self) -> Result<(), Violation> {
        if let Some(daemon) = &mut self.daemon {
            // What is in hand goes with it.
            daemon.desk = None;
            self.note("the writer fails".into());
            self.start_writer()?;
        }
        Ok(())
    }

    pub(super) fn restart_reconciler(&mut self) {
        let (work, maps) = (self.work(), self.owned());
        if let (Some(daemon), Ok(maps)) = (&mut self.daemon, maps) {
            daemon.hands.work = work;
            daemon.hands.maps = maps;
            let mut told = self.board.told();
            told.wanted = true;
            told.reasons
                .insert("reconciler_down".into(), "it knows nothing".into());
            drop(told);
            self.note("the reconciler fails".into());
        }
    }

    /// Ends the daemon in order; its snapshot may be used by the next. Its maps stay, or go if they
    /// were not pinned.
    pub(super) fn stop(&mut self) -> Result<(), Violation> {
        self.flush()?;
        let closed = self.act("stops", |daemon, _| {
            if let Some(desk) = &mut daemon.desk {
                desk.close();
            }
        })?;
        if closed.is_some() {
            self.daemon = None;
        }
        if self.odds.percent(20) {
            self.kernel = MemoryKernel::new();
            self.note("the maps are gone".into());
            self.tampered = 0;
        }
        Ok(())
    }

    pub(super) fn new_boot(&mut self) -> Result<(), Violation> {
        match self.odds.percent(50) {
            true => self.stop()?,
            false if self.daemon.take().is_some() => self.died(),
            false => {}
        }
        self.boot = self.boot.wrapping_add(1);
        self.kernel = MemoryKernel::new();
        self.tampered = 0;
        for (path, _) in self.cgroups() {
            self.tree.make(&path);
        }
        self.figures.boots += 1;
        self.note(format!("boot {}", self.boot));
        Ok(())
    }
}
