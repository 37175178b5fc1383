//! bpf(2): what a zone may do with it, and what not.

use std::path::Path;

use syva_model::hook::Hook;
use syva_model::image::{MapWrite, Pair, ZoneId};

use crate::guest::enforce::world::{TWO, World};
use crate::guest::{Checks, Failure};

const REFUSED: &[(&str, &str)] = &[
    ("map-create-ring-buffer", "MAP_CREATE"),
    ("map-create-of-maps", "MAP_CREATE"),
    ("load-kprobe", "PROG_LOAD"),
    ("load-tracepoint", "PROG_LOAD"),
    ("load-raw-tracepoint", "PROG_LOAD"),
    ("load-cgroup-skb", "PROG_LOAD"),
    ("prog-get-next-id", "PROG_GET_NEXT_ID"),
    ("map-get-next-id", "MAP_GET_NEXT_ID"),
    ("prog-get-fd-by-id", "PROG_GET_FD_BY_ID"),
    ("map-get-fd-by-id", "MAP_GET_FD_BY_ID"),
    ("btf-get-fd-by-id", "BTF_GET_FD_BY_ID"),
    ("link-get-fd-by-id", "LINK_GET_FD_BY_ID"),
    ("raw-tracepoint-open", "RAW_TRACEPOINT_OPEN"),
    ("task-fd-query", "TASK_FD_QUERY"),
    ("link-create", "LINK_CREATE"),
    ("link-update", "LINK_UPDATE"),
    ("enable-stats", "ENABLE_STATS"),
    ("iter-create", "ITER_CREATE"),
    ("link-detach", "LINK_DETACH"),
    ("prog-bind-map", "PROG_BIND_MAP"),
    ("token-create", "TOKEN_CREATE"),
    ("unknown-command", "command 4711"),
];

/// What container runtimes, and programs that filter their own sockets, do.
const ALLOWED: &[&str] = &[
    "map-create",
    "map-use",
    "load-socket-filter",
    "load-cgroup-device",
];

pub fn run(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (two, one) = (world.two.clone(), world.one.clone());
    let (free, privileged) = (world.free.clone(), world.privileged.clone());
    for (action, command) in REFUSED {
        let claim = format!("zone two: bpf(2), {action}");
        let event = world
            .refused(checks, &claim, Hook::Bpf, &two, "bpf", &[Path::new(action)])?
            .ok_or("no event")?;
        checks.equal(format!("{claim}: named"), &event.name.as_str(), command);
    }
    for action in ALLOWED {
        for (who, cgroup) in [("zone two", &two), ("a host task", &free)] {
            let claim = format!("{who}: bpf(2), {action}");
            world.allowed(checks, &claim, cgroup, "bpf", &[Path::new(action)])?;
        }
    }
    for action in ["load-kprobe", "map-get-next-id", "prog-get-next-id"] {
        for (who, cgroup) in [("a privileged zone", &privileged), ("a host task", &free)] {
            let claim = format!("{who}: bpf(2), {action}");
            world.allowed(checks, &claim, cgroup, "bpf", &[Path::new(action)])?;
        }
    }
    let pair = Pair::new(ZoneId::HOST, TWO);
    world.pairs.write(&MapWrite::PutPair(pair))?;
    let claim = "a pair with the host does not open bpf(2)";
    let action = [Path::new("map-get-next-id")];
    world.refused(checks, claim, Hook::Bpf, &two, "bpf", &action)?;
    world.pairs.write(&MapWrite::DropPair(pair))?;
    for action in ["attach-device", "query-device", "detach-device"] {
        for (whose, cgroup) in [("zone one's", &one), ("a host's", &free)] {
            let claim = format!("zone two, {whose} cgroup: {action}");
            let args = [Path::new(action), cgroup];
            world.refused(checks, &claim, Hook::Bpf, &two, "bpf", &args)?;
        }
    }
    for action in ["attach-device", "query-device"] {
        for (who, cgroup) in [
            ("zone two, its own cgroup", &two),
            ("a host task, its own", &free),
        ] {
            let claim = format!("{who}: {action}");
            world.allowed(checks, &claim, cgroup, "bpf", &[Path::new(action), cgroup])?;
        }
    }
    let claim = "a classic filter of system calls is installed in zone two";
    world.allowed(checks, claim, &two, "filter-system-calls", &[])
}
