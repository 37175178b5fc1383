//! How answers are printed, as text and as JSON.

use serde_json::json;
use syva_rpc::v1::{
    AllowHostSocketResponse, AttachContainerResponse, Claimant, CommPair, ContainerSummary,
    DenyCommResponse, HookStatus, HostPath, HostSocket, ListCommsResponse, ListContainersResponse,
    ListHostPathsResponse, ListHostSocketsResponse, ListZonesResponse, RegisterZoneResponse,
    RemoveHostPathResponse, RemoveZoneResponse, StatusResponse, ZoneSummary,
};

use crate::requests::policy;
use crate::run;
use crate::scripted::{Script, start};

#[test]
fn a_write_is_operation_ok_result_and_reason() {
    let removed = RemoveZoneResponse {
        ok: true,
        message: "draining".into(),
    };
    let registered = RegisterZoneResponse {
        zone_id: 7,
        notes: vec!["below /srv of db".into()],
    };
    let attached = AttachContainerResponse {
        ok: true,
        message: "unchanged".into(),
    };
    let refused = AttachContainerResponse {
        ok: false,
        message: "stale generation".into(),
    };
    let none: [&str; 0] = [];
    for (script, line, exit, expected) in [
        (
            Script {
                not_enforced: vec!["network mode", "egress"],
                ..Script::replying(registered)
            },
            "zones register web",
            0,
            json!({"operation": "zones.register", "ok": true, "reason": null, "result": {
                "zone": "web", "zone_id": 7, "notes": ["below /srv of db"],
                "not_enforced": ["network mode", "egress"]}}),
        ),
        (
            Script::replying(removed),
            "zones remove web --drain",
            0,
            json!({"operation": "zones.remove", "ok": true, "reason": null, "result": {
                "zone": "web", "message": "draining", "notes": none, "not_enforced": none}}),
        ),
        (
            Script::replying(AllowHostSocketResponse {
                message: "zone web may use /run/s".into(),
                notes: vec!["zone web is privileged".into()],
            }),
            "host-sockets allow web /var/run/s",
            0,
            json!({"operation": "host-sockets.allow", "ok": true, "reason": null, "result": {
                "zone": "web", "path": "/var/run/s", "message": "zone web may use /run/s",
                "notes": ["zone web is privileged"], "not_enforced": none}}),
        ),
        (
            Script::replying(attached),
            "containers attach c1 web --cgroup-id 7",
            0,
            json!({"operation": "containers.attach", "ok": true, "reason": null, "result": {
                "container_id": "c1", "zone": "web", "cgroup_id": 7, "message": "unchanged",
                "notes": none, "not_enforced": none}}),
        ),
        (
            Script::replying(DenyCommResponse { ok: true }),
            "comms deny a b",
            0,
            json!({"operation": "comms.deny", "ok": true, "reason": null, "result": {
                "zone_a": "a", "zone_b": "b", "notes": none, "not_enforced": none}}),
        ),
        (
            Script::replying(RemoveHostPathResponse {
                ok: true,
                message: "/srv belongs to no zone any more".into(),
            }),
            "host-paths remove web /srv",
            0,
            json!({"operation": "host-paths.remove", "ok": true, "reason": null, "result": {
                "zone": "web", "path": "/srv", "message": "/srv belongs to no zone any more",
                "notes": none, "not_enforced": none}}),
        ),
        (
            Script::replying(RemoveHostPathResponse {
                ok: false,
                message: "nothing is claimed as /srv".into(),
            }),
            "host-paths remove web /srv",
            1,
            json!({"operation": "host-paths.remove", "ok": false, "result": null,
                "reason": "nothing is claimed as /srv"}),
        ),
        (
            Script::replying(refused),
            "containers attach c1 web --cgroup-id 7",
            1,
            json!({"operation": "containers.attach", "ok": false, "result": null,
                "reason": "stale generation"}),
        ),
    ] {
        let daemon = start(script);
        let done = run(&daemon.socket, &format!("{line} --format json"));
        assert_eq!((done.exit, done.json()), (exit, expected), "{line}");
    }
}

#[test]
fn notes_and_what_is_not_enforced_are_told_beside_the_answer() {
    let reply = RegisterZoneResponse {
        zone_id: 7,
        notes: vec!["below /srv of db".into()],
    };
    let daemon = start(Script {
        not_enforced: vec!["network mode"],
        ..Script::replying(reply)
    });
    let done = run(&daemon.socket, "zones register web");
    assert_eq!(done.out, "zone web registered, id 7\n");
    assert_eq!(
        done.err,
        "note: below /srv of db\nnote: not enforced: network mode\n"
    );
}

