//! The protocol itself, by a client that is not ours to bend: codes, trailers, streams, reflection.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use syva_e2e::daemon::Daemon;
use syva_rpc::client::{Client, NOT_ENFORCED_KEY, connect};
use syva_rpc::v1;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1 as reflection;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;

use crate::home::Home;

/// What was asked, and how it went.
type Outcome = (&'static str, Result<(), Status>);

async fn client(daemon: &Daemon) -> Client {
    connect(daemon.setup().socket(), "e2e")
        .await
        .expect("connected")
}

async fn channel(daemon: &Daemon) -> Channel {
    let address = format!("unix:{}", daemon.setup().socket().display());
    let endpoint = Endpoint::try_from(address).expect("an address");
    endpoint.connect().await.expect("connected")
}

fn policy(policy: v1::ZonePolicy) -> v1::RegisterZoneRequest {
    let zone_name = "db".to_owned();
    let policy = Some(policy);
    v1::RegisterZoneRequest { zone_name, policy }
}

#[tokio::test]
async fn each_way_of_being_wrong_has_its_status_and_changes_nothing() {
    let home = Home::new();
    let daemon = home
        .setup()
        .args(&["--max-zones", "2"])
        .start()
        .expect("started");
    let taken = home.file("taken");
    for words in [
        vec!["zones", "register", "web"],
        vec!["zones", "register", "db"],
        vec!["host-paths", "register", "db", &taken],
    ] {
        daemon.done(&words).expect("done");
    }
    let mut client = client(&daemon).await;
    let text = str::to_owned;
    let comm = |a: &str, b: &str| v1::AllowCommRequest {
        zone_a: text(a),
        zone_b: text(b),
    };
    let attach = |container: &str, zone: &str, cgroup_id| v1::AttachContainerRequest {
        container_id: text(container),
        zone_name: text(zone),
        cgroup_id,
        ..Default::default()
    };
    let claim = |path: &str| v1::RegisterHostPathRequest {
        zone_name: text("web"),
        path: text(path),
        recursive: false,
    };
    let unclaim = |zone: &str, path: &str| v1::RemoveHostPathRequest {
        zone_name: text(zone),
        path: text(path),
    };
    let zone = |name: &str| v1::RegisterZoneRequest {
        zone_name: text(name),
        policy: None,
    };
    let remove = |name: &str| v1::RemoveZoneRequest {
        zone_name: text(name),
        drain: false,
    };
    let list = |name: &str| v1::ListCommsRequest {
        zone_name: text(name),
    };
    let ip = || v1::SetIpZoneRequest {
        ip: text("10.0.0.1"),
        zone_name: text("web"),
    };
    let before = daemon.digest().expect("replayed");

    /// Awaits a call and keeps the name of what was asked beside its outcome.
    macro_rules! outcome {
        ($call:ident($request:expr)) => {
            (
                stringify!($call($request)),
                client.$call($request).await.map(drop),
            )
        };
    }
    let table: Vec<(Code, Outcome)> = vec![
        (Code::InvalidArgument, outcome!(register_zone(zone("")))),
        (Code::InvalidArgument, outcome!(register_zone(zone("a/b")))),
        (
            Code::InvalidArgument,
            outcome!(register_zone(policy(v1::ZonePolicy {
                zone_type: 9,
                ..Default::default()
            }))),
        ),
        (
            Code::InvalidArgument,
            outcome!(register_zone(policy(v1::ZonePolicy {
                network_mode: -1,
                ..Default::default()
            }))),
        ),
        (
            Code::InvalidArgument,
            outcome!(register_zone(policy(v1::ZonePolicy {
                allowed_egress_cidrs: vec![text("10.0.0.0/33")],
                ..Default::default()
            }))),
        ),
        (
            Code::InvalidArgument,
            outcome!(register_zone(policy(v1::ZonePolicy {
                host_paths: vec![text("relative")],
                ..Default::default()
            }))),
        ),
        (
            Code::FailedPrecondition,
            outcome!(register_host_path(claim(&taken))),
        ),
        (
            Code::InvalidArgument,
            outcome!(register_host_path(claim("relative"))),
        ),
        (
            Code::InvalidArgument,
            outcome!(register_host_path(claim(""))),
        ),
        (
            Code::InvalidArgument,
            outcome!(register_host_path(claim("/\0"))),
        ),
        (
            Code::ResourceExhausted,
            outcome!(register_zone(zone("third"))),
        ),
        (Code::NotFound, outcome!(remove_zone(remove("none")))),
        (Code::InvalidArgument, outcome!(remove_zone(remove("")))),
        (
            Code::InvalidArgument,
            outcome!(attach_container(attach("", "web", 1))),
        ),
        (
            Code::InvalidArgument,
            outcome!(attach_container(attach("c1", "web", 0))),
        ),
        (Code::InvalidArgument, outcome!(allow_comm(comm("", "web")))),
        (Code::NotFound, outcome!(allow_comm(comm("none", "web")))),
        (Code::Ok, outcome!(allow_comm(comm("web", "web")))),
        (Code::NotFound, outcome!(list_comms(list("none")))),
        (
            Code::NotFound,
            outcome!(remove_host_path(unclaim("none", &taken))),
        ),
        (
            Code::InvalidArgument,
            outcome!(remove_host_path(unclaim("web", "relative"))),
        ),
        (
            Code::InvalidArgument,
            outcome!(remove_host_path(unclaim("web", ""))),
        ),
        (Code::Unimplemented, outcome!(set_ip_zone(ip()))),
        (
            Code::Unimplemented,
            outcome!(remove_ip_zone(v1::RemoveIpZoneRequest {
                ip: text("10.0.0.1")
            })),
        ),
        (Code::Ok, outcome!(list_comms(list("")))),
    ];
    for (wanted, (asked, got)) in table {
        let (code, said) = got.err().map_or((Code::Ok, text("fine")), |status| {
            (status.code(), text(status.message()))
        });
        assert_eq!(code, wanted, "{asked}: {said}");
        assert!(!said.is_empty(), "{asked} is refused without a word");
    }
    let sentence = client
        .set_ip_zone(ip())
        .await
        .expect_err("not served")
        .message()
        .to_owned();
    assert!(sentence.contains("not assigned to zones yet"), "{sentence}");

    let one = home.cgroup("one").parse().expect("a number");
    for (request, said) in [
        (attach("c1", "none", one), "no zone none"),
        (attach("c1", "web", u64::MAX), "no cgroup with id"),
    ] {
        let reply = client
            .attach_container(request)
            .await
            .expect("answered")
            .into_inner();
        assert!(!reply.ok && reply.message.contains(said), "{reply:?}");
    }
    assert_eq!(daemon.digest().expect("replayed"), before);
    let reply = client
        .attach_container(attach("c1", "web", one))
        .await
        .expect("answered");
    assert!(reply.into_inner().ok);
}

#[tokio::test]
async fn what_of_a_policy_nothing_enforces_is_said_in_the_trailers_and_by_the_cli() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = client(&daemon).await;
    let bridged = v1::ZonePolicy {
        network_mode: v1::NetworkMode::Bridged.into(),
        allow_ptrace: true,
        ..Default::default()
    };
    let host = v1::ZonePolicy {
        network_mode: v1::NetworkMode::Host.into(),
        allow_ptrace: true,
        ..Default::default()
    };
    for (asked, said) in [
        (
            bridged,
            &["network_mode=bridged is recorded; nothing enforces it yet"][..],
        ),
        (host, &[]),
    ] {
        let reply = client.register_zone(policy(asked)).await.expect("done");
        let values: Vec<_> = reply.metadata().get_all(NOT_ENFORCED_KEY).iter().collect();
        assert_eq!(values, said);
    }
    let answer = daemon
        .done(&["zones", "register", "web", "--network", "open"])
        .expect("done");
    let said = answer.json()["result"]["not_enforced"].to_string();
    assert!(said.contains("network_mode=bridged"), "{said}");
}

