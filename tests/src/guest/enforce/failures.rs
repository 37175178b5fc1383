//! Failures in the kernel, brought about on purpose: each is counted, by its site and, where one was deciding,
//! by the hook; and it is allowed or refused as it should be.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use libbpf_rs::{MapCore as _, MapFlags};
use syva_model::hook::Hook;
use syva_model::image::{CgroupId, MapWrite, MemberRow, Origin, Scope};
use syva_model::kernel::Counters;

use super::world::{ONE, TWO, World};
use crate::guest::actor::{Outcome, act, begin};
use crate::guest::maps::{self, loaded};
use crate::guest::{Checks, Failure};

const SECRET: &str = "/tmp/one/secret";

pub fn run(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    fs::create_dir_all("/tmp/one")?;
    fs::write(SECRET, "")?;
    world.claim(Path::new("/tmp/one"), ONE, Scope::Subtree)?;
    too_deep(checks, world)?;
    spoiled_claim(checks, world)?;
    spoiled_member(checks, world)?;
    no_room_for_a_member(checks, world)?;
    no_room_for_a_pair(checks, world)?;
    no_room_in_the_ring(checks, world)
}

/// What grew between two readings: sites that failed, and how often hooks decided without knowing.
#[derive(Debug, PartialEq, Eq)]
struct Grown {
    sites: Vec<(String, u64)>,
    hooks: Vec<(Hook, u64)>,
}

fn grown(before: &Counters, after: &Counters) -> Grown {
    let sites = after.error_sites.iter().zip(&before.error_sites);
    let hooks = Hook::ALL.iter().zip(after.hooks.iter().zip(&before.hooks));
    Grown {
        sites: sites
            .map(|((name, now), (_, then))| (name.clone(), now - then))
            .filter(|(_, by)| *by > 0)
            .collect(),
        hooks: hooks
            .map(|(hook, (now, then))| (*hook, now.error - then.error))
            .filter(|(_, by)| *by > 0)
            .collect(),
    }
}

/// Does it, and checks what became of it and what was counted.
fn fails(
    checks: &mut Checks,
    world: &mut World,
    claim: &str,
    attempt: impl FnOnce() -> Outcome,
    expected: (Outcome, &str, Option<Hook>),
) -> Result<(), Failure> {
    let (outcome, site, hook) = expected;
    let before = world.counters()?;
    checks.equal(claim, &attempt(), &outcome);
    let counted = grown(&before, &world.counters()?);
    // How often is the matter of whoever goes on after the failure.
    let once = |by: u64| (1..=4).contains(&by);
    let sites: Vec<_> = counted
        .sites
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    let hooks: Vec<_> = counted.hooks.iter().map(|(hook, _)| *hook).collect();
    let held = sites == [site]
        && hooks == Vec::from_iter(hook)
        && counted.sites.iter().all(|(_, by)| once(*by));
    checks.that(
        format!("{claim}: counted at {site}"),
        held,
        format!("{counted:?}, expected hook {hook:?}"),
    );
    Ok(())
}

fn refused() -> Outcome {
    Outcome::Refused(rustix::io::Errno::PERM.raw_os_error())
}

/// A walk that ends before the root of the file system, which a zone can bring about.
fn too_deep(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let one = world.one.clone();
    let mut deep = Path::new("/tmp/one").to_owned();
    while deep.components().count() < 129 {
        deep.push("d");
    }
    fs::create_dir_all(&deep)?;
    let claim = "zone one opens its own folder as deep as is walked";
    world.allowed(checks, claim, &one, "open", &[&deep])?;
    for _ in 0..4 {
        deep.push("d");
    }
    fs::create_dir_all(&deep)?;
    let claim = "zone one opens its own folder that is too deep";
    let attempt = || act(&one, "open", &[&deep]);
    let expected = (refused(), "walk_bound", Some(Hook::FileOpen));
    fails(checks, world, claim, attempt, expected)
}

/// The row of a claim is another one's when it is read.
fn spoiled_claim(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two) = (world.one.clone(), world.two.clone());
    let (claims, secret) = (loaded("claims")?, Path::new(SECRET));
    let key = claims.keys().next().ok_or("nothing is claimed")?;
    // The row begins with its key, whose second word is the inode's number.
    let row = maps::spoil(&claims, &key, 8)?;
    world.advance_epoch()?;
    for who in [&one, &two] {
        let claim = format!("{} opens what is below a spoiled claim", who.display());
        let attempt = || act(who, "open", &[secret]);
        let expected = (refused(), "claim_reused", Some(Hook::FileOpen));
        fails(checks, world, &claim, attempt, expected)?;
    }
    claims.update(&key, &row, MapFlags::EXIST)?;
    world.advance_epoch()?;
    world.allowed(checks, "the claim is well again", &one, "open", &[secret])
}

