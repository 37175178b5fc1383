//! Host sockets through the real programs: given, listed, taken, refused, kept.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};
use syva_e2e::daemon::Daemon;

use crate::home::Home;
use crate::refusals::{line, refuse_all};

fn list(daemon: &Daemon, zone: &str) -> Vec<Value> {
    let words = ["host-sockets", "list", "--zone", zone];
    let sockets = daemon.done(&words).expect("listed").json()["sockets"].clone();
    let shown = |socket: &Value| json!([socket["path"], socket["state"], socket["by_default"]]);
    sockets
        .as_array()
        .expect("a list")
        .iter()
        .map(shown)
        .collect()
}

#[test]
fn a_socket_is_given_by_its_real_path_and_taken_by_either() {
    let home = Home::new();
    let daemon = home.start();
    let text = |name: &str| home.path(name).to_str().expect("UTF-8").to_owned();
    fs::create_dir(home.path("real")).expect("made");
    symlink(home.path("real"), home.path("led")).expect("made");
    let (real, led) = (text("real/s"), text("led/s"));
    daemon.done(&["zones", "register", "web"]).expect("done");
    let given = daemon
        .done(&["host-sockets", "allow", "web", &led])
        .expect("given");
    assert!(
        given.json()["result"]["message"]
            .to_string()
            .contains(&real)
    );
    assert_eq!(list(&daemon, "web"), [json!([real, "held", false])]);
    let before = daemon.digest().expect("replayed");
    daemon
        .done(&["host-sockets", "allow", "web", &real])
        .expect("so already");
    assert_eq!(daemon.digest().expect("replayed"), before);
    daemon
        .done(&["host-sockets", "allow", "web", "@name"])
        .expect("given");
    // The directory is gone with its service; the operator still means the same.
    fs::remove_dir(home.path("real")).expect("removed");
    daemon
        .done(&["host-sockets", "deny", "web", &real])
        .expect("taken");
    assert_eq!(list(&daemon, "web"), [json!(["@name", "held", false])]);
    daemon
        .done(&["host-sockets", "deny", "web", &real])
        .expect("it has not");
    daemon.digest().expect("replayed");
}

#[test]
fn a_policy_gives_sockets_and_another_one_takes_them() {
    let home = Home::new();
    let daemon = home.start();
    let file = home.file("s");
    daemon
        .done(&[
            "zones",
            "register",
            "web",
            "--host-socket",
            &file,
            "--host-socket",
            "@n",
        ])
        .expect("registered");
    assert_eq!(list(&daemon, "web").len(), 2);
    let zones = daemon.done(&["zones", "list"]).expect("listed");
    let policy = &zones.json()["zones"][0]["policy"]["host_sockets"];
    assert_eq!(policy.as_array().expect("a list").len(), 2);
    daemon
        .done(&["zones", "register", "web"])
        .expect("no policy");
    assert_eq!(list(&daemon, "web").len(), 2);
    daemon
        .done(&["zones", "register", "web", "--host-socket", "@n"])
        .expect("registered");
    assert_eq!(list(&daemon, "web"), [json!(["@n", "held", false])]);
    let privileged = [
        "zones",
        "register",
        "web",
        "--type",
        "privileged",
        "--host-socket",
        "@n",
    ];
    let told = daemon.done(&privileged).expect("registered");
    assert!(
        told.json()["result"]["notes"]
            .to_string()
            .contains("every socket")
    );
    daemon.done(&["zones", "remove", "web"]).expect("removed");
    daemon.digest().expect("replayed");
}

#[test]
fn what_cannot_be_given_is_refused_in_words_and_changes_nothing() {
    let home = Home::new();
    let limit = ["--max-host-sockets", "1"];
    let daemon = home.setup().args(&limit).start().expect("started");
    for zone in ["web", "db"] {
        daemon.done(&["zones", "register", zone]).expect("done");
    }
    let claimed = home.path("claimed");
    fs::create_dir(&claimed).expect("made");
    let claim = line(
        "host-paths register db {} --recursive",
        &[claimed.as_os_str()],
    );
    daemon.done(&claim).expect("claimed");
    let deep = home.path("1/2/3/4/5/6/7/8/9");
    fs::create_dir_all(&deep).expect("made");
    let long = format!("@{}", "x".repeat(108));
    let fine = || line("status", &[]);
    let allow = |path: &OsStr| line("host-sockets allow web {}", &[path]);
    refuse_all(
        &daemon,
        vec![
            (
                line("host-sockets allow none @n", &[]),
                "no zone none",
                fine(),
            ),
            (
                line("host-sockets deny none @n", &[]),
                "no zone none",
                fine(),
            ),
            (
                line("host-sockets allow web run/s", &[]),
                "absolute | @NAME",
                fine(),
            ),
            (
                allow(home.path("no/s").as_os_str()),
                "its directory must",
                fine(),
            ),
            (allow(claimed.as_os_str()), "is a directory", fine()),
            (
                allow(claimed.join("s").as_os_str()),
                "claimed by zone db | comms allow web db",
                fine(),
            ),
            (allow(deep.join("s").as_os_str()), "levels", fine()),
            (allow(OsStr::new(&long)), "109 bytes", fine()),
            (
                line("host-sockets list --zone none", &[]),
                "no zone none",
                line("host-sockets allow web @a", &[]),
            ),
            (
                line("host-sockets allow db @a", &[]),
                "1 of 1 host sockets",
                line("host-sockets deny web @a", &[]),
            ),
        ],
    );
    daemon
        .done(&line("host-sockets allow db @a", &[]))
        .expect("there is room again");
}

#[test]
fn a_unit_is_attached_by_its_name_and_again_when_it_is_started_again() {
    let home = Home::new();
    let daemon = home.start();
    let root = home.path("cgroup");
    let root = root.to_str().expect("UTF-8");
    daemon.done(&["zones", "register", "web"]).expect("done");
    let unit = "syva-e2e@1.service";
    let first = home.cgroup("system.slice/system-syva.slice/syva-e2e@1.service");
    let attach = [
        "containers",
        "attach",
        unit,
        "web",
        "--unit",
        unit,
        "--cgroup-root",
        root,
    ];
    let answer = daemon.done(&attach).expect("attached");
    assert_eq!(answer.json()["result"]["cgroup_id"].to_string(), first);
    let listed = daemon.done(&["containers", "list"]).expect("listed");
    let held = &listed.json()["containers"][0];
    assert_eq!(
        held["cgroup_path"],
        "/system.slice/system-syva.slice/syva-e2e@1.service"
    );
    assert_eq!(held["generation"].to_string(), first);
    let nobody = [
        "containers",
        "attach",
        "x",
        "web",
        "--unit",
        "syva-none.service",
        "--cgroup-root",
        root,
    ];
    let refused = daemon.cli(&nobody).expect("answered");
    assert!(
        refused.exit == 1 && refused.reason().contains("is it running"),
        "{refused:?}"
    );
    home.cgroup("plain");
    let plain = home.path("cgroup/plain");
    let plain = plain.to_str().expect("UTF-8");
    let by_path = ["containers", "attach", "c1", "web", "--cgroup-path", plain];
    daemon.done(&by_path).expect("attached");
    daemon.digest().expect("replayed");
}
