//! `containers attach|detach|list`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use syva_rpc::v1::{
    AttachContainerRequest, ContainerSummary, DetachContainerRequest, ListContainersRequest,
};

use super::unit::Which;
use super::{ADAPTER, OfZone, Session, refused_unless, said};
use crate::exit::Failure;
use crate::output::{Operation, Remarks, or_dash, table};

/// What to do with containers.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Put a container's cgroup, and what is and will be below it, into a zone
    Attach(Attach),
    /// Take a container out of its zone
    Detach(Detach),
    /// List the containers
    List(OfZone),
}

/// `containers attach`.
#[derive(Debug, Args)]
pub struct Attach {
    /// The container's id
    id: String,
    /// The zone it goes into
    zone: String,
    #[command(flatten)]
    cgroup: Which,
    #[command(flatten)]
    stamp: Stamp,
}

/// `containers detach`.
#[derive(Debug, Args)]
pub struct Detach {
    /// The container's id
    id: String,
    #[command(flatten)]
    stamp: Stamp,
}

/// Who says so, and how recent their knowledge is.
#[derive(Debug, Args)]
struct Stamp {
    /// The caller's generation of this container: an older one is refused; 0 keeps none
    #[arg(long, value_name = "N", default_value_t = 0)]
    generation: u64,
    /// Which client manages the container
    #[arg(long, value_name = "NAME", default_value = ADAPTER)]
    source: String,
}

impl Verb {
    /// The verb, as JSON output names it.
    pub const fn operation(&self) -> Operation {
        match self {
            Verb::Attach(_) => Operation::write("containers.attach"),
            Verb::Detach(_) => Operation::write("containers.detach"),
            Verb::List(_) => Operation::read("containers.list"),
        }
    }

    /// Asks, and prints the answer.
    ///
    /// # Errors
    /// [`Failure`] of any kind.
    pub async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        match self {
            Verb::Attach(attach) => attach.run(session).await,
            Verb::Detach(detach) => detach.run(session).await,
            Verb::List(only) => list(only, session).await,
        }
    }
}

impl Attach {
    async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let (container, zone, cgroup) = (self.id, self.zone, self.cgroup.find()?);
        let cgroup_id = cgroup.id;
        let request = AttachContainerRequest {
            container_id: container.clone(),
            zone_name: zone.clone(),
            cgroup_id,
            source: self.stamp.source,
            generation: match self.stamp.generation {
                0 => cgroup.generation,
                given => given,
            },
            ..AttachContainerRequest::default()
        };
        let reply = session.client().await?.attach_container(request).await?;
        let (metadata, reply, _) = reply.into_parts();
        refused_unless(reply.ok, &reply.message)?;
        session.out.done(
            json!({
                "container_id": container,
                "zone": zone,
                "cgroup_id": cgroup_id,
                "message": reply.message,
            }),
            said(&reply.message, || {
                format!("container {container} is in zone {zone}")
            }),
            Remarks::new(Vec::new(), &metadata),
        )
    }
}

impl Detach {
    async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let container = self.id;
        let request = DetachContainerRequest {
            container_id: container.clone(),
            source: self.stamp.source,
            generation: self.stamp.generation,
        };
        let reply = session.client().await?.detach_container(request).await?;
        let (metadata, reply, _) = reply.into_parts();
        refused_unless(reply.ok, &reply.message)?;
        session.out.done(
            json!({ "container_id": container, "message": reply.message }),
            said(&reply.message, || {
                format!("container {container} is in no zone")
            }),
            Remarks::new(Vec::new(), &metadata),
        )
    }
}

async fn list(only: OfZone, session: &Session<'_>) -> Result<(), Failure> {
    let request = ListContainersRequest {
        zone_name: only.zone,
    };
    let reply = session.client().await?.list_containers(request).await?;
    let containers = reply.into_inner().containers;
    let data: Vec<_> = containers.iter().map(container_json).collect();
    session.out.answer(json!({ "containers": data }), || {
        table(
            [
                "CONTAINER",
                "ZONE",
                "CGROUP",
                "PATH",
                "POD",
                "SOURCE",
                "GENERATION",
                "ENTRY",
            ],
            containers.iter().map(container_row).collect(),
            "no containers",
        )
    })
}

fn container_row(container: &ContainerSummary) -> [String; 8] {
    let pod = match (
        container.pod_namespace.as_str(),
        container.pod_name.as_str(),
    ) {
        ("", name) => or_dash(name),
        (namespace, name) => format!("{namespace}/{name}"),
    };
    [
        container.container_id.clone(),
        container.zone.clone(),
        container.cgroup_id.to_string(),
        or_dash(&container.cgroup_path),
        pod,
        or_dash(&container.source),
        container.generation.to_string(),
        container.seq.to_string(),
    ]
}

fn container_json(container: &ContainerSummary) -> Value {
    json!({
        "container_id": container.container_id,
        "zone": container.zone,
        "cgroup_id": container.cgroup_id,
        "cgroup_path": container.cgroup_path,
        "source": container.source,
        "generation": container.generation,
        "pod_namespace": container.pod_namespace,
        "pod_name": container.pod_name,
        "pod_uid": container.pod_uid,
        "seq": container.seq,
    })
}
