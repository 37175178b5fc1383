//! The lookout: looks at the claims' paths again while the daemon runs (D3).
//!
//! A pass opens each path, without any effect on what is there, and asks statx(2) whether it is what was
//! there at the last pass. Only what is not is identified, which is dearer and is done one at a time.

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Statx, StatxFlags, fstatfs, statx};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use syva_model::admit::host_paths;
use syva_model::command::{Above, Command, Reresolved, Unresolved};
use syva_model::file_system;
use syva_model::image::ObjectKey;
use syva_model::kernel::Prober;
use syva_model::state::{Claim, State, ancestors};

use crate::vantage::Vantage;

/// A claim's path, and what the state says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    path: String,
    /// Nothing: the claim is lost.
    held: Option<Held>,
    /// What was there before, which is the zone's already.
    former: Vec<(ObjectKey, u64)>,
    /// What was there in another boot, by inode number and generation: devices have other numbers now.
    known: Vec<(u64, u64)>,
}

/// What a claim holds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    found: (ObjectKey, u64),
    above: Vec<Above>,
}

impl Held {
    fn of(key: ObjectKey, claim: &Claim) -> Held {
        Held {
            found: (key, claim.generation),
            above: claim.above.clone(),
        }
    }
}

/// The paths of all claims, lost ones too.
pub fn watched(state: &State) -> Vec<Watched> {
    let watch = |held, claim: &Claim| Watched {
        path: claim.path.clone(),
        held,
        former: claim
            .former
            .iter()
            .map(|former| (former.object, former.generation))
            .collect(),
        known: Vec::new(),
    };
    let held = state.claims.iter();
    let held = held.map(|(key, claim)| watch(Some(Held::of(*key, claim)), claim));
    held.chain(state.lost.values().map(|claim| watch(None, claim)))
        .collect()
}

/// Looks up every claimed path after a new boot: what it leads to, if a claim may go on to that.
pub fn again(
    prober: &dyn Prober,
    vantage: &Vantage,
    engines_own: &[String],
    state: &State,
) -> Vec<Reresolved> {
    let mut watched = watched(state);
    for watched in &mut watched {
        let held = watched.held.take().map(|held| held.found);
        let before = held.into_iter().chain(watched.former.drain(..));
        watched.known = before
            .map(|(key, generation)| (key.ino, generation))
            .collect();
    }
    watched.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    let sightings = Lookout::default().look(prober, vantage, engines_own, &watched);
    let found = sightings.into_iter().filter_map(|s| s.seen.ok());
    let mut found: HashMap<String, Reresolved> =
        found.map(|again| (again.path.clone(), again)).collect();
    let again = watched.into_iter().map(|Watched { path, .. }| {
        let lost = Reresolved {
            path: path.clone(),
            found: None,
            above: Vec::new(),
        };
        found.remove(&path).unwrap_or(lost)
    });
    again.collect()
}

/// A claim that is not as the state said when the pass began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    held: Option<Held>,
    seen: Result<Reresolved, Unresolved>,
}

impl Sighting {
    fn path(&self) -> &str {
        match &self.seen {
            Ok(found) => &found.path,
            Err(lost) => &lost.path,
        }
    }
}

/// What is to become an entry of what a pass saw: claims that are still as they were when it began, and
/// would not be afterwards.
pub fn command(state: &State, sightings: Vec<Sighting>) -> Option<Command> {
    let still = |sighting: &Sighting| {
        let at = state.claim_at(sighting.path());
        let lost = state.lost.contains_key(sighting.path());
        let held = at.map(|(key, claim)| Held::of(*key, claim));
        (at.is_some() || lost) && held == sighting.held
    };
    let sightings: Vec<Sighting> = sightings.into_iter().filter(still).collect();
    let looked_at: HashSet<&str> = sightings.iter().map(Sighting::path).collect();
    let moves = |found: &&Reresolved| state.moves(found, |path| looked_at.contains(path));
    let found = sightings.iter().filter_map(|s| s.seen.as_ref().ok());
    let found: Vec<Reresolved> = found.filter(moves).cloned().collect();
    let lost = sightings.iter().filter_map(|s| s.seen.as_ref().err());
    let lost: Vec<Unresolved> = lost.cloned().collect();
    (!found.is_empty() || !lost.is_empty()).then_some(Command::Reresolve { found, lost })
}

