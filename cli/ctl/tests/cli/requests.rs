//! What every command asks the daemon.

use std::fmt::Debug;

use syva_rpc::v1::{
    AllowCommRequest, AllowHostSocketRequest, AttachContainerRequest, DenyCommRequest,
    DenyHostSocketRequest, DetachContainerRequest, ListCommsRequest, ListContainersRequest,
    ListHostPathsRequest, ListHostSocketsRequest, ListZonesRequest, Mode, NetworkMode,
    ReadJournalRequest, RegisterHostPathRequest, RegisterZoneRequest, RemoveHostPathRequest,
    RemoveZoneRequest, SetModeRequest, StatusRequest, WatchEventsRequest, ZonePolicy, ZoneType,
};

use crate::run;
use crate::scripted::{Script, start};

/// A request as the scripted daemon notes it.
fn asks(request: &impl Debug) -> String {
    format!("{request:?}")
}

/// A policy with everything in it.
pub fn policy() -> ZonePolicy {
    ZonePolicy {
        host_paths: vec!["/srv/a".into(), "rel".into()],
        allowed_zones: vec!["db".into(), "host".into()],
        allow_ptrace: true,
        zone_type: ZoneType::Isolated.into(),
        network_mode: NetworkMode::Host.into(),
        allowed_egress_cidrs: vec![],
        host_sockets: vec!["/run/s".into(), "@name".into()],
    }
}

fn register(policy: Option<ZonePolicy>) -> String {
    let zone_name = "web".into();
    asks(&RegisterZoneRequest { zone_name, policy })
}

fn attach(generation: u64, source: &str) -> String {
    let request = AttachContainerRequest {
        container_id: "c1".into(),
        zone_name: "web".into(),
        cgroup_id: 4711,
        source: source.into(),
        generation,
        ..AttachContainerRequest::default()
    };
    format!("{request:?}")
}

fn detach(generation: u64) -> String {
    let (container_id, source) = ("c1".into(), "syva-cli".into());
    asks(&DetachContainerRequest {
        container_id,
        source,
        generation,
    })
}

#[test]
fn every_command_asks_exactly_what_was_typed() {
    let open = ZonePolicy {
        network_mode: NetworkMode::Bridged.into(),
        ..ZonePolicy::default()
    };
    let locked = ZonePolicy {
        zone_type: ZoneType::Privileged.into(),
        ..ZonePolicy::default()
    };
    let [a, b, web] = ["a", "b", "web"].map(String::from);
    let zone = |zone_name: &str| ListContainersRequest {
        zone_name: zone_name.into(),
    };
    let table = [
        ("status", asks(&StatusRequest {})),
        ("zones list", asks(&ListZonesRequest {})),
        ("zones register web", register(None)),
        ("zones register web --network open", register(Some(open))),
        (
            "zones register web --type privileged --network locked",
            register(Some(locked.clone())),
        ),
        (
            "zones register web --type privileged",
            register(Some(locked)),
        ),
        (
            "zones register web --type standard",
            register(Some(ZonePolicy::default())),
        ),
        (
            "zones register web --type isolated --network host --host-path /srv/a --host-path rel \
             --allow-zone db --allow-zone host --allow-ptrace --host-socket /run/s --host-socket @name",
            register(Some(policy())),
        ),
        (
            "zones remove web",
            asks(&RemoveZoneRequest {
                zone_name: web.clone(),
                drain: false,
            }),
        ),
        (
            "zones remove web --drain",
            asks(&RemoveZoneRequest {
                zone_name: web.clone(),
                drain: true,
            }),
        ),
        (
            "host-paths register web rel/../x --recursive",
            asks(&RegisterHostPathRequest {
                zone_name: web.clone(),
                path: "rel/../x".into(),
                recursive: true,
            }),
        ),
        (
            "host-paths remove web /gone",
            asks(&RemoveHostPathRequest {
                zone_name: "web".into(),
                path: "/gone".into(),
            }),
        ),
        (
            "host-sockets allow web /run/s",
            asks(&AllowHostSocketRequest {
                zone_name: web.clone(),
                path: "/run/s".into(),
            }),
        ),
        (
            "host-sockets deny web @name",
            asks(&DenyHostSocketRequest {
                zone_name: web.clone(),
                path: "@name".into(),
            }),
        ),
        (
            "host-sockets list",
            asks(&ListHostSocketsRequest {
                zone_name: String::new(),
            }),
        ),
        (
            "host-sockets list --zone web",
            asks(&ListHostSocketsRequest { zone_name: web }),
        ),
        (
            "host-paths list",
            asks(&ListHostPathsRequest {
                zone_name: String::new(),
            }),
        ),
        (
            "mode audit",
            asks(&SetModeRequest {
                zone_name: String::new(),
                mode: Mode::Audit.into(),
            }),
        ),
        (
            "mode enforce --zone a",
            asks(&SetModeRequest {
                zone_name: a.clone(),
                mode: Mode::Enforce.into(),
            }),
        ),
        (
            "mode inherit --zone a",
            asks(&SetModeRequest {
                zone_name: a.clone(),
                mode: Mode::Inherit.into(),
            }),
        ),
        (
            "comms list",
            asks(&ListCommsRequest {
                zone_name: String::new(),
            }),
        ),
        (
            "comms list a",
            asks(&ListCommsRequest {
                zone_name: a.clone(),
            }),
        ),
        (
            "comms allow a b",
            asks(&AllowCommRequest {
                zone_a: a.clone(),
                zone_b: b.clone(),
            }),
        ),
        (
            "comms deny a b",
            asks(&DenyCommRequest {
                zone_a: a,
                zone_b: b,
            }),
        ),
        (
            "containers attach c1 web --cgroup-id 4711",
            attach(0, "syva-cli"),
        ),
        (
            "containers attach c1 web --cgroup-id 4711 --generation 3 --source k",
            attach(3, "k"),
        ),
        ("containers detach c1", detach(0)),
        ("containers detach c1 --generation 9", detach(9)),
        ("containers list", asks(&zone(""))),
        ("containers list --zone web", asks(&zone("web"))),
        ("events", asks(&WatchEventsRequest { follow: false })),
        (
            "journal inspect --from 2 --to 5",
            asks(&ReadJournalRequest {
                from_seq: 2,
                to_seq: 5,
            }),
        ),
        // Where containers were, only the entries before the first wanted one say.
        (
            "journal inspect --from 2 --zone w",
            asks(&ReadJournalRequest {
                from_seq: 1,
                to_seq: 0,
            }),
        ),
    ];
    // The replies are empty: `ok=false` refuses, what has no `ok` is done.
    let daemon = start(Script::default());
    for (line, asked) in table {
        let done = run(&daemon.socket, line);
        let refused = ["remove", "comms allow", "comms deny", "attach", "detach"];
        let exit = i32::from(refused.iter().any(|verb| line.contains(verb)));
        assert_eq!(done.exit, exit, "{line}: {}", done.err);
        let heard = std::mem::take(&mut *daemon.script.asked.lock().expect("no panic"));
        assert_eq!(heard, [asked], "{line}");
    }
}
