//! Claims whose paths lead elsewhere while the daemon runs: seen by the timer, on demand and at a start,
//! journaled once, and what was at the path stays the zone's (D3).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::time::Duration;

use common::{
    Host, claim, done, eventually, fold, last_command, reasons, reasons_are, register, unclaim,
};
use syva_actors::Engine;
use syva_actors::writer::LOST;
use syva_model::command::{BootId, Command, Reresolved, Unresolved};
use syva_model::image::ObjectKey;

/// What a file is to the kernel.
fn object(path: &str) -> ObjectKey {
    let meta = fs::symlink_metadata(path).expect("there");
    let (major, minor) = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
    ObjectKey {
        dev: major << 20 | minor,
        ino: meta.ino(),
        subvol: 0,
    }
}

/// A claimed directory of zone `web`.
async fn claimed(host: &Host, engine: &Engine, name: &str) -> String {
    let path = host.file(name);
    fs::remove_file(&path).expect("removed");
    fs::create_dir(&path).expect("made");
    done(engine, claim("web", &path)).await;
    path
}

async fn started(host: &Host) -> Engine {
    let engine = host.start_in_memory().await;
    done(&engine, register("web")).await;
    engine
}

/// Has the paths looked at, and waits for the one entry that comes of it.
async fn looked(engine: &Engine) -> (Vec<Reresolved>, Vec<Unresolved>) {
    let before = engine.journal().head().seq;
    engine.reconcile().await.expect("agrees");
    entry_after(engine, before).await
}

async fn entry_after(engine: &Engine, before: u64) -> (Vec<Reresolved>, Vec<Unresolved>) {
    let after = || engine.journal().head().seq;
    eventually("an entry", || after() > before).await;
    assert_eq!(after(), before + 1);
    match last_command(engine) {
        Command::Reresolve { found, lost } => (found, lost),
        other => panic!("{other:?}"),
    }
}

async fn agrees(host: &Host, engine: &Engine) {
    let journal = engine.journal();
    eventually("the maps hold it", || host.agrees_with(&journal)).await;
}

