//! What the kernel's maps are made for is checked before the journal takes more, and at every start.

use std::ffi::OsStr;

use crate::home::Home;
use crate::refusals::{line, refuse_all};
use crate::start::{contains_all, refusal};

#[test]
fn past_its_capacities_the_node_takes_no_more_until_something_goes() {
    let home = Home::new();
    let limits = [
        "--max-zones",
        "2",
        "--max-members",
        "1",
        "--max-claims",
        "1",
        "--max-pairs",
        "1",
    ];
    let daemon = home.setup().args(&limits).start().expect("started");
    let (one, two) = (home.cgroup("one"), home.cgroup("two"));
    let (file, other) = (home.file("file"), home.file("other"));
    let with = |text: &str, value: &String| line(text, &[OsStr::new(value)]);
    for full in [
        line("zones register web", &[]),
        line("zones register db", &[]),
        line("comms allow web db", &[]),
        with("containers attach c1 web --cgroup-id {}", &one),
        with("host-paths register web {}", &file),
    ] {
        daemon.done(&full).expect("it fits");
    }
    refuse_all(
        &daemon,
        vec![
            (
                line("zones register more", &[]),
                "cannot create zone more | max_zones 2 | remove a zone first",
                line("zones register web", &[]),
            ),
            (
                line("comms allow web host", &[]),
                "1 of 1 allowed pairs",
                line("comms deny web db", &[]),
            ),
            (
                line("comms list none", &[]),
                "no zone none",
                line("comms allow web host", &[]),
            ),
            (
                with("containers attach c2 db --cgroup-id {}", &two),
                "cannot attach c2 | 1 members",
                line("containers detach c1", &[]),
            ),
            (
                with("host-paths register db {}", &other),
                "1 of 1 claims",
                line("zones remove web", &[]),
            ),
        ],
    );
    for fits in [
        line("zones register more", &[]),
        line("comms allow more db", &[]),
        with("containers attach c2 db --cgroup-id {}", &two),
        with("host-paths register db {}", &other),
    ] {
        daemon.done(&fits).expect("there is room again");
    }
}

#[test]
fn capacities_below_what_the_journal_holds_are_refused() {
    let home = Home::new();
    let daemon = home.start();
    let (one, two) = (home.cgroup("one"), home.cgroup("two"));
    for words in ["web", "db", "log"].map(|zone| ["zones", "register", zone]) {
        daemon.done(&words).expect("done");
    }
    for (id, cgroup) in [("c1", &one), ("c2", &two)] {
        daemon
            .done(&["containers", "attach", id, "web", "--cgroup-id", cgroup])
            .expect("done");
    }
    daemon.terminate().expect("ended");
    for (option, held) in [("--max-zones", "3 zones"), ("--max-members", "2 members")] {
        let log = refusal(&home.setup().args(&[option, "1"]));
        contains_all(&log, &[held, option]);
    }
    home.setup()
        .args(&["--max-zones", "3", "--max-members", "2"])
        .start()
        .expect("all fit");
}