/// What tells one object at a path from the next: two have not the same number and time of birth. Where
/// none is recorded (tmpfs before 5.18), the last change of attributes stands for it, and what changes often is
/// identified often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Looks {
    device: (u32, u32),
    inode: u64,
    born: (i64, u32),
}

impl Looks {
    fn of(stat: &Statx) -> Looks {
        let has_birth = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::BTIME);
        let born = if has_birth {
            stat.stx_btime
        } else {
            stat.stx_ctime
        };
        Looks {
            device: (stat.stx_dev_major, stat.stx_dev_minor),
            inode: stat.stx_ino,
            born: (born.tv_sec, born.tv_nsec),
        }
    }
}

/// What is younger than this may be replaced by something that looks the same: some file systems give an inode
/// number again at once, and keep times by the second (ext4 with inodes of 128 bytes).
const YOUNG: i64 = 2;

/// What was at a path when it was last looked at.
#[derive(Clone, Copy, Debug)]
struct Seen {
    looks: Looks,
    /// Whether it was too young to be told by its looks the next time.
    young: bool,
    object: ObjectKey,
    generation: u64,
    /// The magic number of the file system it lies on.
    magic: u64,
    /// How many names it has, if it is no directory.
    names: u32,
    pass: u64,
}

/// Why a path could not be seen.
enum Unseen {
    /// It leads to nothing that can be claimed.
    Nothing(String),
    /// Nobody can tell just now.
    Unknown(String),
}

/// What was at each path at the last pass.
#[derive(Debug, Default)]
pub struct Lookout {
    seen: HashMap<String, Seen>,
    /// The claims' paths of which nobody could tell, and why.
    unseen: Vec<String>,
    pass: u64,
}

impl Lookout {
    /// The claims' paths that could not be looked at in the last pass, each with the reason.
    pub fn unseen(&self) -> &[String] {
        &self.unseen
    }

    /// Looks at every path, and says which claims are not as the state says. `engines_own`: what no claim
    /// may lead to either. It blocks.
    pub fn look(
        &mut self,
        prober: &dyn Prober,
        vantage: &Vantage,
        engines_own: &[String],
        watched: &[Watched],
    ) -> Vec<Sighting> {
        let now = clock_gettime(ClockId::Realtime).tv_sec;
        self.look_at(now, prober, vantage, engines_own, watched)
    }

    /// The same, at that second by the wall clock.
    fn look_at(
        &mut self,
        now: i64,
        prober: &dyn Prober,
        vantage: &Vantage,
        engines_own: &[String],
        watched: &[Watched],
    ) -> Vec<Sighting> {
        self.pass += 1;
        self.unseen.clear();
        let mut pass = Pass {
            now,
            lookout: self,
            prober,
            vantage,
            engines_own,
        };
        let sightings = watched
            .iter()
            .filter_map(|watched| pass.sighting(watched))
            .collect();
        let pass = self.pass;
        self.seen.retain(|_, seen| seen.pass == pass);
        sightings
    }
}

struct Pass<'a> {
    /// When it began, in seconds.
    now: i64,
    lookout: &'a mut Lookout,
    prober: &'a dyn Prober,
    vantage: &'a Vantage,
    engines_own: &'a [String],
}

