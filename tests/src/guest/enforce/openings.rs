//! Every way to open a file, and what a file is known by: handles, numbers used again, exact claims.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use syva_model::hook::Hook;
use syva_model::image::{MapWrite, Pair, Scope, ZoneId};

use super::world::{ONE, TWO, World};
use crate::guest::actor::act;
use crate::guest::mutating::digits;
use crate::guest::{Checks, Failure, raw};

const CLAIMED: &str = "/tmp/openings";
const DISK: &str = "/mnt";

pub fn run(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let file = Path::new(CLAIMED).join("file");
    fs::create_dir_all(CLAIMED)?;
    fs::write(&file, "")?;
    world.claim(Path::new(CLAIMED), ONE, Scope::Subtree)?;
    let (one, two) = (world.one.clone(), world.two.clone());
    let own_root = Path::new("/proc/self/root").join(file.strip_prefix("/")?);
    let (folder, name) = (Path::new(CLAIMED), Path::new("file"));
    let through_proc = Path::new("/proc/self/cwd/file");
    let cases: [(&str, &[&Path]); 7] = [
        ("open-path-first", &[&file]),
        ("open-how", &[&file]),
        ("open-by-ring", &[&file]),
        ("open-by-ring-worker", &[&file]),
        ("open", &[&own_root]),
        ("open-from-inside", &[folder, name]),
        ("open-from-inside", &[folder, through_proc]),
    ];
    for (action, args) in cases {
        let last = args[args.len() - 1].display();
        let refused = format!("zone two, zone one's file: {action} {last}");
        world.refused(checks, &refused, Hook::FileOpen, &two, action, args)?;
        let allowed = format!("zone one, its file: {action} {last}");
        world.allowed(checks, &allowed, &one, action, args)?;
    }
    by_handle(checks, world, &file)?;
    bound(checks, world)?;
    disk(checks, world)
}

/// A handle leads past everything that is mounted, so that no zone opens by one, nor its own file. A pair with
/// the host opens that, and then the file is judged as by its path.
fn by_handle(checks: &mut Checks, world: &mut World, file: &Path) -> Result<(), Failure> {
    let (one, two, free) = (world.one.clone(), world.two.clone(), world.free.clone());
    let privileged = world.privileged.clone();
    let handle = digits(&raw::handle_of(file)?);
    let (action, args) = ("open-by-handle", [Path::new("/tmp"), handle.as_path()]);
    for (who, cgroup) in [("zone two", &two), ("its own zone", &one)] {
        let claim = format!("{who} opens by a handle");
        let (outcome, (denied, _), events) = world.watch(|| act(cgroup, action, &args))?;
        checks.denied(&claim, &outcome);
        // Newer kernels ask for one capability after the other (7.3).
        let told = events.iter().all(|event| event.name == "open_by_handle_at");
        let times = denied.get(Hook::Capable.index() as usize).copied();
        let all: u64 = denied.iter().sum();
        checks.that(
            format!("{claim}: counted and told"),
            all > 0 && times == Some(all) && events.len() as u64 == all && told,
            format!("{denied:?}, {events:?}"),
        );
    }
    for (who, cgroup) in [("a host task", &free), ("a privileged zone", &privileged)] {
        let claim = format!("{who} opens by a handle");
        world.allowed(checks, &claim, cgroup, action, &args)?;
    }
    with_the_host(world, |world| {
        let claim = "zone two, in a pair with the host, opens zone one's file by its handle";
        world.refused(checks, claim, Hook::FileOpen, &two, action, &args)?;
        let claim = "zone one, in a pair with the host, opens its file by its handle";
        world.allowed(checks, claim, &one, action, &args)
    })
}

/// While both zones are in a pair with the host.
fn with_the_host(
    world: &mut World,
    then: impl FnOnce(&mut World) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let pairs = [ONE, TWO].map(|zone| Pair::new(ZoneId::HOST, zone));
    for pair in pairs {
        world.pairs.write(&MapWrite::PutPair(pair))?;
    }
    then(world)?;
    for pair in pairs {
        world.pairs.write(&MapWrite::DropPair(pair))?;
    }
    Ok(())
}

