//! What a pass costs, and what it takes for gone.

use std::fs;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicUsize, Ordering};

use syva_model::kernel::{KernelError, ObjectFacts};

use super::*;
use crate::memory::MemoryKernel;

/// Counts how often it is asked.
struct Counting(AtomicUsize);

impl Prober for Counting {
    fn probe(&self, fd: BorrowedFd<'_>) -> Result<ObjectFacts, KernelError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        MemoryKernel::new().probe(fd)
    }
}

/// A directory on a file system that claims can be made on.
fn directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    dir.expect("a directory")
}

fn watch(path: &Path) -> Watched {
    let path = path.to_str().expect("is text").to_owned();
    Watched {
        path,
        held: None,
        former: Vec::new(),
        known: Vec::new(),
    }
}

#[test]
fn what_did_not_change_is_not_identified_again() {
    let dir = directory();
    let paths = ["a", "b", "c"].map(|name| dir.path().join(name));
    for path in &paths {
        fs::create_dir(path).expect("made");
    }
    let mut watched: Vec<Watched> = paths.iter().map(|path| watch(path)).collect();
    let prober = Counting(AtomicUsize::new(0));
    let mut lookout = Lookout::default();
    // Old enough not to be mistaken for anything made later.
    let now = clock_gettime(ClockId::Realtime).tv_sec + 2 * YOUNG;
    let mut look = |watched: &[Watched]| {
        let sightings = lookout.look_at(now, &prober, &Vantage::own(), &[], watched);
        (sightings, prober.0.swap(0, Ordering::Relaxed))
    };
    let (first, asked) = look(&watched);
    assert_eq!(first.len(), 3, "the state knew nothing of them");
    let above = dir.path().ancestors().count() - 1;
    assert!(
        asked >= 3 + above,
        "{asked}: each, and each directory above once"
    );
    for (watched, sighting) in watched.iter_mut().zip(&first) {
        let seen = sighting.seen.as_ref().expect("is there");
        watched.held = Some(Held {
            found: seen.found.expect("is there"),
            above: seen.above.clone(),
        });
    }
    let second = look(&watched).0;
    assert_eq!(second, []);
    assert_eq!(look(&watched), (vec![], 0), "and none is identified");
    fs::write(paths[0].join("file"), "").expect("written");
    assert_eq!(look(&watched).0, [], "what is in it is not looked at");
    fs::remove_dir(&paths[1]).expect("removed");
    fs::create_dir(&paths[1]).expect("made");
    let (third, asked) = look(&watched);
    assert_eq!(third.len(), 1);
    assert!(asked >= 1);
    // A path that nobody claims any more is forgotten.
    look(&watched[..1]);
    let kept = lookout.seen.keys().filter(|path| path.ends_with("/c"));
    assert_eq!(kept.count(), 0);
}

#[test]
fn what_is_too_young_to_be_told_by_its_looks_is_identified_again() {
    let dir = directory();
    let path = dir.path().join("a");
    fs::create_dir(&path).expect("made");
    let watched = [watch(&path)];
    let prober = Counting(AtomicUsize::new(0));
    let mut lookout = Lookout::default();
    let made = clock_gettime(ClockId::Realtime).tv_sec;
    let mut look = |now| {
        lookout.look_at(now, &prober, &Vantage::own(), &[], &watched);
        prober.0.swap(0, Ordering::Relaxed)
    };
    look(made);
    assert!(look(made) >= 1, "in its second");
    assert!(
        look(made + 2 * YOUNG) >= 1,
        "it was looked at in its second"
    );
    assert_eq!(look(made + 2 * YOUNG), 0);
}

#[test]
fn a_file_system_that_does_not_tell_takes_no_claim_away() {
    struct Mute;
    impl Prober for Mute {
        fn probe(&self, _: BorrowedFd<'_>) -> Result<ObjectFacts, KernelError> {
            Err(crate::address::Gone("kernel").into())
        }
    }
    let dir = directory();
    let mut watched = watch(dir.path());
    watched.held = Some(Held {
        found: (
            ObjectKey {
                dev: 1,
                ino: 1,
                subvol: 0,
            },
            1,
        ),
        above: Vec::new(),
    });
    let seen = Lookout::default().look(&Mute, &Vantage::own(), &[], &[watched]);
    assert_eq!(seen, [], "unknown is not gone");
}

#[test]
fn the_engine_s_own_and_the_host_s_are_not_followed_to() {
    let dir = directory();
    let own = dir.path().join("own");
    fs::create_dir(&own).expect("made");
    let mut watched = watch(&own);
    // As after a bind mount: what is there was not there before.
    watched.held = Some(Held {
        found: (
            ObjectKey {
                dev: 1,
                ino: 1,
                subvol: 0,
            },
            1,
        ),
        above: Vec::new(),
    });
    let engines_own = [own.to_str().expect("is text").to_owned()];
    let kernel = MemoryKernel::new();
    let look = |own: &[String]| {
        let watched = std::slice::from_ref(&watched);
        let mut seen = Lookout::default().look(&kernel, &Vantage::own(), own, watched);
        seen.pop().expect("it is elsewhere").seen
    };
    let because = look(&engines_own).expect_err("refused").because;
    assert!(because.contains("cannot be claimed"), "{because}");
    assert!(look(&[]).is_ok());
}

/// A directory above another claim is looked at for that, and is not taken for one that can be claimed.
#[test]
fn what_lies_on_a_file_system_without_claims_is_lost_whoever_looked_before() {
    let mut lookout = Lookout::default();
    let prober = MemoryKernel::new();
    // Of /proc nothing can be claimed; its directories are above the file.
    let watched = [
        Watched {
            held: Some(Held {
                found: (
                    ObjectKey {
                        dev: 1,
                        ino: 1,
                        subvol: 0,
                    },
                    0,
                ),
                above: Vec::new(),
            }),
            ..watch(Path::new("/proc/sys"))
        },
        watch(Path::new("/proc/sys/kernel")),
    ];
    for _ in 0..2 {
        let sightings = lookout.look(&prober, &Vantage::own(), &[], &watched);
        assert!(
            matches!(&sightings[..], [Sighting { seen: Err(_), .. }]),
            "{sightings:?}"
        );
    }
}

#[test]
fn what_nobody_can_tell_is_told() {
    struct Mute;
    impl Prober for Mute {
        fn probe(&self, _: BorrowedFd<'_>) -> Result<ObjectFacts, KernelError> {
            Err(KernelError {
                operation: "probe",
                on: "a file".into(),
                said: "no".into(),
                errno: None,
                remedy: String::new(),
            })
        }
    }
    let dir = directory();
    let mut lookout = Lookout::default();
    let watched = [watch(dir.path())];
    let sightings = lookout.look(&Mute, &Vantage::own(), &[], &watched);
    assert_eq!(sightings, [], "neither there nor gone");
    assert_eq!(lookout.unseen().len(), 1);
    lookout.look(&MemoryKernel::new(), &Vantage::own(), &[], &watched);
    assert_eq!(lookout.unseen(), [""; 0]);
}
