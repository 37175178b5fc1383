//! What the maps hold behind the daemon's back is found, repaired and counted; what the kernel itself
//! derives is checked against the cgroup tree (D14).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;

use common::{
    Host, allow_socket, attach, claim, detach, done, eventually, last_command, register,
    register_with,
};
use syva_actors::{Engine, Request};
use syva_model::command::Command;
use syva_model::host_socket::{Grant, Place, SocketKey};
use syva_model::image::{
    CgroupId, ClaimRow, Image, MemberRow, ObjectKey, Origin, Pair, Scope, ZoneId, ZoneRow,
};

const WEB: ZoneId = ZoneId(1);
const DB: ZoneId = ZoneId(2);

const STRANGER: ObjectKey = ObjectKey {
    dev: 1,
    ino: 2,
    subvol: 0,
};

fn born(zone: ZoneId, root: CgroupId) -> MemberRow {
    MemberRow {
        zone,
        root,
        origin: Origin::Kernel,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_deleted_added_or_changed_behind_the_daemons_back_are_repaired_and_counted() {
    let host = Host::new();
    let engine = host.start_in_memory().await;
    let (file, cgroup) = (host.file("f"), host.cgroup("a"));
    done(&engine, register_with("web", &[], &["db"])).await;
    done(&engine, register_with("db", &[], &["web"])).await;
    done(&engine, claim("web", &file)).await;
    done(&engine, attach("c1", "web", cgroup)).await;
    done(&engine, allow_socket("web", "@name")).await;
    let right = host.kernel.image();
    type Change = fn(&mut Image);
    let changes: [(&str, Change); 15] = [
        ("a zone deleted", |i| i.zones.retain(|id, _| *id != WEB)),
        ("a zone added", |i| {
            i.zones.insert(ZoneId(9), ZoneRow::default());
        }),
        ("a zone privileged", |i| {
            i.zones.get_mut(&WEB).unwrap().privileged = true;
        }),
        ("a member deleted", |i| i.members.clear()),
        ("a member added", |i| {
            let id = CgroupId(u64::MAX);
            let origin = Origin::Journal;
            let row = born(WEB, id);
            i.members.insert(id, MemberRow { origin, ..row });
        }),
        ("a member moved", |i| {
            i.members.values_mut().for_each(|row| row.zone = DB);
        }),
        ("a member called kernel-born", |i| {
            i.members
                .values_mut()
                .for_each(|row| row.origin = Origin::Kernel);
        }),
        ("a claim deleted", |i| {
            i.claims.retain(|_, row| !row.labels());
        }),
        ("a directory above it let go", |i| {
            let above = i.claims.iter().find(|(_, row)| !row.labels());
            let key = *above.unwrap().0;
            i.claims.remove(&key);
        }),
        ("a claim added", |i| {
            let row = *i.claims.values().find(|row| row.labels()).unwrap();
            i.claims.insert(STRANGER, row);
        }),
        ("a claim narrowed", |i| {
            let scope = Scope::Exact;
            let narrow = |row: &mut ClaimRow| row.scope = scope;
            i.claims
                .values_mut()
                .filter(|row| row.labels())
                .for_each(narrow);
        }),
        ("a pair closed", |i| i.pairs.clear()),
        ("a pair opened", |i| {
            i.pairs.insert(Pair::new(WEB, ZoneId::HOST));
        }),
        ("a host socket taken", |i| i.host_sockets.clear()),
        ("a host socket given", |i| {
            let place = Place::new("@other").expect("a place");
            let socket = SocketKey::of_abstract(place);
            i.host_sockets.insert(Grant { zone: WEB, socket });
        }),
    ];
    let count = changes.len() as u64;
    for (repaired, (what, change)) in (1..).zip(changes) {
        host.kernel.tamper(change);
        let report = engine.reconcile().await.expect(what);
        assert_eq!(report.repaired(), 1, "{what}: {report:?}");
        assert_eq!(host.kernel.image(), right, "{what}");
        assert_eq!(engine.drift_repaired(), repaired, "{what}");
    }
    assert_eq!(engine.reconcile().await.expect("agrees").repaired(), 0);
    assert_eq!(engine.drift_repaired(), count);
    assert!(host.agrees_with(&engine.journal()));
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_found_by_the_timer_too() {
    let mut host = Host::new();
    host.interval = std::time::Duration::from_millis(30);
    let engine = host.start_in_memory().await;
    done(&engine, register("web")).await;
    host.kernel.tamper(|image| image.zones.clear());
    eventually("it is repaired", || engine.drift_repaired() == 1).await;
    assert!(host.agrees_with(&engine.journal()));
}

/// Checks kernel rows by path: zone and root's path.
fn rows(host: &Host, expected: &[(&str, Option<(ZoneId, &str)>)]) {
    for (path, row) in expected {
        let expected = row.map(|(zone, root)| {
            let origin = match root == *path {
                true => Origin::Journal,
                false => Origin::Kernel,
            };
            (zone, host.cgroup(root), origin)
        });
        assert_eq!(host.row(host.cgroup(path)), expected, "{path}");
    }
}

async fn nested(host: &Host) -> Engine {
    let engine = host.start_in_memory().await;
    done(&engine, register("web")).await;
    done(&engine, register("db")).await;
    for path in ["beside", "out/a/b", "out/in/c/d", "out/in/e"] {
        host.cgroup(path);
    }
    engine
}

#[tokio::test(flavor = "multi_thread")]
async fn attaching_labels_what_is_below_and_leaves_what_is_attached_elsewhere() {
    let host = Host::new();
    let engine = nested(&host).await;
    done(&engine, attach("inner", "db", host.cgroup("out/in"))).await;
    done(&engine, attach("outer", "web", host.cgroup("out"))).await;
    let (web, db) = (Some((WEB, "out")), Some((DB, "out/in")));
    let attached = [
        ("beside", None),
        ("out", web),
        ("out/a", web),
        ("out/a/b", web),
        ("out/in", db),
        ("out/in/c", db),
        ("out/in/c/d", db),
        ("out/in/e", db),
    ];
    rows(&host, &attached);
    assert_eq!(engine.reconcile().await.expect("agrees").repaired(), 0);
    // The other way round it is the same.
    done(&engine, detach("inner")).await;
    done(&engine, attach("inner", "db", host.cgroup("out/in"))).await;
    rows(&host, &attached);
}

#[tokio::test(flavor = "multi_thread")]
async fn detaching_hands_over_to_the_root_above_or_to_nobody() {
    for outer_first in [true, false] {
        let host = Host::new();
        let engine = nested(&host).await;
        done(&engine, attach("outer", "web", host.cgroup("out"))).await;
        done(&engine, attach("inner", "db", host.cgroup("out/in"))).await;
        if outer_first {
            done(&engine, detach("outer")).await;
            let db = Some((DB, "out/in"));
            rows(&host, &[("out", None), ("out/a/b", None), ("out/in", db)]);
            done(&engine, detach("inner")).await;
        } else {
            let (watched, mut image) = (host.cgroup("out/in/c/d"), host.kernel.image());
            host.kernel.record();
            done(&engine, detach("inner")).await;
            for step in host.kernel.recorded() {
                image.apply(&step);
                assert!(image.members.contains_key(&watched), "no gap, at no step");
            }
            let web = Some((WEB, "out"));
            // The inner root is one of the outer's cgroups now.
            assert_eq!(
                host.row(host.cgroup("out/in")),
                Some((WEB, host.cgroup("out"), Origin::Kernel))
            );
            rows(
                &host,
                &[("out", web), ("out/in/c/d", web), ("out/in/e", web)],
            );
            assert_eq!(engine.reconcile().await.expect("agrees").repaired(), 0);
            done(&engine, detach("outer")).await;
        }
        assert!(host.kernel.image().members.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_moves_takes_its_cgroups_along() {
    let host = Host::new();
    let engine = nested(&host).await;
    let out = host.cgroup("out");
    done(&engine, attach("outer", "web", out)).await;
    let mut moved = attach("outer", "db", out);
    if let Request::Attach { generation, .. } = &mut moved {
        *generation = 1;
    }
    done(&engine, moved).await;
    let db = Some((DB, "out"));
    rows(&host, &[("out", db), ("out/a/b", db), ("out/in/c/d", db)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn kernel_born_rows_that_are_missing_wrong_or_astray_are_put_right() {
    let host = Host::new();
    let engine = nested(&host).await;
    let ids = ["out", "beside", "out/a", "out/a/b", "out/in/e"].map(|path| host.cgroup(path));
    let [out, beside, a, b, e] = ids;
    done(&engine, attach("outer", "web", out)).await;
    let right = host.kernel.image();
    type Change = Box<dyn Fn(&mut Image)>;
    let put = |id: CgroupId, row: MemberRow| -> Change {
        Box::new(move |image| {
            image.members.insert(id, row);
        })
    };
    let changes: [(&str, Change); 6] = [
        (
            "missing",
            Box::new(move |i| i.members.retain(|id, _| *id != b)),
        ),
        ("in another zone", put(a, born(DB, out))),
        ("below another root", put(e, born(WEB, beside))),
        ("of a root that is none", put(beside, born(WEB, beside))),
        (
            "of a zone that is not its root's",
            put(beside, born(DB, out)),
        ),
        ("not below its root", put(beside, born(WEB, out))),
    ];
    for (what, change) in changes {
        let before = engine.drift_repaired();
        host.kernel.tamper(change);
        let repaired = engine.reconcile().await.expect(what).repaired();
        assert_eq!(host.kernel.image(), right, "{what}");
        assert_eq!(repaired, 1, "{what}");
        assert_eq!(engine.drift_repaired(), before + 1, "{what}");
    }
    // A cgroup that was made while nobody looked is labelled.
    let late = host.cgroup("out/a/late");
    engine.reconcile().await.expect("labels it");
    assert_eq!(host.row(late), Some((WEB, out, Origin::Kernel)));
    // That a row's cgroup is in no list says nothing of it: the kernel takes the row away with the cgroup. One in
    // the wrong zone is put right all the same.
    let unseen = CgroupId(u64::MAX);
    host.kernel.tamper(put(unseen, born(DB, out)));
    for repaired in [1, 0, 0] {
        let report = engine.reconcile().await.expect("compares");
        assert_eq!(report.repaired(), repaired);
        assert_eq!(host.row(unseen), Some((WEB, out, Origin::Kernel)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_cgroup_is_gone_leaves_by_an_entry() {
    let host = Host::new();
    let engine = nested(&host).await;
    let out = host.cgroup("out");
    done(&engine, attach("outer", "web", out)).await;
    fs::remove_dir_all(host.cgroup_dir("out")).expect("gone");
    // As the kernel does.
    host.kernel.tamper(|image| image.members.clear());
    let report = engine.reconcile().await.expect("compares");
    assert_eq!(report.gone, [out]);
    assert_eq!(report.repaired(), 0, "a cgroup that goes is no drift");
    let journal = engine.journal();
    eventually("the entry", || journal.head().seq == 5).await;
    let gone = Command::CgroupGone {
        container: "outer".into(),
        cgroup: out,
    };
    assert_eq!(last_command(&engine), gone);
    eventually("the maps agree", || host.agrees_with(&journal)).await;
    assert!(host.kernel.image().members.is_empty());
    // It is said once.
    engine.reconcile().await.expect("compares");
    engine.ask(|_| ()).await.expect("settled");
    assert_eq!(journal.head().seq, 5);
}
