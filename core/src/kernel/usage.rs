//! What one zone takes of what all zones share.

use crate::image::ZoneId;

/// What all zones share, and each may take a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Share {
    /// Cgroups that are made inside zones.
    Cgroups,
    /// System V objects and keys that zones make.
    Ipc,
}

impl Share {
    /// Each of them.
    pub const ALL: [Share; 2] = [Share::Cgroups, Share::Ipc];

    /// As metrics and events spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Share::Cgroups => "cgroups",
            Share::Ipc => "ipc",
        }
    }

    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Share::Cgroups => "nested cgroups",
            Share::Ipc => "System V objects and keys",
        }
    }
}

/// What one zone has of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneUsage {
    /// The zone.
    pub zone: ZoneId,
    /// Of what.
    pub share: Share,
    /// How many it has.
    pub held: u64,
    /// How many it may have.
    pub quota: u64,
    /// How often it wanted more.
    pub refused: u64,
}

/// A count of what a zone has that was not the number of the rows, and is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recounted {
    /// The zone.
    pub zone: ZoneId,
    /// Of what.
    pub share: Share,
    /// What was counted; less than nothing if more was taken from it than was there.
    pub counted: i64,
    /// How many rows there are.
    pub rows: i64,
}
