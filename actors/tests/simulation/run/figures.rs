//! What happened in a run.

use super::kinds::Kinds;

/// What happened in a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub acknowledged: u64,
    pub not_enforced: u64,
    pub not_journaled: u64,
    pub refused: u64,
    pub deaths: u64,
    pub boots: u64,
    pub drift: u64,
    pub prefixes: u64,
    pub kinds: Kinds,
}

impl Figures {
    pub fn add(&mut self, other: &Figures) {
        self.acknowledged += other.acknowledged;
        self.not_enforced += other.not_enforced;
        self.not_journaled += other.not_journaled;
        self.refused += other.refused;
        self.deaths += other.deaths;
        self.boots += other.boots;
        self.drift += other.drift;
        self.prefixes += other.prefixes;
        self.kinds.add(&other.kinds);
    }

    /// Each with what it is called.
    pub fn each(&self) -> [(&'static str, u64); 8] {
        [
            ("a command acknowledged", self.acknowledged),
            ("a command not enforced", self.not_enforced),
            ("a command not journaled", self.not_journaled),
            ("a command refused", self.refused),
            ("a death", self.deaths),
            ("a new boot", self.boots),
            ("a repair", self.drift),
            ("a step of a plan", self.prefixes),
        ]
    }
}
