//! Files that the host links out of claims: they stay the claim's by all their names, as long as they exist.

use std::fs::{self, File};
use std::path::Path;

use syva_model::hook::Hook;
use syva_model::image::Scope;
use syva_model::kernel::{Kernel as _, LINKED, Linked};

use super::world::{ONE, TWO, World};
use crate::guest::{Checks, Failure};

/// Of zone one, of zone two, of nobody; on a file system whose inodes have generations.
const ONES: &str = "/mnt/links/one";
const TWOS: &str = "/mnt/links/two";
const PUBLIC: &str = "/mnt/links/public";

/// Links, and asks who reaches what by which name.
pub fn run(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    fs::create_dir_all("/mnt/links")?;
    crate::guest::life::paths::sh("mount -t tmpfs tmpfs /mnt/links")?;
    for directory in [ONES, TWOS, PUBLIC] {
        fs::create_dir(directory)?;
    }
    let claim = world.claim(Path::new(ONES), ONE, Scope::Subtree)?;
    world.claim(Path::new(TWOS), TWO, Scope::Subtree)?;
    let store = world.kernel.links()?;
    checks.equal("a new map is not restored", &store.is_restored()?, &false);
    store.restore(&[])?;
    checks.equal("then it is", &store.is_restored()?, &true);
    checks.equal("and holds nothing", &held(world)?, &[].into());
    out_of_a_claim(checks, world)?;
    what_is_recorded(checks, world)?;
    into_a_claim(checks, world)?;
    into_anothers(checks, world)?;
    by_zones(checks, world)?;
    a_nearer_claim(checks, world)?;
    restored(checks, world)?;
    // The claim is gone, and with it what followed from it.
    let (kept, outside) = (in_one("kept"), public("kept"));
    fs::write(&kept, "")?;
    fs::hard_link(&kept, &outside)?;
    let two = world.two.clone();
    refused(checks, world, "a link out of a claim", &outside)?;
    world.unclaim(claim)?;
    world.allowed(
        checks,
        "zone two opens the link once the claim is gone",
        &two,
        "open",
        &[&outside],
    )?;
    fs::remove_file(outside)?;
    Ok(())
}

fn in_one(name: &str) -> std::path::PathBuf {
    Path::new(ONES).join(name)
}

fn public(name: &str) -> std::path::PathBuf {
    Path::new(PUBLIC).join(name)
}

/// Denied to zone two, open to zone one and to the host.
fn refused(
    checks: &mut Checks,
    world: &mut World,
    what: &str,
    path: &Path,
) -> Result<Option<syva_model::kernel::KernelEvent>, Failure> {
    let (one, two, free) = (world.one.clone(), world.two.clone(), world.free.clone());
    let hook = Hook::FileOpen;
    let claim = format!("zone two opens {what}");
    let event = world.refused(checks, &claim, hook, &two, "open", &[path])?;
    for (who, cgroup) in [("zone one", &one), ("the host", &free)] {
        let claim = format!("{who} opens {what}");
        world.allowed(checks, &claim, cgroup, "open", &[path])?;
    }
    Ok(event)
}

fn held(world: &World) -> Result<Vec<Linked>, Failure> {
    Ok(world.kernel.links()?.held()?)
}

fn out_of_a_claim(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (inside, outside, further) = (in_one("file"), public("file"), public("further"));
    let two = world.two.clone();
    fs::write(&inside, "secret")?;
    // Cached under its first name.
    refused(checks, world, "a file in the claim", &inside)?;
    fs::hard_link(&inside, &outside)?;
    let (claim, _) = world.key(Path::new(ONES))?;
    let event = refused(checks, world, "its other name, outside", &outside)?;
    let told = event.map(|event| (event.object, event.claim, event.depth, event.name));
    let expected = Some((ONE, Some(claim), LINKED, "file".to_owned()));
    checks.equal("event: zone, claim, how, name", &told, &expected);
    refused(checks, world, "its first name", &inside)?;
    for (claim, hook, action) in [
        ("truncates it", Hook::InodeSetattr, "truncate"),
        ("unlinks it", Hook::InodeUnlink, "unlink"),
    ] {
        let claim = format!("zone two {claim} by the other name");
        world.refused(checks, &claim, hook, &two, action, &[&outside])?;
    }
    fs::hard_link(&outside, &further)?;
    refused(checks, world, "a third name, made of the second", &further)?;
    fs::rename(&further, public("renamed"))?;
    refused(checks, world, "the third name, renamed", &public("renamed"))?;
    fs::remove_file(&inside)?;
    refused(checks, world, "the second name, the first gone", &outside)?;
    fs::remove_file(public("renamed"))?;
    refused(checks, world, "the last name", &outside)?;
    // From the cache, if the name that is left lets it be cached.
    refused(checks, world, "the last name, again", &outside)?;
    let open = File::open(&outside)?;
    fs::remove_file(&outside)?;
    checks.equal("while it is open it is kept", &held(world)?.len(), &1);
    drop(open);
    checks.equal(
        "with its last user it is forgotten",
        &held(world)?,
        &[].into(),
    );
    fs::write(&outside, "another")?;
    world.allowed(
        checks,
        "zone two opens another file at that place",
        &two,
        "open",
        &[&outside],
    )?;
    fs::remove_file(outside)?;
    Ok(())
}