impl Pass<'_> {
    fn sighting(&mut self, watched: &Watched) -> Option<Sighting> {
        let path = watched.path.as_str();
        let lost = |because: String| {
            let path = path.to_owned();
            // A claim that is lost already stays so.
            watched.held.as_ref().map(|held| Sighting {
                held: Some(held.clone()),
                seen: Err(Unresolved { path, because }),
            })
        };
        let seen = match self.claimable(path) {
            Ok(seen) => seen,
            Err(Unseen::Nothing(because)) => return lost(because),
            Err(Unseen::Unknown(said)) => {
                self.lookout.unseen.push(format!("{path}: {said}"));
                return None;
            }
        };
        let found = (seen.object, seen.generation);
        let before = watched.held.as_ref().map(|held| held.above.clone());
        let above = self.above(path).or(before).unwrap_or_default();
        let now = Held { found, above };
        if watched.held.as_ref() == Some(&now) {
            return None;
        }
        let its = watched.held.as_ref().is_some_and(|h| h.found == found)
            || watched.former.contains(&found);
        let known = watched.known.contains(&(found.0.ino, found.1));
        if let Some(because) = (!its).then(|| self.unfit(&seen, known)).flatten() {
            return lost(because);
        }
        Some(Sighting {
            held: watched.held.clone(),
            seen: Ok(Reresolved {
                path: path.to_owned(),
                found: Some(found),
                above: now.above,
            }),
        })
    }

    /// What is at a path now, on a file system that claims can be made on.
    fn claimable(&mut self, path: &str) -> Result<Seen, Unseen> {
        let seen = self.at(path)?;
        match file_system::is_claimable(seen.magic) {
            true => Ok(seen),
            false => Err(Unseen::Nothing(format!(
                "it lies on {}, where nothing can be claimed",
                file_system::name(seen.magic)
            ))),
        }
    }

    /// What is at a path now.
    fn at(&mut self, path: &str) -> Result<Seen, Unseen> {
        let pass = self.lookout.pass;
        let before = self.lookout.seen.get(path).copied();
        if let Some(seen) = before.filter(|seen| seen.pass == pass) {
            return Ok(seen);
        }
        let fd = self.vantage.open_exactly(Path::new(path)).map_err(unseen)?;
        let seen = self.identity(&fd, before)?;
        self.lookout.seen.insert(path.to_owned(), seen);
        Ok(seen)
    }

    fn identity(&self, fd: &OwnedFd, before: Option<Seen>) -> Result<Seen, Unseen> {
        let unknown = |said: Errno| Unseen::Unknown(format!("asking what it is said: {said}"));
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
        let stat = statx(fd, c"", AtFlags::EMPTY_PATH, wanted).map_err(unknown)?;
        let looks = Looks::of(&stat);
        let is_directory = FileType::from_raw_mode(stat.stx_mode.into()) == FileType::Directory;
        let names = if is_directory { 1 } else { stat.stx_nlink };
        let pass = self.lookout.pass;
        let young = looks.born.0.saturating_add(YOUNG) >= self.now;
        if let Some(seen) = before.filter(|seen| seen.looks == looks && !seen.young) {
            return Ok(Seen {
                names,
                pass,
                ..seen
            });
        }
        let magic = fstatfs(fd).map_err(unknown)?.f_type.cast_unsigned();
        let facts = self.prober.probe(fd.as_fd());
        let facts = facts.map_err(|error| Unseen::Unknown(error.to_string()))?;
        Ok(Seen {
            looks,
            young,
            object: facts.key,
            generation: facts.generation,
            magic,
            names,
            pass,
        })
    }

    /// The directories that a path leads through; nothing if one of them cannot be looked at.
    fn above(&mut self, path: &str) -> Option<Vec<Above>> {
        ancestors(path)
            .filter(|above| *above != "/")
            .map(|above| {
                let seen = self.at(above).ok()?;
                Some(Above {
                    object: seen.object,
                    generation: seen.generation,
                })
            })
            .collect()
    }

    /// Why a claim does not go on to an object by itself, if it does not: it would take from others what they
    /// have by other names. Whoever registers the path says that it is meant.
    fn unfit(&mut self, seen: &Seen, known: bool) -> Option<String> {
        if seen.names > 1 && !known {
            // A zone can put one there, where it may replace what it has claimed: a link to a library.
            return Some(format!(
                "what is there has {} names, and would be the zone's by all of them: register the path \
                 again if that is meant",
                seen.names
            ));
        }
        let forbidden: Vec<String> = host_paths().chain(self.engines_own.to_vec()).collect();
        let is_same = |path: &String| {
            let there = self.at(path);
            there.is_ok_and(|there| there.object == seen.object)
        };
        let same = forbidden.into_iter().find(is_same)?;
        Some(format!(
            "it is {same} under another name, which cannot be claimed"
        ))
    }
}

/// What an error of looking a path up says of it.
fn unseen(error: io::Error) -> Unseen {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOENT | Errno::NOTDIR) => Unseen::Nothing("nothing is there".to_owned()),
        Some(Errno::LOOP) => Unseen::Nothing("a symbolic link is there, or on the way".to_owned()),
        _ => Unseen::Unknown(format!("opening it said: {error}")),
    }
}