/// A bind mount is another path to the same objects; so is one of a file alone.
fn bound(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two) = (world.one.clone(), world.two.clone());
    let (folder, file) = (Path::new("/tmp/bound"), Path::new("/tmp/bound-file"));
    fs::create_dir_all(folder)?;
    fs::write(file, "")?;
    let inner = folder.join("file");
    shell(
        "mount --bind /tmp/openings /tmp/bound && mount --bind /tmp/openings/file /tmp/bound-file",
    )?;
    for path in [inner.as_path(), file] {
        for (hook, action) in [(Hook::FileOpen, "open"), (Hook::InodeSetattr, "chmod")] {
            let claim = format!(
                "zone two, bind mount of zone one's: {action} {}",
                path.display()
            );
            world.refused(checks, &claim, hook, &two, action, &[path])?;
            let claim = format!(
                "zone one, bind mount of its own: {action} {}",
                path.display()
            );
            world.allowed(checks, &claim, &one, action, &[path])?;
        }
    }
    shell("umount /tmp/bound-file && umount /tmp/bound")?;
    let claim = "zone two opens the file that was mounted over";
    world.allowed(checks, claim, &two, "open", &[file])
}

fn shell(script: &str) -> Result<(), Failure> {
    let status = Command::new("sh").args(["-c", script]).status()?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{script}: {status}").into())
}

/// On ext4: dentries can be dropped, and inode numbers are used again at once.
fn disk(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    fs::create_dir_all(DISK)?;
    shell("mke2fs /dev/vda >/dev/null && mount -t ext4 /dev/vda /mnt")?;
    let (claimed, public) = (Path::new("/mnt/one"), Path::new("/mnt/public"));
    for dir in [claimed, public] {
        fs::create_dir(dir)?;
        fs::write(dir.join("file"), "")?;
    }
    world.claim(claimed, ONE, Scope::Subtree)?;
    with_the_host(world, |world| off_its_root(checks, world, claimed, public))?;
    number_used_again(checks, world)
}

/// A file opened by its handle, of which the kernel remembers no path, is nobody's but the host's. Who opens by
/// handles is in a pair with the host.
fn off_its_root(
    checks: &mut Checks,
    world: &mut World,
    claimed: &Path,
    public: &Path,
) -> Result<(), Failure> {
    let (one, two, free) = (world.one.clone(), world.two.clone(), world.free.clone());
    let (mount, action, hook) = (Path::new(DISK), "open-by-handle", Hook::FileOpen);
    let handle = digits(&raw::handle_of(&claimed.join("file"))?);
    let other = digits(&raw::handle_of(&public.join("file"))?);
    world.refused(
        checks,
        "a handle in the claim",
        hook,
        &two,
        action,
        &[mount, &handle],
    )?;
    world.allowed(checks, "its own zone's", &one, action, &[mount, &handle])?;
    world.allowed(
        checks,
        "a handle of nobody's",
        &two,
        action,
        &[mount, &other],
    )?;
    // Dropping the caches leaves what was used lately.
    let forget = || shell("umount /mnt && mount -t ext4 /dev/vda /mnt");
    forget()?;
    let claim = "a handle in the claim, its path forgotten";
    let event = world
        .refused(checks, claim, hook, &two, action, &[mount, &handle])?
        .ok_or("no event")?;
    checks.equal("its zone is unknown", &event.object, &ZoneId::UNKNOWN);
    world.allowed(
        checks,
        "a host task opens it",
        &free,
        action,
        &[mount, &handle],
    )?;
    forget()?;
    let known = File::open(public.join("file"))?;
    world.allowed(
        checks,
        "a handle of nobody's, its path known",
        &two,
        action,
        &[mount, &other],
    )?;
    drop(known);
    Ok(())
}

/// A claim is of an object, not of its number: that is used again.
fn number_used_again(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two) = (world.one.clone(), world.two.clone());
    let file = Path::new("/mnt/number");
    fs::write(file, "")?;
    let key = world.claim(file, ONE, Scope::Exact)?;
    let hook = Hook::FileOpen;
    world.refused(
        checks,
        "a single claimed file, zone two",
        hook,
        &two,
        "open",
        &[file],
    )?;
    world.allowed(
        checks,
        "a single claimed file, its zone",
        &one,
        "open",
        &[file],
    )?;
    fs::remove_file(file)?;
    let again = (0..64)
        .map(|number| PathBuf::from(format!("/mnt/number-{number}")))
        .find(|path| {
            fs::write(path, "").is_ok() && fs::metadata(path).is_ok_and(|m| m.ino() == key.ino)
        })
        .ok_or("no new file was given the old one's number")?;
    let found = world.key(&again)?.0;
    checks.equal("a new file has the number of the claimed one", &found, &key);
    world.allowed(
        checks,
        "zone two opens the new file",
        &two,
        "open",
        &[&again],
    )?;
    world.allowed(
        checks,
        "zone two changes the new file",
        &two,
        "chmod",
        &[&again],
    )?;
    world.unclaim(key)
}