fn is_labelled(host: &Host, key: &ObjectKey) -> bool {
    let image = host.kernel.image();
    image.claims.get(key).is_some_and(|row| row.labels())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_replaces_a_claimed_path_is_claimed_and_what_was_there_stays_so() {
    type Replace = fn(&str);
    let ways: [(&str, Replace); 3] = [
        ("by rename", |path| {
            fs::create_dir(format!("{path}.new")).unwrap();
            fs::rename(path, format!("{path}.old")).unwrap();
            fs::rename(format!("{path}.new"), path).unwrap();
        }),
        ("removed and made", |path| {
            fs::remove_dir(path).unwrap();
            fs::create_dir(path).unwrap();
        }),
        ("a file over it", |path| {
            fs::remove_dir(path).unwrap();
            fs::write(format!("{path}.new"), "").unwrap();
            fs::rename(format!("{path}.new"), path).unwrap();
        }),
    ];
    let host = Host::new();
    let engine = started(&host).await;
    let beside = claimed(&host, &engine, "beside").await;
    let path = claimed(&host, &engine, "replaced").await;
    for (how, replace) in ways {
        let old = object(&path);
        replace(&path);
        assert!(!is_labelled(&host, &object(&path)), "{how}: not yet");
        let (found, lost) = looked(&engine).await;
        assert_eq!(lost, [], "{how}");
        assert_eq!(found.len(), 1, "{how}: {beside} is as it was");
        assert_eq!(found[0].path, path);
        assert_eq!(found[0].found, Some((object(&path), 0)), "{how}");
        agrees(&host, &engine).await;
        assert!(is_labelled(&host, &object(&path)), "{how}: the new one");
        assert!(is_labelled(&host, &old), "{how}: and the old one");
    }
    assert_eq!(reasons(&engine), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_is_gone_is_lost_and_said_so_until_it_is_back() {
    let host = Host::new();
    let engine = started(&host).await;
    let path = claimed(&host, &engine, "vanishes").await;
    let (old, away) = (object(&path), format!("{path}.away"));
    fs::rename(&path, &away).expect("renamed");
    let (found, lost) = looked(&engine).await;
    assert!(found.is_empty(), "{found:?}");
    assert_eq!(lost[0].because, "nothing is there");
    reasons_are(&engine, &[LOST]).await;
    agrees(&host, &engine).await;
    assert!(is_labelled(&host, &old), "it has only another name");
    assert!(fold(&engine.journal()).lost.contains_key(&path));

    fs::rename(&away, &path).expect("renamed back");
    let (found, _) = looked(&engine).await;
    assert_eq!(found[0].found, Some((old, 0)));
    reasons_are(&engine, &[]).await;
    assert!(fold(&engine.journal()).lost.is_empty());

    // Lost, it can be taken back, and is well then.
    fs::rename(&path, &away).expect("renamed");
    looked(&engine).await;
    reasons_are(&engine, &[LOST]).await;
    done(&engine, unclaim("web", &path)).await;
    reasons_are(&engine, &[]).await;
    assert!(!is_labelled(&host, &old), "given up with the claim");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_does_not_go_on_to_a_link_or_to_what_others_have_by_other_names() {
    let host = Host::new();
    let engine = started(&host).await;
    let shared = host.file("shared");
    let link = claimed(&host, &engine, "becomes a link").await;
    let file = host.file("becomes the shared one");
    done(&engine, claim("web", &file)).await;
    fs::remove_dir(&link).expect("removed");
    symlink(&shared, &link).expect("linked");
    fs::remove_file(&file).expect("removed");
    fs::hard_link(&shared, &file).expect("linked");

    let (found, lost) = looked(&engine).await;
    assert!(found.is_empty(), "{found:?}");
    let because: Vec<_> = lost.iter().map(|lost| lost.because.as_str()).collect();
    assert!(
        because.iter().any(|words| words.contains("symbolic link")),
        "{because:?}"
    );
    assert!(
        because.iter().any(|words| words.contains("2 names")),
        "{because:?}"
    );
    agrees(&host, &engine).await;
    assert!(!is_labelled(&host, &object(&shared)), "it is everyone's");
    // With one name it is the claim's; and whoever registers it with several means it.
    fs::remove_file(&shared).expect("removed");
    let (found, _) = looked(&engine).await;
    assert_eq!(found[0].path, file);
    fs::hard_link(&file, &shared).expect("linked");
    done(&engine, claim("web", &shared)).await;
    assert!(is_labelled(&host, &object(&shared)));
}

#[tokio::test(flavor = "multi_thread")]
async fn directories_above_are_followed_too() {
    let host = Host::new();
    let engine = started(&host).await;
    let path = claimed(&host, &engine, "dir").await;
    let inner = format!("{path}/inner");
    fs::create_dir(&inner).expect("made");
    done(&engine, claim("web", &inner)).await;
    let key = object(&inner);
    fs::rename(&path, format!("{path}.old")).expect("renamed");
    fs::create_dir(&path).expect("made");
    fs::rename(format!("{path}.old/inner"), &inner).expect("moved");
    let (found, _) = looked(&engine).await;
    let inner = found.iter().find(|again| again.path == inner);
    let inner = inner.expect("the way to it is another");
    assert_eq!(inner.found, Some((key, 0)), "it is the same");
    assert_eq!(inner.above[0].object, object(&path));
    agrees(&host, &engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_behind_a_pass_that_is_under_way_is_seen_by_the_next() {
    let host = Host::new();
    let engine = started(&host).await;
    let path = claimed(&host, &engine, "replaced").await;
    // So that a pass takes a while.
    for number in 0..300 {
        claimed(&host, &engine, &format!("beside-{number}")).await;
    }
    for _ in 0..10 {
        engine.reconcile().await.expect("agrees");
        fs::remove_dir(&path).expect("removed");
        fs::create_dir(&path).expect("made");
        engine.reconcile().await.expect("agrees");
        let journal = engine.journal();
        let follows = || fold(&journal).claim_at(&path).map(|(key, _)| *key) == Some(object(&path));
        eventually("it is followed", follows).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_timer_sees_it_and_so_does_a_start() {
    let mut host = Host::new();
    host.interval = Duration::from_millis(50);
    let engine = host.start().await.expect("starts");
    done(&engine, register("web")).await;
    let path = claimed(&host, &engine, "replaced").await;
    let before = engine.journal().head().seq;
    fs::remove_dir(&path).expect("removed");
    fs::create_dir(&path).expect("made");
    // Between the two it may be seen as gone.
    let journal = engine.journal();
    let follows = || fold(&journal).claim_at(&path).map(|(key, _)| *key) == Some(object(&path));
    eventually("the timer has it followed", follows).await;
    assert!(engine.journal().head().seq <= before + 2);
    engine.stop().await;

    fs::remove_dir(&path).expect("removed");
    fs::create_dir(&path).expect("made");
    host.interval = common::NEVER;
    let engine = host.start().await.expect("starts again");
    let journal = engine.journal();
    let follows = || fold(&journal).claim_at(&path).map(|(key, _)| *key) == Some(object(&path));
    eventually("the start has it followed", follows).await;
    agrees(&host, &engine).await;

    // Nobody looks before somebody asks.
    let head = engine.journal().head().seq;
    fs::remove_dir(&path).expect("removed");
    fs::create_dir(&path).expect("made");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(engine.journal().head().seq, head);
    looked(&engine).await;
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_made_anew_while_paths_are_looked_at_is_left_alone() {
    let host = Host::new();
    let engine = started(&host).await;
    let path = claimed(&host, &engine, "again").await;
    for _ in 0..50 {
        fs::remove_dir(&path).expect("removed");
        fs::create_dir(&path).expect("made");
        engine.reconcile().await.expect("agrees");
        done(&engine, claim("web", &path)).await;
        let (state, there) = (fold(&engine.journal()), object(&path));
        let at = state.claim_at(&path).map(|(key, _)| *key);
        assert_eq!(at, Some(there), "never an older one");
    }
    assert!(Path::new(&path).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_boot_asks_the_same_of_what_it_finds() {
    let mut host = Host::new();
    let engine = host.start().await.expect("starts");
    done(&engine, register("web")).await;
    let [shared, file, twice] = ["shared", "file", "twice"].map(|name| host.file(name));
    fs::hard_link(&twice, format!("{twice} again")).expect("linked");
    done(&engine, claim("web", &file)).await;
    done(&engine, claim("web", &twice)).await;
    engine.stop().await;
    fs::remove_file(&file).expect("removed");
    fs::hard_link(&shared, &file).expect("linked");
    host.boot = BootId([2; 16]);
    let engine = host.start().await.expect("starts again");
    let state = fold(&engine.journal());
    assert!(state.lost.contains_key(&file), "it is everyone's");
    assert!(!is_labelled(&host, &object(&shared)));
    let held = state.claim_at(&twice).map(|(key, _)| *key);
    assert_eq!(held, Some(object(&twice)), "it is what was claimed");
    reasons_are(&engine, &[LOST]).await;
    engine.stop().await;
}
