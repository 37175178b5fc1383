//! Which kinds of commands became entries: every kind there is must.

use syva_model::command::Command;

/// How many kinds there are.
const KINDS: usize = 18;

/// How many entries of each kind there were, with what it is called.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kinds([(&'static str, u64); KINDS]);

impl Kinds {
    pub fn saw(&mut self, command: &Command) {
        let (name, count) = &mut self.0[number(command)];
        (*name, *count) = (command.kind(), *count + 1);
    }

    pub fn add(&mut self, other: &Kinds) {
        for ((name, count), (other, more)) in self.0.iter_mut().zip(other.0) {
            *count += more;
            if !other.is_empty() {
                *name = other;
            }
        }
    }

    pub fn each(&self) -> [(&'static str, u64); KINDS] {
        self.0
    }
}

/// No wildcard: a new kind does not compile until it has a number here, and does not pass until the
/// simulation makes it (`commands::any`, what the daemon does by itself, or `operator`).
const fn number(command: &Command) -> usize {
    match command {
        Command::RegisterZone { .. } => 0,
        Command::RemoveZone { .. } => 1,
        Command::AttachContainer(_) => 2,
        Command::DetachContainer { .. } => 3,
        Command::AllowComm { .. } => 4,
        Command::DenyComm { .. } => 5,
        Command::RegisterHostPath { .. } => 6,
        Command::RemoveHostPath { .. } => 7,
        Command::SetMode { .. } => 8,
        Command::SetZoneMode { .. } => 9,
        Command::Boot { .. } => 10,
        Command::CgroupGone { .. } => 11,
        Command::AllowHostSocket { .. } => 12,
        Command::DenyHostSocket { .. } => 13,
        Command::Prune { .. } => 14,
        Command::AcceptLoss { .. } => 15,
        Command::Reresolve { .. } => 16,
        Command::Link { .. } => 17,
    }
}
