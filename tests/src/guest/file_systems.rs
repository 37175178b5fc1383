//! Suites `xfs` and `ramfs`: claims on file systems that hosts have besides ext4 and tmpfs; and `btrfs`, on which they are
//! refused.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::libc;

use super::actor::{Outcome, act};
use super::attack::sys::{self, call};
use super::life::paths::sh;
use super::stage::{Stage, setup};
use super::{Checks, Failure, mutating, raw};
use crate::daemon::{Daemon, put};

/// Where the disk is mounted.
const DISK: &str = "/mnt/disk";

/// Does it; `None` for what is no action of these.
pub fn perform(action: &str, args: &[PathBuf]) -> Option<io::Result<()>> {
    let result = match (action, args) {
        ("xfs-read-link", [path]) => read_link_by_handle(path),
        ("xfs-reserve", [path]) => reserve(path),
        ("make-subvolume", [path]) => make_subvolume(path),
        _ => return None,
    };
    Some(result)
}

fn at(name: &str) -> PathBuf {
    Path::new(DISK).join(name)
}

/// Claims hold on XFS as elsewhere, and its own ways to a file by its handle are closed.
pub fn xfs(checks: &mut Checks) -> Result<(), Failure> {
    claims_hold(
        checks,
        "mount -t xfs /dev/vda /mnt/disk",
        |checks, stage| {
            by_handle(checks, stage)?;
            used_again(checks, stage)
        },
    )
}

/// The same on ramfs, which gives no number twice.
pub fn ramfs(checks: &mut Checks) -> Result<(), Failure> {
    claims_hold(checks, "mount -t ramfs ramfs /mnt/disk", |_, _| Ok(()))
}

/// What every file system of [`syva_model::file_system::CLAIMABLE`] owes; then what `more` has to say.
fn claims_hold(
    checks: &mut Checks,
    mount: &str,
    more: impl FnOnce(&mut Checks, &Stage) -> Result<(), Failure>,
) -> Result<(), Failure> {
    sh(&format!("mkdir -p {DISK} && {mount}"))?;
    let stage = Stage {
        secret: at("db/secret"),
        own: at("web/own"),
        ..Stage::build()?
    };
    for path in [&stage.secret, &stage.own, &at("single"), &at("free/file")] {
        put(path, "secret")?;
    }
    for zone in ["db", "web"] {
        std::os::unix::fs::symlink("somewhere", at(zone).join("link"))?;
    }
    let daemon = setup(&[])?.start()?;
    for (zone, paths) in [("web", &["web"][..]), ("db", &["db", "single"])] {
        let paths = paths
            .iter()
            .flat_map(|path| ["--host-path".into(), at(path)]);
        let words = ["zones", "register", zone].map(PathBuf::from);
        let words: Vec<_> = words.into_iter().chain(paths).collect();
        daemon.done(&words)?;
    }
    stage.attach(&daemon)?;
    stage.kept_apart(checks, "claimed");
    put(&at("db/later"), "made later")?;
    by_name(checks, &stage)?;
    more(checks, &stage)?;
    let health = daemon.done(&["status"])?.text("health");
    checks.equal("the daemon is healthy", &health.as_str(), &"healthy");
    daemon.terminate()?;
    Ok(())
}

/// Each is refused to web on what is db's, and done to its own.
fn by_name(checks: &mut Checks, stage: &Stage) -> Result<(), Failure> {
    checks.denied(
        "web does not open what was made later in db's",
        &act(&stage.web, "open", &[&at("db/later")]),
    );
    checks.allowed(
        "db opens what was made later in it",
        &act(&stage.db, "open", &[&at("db/later")]),
    );
    for (dir, whole) in [("db", &stage.secret), ("web", &stage.own)] {
        let within = |name: &str| at(dir).join(name);
        for (action, args) in [
            ("create", vec![within("new")]),
            ("mkdir", vec![within("folder")]),
            ("link", vec![whole.clone(), within("linked")]),
            ("rename", vec![within("link"), within("renamed")]),
            ("unlink", vec![within("renamed")]),
        ] {
            let args: Vec<&Path> = args.iter().map(PathBuf::as_path).collect();
            let claim = format!("web does {action} in {dir}'s");
            // What was not renamed is not there to be removed.
            if dir == "db" && action == "unlink" {
                fs::rename(within("link"), within("renamed"))?;
            }
            match act(&stage.web, action, &args) {
                outcome if dir == "db" => checks.denied(claim, &outcome),
                outcome => checks.allowed(claim, &outcome),
            }
        }
        std::os::unix::fs::symlink("somewhere", within("another"))?;
    }
    Ok(())
}

