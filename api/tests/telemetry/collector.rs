//! A collector in this process that can refuse, and that knows exactly what it was given.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// What it has, and how many of each batch it refuses.
#[derive(Clone, Default)]
pub struct Shelf {
    pub records: Arc<Mutex<Vec<LogRecord>>>,
    pub refuses: Arc<AtomicU64>,
}

#[tonic::async_trait]
impl LogsService for Shelf {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let refused = self.refuses.load(Ordering::Relaxed);
        let groups = request.into_inner().resource_logs.into_iter();
        let records = groups.flat_map(|group| group.scope_logs);
        let records = records.flat_map(|scope| scope.log_records);
        let taken = records.skip(refused.try_into().expect("few"));
        self.records.lock().expect("whole").extend(taken);
        let partial = ExportLogsPartialSuccess {
            rejected_log_records: refused.try_into().expect("few"),
            error_message: String::new(),
        };
        Ok(Response::new(ExportLogsServiceResponse {
            partial_success: (refused > 0).then_some(partial),
        }))
    }
}

impl Shelf {
    /// Opens at an address.
    pub async fn open(&self, addr: SocketAddr) {
        let listener = TcpListener::bind(addr).await.expect("the address is free");
        let server = Server::builder().add_service(LogsServiceServer::new(self.clone()));
        let incoming = TcpListenerStream::new(listener);
        tokio::spawn(server.serve_with_incoming(incoming));
    }

    pub fn len(&self) -> u64 {
        self.records.lock().expect("whole").len() as u64
    }
}

/// An address nobody listens at.
pub async fn free_addr() -> SocketAddr {
    let any = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    any.local_addr().expect("bound")
}
