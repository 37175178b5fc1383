//! Files that the host links out of claims: what the kernel notes becomes entries, and what the kernel has lost
//! it is told again (D3, D12).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use common::{Host, claim, done, eventually, fold, last_command, reasons, register, unclaim};
use syva_actors::Engine;
use syva_actors::memory::MemoryKernel;
use syva_model::command::{BootId, Command, LinkFacts};
use syva_model::image::ObjectKey;
use syva_model::kernel::Linked;

fn object(path: &str) -> ObjectKey {
    let meta = fs::metadata(path).expect("there");
    let (major, minor) = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
    ObjectKey {
        dev: major << 20 | minor,
        ino: meta.ino(),
        subvol: 0,
    }
}

/// An engine whose zone `web` has claimed a directory, and what the kernel notes of a file in it.
async fn started(host: &Host) -> (Engine, String, Linked) {
    let engine = host.start_in_memory().await;
    done(&engine, register("web")).await;
    let path = host.file("site");
    fs::remove_file(&path).expect("removed");
    fs::create_dir(&path).expect("made");
    done(&engine, claim("web", &path)).await;
    let linked = Linked {
        object: ObjectKey {
            ino: 4711,
            ..object(&path)
        },
        generation: 5,
        claim: object(&path),
        claim_generation: 0,
        name: "co\u{1b}py".into(),
    };
    (engine, path, linked)
}

/// Looks, and waits for the entry that comes of it.
async fn noted(engine: &Engine) -> (Vec<LinkFacts>, Vec<LinkFacts>) {
    let before = engine.journal().head().seq;
    engine.reconcile().await.expect("agrees");
    eventually("an entry", || engine.journal().head().seq > before).await;
    assert_eq!(engine.journal().head().seq, before + 1);
    match last_command(engine) {
        Command::Link { made, gone } => (made, gone),
        other => panic!("{other:?}"),
    }
}

/// Two looks in a row bring no entry.
async fn nothing_new(engine: &Engine) {
    let before = engine.journal().head().seq;
    for _ in 0..2 {
        engine.reconcile().await.expect("agrees");
        // A pass is over when another can begin: its answer has been taken by then.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(engine.journal().head().seq, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_kernel_notes_is_an_entry_once_and_so_is_its_end() {
    let host = Host::new();
    let (engine, path, linked) = started(&host).await;
    host.kernel.link(linked.clone());
    let (made, gone) = noted(&engine).await;
    let facts = LinkFacts {
        claim: path.clone(),
        object: linked.object,
        generation: 5,
        name: "co\u{fffd}py".into(),
    };
    assert_eq!((made, gone), (vec![facts.clone()], Vec::new()));
    nothing_new(&engine).await;
    host.kernel.unlink(linked.object);
    assert_eq!(noted(&engine).await.1, [facts]);
    assert_eq!(fold(&engine.journal()).links(), 0);

    host.kernel.link(linked.clone());
    noted(&engine).await;
    done(&engine, unclaim("web", &path)).await;
    engine.reconcile().await.expect("agrees");
    eventually("the kernel forgets what is no claim's", || {
        host.kernel.linked().is_empty()
    })
    .await;
    nothing_new(&engine).await;
    assert_eq!(reasons(&engine), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_with_the_kernel_s_memory_is_put_back() {
    let mut host = Host::new();
    let (engine, _, linked) = started(&host).await;
    host.kernel.link(linked.clone());
    noted(&engine).await;
    engine.stop().await;

    // A daemon that finds its maps takes them as they are: the file is gone.
    host.kernel.unlink(linked.object);
    let engine = host.start_in_memory().await;
    eventually("the end is noted", || fold(&engine.journal()).links() == 0).await;
    host.kernel.link(linked.clone());
    noted(&engine).await;
    engine.stop().await;

    // One that makes them anew puts back what the journal knows, before it is ready.
    host.kernel = MemoryKernel::new();
    let engine = host.start_in_memory().await;
    let kept = |l: &Linked| (l.object, l.generation, l.claim);
    let expected = [kept(&linked)];
    assert_eq!(
        host.kernel.linked().iter().map(kept).collect::<Vec<_>>(),
        expected
    );
    nothing_new(&engine).await;
    engine.stop().await;

    // So does one of a new boot, which then finds out about devices.
    (host.kernel, host.boot) = (MemoryKernel::new(), BootId([2; 16]));
    let engine = host.start_in_memory().await;
    assert_eq!(
        host.kernel.linked().iter().map(kept).collect::<Vec<_>>(),
        expected
    );
    eventually("its device is known again", || {
        let state = fold(&engine.journal());
        let links = state.claims.values().flat_map(|claim| claim.links.values());
        links.map(|link| link.device).eq([Some(linked.object.dev)])
    })
    .await;
    nothing_new(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_found_late_after_a_boot_has_its_files_again() {
    let mut host = Host::new();
    let (engine, path, linked) = started(&host).await;
    host.kernel.link(linked.clone());
    noted(&engine).await;
    engine.stop().await;
    let away = format!("{path}.away");
    fs::rename(&path, &away).expect("renamed");
    (host.kernel, host.boot) = (MemoryKernel::new(), BootId([2; 16]));
    host.interval = Duration::from_millis(50);
    let _engine = host.start_in_memory().await;
    assert_eq!(host.kernel.linked(), []);
    fs::rename(&away, &path).expect("renamed back");
    eventually("the kernel has it again", || {
        host.kernel.linked().len() == 1
    })
    .await;
    assert_eq!(host.kernel.linked()[0].object, linked.object);
}
