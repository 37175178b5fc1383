//! A scripted daemon: the generated service, answering what a test tells it to.

use std::any::Any;
use std::fmt::Debug;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use syva_rpc::v1::syva_core_server::{SyvaCore, SyvaCoreServer};
use syva_rpc::v1::{
    AllowCommRequest, AllowCommResponse, AllowHostSocketRequest, AllowHostSocketResponse,
    AttachContainerRequest, AttachContainerResponse, DenyCommRequest, DenyCommResponse, DenyEvent,
    DenyHostSocketRequest, DenyHostSocketResponse, DetachContainerRequest, DetachContainerResponse,
    HorizonPart, JournalEntry, ListCommsRequest, ListCommsResponse, ListContainersRequest,
    ListContainersResponse, ListHostPathsRequest, ListHostPathsResponse, ListHostSocketsRequest,
    ListHostSocketsResponse, ListZonesRequest, ListZonesResponse, ReadHorizonRequest,
    ReadJournalRequest, RegisterHostPathRequest, RegisterHostPathResponse, RegisterZoneRequest,
    RegisterZoneResponse, RemoveHostPathRequest, RemoveHostPathResponse, RemoveIpZoneRequest,
    RemoveIpZoneResponse, RemoveZoneRequest, RemoveZoneResponse, SetIpZoneRequest,
    SetIpZoneResponse, SetModeRequest, SetModeResponse, StateDigestRequest, StateDigestResponse,
    StatusRequest, StatusResponse, WatchEventsRequest,
};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

type Stream<T> = Pin<Box<dyn tokio_stream::Stream<Item = Result<T, Status>> + Send>>;

/// What the daemon says, and what it was asked.
#[derive(Default)]
pub struct Script {
    /// Fails every call.
    pub fails: Option<Status>,
    /// The reply of a unary call of that type; others reply with their defaults.
    pub reply: Option<Box<dyn Any + Send + Sync>>,
    /// The values of the reply's `syva-not-enforced` metadata.
    pub not_enforced: Vec<&'static str>,
    /// What WatchEvents streams; an error ends it.
    pub events: Vec<Result<DenyEvent, Status>>,
    /// Whether that stream stays open afterwards.
    pub hangs: bool,
    /// What ReadJournal streams.
    pub journal: Vec<JournalEntry>,
    /// The requests so far, as their types print themselves.
    pub asked: Mutex<Vec<String>>,
}

impl Script {
    /// One that answers `reply`.
    pub fn replying<R: Any + Send + Sync>(reply: R) -> Script {
        Script {
            reply: Some(Box::new(reply)),
            ..Script::default()
        }
    }

    fn hear<T: Debug>(&self, request: &Request<T>) -> Result<(), Status> {
        let adapter = request.metadata().get("syva-adapter");
        assert_eq!(adapter.map(|name| name.as_bytes()), Some(&b"syva-cli"[..]));
        self.asked
            .lock()
            .expect("no test panicked")
            .push(format!("{:?}", request.get_ref()));
        self.fails.clone().map_or(Ok(()), Err)
    }

    fn answer<T: Debug, R: Any + Clone + Default>(
        &self,
        request: &Request<T>,
    ) -> Result<Response<R>, Status> {
        self.hear(request)?;
        let scripted = self.reply.as_ref().and_then(|reply| reply.downcast_ref());
        let mut response = Response::new(scripted.cloned().unwrap_or_default());
        for what in &self.not_enforced {
            let value = what.parse().expect("ascii");
            response.metadata_mut().append("syva-not-enforced", value);
        }
        Ok(response)
    }
}