fn by_handle(checks: &mut Checks, stage: &Stage) -> Result<(), Failure> {
    let disk = Path::new(DISK);
    let handle = mutating::digits(&raw::handle_of(&stage.secret)?);
    let args = [disk, handle.as_path()];
    checks.denied(
        "web opens db's file by its handle",
        &act(&stage.web, "open-by-handle", &args),
    );
    checks.allowed(
        "a host task opens it by its handle",
        &act(&stage.free, "open-by-handle", &args),
    );
    for (action, path) in [
        ("xfs-read-link", at("db/another")),
        ("xfs-reserve", at("free/file")),
    ] {
        let args = [path.as_path()];
        checks.denied(
            format!("web does {action}"),
            &act(&stage.web, action, &args),
        );
        checks.allowed(
            format!("a host task does {action}"),
            &act(&stage.free, action, &args),
        );
    }
    checks.allowed(
        "web reads where its own link leads to",
        &act(&stage.web, "readlink", &[&at("web/another")]),
    );
    Ok(())
}

/// A claim on one file does not hold for another file that is given its number.
fn used_again(checks: &mut Checks, stage: &Stage) -> Result<(), Failure> {
    let single = at("single");
    checks.denied(
        "web does not open the claimed file",
        &act(&stage.web, "open", &[&single]),
    );
    let number = fs::metadata(&single)?.ino();
    fs::remove_file(&single)?;
    // Numbers are given near the directory; one is free once the kernel has let go of its inode, in the background.
    let again = (0..200).find_map(|turn| {
        let path = at(&format!("again-{turn}"));
        put(&path, "another").ok()?;
        if fs::metadata(&path).ok()?.ino() == number {
            return Some(path);
        }
        nix::unistd::sync();
        std::thread::sleep(Duration::from_millis(20));
        None
    });
    let outcome = match &again {
        Some(path) => act(&stage.web, "open", &[path]),
        None => Outcome::Broken("no file was given the number".into()),
    };
    checks.allowed("web opens another file with the number it had", &outcome);
    Ok(())
}

/// Claims on Btrfs are refused, with a word why, and nothing is left of the attempt; what lies there is used
/// like every unclaimed file.
pub fn btrfs(checks: &mut Checks) -> Result<(), Failure> {
    sh("mkdir -p /mnt/disk && mount -t btrfs /dev/vda /mnt/disk")?;
    let stage = Stage::build()?;
    let daemon = setup(&[])?.start()?;
    stage.register(&daemon)?;
    stage.attach(&daemon)?;
    let made = act(&stage.free, "make-subvolume", &[&at("volume")]);
    checks.allowed("there is a subvolume", &made);
    put(&at("volume/site/file"), "in a subvolume")?;
    put(&at("site/file"), "beside it")?;
    let before = entries(&daemon)?;
    for path in ["site", "site/file", "volume", "volume/site"] {
        refused(checks, &daemon, &at(path))?;
    }
    checks.equal("no entry is left of that", &entries(&daemon)?, &before);
    stage.kept_apart(checks, "beside Btrfs");
    for dir in ["site", "volume"] {
        let within = |name: &str| at(dir).join(name);
        for (action, args) in [
            ("create", vec![within("new")]),
            ("open", vec![within("new")]),
            ("mkdir", vec![within("folder")]),
            ("link", vec![within("new"), within("folder/linked")]),
            ("rename", vec![within("new"), within("folder/renamed")]),
            ("unlink", vec![within("folder/renamed")]),
            ("make-subvolume", vec![within("nested")]),
        ] {
            let args: Vec<&Path> = args.iter().map(PathBuf::as_path).collect();
            let claim = format!("web does {action} in {dir}, on Btrfs");
            checks.allowed(claim, &act(&stage.web, action, &args));
        }
    }
    let health = daemon.done(&["status"])?.text("health");
    checks.equal("the daemon is healthy", &health.as_str(), &"healthy");
    daemon.terminate()?;
    Ok(())
}