#[test]
fn a_read_is_operation_ok_and_the_data() {
    let zone = ZoneSummary {
        name: "web".into(),
        zone_id: 7,
        state: "active".into(),
        containers_active: 2,
        policy: Some(policy()),
        not_enforced: vec!["network mode".into()],
        mode: "audit".into(),
        own_mode: true,
    };
    let container = ContainerSummary {
        container_id: "c1".into(),
        zone: "web".into(),
        cgroup_id: u64::MAX,
        pod_namespace: "ns".into(),
        pod_name: "p".into(),
        seq: 5,
        ..ContainerSummary::default()
    };
    let path = HostPath {
        zone: "web".into(),
        path: "/srv/\u{1b}[2J".into(),
        recursive: true,
        inode: 42,
        state: "claimed".into(),
        seq: 6,
        claimed_by: Some(Claimant {
            uid: 0,
            gid: 0,
            pid: 4711,
            adapter: "syva-\u{1b}cli".into(),
        }),
        claimed_at_unix_ns: 1_764_000_000_000_000_001,
        by_policy: true,
        by_command: true,
    };
    // Its entry is not in the journal any more, or its user not among those this machine knows.
    let old = HostPath {
        zone: "web".into(),
        path: "/srv/old".into(),
        by_command: true,
        claimed_by: None,
        ..HostPath::default()
    };
    let socket = |by_default| HostSocket {
        zone: "web".into(),
        path: "/run/systemd/notify".into(),
        state: "held".into(),
        seq: 8,
        by_default,
    };
    let pair = CommPair {
        zone_a: "db".into(),
        zone_b: "web".into(),
    };
    for (script, line, text, data) in [
        (
            Script::replying(ListZonesResponse { zones: vec![zone] }),
            "zones list",
            "web   7   active  2           audit (own)  isolated  host     yes     db, host  /srv/a, rel  /run/s, @name",
            json!({"operation": "zones.list", "ok": true, "zones": [{
                "name": "web", "zone_id": 7, "state": "active", "containers_active": 2,
                "mode": "audit", "own_mode": true, "not_enforced": ["network mode"], "policy": {
                    "host_paths": ["/srv/a", "rel"], "allowed_zones": ["db", "host"],
                    "allow_ptrace": true, "type": "isolated", "network": "host",
                    "allowed_egress_cidrs": [], "host_sockets": ["/run/s", "@name"]}}]}),
        ),
        (
            Script::replying(ListContainersResponse {
                containers: vec![container],
            }),
            "containers list",
            "c1         web   18446744073709551615  -     ns/p  -       0           5",
            json!({"operation": "containers.list", "ok": true, "containers": [{
                "container_id": "c1", "zone": "web", "cgroup_id": u64::MAX, "cgroup_path": "",
                "source": "", "generation": 0, "pod_namespace": "ns", "pod_name": "p",
                "pod_uid": "", "seq": 5}]}),
        ),
        (
            Script::replying(ListHostPathsResponse {
                paths: vec![path, old],
            }),
            "host-paths list",
            // What a container named is not obeyed by the terminal.
            r"web   /srv/\u{1b}[2J  subtree  42     claimed  policy, command  root (syva-\u{1b}cli, pid 4711)  2025-11-24T16:00:00Z  6",
            json!({"operation": "host-paths.list", "ok": true, "paths": [{
                "zone": "web", "path": "/srv/\u{1b}[2J", "recursive": true, "inode": 42,
                "state": "claimed", "seq": 6, "by_policy": true, "by_command": true,
                "claimed_by": {"user": "root", "uid": 0, "gid": 0, "pid": 4711,
                    "adapter": "syva-\u{1b}cli"},
                "claimed_at": "2025-11-24T16:00:00.000000001Z",
                "claimed_at_unix_ns": 1_764_000_000_000_000_001_u64}, {
                "zone": "web", "path": "/srv/old", "recursive": false, "inode": 0, "state": "",
                "seq": 0, "by_policy": false, "by_command": true, "claimed_by": null,
                "claimed_at": null, "claimed_at_unix_ns": 0}]}),
        ),
        (
            Script::replying(ListHostSocketsResponse {
                sockets: vec![socket(true), socket(false)],
            }),
            "host-sockets list",
            "web   /run/systemd/notify  unit      held   8",
            json!({"operation": "host-sockets.list", "ok": true, "sockets": [
                {"zone": "web", "path": "/run/systemd/notify", "by_default": true,
                    "state": "held", "seq": 8},
                {"zone": "web", "path": "/run/systemd/notify", "by_default": false,
                    "state": "held", "seq": 8}]}),
        ),
        (
            Script::replying(ListCommsResponse { pairs: vec![pair] }),
            "comms list",
            "db    web",
            json!({"operation": "comms.list", "ok": true, "pairs": [
                {"zone_a": "db", "zone_b": "web"}]}),
        ),
    ] {
        let daemon = start(script);
        let shown = run(&daemon.socket, line);
        assert_eq!(
            (shown.exit, shown.out.lines().nth(1)),
            (0, Some(text)),
            "{line}"
        );
        let json = run(&daemon.socket, &format!("{line} --format json"));
        assert_eq!((json.exit, json.json()), (0, data), "{line}");
    }
}

#[test]
fn a_status_is_printed_whole() {
    let hook = HookStatus {
        hook: "file_open".into(),
        attached: true,
        deny: 3,
        would_deny: 1,
        ..HookStatus::default()
    };
    let status = StatusResponse {
        health: "healthy".into(),
        hooks: vec![hook],
        applied_seq: 4,
        journal_seq: 4,
        ..StatusResponse::default()
    };
    let daemon = start(Script::replying(status));
    let text = run(&daemon.socket, "status");
    assert_eq!(text.exit, 0);
    assert!(text.out.starts_with("health      healthy"), "{}", text.out);
    let json = run(&daemon.socket, "status --format json").json();
    assert_eq!(
        (&json["operation"], &json["ok"], &json["applied_seq"]),
        (&json!("status"), &json!(true), &json!(4))
    );
    assert_eq!(
        json["hooks"][0],
        json!({
        "hook": "file_open", "attached": true, "problem": "", "allow": 0, "deny": 3,
        "would_deny": 1, "error": 0, "lost": 0})
    );
}

#[test]
fn a_write_says_what_the_daemon_says_was_done() {
    let ok = true;
    for (message, said) in [
        ("draining, 2 left", "draining, 2 left\n"),
        ("", "zone web removed\n"),
    ] {
        let message = message.to_owned();
        let daemon = start(Script::replying(RemoveZoneResponse { ok, message }));
        assert_eq!(run(&daemon.socket, "zones remove web").out, said);
    }
}