/// A running scripted daemon.
pub struct Daemon {
    /// Its socket.
    pub socket: PathBuf,
    /// Its script.
    pub script: Arc<Script>,
    _dir: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

/// Starts one.
pub fn start(script: Script) -> Daemon {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("core.sock");
    let script = Arc::new(script);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let listener = {
        let _entered = runtime.enter();
        tokio::net::UnixListener::bind(&socket).expect("a socket")
    };
    let service = SyvaCoreServer::new(Scripted(Arc::clone(&script)));
    runtime.spawn(
        tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(UnixListenerStream::new(listener)),
    );
    Daemon {
        socket,
        script,
        _dir: dir,
        _runtime: runtime,
    }
}

struct Scripted(Arc<Script>);

macro_rules! service {
    ($( $method:ident($request:ty) -> $reply:ty; )+) => {
        #[tonic::async_trait]
        impl SyvaCore for Scripted {
            type WatchEventsStream = Stream<DenyEvent>;
            type ReadJournalStream = Stream<JournalEntry>;
            type ReadHorizonStream = Stream<HorizonPart>;

            /// Nothing was pruned. It is asked beside everything else, and so not noted.
            async fn read_horizon(
                &self,
                _: Request<ReadHorizonRequest>,
            ) -> Result<Response<Stream<HorizonPart>>, Status> {
                Ok(Response::new(Box::pin(tokio_stream::empty())))
            }

            async fn watch_events(
                &self,
                request: Request<WatchEventsRequest>,
            ) -> Result<Response<Stream<DenyEvent>>, Status> {
                self.0.hear(&request)?;
                let events = tokio_stream::iter(self.0.events.clone());
                Ok(Response::new(if self.0.hangs {
                    Box::pin(events.chain(tokio_stream::pending()))
                } else {
                    Box::pin(events)
                }))
            }

            async fn read_journal(
                &self,
                request: Request<ReadJournalRequest>,
            ) -> Result<Response<Stream<JournalEntry>>, Status> {
                self.0.hear(&request)?;
                let ReadJournalRequest { from_seq, to_seq } = request.into_inner();
                let wanted = |entry: &&JournalEntry| {
                    entry.seq >= from_seq && (to_seq == 0 || entry.seq <= to_seq)
                };
                let entries = self.0.journal.iter().filter(wanted).cloned().map(Ok);
                let entries: Vec<_> = entries.collect();
                Ok(Response::new(Box::pin(tokio_stream::iter(entries))))
            }

            $( async fn $method(&self, request: Request<$request>) -> Result<Response<$reply>, Status> {
                self.0.answer(&request)
            } )+
        }
    };
}

service! {
    register_zone(RegisterZoneRequest) -> RegisterZoneResponse;
    remove_zone(RemoveZoneRequest) -> RemoveZoneResponse;
    list_zones(ListZonesRequest) -> ListZonesResponse;
    attach_container(AttachContainerRequest) -> AttachContainerResponse;
    detach_container(DetachContainerRequest) -> DetachContainerResponse;
    allow_comm(AllowCommRequest) -> AllowCommResponse;
    deny_comm(DenyCommRequest) -> DenyCommResponse;
    list_comms(ListCommsRequest) -> ListCommsResponse;
    set_ip_zone(SetIpZoneRequest) -> SetIpZoneResponse;
    remove_ip_zone(RemoveIpZoneRequest) -> RemoveIpZoneResponse;
    register_host_path(RegisterHostPathRequest) -> RegisterHostPathResponse;
    status(StatusRequest) -> StatusResponse;
    state_digest(StateDigestRequest) -> StateDigestResponse;
    list_containers(ListContainersRequest) -> ListContainersResponse;
    list_host_paths(ListHostPathsRequest) -> ListHostPathsResponse;
    remove_host_path(RemoveHostPathRequest) -> RemoveHostPathResponse;
    allow_host_socket(AllowHostSocketRequest) -> AllowHostSocketResponse;
    deny_host_socket(DenyHostSocketRequest) -> DenyHostSocketResponse;
    list_host_sockets(ListHostSocketsRequest) -> ListHostSocketsResponse;
    set_mode(SetModeRequest) -> SetModeResponse;
}
