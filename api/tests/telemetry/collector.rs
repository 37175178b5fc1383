//! A collector in this process that answers as it is told to, and that knows exactly what it was given.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

/// How it answers an export.
#[derive(Clone, Default)]
pub enum Answer {
    /// It takes everything.
    #[default]
    Take,
    /// It refuses the first so many of each export for good, and takes the rest.
    Refuse(u64),
    /// It takes nothing.
    Fail(Status),
    /// It takes everything, and is so slow to say so.
    Slow(Duration),
}

/// What it has.
#[derive(Clone, Default)]
pub struct Shelf {
    pub records: Arc<Mutex<Vec<LogRecord>>>,
    pub spans: Arc<Mutex<Vec<Span>>>,
    /// What came along with the last export.
    pub headers: Arc<Mutex<MetadataMap>>,
    /// How many exports there were.
    pub exports: Arc<Mutex<u64>>,
    answer: Arc<Mutex<Answer>>,
}

impl Shelf {
    /// Answers so from now on.
    pub fn answers(&self, answer: Answer) {
        *self.answer.lock().expect("whole") = answer;
    }

    /// How many items of an export are refused.
    async fn answer(&self, headers: &MetadataMap) -> Result<u64, Status> {
        self.headers.lock().expect("whole").clone_from(headers);
        *self.exports.lock().expect("whole") += 1;
        let answer = self.answer.lock().expect("whole").clone();
        match answer {
            Answer::Take => Ok(0),
            Answer::Refuse(refused) => Ok(refused),
            Answer::Fail(status) => Err(status),
            Answer::Slow(pause) => {
                tokio::time::sleep(pause).await;
                Ok(0)
            }
        }
    }

    /// Opens at an address.
    pub async fn open(&self, addr: SocketAddr) -> JoinHandle<()> {
        self.serve(addr, Server::builder()).await
    }

    /// Opens at an address, for those who trust who vouches for it.
    pub async fn open_secured(&self, addr: SocketAddr, tls: ServerTlsConfig) -> JoinHandle<()> {
        let server = Server::builder().tls_config(tls).expect("a key");
        self.serve(addr, server).await
    }

    async fn serve(&self, addr: SocketAddr, mut server: Server) -> JoinHandle<()> {
        let listener = TcpListener::bind(addr).await.expect("the address is free");
        let gzip = CompressionEncoding::Gzip;
        let router = server
            .add_service(LogsServiceServer::new(self.clone()).accept_compressed(gzip))
            .add_service(TraceServiceServer::new(self.clone()).accept_compressed(gzip));
        let incoming = TcpListenerStream::new(listener);
        tokio::spawn(async move { router.serve_with_incoming(incoming).await.expect("served") })
    }

    pub fn len(&self) -> u64 {
        self.records.lock().expect("whole").len() as u64
    }
}

#[tonic::async_trait]
impl LogsService for Shelf {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let refused = self.answer(request.metadata()).await?;
        let groups = request.into_inner().resource_logs.into_iter();
        let records = groups.flat_map(|group| group.scope_logs);
        let records = records.flat_map(|scope| scope.log_records);
        let taken = records.skip(refused.try_into().expect("few"));
        self.records.lock().expect("whole").extend(taken);
        let partial = ExportLogsPartialSuccess {
            rejected_log_records: refused.try_into().expect("few"),
            error_message: "too old".into(),
        };
        Ok(Response::new(ExportLogsServiceResponse {
            partial_success: (refused > 0).then_some(partial),
        }))
    }
}

#[tonic::async_trait]
impl TraceService for Shelf {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let refused = self.answer(request.metadata()).await?;
        let groups = request.into_inner().resource_spans.into_iter();
        let spans = groups.flat_map(|group| group.scope_spans);
        let spans = spans.flat_map(|scope| scope.spans);
        let taken = spans.skip(refused.try_into().expect("few"));
        self.spans.lock().expect("whole").extend(taken);
        let partial = ExportTracePartialSuccess {
            rejected_spans: refused.try_into().expect("few"),
            error_message: "too long".into(),
        };
        Ok(Response::new(ExportTraceServiceResponse {
            partial_success: (refused > 0).then_some(partial),
        }))
    }
}

/// An address nobody listens at.
pub async fn free_addr() -> SocketAddr {
    let any = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    any.local_addr().expect("bound")
}