/// Only what would otherwise be nobody's.
fn what_is_recorded(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (file, single) = (in_one("file"), public("single"));
    fs::write(&file, "")?;
    fs::hard_link(&file, in_one("beside"))?;
    checks.equal("a link within a claim: none", &held(world)?, &[].into());
    fs::write(&single, "")?;
    let key = world.claim(&single, ONE, Scope::Exact)?;
    fs::hard_link(&single, public("other"))?;
    refused(checks, world, "a file claimed by itself", &public("other"))?;
    checks.equal("of one claimed by itself: none", &held(world)?, &[].into());
    world.unclaim(key)?;
    fs::hard_link(public("single"), public("third"))?;
    checks.equal("of nobody's file: none", &held(world)?, &[].into());
    fs::hard_link(&file, public("recorded"))?;
    let (object, generation) = world.key(&file)?;
    let (claim, claim_generation) = world.key(Path::new(ONES))?;
    let expected = Linked {
        object,
        generation,
        claim,
        claim_generation,
        name: "recorded".into(),
    };
    checks.equal(
        "out of a claim: what and whence",
        &held(world)?,
        &[expected].into(),
    );
    for name in ["single", "other", "third", "recorded"] {
        fs::remove_file(public(name))?;
    }
    fs::remove_file(in_one("beside"))?;
    fs::remove_file(file)?;
    checks.equal("all of them gone: none", &held(world)?, &[].into());
    Ok(())
}

/// What was everybody's stays everybody's by its other names.
fn into_a_claim(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (library, inside) = (public("library"), in_one("library"));
    let two = world.two.clone();
    fs::write(&library, "")?;
    fs::hard_link(&library, &inside)?;
    world.allowed(
        checks,
        "zone two opens what was linked into the claim, by its first name",
        &two,
        "open",
        &[&library],
    )?;
    refused(checks, world, "the same by its name in the claim", &inside)?;
    checks.equal("nothing is recorded", &held(world)?, &[].into());
    fs::remove_file(library)?;
    fs::remove_file(inside)?;
    Ok(())
}

/// The claim that had it first keeps it, also in another one.
fn into_anothers(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (file, in_two) = (in_one("given"), Path::new(TWOS).join("given"));
    fs::write(&file, "")?;
    fs::hard_link(&file, &in_two)?;
    refused(checks, world, "zone one's file in its own claim", &in_two)?;
    let key = world.claim(&in_two, TWO, Scope::Exact)?;
    let (one, two) = (world.one.clone(), world.two.clone());
    world.allowed(
        checks,
        "claimed by itself it is zone two's",
        &two,
        "open",
        &[&in_two],
    )?;
    world.refused(
        checks,
        "and not zone one's any more",
        Hook::FileOpen,
        &one,
        "open",
        &[&file],
    )?;
    world.unclaim(key)?;
    fs::remove_file(file)?;
    fs::remove_file(in_two)?;
    Ok(())
}

/// Names inside are judged by name: what another zone claims there later is that zone's.
fn a_nearer_claim(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let below = in_one("below");
    let (file, outside) = (below.join("file"), public("file"));
    fs::create_dir(&below)?;
    fs::write(&file, "")?;
    fs::hard_link(&file, &outside)?;
    let event = refused(
        checks,
        world,
        "a file linked out, by its name inside",
        &file,
    )?;
    let depth = event.map(|event| event.depth);
    checks.equal("event: levels below the claim", &depth, &Some(2));
    let key = world.claim(&below, TWO, Scope::Subtree)?;
    let (one, two) = (world.one.clone(), world.two.clone());
    world.allowed(
        checks,
        "zone two opens it in what it has claimed of zone one's directory",
        &two,
        "open",
        &[&file],
    )?;
    world.refused(
        checks,
        "zone one opens it there",
        Hook::FileOpen,
        &one,
        "open",
        &[&file],
    )?;
    refused(
        checks,
        world,
        "it by its name outside: zone one's",
        &outside,
    )?;
    world.unclaim(key)?;
    fs::remove_dir_all(below)?;
    fs::remove_file(outside)?;
    Ok(())
}

/// Zones that may make such links make them as the host does.
fn by_zones(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (file, outside) = (in_one("file"), public("file"));
    fs::write(&file, "")?;
    let privileged = world.privileged.clone();
    world.allowed(
        checks,
        "a privileged zone links out of the claim",
        &privileged,
        "link",
        &[&file, &outside],
    )?;
    refused(checks, world, "what it linked", &outside)?;
    fs::remove_file(outside)?;
    // A first name is a move: of a file that was made without one.
    let free = world.free.clone();
    let named = public("named");
    world.allowed(
        checks,
        "the host names a file outside that was made in the claim without a name",
        &free,
        "name-later",
        &[Path::new(ONES), &named],
    )?;
    let two = world.two.clone();
    world.allowed(
        checks,
        "zone two opens it: it never had a name in the claim",
        &two,
        "open",
        &[&named],
    )?;
    fs::remove_file(named)?;
    fs::remove_file(file)?;
    Ok(())
}

/// What the daemon puts back counts at once, whatever was cached.
fn restored(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (file, outside) = (in_one("file"), public("file"));
    fs::write(&file, "")?;
    fs::hard_link(&file, &outside)?;
    fs::remove_file(&file)?;
    let store = world.kernel.links()?;
    let held = held(world)?;
    store.forget(&held)?;
    world.advance_epoch()?;
    let two = world.two.clone();
    world.allowed(
        checks,
        "zone two opens a link that was forgotten",
        &two,
        "open",
        &[&outside],
    )?;
    store.restore(&held)?;
    refused(checks, world, "the link that was put back", &outside)?;
    let mut other = held.clone();
    for linked in &mut other {
        linked.generation += 1;
    }
    store.forget(&other)?;
    refused(checks, world, "it, another file's row forgotten", &outside)?;
    store.forget(&held)?;
    world.advance_epoch()?;
    store.restore(&other)?;
    world.allowed(
        checks,
        "zone two opens a file whose number another had that was linked",
        &two,
        "open",
        &[&outside],
    )?;
    store.forget(&other)?;
    fs::remove_file(outside)?;
    Ok(())
}
