//! Everything that may be asked wrongly: refused in words that say what, why and what to do, with
//! nothing changed; and beside it what is nearly the same and accepted.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;

use syva_e2e::daemon::Daemon;

use crate::home::Home;

/// What is refused, what the refusal says (parts between bars), and what is accepted right after it.
pub type Case = (Vec<OsString>, &'static str, Vec<OsString>);

/// A command line: words between spaces; `{}` stands for the next of `values`.
pub fn line(text: &str, values: &[&OsStr]) -> Vec<OsString> {
    let mut values = values.iter();
    let fill = |word: &str| match word {
        "{}" => values.next().expect("a value").into(),
        word => OsString::from(word),
    };
    text.split(' ').map(fill).collect()
}

/// Tries every case on a daemon, which must be as before after each refusal.
pub fn refuse_all(daemon: &Daemon, cases: Vec<Case>) {
    for (refused, says, twin) in cases {
        let before = daemon.digest().expect("replayed");
        let answer = daemon.cli(&refused).expect("answered");
        let reason = answer.reason();
        assert_eq!(answer.exit, 1, "{refused:?}: {answer:?}");
        assert_eq!(answer.json()["ok"], false, "{refused:?}");
        for part in says.split(" | ") {
            assert!(
                reason.contains(part),
                "{refused:?}: {part:?} is not in {reason:?}"
            );
        }
        assert_eq!(
            daemon.digest().expect("replayed"),
            before,
            "{refused:?} changed something"
        );
        daemon.done(&twin).expect("the twin is accepted");
    }
}

/// Zones `web` and `db`; `c1` is in `web` with generation 5.
fn daemon(home: &Home) -> Daemon {
    let daemon = home.start();
    for zone in ["web", "db"] {
        daemon.done(&["zones", "register", zone]).expect("done");
    }
    let one = home.cgroup("one");
    let attach = [
        "containers",
        "attach",
        "c1",
        "web",
        "--generation",
        "5",
        "--cgroup-id",
        &one,
    ];
    daemon.done(&attach).expect("done");
    daemon
}

#[test]
fn an_unknown_zone_is_refused_everywhere() {
    let home = Home::new();
    let (file, two) = (home.file("file"), home.cgroup("two"));
    let (file, two) = (OsStr::new(&file), OsStr::new(&two));
    let unknown = "there is no zone nope";
    let register = "there is no zone nope | register it first";
    let case =
        |refused, says, twin, values: &[&OsStr]| (line(refused, values), says, line(twin, values));
    refuse_all(
        &daemon(&home),
        vec![
            case("comms allow web nope", register, "comms allow web db", &[]),
            case("comms deny nope web", register, "comms deny db web", &[]),
            case("comms list nope", unknown, "comms list db", &[]),
            case(
                "host-paths register nope {}",
                register,
                "host-paths register db {}",
                &[file],
            ),
            case(
                "host-paths list --zone nope",
                unknown,
                "host-paths list --zone db",
                &[],
            ),
            case(
                "containers list --zone nope",
                unknown,
                "containers list --zone db",
                &[],
            ),
            case(
                "containers attach c2 nope --cgroup-id {}",
                register,
                "containers attach c2 db --cgroup-id {}",
                &[two],
            ),
            case(
                "zones remove nope",
                register,
                "zones remove db --drain",
                &[],
            ),
        ],
    );
}

#[test]
fn a_bad_zone_name_is_refused_by_the_rule_it_breaks() {
    let home = Home::new();
    let (long, longest) = ("x".repeat(129), "x".repeat(128));
    let case = |bad: &str, says, good: &str| {
        let register = |name: &str| line("zones register {}", &[OsStr::new(name)]);
        (register(bad), says, register(good))
    };
    refuse_all(
        &daemon(&home),
        vec![
            case("", "empty | 1 to 128", "a"),
            case(&long, "129 bytes | at most 128", &longest),
            case(
                "../etc",
                "'/' | only ASCII letters",
                "..etc".trim_start_matches('.'),
            ),
            case("a b", "' ' | only ASCII letters", "a_b"),
            case("a\nb", "'\\n' | only ASCII letters", "a-b"),
            case("syvä", "'ä' | only ASCII letters", "syva"),
            case("a..b", "empty part", "a.b"),
            case(".a", "empty part", "a:b"),
            case("host", "reserved", "hosts"),
            case("zone-7", "reserved", "zone-seven"),
        ],
    );
}

#[test]
fn a_path_that_cannot_be_claimed_is_refused_with_the_reason() {
    let home = Home::new();
    let odd = home.path("").join(OsStr::from_bytes(b"odd-\xff"));
    fs::write(&odd, "").expect("written");
    symlink(&odd, home.path("to-odd")).expect("linked");
    home.file("lines\nof/a-file");
    symlink(home.path("lines\nof/a-file"), home.path("to-lines")).expect("linked");
    let (plain, taken) = (home.file("dir/plain"), home.file("taken"));
    fs::hard_link(&taken, home.path("second-name")).expect("linked");
    symlink(home.path("nowhere"), home.path("dangling")).expect("linked");
    fs::create_dir(home.path("other")).expect("made");

    let daemon = daemon(&home);
    daemon
        .done(&["host-paths", "register", "db", &taken])
        .expect("done");
    let file = |name: &str| home.path(name).into_os_string();
    let case = |path: OsString, says, twin: OsString| {
        let register = |path: &OsString| line("host-paths register web {}", &[path]);
        (register(&path), says, register(&twin))
    };
    let recursive = |mut case: Case| {
        case.0.push("--recursive".into());
        case
    };
    let plain = OsString::from(plain);
    refuse_all(
        &daemon,
        vec![
            case(
                "dir/plain".into(),
                "not absolute | give it from /",
                plain.clone(),
            ),
            case(file("missing"), "missing | No such file", plain.clone()),
            case(file("dir/plain/below"), "Not a directory", plain.clone()),
            case(file("dangling"), "No such file", plain.clone()),
            case(
                odd.clone().into(),
                "not UTF-8 | rename it, or claim a directory above",
                plain.clone(),
            ),
            case(file("to-odd"), "leads to | not UTF-8", plain.clone()),
            case(file("to-lines"), "control character", plain.clone()),
            case(
                file("taken"),
                "cannot be zone web's | zone db has claimed it",
                plain.clone(),
            ),
            case(
                file("second-name"),
                "zone db has claimed it | /taken",
                plain.clone(),
            ),
            case(file("state"), "the engine's own", file("other")),
            case(file("state/anchor"), "the engine's own", file("other")),
            case(file("core.sock"), "the engine's own", file("other")),
            recursive(case(file(""), "claimed whole | lies below it", file(""))),
        ],
    );
}

#[test]
fn what_the_host_itself_needs_cannot_be_claimed() {
    let home = Home::new();
    let daemon = daemon(&home);
    let below = home.file("below");
    for path in [
        "/",
        "/usr",
        "/bin",
        "/sbin",
        "/lib",
        "/lib64",
        "/usr/bin",
        "/usr/sbin",
        "/usr/lib",
        "/etc",
        "/proc",
        "/sys",
        "/dev",
        "/run",
        "/var/run",
    ] {
        // Not every system has a /lib64.
        if !fs::exists(path).expect("looked up") {
            continue;
        }
        for more in [None, Some("--recursive")] {
            let mut refused = line("host-paths register web {}", &[OsStr::new(path)]);
            refused.extend(more.map(OsString::from));
            let twin = line("host-paths register web {}", &[OsStr::new(&below)]);
            refuse_all(&daemon, vec![(refused, "cannot be claimed", twin)]);
        }
    }
}

#[test]
fn a_symbolic_link_is_claimed_by_the_path_it_leads_to() {
    let home = Home::new();
    let daemon = daemon(&home);
    let real = home.file("real/file");
    symlink(home.path("real"), home.path("link")).expect("linked");
    let through = home.path("link/file").display().to_string();
    daemon
        .done(&["host-paths", "register", "web", &through])
        .expect("done");
    let listed = daemon.done(&["host-paths", "list"]).expect("done");
    assert_eq!(listed.json()["paths"][0]["path"], *real);
    let other = daemon
        .cli(&["host-paths", "register", "db", &real])
        .expect("answered");
    assert_eq!(other.exit, 1, "it is the same object: {other:?}");
}

#[test]
fn a_cgroup_that_cannot_be_attached_is_refused_with_the_reason() {
    let home = Home::new();
    let (root, two, three) = (home.cgroup("/"), home.cgroup("two"), home.cgroup("three"));
    let one = home.cgroup("one");
    let case = |refused, values: &[&String], says, twin| {
        let values: Vec<&OsStr> = values
            .iter()
            .map(|value| OsStr::new(value.as_str()))
            .collect();
        (line(refused, &values), says, line(twin, &values))
    };
    let attach = "containers attach c2 web --cgroup-id {}";
    refuse_all(
        &daemon(&home),
        vec![
            (
                line("containers attach c2 web --cgroup-id 0", &[]),
                "cgroup id 0 is no cgroup",
                line("status", &[]),
            ),
            (
                line(
                    "containers attach c2 web --cgroup-id 18446744073709551615",
                    &[],
                ),
                "no cgroup with id 18446744073709551615 | inode number | gone already",
                line("status", &[]),
            ),
            case(attach, &[&root], "root cgroup | the whole host", "status"),
            case(
                attach,
                &[&one],
                "is container c1's, in zone web | detach that one first",
                "status",
            ),
            case(
                "containers attach c1 db --cgroup-id {}",
                &[&two],
                "attached to zone web | detach it first",
                attach,
            ),
            case(
                "containers attach c1 web --cgroup-id {} --generation 4",
                &[&one],
                "generation 4 | stale | 5 is attached",
                "containers attach c1 web --cgroup-id {} --generation 5",
            ),
            (
                line("containers detach c1 --generation 4", &[]),
                "stale",
                line("containers detach c1 --generation 5", &[]),
            ),
            case(
                "containers attach {} web --cgroup-id 1",
                &[&String::new()],
                "container id is empty",
                "status",
            ),
            (
                line("zones remove web", &[]),
                "1 members | detach them first | drain",
                line("zones remove web --drain", &[]),
            ),
            case(
                "containers attach c3 web --cgroup-id {}",
                &[&three],
                "draining | revive it",
                "containers attach c3 db --cgroup-id {}",
            ),
        ],
    );
}

#[test]
fn a_zone_cannot_list_itself() {
    let home = Home::new();
    let case = (
        line("zones register db --allow-zone db", &[]),
        "lists itself | leave it out",
        line("zones register db --allow-zone web", &[]),
    );
    refuse_all(&daemon(&home), vec![case]);
}
