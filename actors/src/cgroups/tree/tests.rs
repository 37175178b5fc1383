//! Directories stand for cgroups here; suite `engine-daemon` does the same with real ones.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use rustix::fs::{mkdirat, unlinkat};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::*;

/// Makes directories in each other below an open one, and returns the last, and its id.
fn chain(top: &Path, names: impl Iterator<Item = Vec<u8>>) -> CgroupId {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut dir = openat(CWD, top, flags, Mode::empty()).expect("there");
    for name in names {
        mkdirat(&dir, name.as_slice(), Mode::RWXU).expect("made");
        dir = openat(&dir, name.as_slice(), flags, Mode::empty()).expect("opened");
    }
    id_of(&dir).expect("there").1
}

/// Removes them again: what removes by path cannot, or opens each.
fn unchain(top: &Path, names: &[Vec<u8>]) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut dir = openat(CWD, top, flags, Mode::empty()).expect("there");
    for name in names {
        dir = openat(&dir, name.as_slice(), flags, Mode::empty()).expect("opened");
    }
    for name in names.iter().rev() {
        dir = openat(&dir, c"..", flags, Mode::empty()).expect("opened");
        unlinkat(&dir, name.as_slice(), AtFlags::REMOVEDIR).expect("removed");
    }
}

fn entered(tree: &CgroupTree, found: &Cgroups, id: CgroupId) -> Vec<CgroupId> {
    let mut entered = Vec::new();
    let mut enter = |sight: &dyn Sight| {
        assert!(sight.is_there().expect("asked"));
        entered.push(sight.id());
        Ok(true)
    };
    tree.below(found, id, &mut enter).expect("readable");
    entered
}

#[test]
fn cgroups_are_found_by_id_and_listed_below() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir_all(dir.path().join("a/b/c")).expect("a tree");
    fs::write(dir.path().join("a/cgroup.procs"), "7\n12\n").expect("a file");
    std::os::unix::fs::symlink("b", dir.path().join("a/link")).expect("a link");
    let tree = CgroupTree::at(dir.path());
    let at = |path: &str| tree.id_at(OsStr::new(path)).expect("readable");
    let c = at("/a/b/c").expect("there");
    assert_eq!(tree.find(c).expect("readable"), Some("/a/b/c".into()));
    assert_eq!(tree.find(CgroupId(u64::MAX)).expect("readable"), None);
    assert_eq!(at("/a/gone"), None);
    let found = tree.all().expect("readable");
    let (a, b) = (at("/a").expect("there"), at("/a/b").expect("there"));
    assert_eq!(
        entered(&tree, &found, a),
        [b, c],
        "files and links are no cgroups"
    );
    assert!(tree.holds(&found, a, 12).expect("readable"));
    assert!(!tree.holds(&found, a, 1).expect("readable"));
    tree.move_process(31, &found, a).expect("written");
    let procs = fs::read_to_string(dir.path().join("a/cgroup.procs")).expect("there");
    assert!(procs.starts_with("31"), "{procs}");

    fs::remove_dir(dir.path().join("a/b/c")).expect("removed");
    assert!(!tree.is_there(&found, c).expect("readable"));
    assert_eq!(entered(&tree, &found, c), []);
    assert!(tree.move_process(31, &found, c).is_err());
    // Another that has the name of one that is gone is not that one.
    fs::rename(dir.path().join("a/b"), dir.path().join("a/was-b")).expect("renamed");
    fs::create_dir(dir.path().join("a/b")).expect("made");
    assert!(!tree.is_there(&found, b).expect("readable"));
}

#[test]
fn nothing_is_looked_up_above_the_root() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir_all(dir.path().join("root/a")).expect("a tree");
    let tree = CgroupTree::at(dir.path().join("root"));
    assert!(tree.id_at(OsStr::new("/a")).expect("readable").is_some());
    assert!(tree.id_at(OsStr::new("/../root/a")).is_err());
}

#[test]
fn names_that_are_no_text_are_as_good_as_any() {
    let dir = tempfile::tempdir().expect("a directory");
    let [one, two] = [b"\xff", b"\xfe"].map(|name| [&name[..], b"x"].map(<[u8]>::to_vec));
    let inner = [one, two].map(|names| chain(dir.path(), names.into_iter()));
    let tree = CgroupTree::at(dir.path());
    let found = tree.all().expect("readable");
    assert_eq!(found.len(), 5);
    for (id, name) in inner.into_iter().zip([b"/\xff/x", b"/\xfe/x"]) {
        assert!(tree.is_there(&found, id).expect("readable"));
        assert_eq!(
            tree.id_at(OsStr::from_bytes(name)).expect("readable"),
            Some(id)
        );
        assert_eq!(found.path(id).as_deref(), Some("/\u{fffd}/x"), "for people");
    }
}