/// The row of a membership is another one's whenever it is read: nobody knows the caller's zone.
fn spoiled_member(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let two = world.two.clone();
    let (members, secret) = (loaded("members")?, Path::new(SECRET));
    let key = fs::metadata(&two)?.ino().to_ne_bytes();
    let row = maps::spoil(&members, &key, 0)?;
    // Another row is written, by which copies of this one are stale.
    let free = world.free.clone();
    let id = world.attach(&free, TWO)?;
    world.members.write(&MapWrite::DropMember(id))?;
    let before = world.counters()?;
    let outcome = act(&two, "open", &[secret]);
    checks.allowed("a task whose zone is not known is let through", &outcome);
    let counted = grown(&before, &world.counters()?);
    let site = counted.sites.iter().map(|(name, _)| name.as_str());
    let only: Vec<_> = site.collect();
    checks.equal("and each time is counted", &only, &vec!["member_reused"]);
    members.update(&key, &row, MapFlags::EXIST)?;
    world.attach(&free, TWO)?;
    world.members.write(&MapWrite::DropMember(id))?;
    let claim = "the membership is well again";
    world.refused(checks, claim, Hook::FileOpen, &two, "open", &[secret])?;
    Ok(())
}

/// A cgroup that is made in a zone has no room in the table.
fn no_room_for_a_member(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let members = loaded("members")?;
    let filled = maps::fill(&members);
    let nested = world.one.join("crowded-out");
    let before = world.counters()?;
    fs::create_dir(&nested)?;
    let counted = grown(&before, &world.counters()?).sites;
    let expected = vec![("mkdir_inherit".to_owned(), 1)];
    checks.equal("a cgroup without room is counted", &counted, &expected);
    fs::remove_dir(&nested)?;
    maps::empty(&members, &filled)?;
    fs::create_dir(&nested)?;
    let id = CgroupId(fs::metadata(&nested)?.ino());
    let held = world.memberships()?;
    let root = CgroupId(fs::metadata(&world.one)?.ino());
    let row = MemberRow {
        zone: ONE,
        root,
        origin: Origin::Kernel,
    };
    let there = held.contains(&(id, row));
    checks.that("with room it is in the zone", there, format!("{held:?}"));
    Ok(fs::remove_dir(&nested)?)
}

/// A denial whose pair of zones has no room is counted in sum.
fn no_room_for_a_pair(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two) = (world.one.clone(), world.two.clone());
    let denials = loaded("denials")?;
    let filled = maps::fill(&denials);
    let victim = begin(&one, "wait", &[])?;
    let pid = victim.pid().to_string();
    let before = world.counters()?;
    // Of a hook that has refused nothing yet.
    let outcome = act(&two, "set-limit", &[pid.as_ref()]);
    let after = world.counters()?;
    checks.denied("zone two changes limits, and the table is full", &outcome);
    let overflow = after.denials_overflow - before.denials_overflow;
    checks.equal("it is counted in the overflow", &overflow, &1);
    let hook = Hook::TaskSetrlimit.index() as usize;
    let by_hook = after.hooks[hook].deny - before.hooks[hook].deny;
    checks.equal("and by its hook", &by_hook, &1);
    maps::empty(&denials, &filled)
}

/// Events that have no room are lost, and counted by the hook that had them; the denials are not.
fn no_room_in_the_ring(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    world.events()?;
    let before = world.counters()?;
    let outcome = act(&world.two, "storm", &[Path::new(SECRET)]);
    checks.allowed("a storm of denials goes over", &outcome);
    let after = world.counters()?;
    let told = world.events()?.len() as u64;
    for (hook, (now, then)) in Hook::ALL.iter().zip(after.hooks.iter().zip(&before.hooks)) {
        let (denied, lost) = (now.deny - then.deny, now.lost - then.lost);
        let name = hook.name();
        if *hook == Hook::FileOpen {
            let some = lost > 0 && told > 0;
            let why = format!("{lost} lost, {told} told, {denied} denied");
            checks.that(format!("{name}: events are lost"), some, &why);
            let claim = format!("{name}: each denial is told or counted as lost");
            checks.that(claim, lost + told == denied, why);
        } else {
            checks.equal(format!("{name} lost nothing"), &(denied, lost), &(0, 0));
        }
    }
    Ok(())
}