fn refused(checks: &mut Checks, daemon: &Daemon, path: &Path) -> Result<(), Failure> {
    let shown = path.display();
    let words = ["zones", "register", "other", "--host-path"].map(PathBuf::from);
    let answer = daemon.cli(&[&words[..], &[path.to_owned()]].concat())?;
    checks.that(
        format!("a claim on {shown} is refused"),
        answer.exit != 0,
        format!("{answer:?}"),
    );
    let said = format!("{}{}", answer.complaint, answer.json());
    let clear = ["Btrfs", "claim a path on another file system"];
    checks.that(
        format!("{shown}: why, and what to do"),
        clear.iter().all(|word| said.contains(word)),
        &said,
    );
    let zones = daemon.done(&["zones", "list"])?;
    let there = zones
        .lines
        .iter()
        .any(|zone| zone.to_string().contains("other"));
    checks.that(
        format!("{shown}: the zone was not made either"),
        !there,
        format!("{zones:?}"),
    );
    Ok(())
}

fn entries(daemon: &Daemon) -> Result<usize, Failure> {
    Ok(daemon.done(&["journal", "inspect"])?.lines.len())
}

/// `struct xfs_fsop_handlereq`.
fn request(directory: &File, path: u64, handle: &[u8], room: &[u8], length: &[u8]) -> Vec<u8> {
    use std::os::fd::AsRawFd as _;
    sys::words(&[
        directory.as_raw_fd() as u64,
        path,
        0,
        sys::address(handle),
        handle.len() as u64,
        sys::address(room),
        sys::address(length),
    ])
}

/// Where a symbolic link leads to, asked of the file system by the link's handle.
fn read_link_by_handle(link: &Path) -> io::Result<()> {
    const PATH_TO_HANDLE: u32 = 0xc038_5869;
    const READLINK_BY_HANDLE: u32 = 0xc038_586c;
    let disk = File::open(DISK)?;
    let path = sys::text(link)?;
    let (mut handle, mut length) = (vec![0; 64], sys::halves(&[0]));
    let mut named = request(&disk, path.as_ptr() as u64, &[], &handle, &length);
    let asked = [
        sys::fd(&disk),
        PATH_TO_HANDLE.into(),
        named.as_mut_slice().into(),
    ];
    call(libc::SYS_ioctl, asked)?;
    let size = number(&length)?;
    handle.truncate(size as usize);
    let room = [0; 64];
    length = sys::halves(&[room.len() as u32]);
    let mut read = request(&disk, 0, &handle, &room, &length);
    let asked = [
        sys::fd(&disk),
        READLINK_BY_HANDLE.into(),
        read.as_mut_slice().into(),
    ];
    let read = call(libc::SYS_ioctl, asked)?;
    let expected = fs::read_link(link)?;
    match room.get(..read as usize) {
        Some(found) if found == expected.as_os_str().as_bytes() => Ok(()),
        _ => Err(sys::without_effect()),
    }
}

fn number(bytes: &[u8]) -> io::Result<u32> {
    Ok(u32::from_ne_bytes(
        bytes.try_into().map_err(io::Error::other)?,
    ))
}

/// Has the file system keep back as many blocks as it does.
fn reserve(file: &Path) -> io::Result<()> {
    const GET: u32 = 0x8010_5873;
    const SET: u32 = 0xc010_5872;
    let file = File::open(file)?;
    let mut blocks = sys::words(&[0, 0]);
    for command in [GET, SET] {
        let asked = [sys::fd(&file), command.into(), blocks.as_mut_slice().into()];
        call(libc::SYS_ioctl, asked)?;
    }
    Ok(())
}

fn make_subvolume(path: &Path) -> io::Result<()> {
    // `struct btrfs_ioctl_vol_args`: a descriptor, and a name.
    const SUBVOL_CREATE: u32 = 0x5000_940e;
    const NAME: usize = 8;
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let above = File::open(above)?;
    let mut args = vec![0; 4096];
    args[NAME..NAME + name.len()].copy_from_slice(name.as_bytes());
    let asked = [
        sys::fd(&above),
        SUBVOL_CREATE.into(),
        args.as_slice().into(),
    ];
    call(libc::SYS_ioctl, asked).map(drop)
}