#[tokio::test]
async fn a_followed_stream_of_events_stays_open_until_the_daemon_ends_and_does_not_keep_it() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = client(&daemon).await;
    let recent = client
        .watch_events(v1::WatchEventsRequest { follow: false })
        .await;
    let recent = recent.expect("a stream").into_inner().message().await;
    assert_eq!(recent.expect("no error"), None, "without follow it ends");
    let followed = client
        .watch_events(v1::WatchEventsRequest { follow: true })
        .await;
    let mut followed = followed.expect("a stream").into_inner();
    let quiet = timeout(Duration::from_millis(300), followed.message()).await;
    assert!(quiet.is_err(), "with follow it stays open: {quiet:?}");

    let stopped = tokio::task::spawn_blocking(move || daemon.terminate());
    let ended = timeout(Duration::from_secs(20), followed.message()).await;
    let ended = ended.expect("the daemon ends the stream");
    assert!(!matches!(ended, Ok(Some(_))), "{ended:?}");
    let status = stopped.await.expect("no panic").expect("the daemon ends");
    assert_eq!(
        status.code(),
        Some(0),
        "a client that watches does not keep it"
    );
}

#[tokio::test]
async fn health_says_not_serving_and_reflection_names_the_services() {
    let home = Home::new();
    let daemon = home.start();
    let mut health = HealthClient::new(channel(&daemon).await);
    for service in ["syva.core.v1.SyvaCore", ""] {
        let service = service.to_owned();
        let asked = health
            .check(HealthCheckRequest { service })
            .await
            .expect("answered");
        assert_eq!(
            asked.into_inner().status(),
            ServingStatus::NotServing,
            "memory enforces nothing"
        );
    }
    let unknown = HealthCheckRequest {
        service: "none".to_owned(),
    };
    assert_eq!(
        health.check(unknown).await.expect_err("unknown").code(),
        Code::NotFound
    );

    let request = reflection::ServerReflectionRequest {
        message_request: Some(
            reflection::server_reflection_request::MessageRequest::ListServices(String::new()),
        ),
        ..Default::default()
    };
    let mut reflector = ServerReflectionClient::new(channel(&daemon).await);
    let asked = reflector
        .server_reflection_info(tokio_stream::once(request))
        .await;
    let answer = asked
        .expect("a stream")
        .into_inner()
        .message()
        .await
        .expect("no error")
        .expect("an answer");
    let listed = format!("{answer:?}");
    for service in ["syva.core.v1.SyvaCore", "grpc.health.v1.Health"] {
        assert!(listed.contains(service), "{service} is not in {listed}");
    }
}

#[test]
fn the_socket_is_its_owner_s_alone() {
    let home = Home::new();
    let daemon = home.start();
    let meta = std::fs::metadata(daemon.setup().socket()).expect("there");
    assert_eq!(meta.permissions().mode() & 0o7777, 0o600);
}

#[test]
fn clients_that_say_nothing_do_not_keep_the_daemon() {
    let home = Home::new();
    let daemon = home.start();
    let idle = UnixStream::connect(daemon.setup().socket()).expect("connected");
    daemon
        .done(&["status"])
        .expect("others are served meanwhile");
    let status = daemon.terminate().expect("it ends");
    assert_eq!(status.code(), Some(0));
    drop(idle);
}