/// Deeper than a path can say, and than this process may have open.
#[test]
fn depth_takes_neither_paths_nor_descriptors() {
    const DEEP: usize = 3000;
    let few = Rlimit {
        current: Some(256),
        ..getrlimit(Resource::Nofile)
    };
    setrlimit(Resource::Nofile, few).expect("set");
    let dir = tempfile::tempdir().expect("a directory");
    let names: Vec<Vec<u8>> = (0..DEEP)
        .map(|n| {
            if n < 40 {
                vec![b'n'; 255]
            } else {
                b"d".to_vec()
            }
        })
        .collect();
    let deepest = chain(dir.path(), names.iter().cloned());
    fs::create_dir(dir.path().join("beside")).expect("made");
    let tree = CgroupTree::at(dir.path());
    let found = tree.all().expect("readable");
    assert_eq!(found.len(), DEEP + 2);
    assert!(tree.is_there(&found, deepest).expect("readable"));
    let top = tree
        .id_at(OsStr::new("/"))
        .expect("readable")
        .expect("there");
    assert_eq!(entered(&tree, &found, top).len(), DEEP + 1);
    let said = tree
        .find(deepest)
        .expect_err("no path of it can be recorded");
    assert!(said.to_string().contains("too deep"), "{said}");
    unchain(dir.path(), &names);
}

#[test]
fn what_cannot_be_read_is_not_taken_for_gone() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().expect("a directory");
    let closed = dir.path().join("closed");
    fs::create_dir_all(closed.join("x")).expect("a tree");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).expect("closed");
    let said = CgroupTree::at(dir.path()).all();
    // Root reads it all the same.
    match rustix::process::geteuid().is_root() {
        true => assert_eq!(said.expect("readable").len(), 3),
        false => assert!(said.is_err()),
    }
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).expect("opened");
}

/// What a comparison pays for reading ten thousand cgroups, beside the same by joined paths, which misses some:
/// run in release with `--ignored --nocapture`, and `SYVA_CGROUPS` a cgroup2 mount that may be written.
#[test]
#[ignore = "a measurement"]
fn the_time_ten_thousand_take() {
    let real = std::env::var_os("SYVA_CGROUPS").map(PathBuf::from);
    let place = real.clone().unwrap_or_else(|| "/dev/shm".into());
    let dir = tempfile::tempdir_in(place).expect("a directory").keep();
    let mut made = Vec::new();
    for pod in 0..100 {
        let pod = dir.join(format!("pod{pod:032}"));
        made.push(pod.clone());
        made.extend((0..99).map(|container| pod.join(format!("container{container:064}"))));
    }
    for path in &made {
        fs::create_dir(path).expect("made");
        let files = if real.is_some() { 0 } else { 40 };
        for file in 0..files {
            fs::write(path.join(format!("memory.file.{file}")), "").expect("made");
        }
    }
    let tree = CgroupTree::at(&dir);
    let opened = median(|| assert_eq!(tree.all().expect("readable").len(), 10_001));
    let joined = median(|| assert_eq!(by_paths(&dir).len(), 10_000));
    eprintln!("10,000 cgroups, median of nine: {opened:?}; by joined paths {joined:?}");
    if real.is_none() {
        fs::remove_dir_all(dir).expect("removed");
        return;
    }
    for path in made.iter().rev().chain([&dir]) {
        fs::remove_dir(path).expect("removed");
    }
}

fn median(mut walk: impl FnMut()) -> Duration {
    let mut times = Vec::new();
    for _ in 0..9 {
        let begun = Instant::now();
        walk();
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    times[4]
}

fn by_paths(dir: &Path) -> BTreeMap<u64, String> {
    use std::os::unix::fs::DirEntryExt as _;
    let mut found = BTreeMap::new();
    let mut waiting = vec![String::new()];
    while let Some(path) = waiting.pop() {
        for entry in fs::read_dir(dir.join(&path)).expect("readable") {
            let entry = entry.expect("readable");
            if entry.file_type().expect("readable").is_dir() {
                let inner = format!("{path}/{}", entry.file_name().to_string_lossy());
                waiting.push(inner.trim_start_matches('/').to_owned());
                found.insert(entry.ino(), inner);
            }
        }
    }
    found
}
