//! Processes that zones have pulled into cgroups of their own. The kernel kills whoever does it, makes the cgroup
//! nobody's and notes the process; here they are moved back, and the cgroup stays nobody's until they are.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};
use syva_model::image::{CgroupId, MapWrite, MemberRow, ZoneId};
use syva_model::kernel::{KernelError, Pulled};

use super::walk::{Members, error};
use crate::cgroups::{CgroupTree, Cgroups, Hierarchy as _};

/// What they fork while they are moved back is found by another round.
const ROUNDS: usize = 8;

/// How long the kernel may take to move what it has noted, at most: it does no more than that meanwhile.
const MOVING_NS: i128 = 1_000_000_000;

/// Cgroups that foreign processes are in, and why one of them is not back.
pub type Foreign = BTreeMap<CgroupId, String>;

/// What became of a process.
enum Fate {
    /// It is where it was.
    Back(String),
    /// It is not there any more, or its number is another's.
    Gone,
}

/// Moves back all that were pulled, and says where some are left.
///
/// # Errors
/// The kernel side's, or what reading the hierarchy said.
pub fn bring_back(members: &mut dyn Members, tree: &CgroupTree) -> Result<Foreign, KernelError> {
    let mut left = Foreign::new();
    for _ in 0..ROUNDS {
        let pulled = members.pulled()?;
        left.clear();
        if pulled.is_empty() {
            break;
        }
        let found = tree.all().map_err(|said| {
            let below = format!("cgroups below {}", tree.root().display());
            error("list", &below, said.to_string())
        })?;
        let mut moved = false;
        for pulled in pulled {
            let Pulled { pid, into, .. } = pulled;
            match one(members, tree, &found, &pulled)? {
                Ok(fate) => {
                    if let Fate::Back(path) = fate {
                        tracing::warn!(
                            pid,
                            path,
                            "a process that a zone pulled in is back where it was"
                        );
                    }
                    members.forget_pulled(&pulled)?;
                    moved = true;
                }
                Err(said) => {
                    tracing::debug!(pid, %into, said, "a process that a zone pulled in is not back");
                    left.insert(into, format!("process {pid}: {said}"));
                }
            }
        }
        if !moved {
            break;
        }
    }
    if let Some((cgroup, why)) = left.first_key_value() {
        let cgroups = left.len();
        tracing::error!(cgroups, %cgroup, why, "processes that zones pulled in are not back");
    }
    Ok(left)
}

fn one(
    members: &mut dyn Members,
    tree: &CgroupTree,
    found: &Cgroups,
    pulled: &Pulled,
) -> Result<Result<Fate, String>, KernelError> {
    // A list may lack what is there; the kernel takes the row away with the cgroup.
    if !found.contains(pulled.into) && members.member(pulled.into)?.is_some() {
        return Ok(Err("the cgroup it was pulled into is not found".into()));
    }
    Ok(put_back(tree, found, pulled).map_err(|said| said.to_string()))
}

fn put_back(tree: &CgroupTree, found: &Cgroups, pulled: &Pulled) -> io::Result<Fate> {
    let Pulled {
        pid,
        home,
        into,
        since_ns,
    } = *pulled;
    if !was_there(pid, since_ns)? {
        return Ok(Fate::Gone);
    }
    // The kernel notes it before it moves it, so that it may still be at home. Written there all the same, it
    // waits for whoever moves it, and is home afterwards.
    if !tree.holds(found, into, pid)? && !tree.holds(found, home, pid)? {
        let under_way = elapsed_ns(ClockId::Monotonic) - i128::from(since_ns) < MOVING_NS;
        return match under_way {
            true => Err(io::Error::other("it is being moved")),
            // The host has it elsewhere.
            false => Ok(Fate::Gone),
        };
    }
    let path = found
        .path(home)
        .ok_or_else(|| io::Error::other("the cgroup it was in is gone"))?;
    tree.move_process(pid, found, home)?;
    Ok(Fate::Back(path))
}

/// Whether the process had started by then. Its number is another's otherwise, which may be one of the zone's
/// that is not to be let out of it.
fn was_there(pid: u32, since_ns: u64) -> io::Result<bool> {
    let stat = match fs::read(format!("/proc/{pid}/stat")) {
        Err(said) if said.kind() == io::ErrorKind::NotFound => return Ok(false),
        stat => stat?,
    };
    let started = started(&stat).ok_or(io::ErrorKind::InvalidData)?;
    // The one counts the time that the machine was asleep, and the other does not.
    let asleep = elapsed_ns(ClockId::Boottime) - elapsed_ns(ClockId::Monotonic);
    let started = i128::from(started) * 1_000_000_000 / i128::from(clock_ticks_per_second());
    Ok(started <= i128::from(since_ns) + asleep)
}

fn elapsed_ns(clock: ClockId) -> i128 {
    let now = clock_gettime(clock);
    i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
}

/// When a process started, in ticks since the boot: the 22nd field of its `stat`, whose second, the name, may hold
/// anything.
fn started(stat: &[u8]) -> Option<u64> {
    let name = stat.iter().rposition(|byte| *byte == b')')?;
    let text = std::str::from_utf8(stat.get(name + 1..)?).ok()?;
    text.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Rows that were written while a process was pulled in are taken back: it is to be moved first.
///
/// # Errors
/// The kernel side's.
pub fn park(members: &mut dyn Members) -> Result<(), KernelError> {
    for Pulled { into, .. } in members.pulled()? {
        if let Some(row) = members
            .member(into)?
            .filter(|row| row.zone != ZoneId::LIMBO)
        {
            members.write(MapWrite::PutMember(into, in_limbo(row)))?;
        }
    }
    Ok(())
}

/// The row of a cgroup that a foreign process is in.
pub fn in_limbo(row: MemberRow) -> MemberRow {
    MemberRow {
        zone: ZoneId::LIMBO,
        ..row
    }
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use super::*;

    fn now() -> u64 {
        let now = clock_gettime(ClockId::Monotonic);
        now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
    }

    #[test]
    fn a_number_that_was_given_anew_is_told_from_the_process_that_had_it() {
        let own = std::process::id();
        assert!(was_there(own, now()).expect("there"));
        assert!(!was_there(own, 0).expect("there"), "it started later");
        assert!(!was_there(u32::MAX, now()).expect("gone"));
        let before = now();
        // Starts are told by the hundredth of a second.
        std::thread::sleep(std::time::Duration::from_millis(50));
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .expect("starts");
        let (earlier, later) = (was_there(child.id(), before), was_there(child.id(), now()));
        child.kill().expect("ends");
        child.wait().expect("ended");
        assert!(!earlier.expect("there") && later.expect("there"));
    }

    #[test]
    fn a_name_does_not_pass_for_fields() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        let stat = format!("7 (a) 1 (b) {fields}");
        assert_eq!(started(stat.as_bytes()), Some(4711));
        assert_eq!(started(b"7 (a"), None);
        assert_eq!(started(b"7 (a) S 1"), None);
    }
}
