//! A collector that fails in every way there is: the accounts stay exact, nothing waits for it, and
//! what can still be delivered is, without a restart.

use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use syva_rpc::otlp::accounts::Flow;
use tokio::net::TcpListener;
use tonic::transport::{Identity, ServerTlsConfig};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::collector::{Answer, Shelf, free_addr};
use crate::otlp::{Exporting, LOGS_ONLY, otlp, otlp_with};

fn throttled(code: Code) -> Status {
    let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(50)));
    Status::with_error_details(code, "busy", details)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_collector_cannot_take_now_waits_and_is_confirmed_when_it_can() {
    let (shelf, addr) = (Shelf::default(), free_addr().await);
    shelf.open(addr).await;
    for (passing, status) in [
        Status::unavailable("restarting"),
        throttled(Code::Unavailable),
        throttled(Code::ResourceExhausted),
        Status::deadline_exceeded("behind"),
        Status::cancelled("not now"),
        Status::aborted("again"),
        Status::out_of_range("again"),
        Status::data_loss("again"),
    ]
    .into_iter()
    .enumerate()
    {
        let code = status.code();
        shelf.answers(Answer::Fail(status));
        let exporting = Exporting::start(otlp(format!("http://{addr}"), true)).await;
        let before = *shelf.exports.lock().expect("whole");
        exporting.emit(10).await;
        exporting
            .until("it was tried twice", || {
                *shelf.exports.lock().expect("whole") >= before + 2
            })
            .await;
        assert_eq!(
            exporting.accounts.exported().up,
            [("logs", false)],
            "{code:?}"
        );
        assert_eq!(exporting.flow().under_way(), 10, "{code:?} loses nothing");
        shelf.answers(Answer::Take);
        exporting
            .until("it is confirmed", || exporting.flow().confirmed == 10)
            .await;
        assert_eq!(exporting.accounts.exported().up, [("logs", true)]);
        assert_eq!(shelf.len(), 10 * (passing as u64 + 1));
        exporting.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_collector_will_never_take_is_dropped_at_once_and_counted() {
    let (shelf, addr) = (Shelf::default(), free_addr().await);
    shelf.open(addr).await;
    for status in [
        Status::invalid_argument("what is this"),
        Status::permission_denied("not you"),
        Status::unauthenticated("who are you"),
        Status::unimplemented("no logs here"),
        Status::internal("a defect"),
        Status::unknown("who knows"),
        // The specification: without RetryInfo it will not get better.
        Status::resource_exhausted("too large"),
    ] {
        let code = status.code();
        let exporting = Exporting::start(otlp(format!("http://{addr}"), true)).await;
        shelf.answers(Answer::Fail(status));
        exporting.emit(10).await;
        exporting
            .until("nothing is under way", || exporting.flow().under_way() == 0)
            .await;
        let lost = Flow {
            handed_over: 10,
            confirmed: 0,
            dropped: 10,
        };
        assert_eq!(exporting.flow(), lost, "{code:?}");
        assert_eq!(exporting.accounts.exported().up, [("logs", false)]);
        shelf.answers(Answer::Take);
        let before = shelf.len();
        exporting.emit(5).await;
        exporting
            .until("what follows is confirmed", || {
                exporting.flow().confirmed == 5
            })
            .await;
        assert_eq!(shelf.len(), before + 5, "{code:?}");
        exporting.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partial_refusal_is_counted_to_the_record_and_to_the_span() {
    let (shelf, addr) = (Shelf::default(), free_addr().await);
    shelf.open(addr).await;
    shelf.answers(Answer::Refuse(3));
    let off = [("OTEL_METRICS_EXPORTER", "none")];
    let otlp = otlp_with(format!("http://{addr}"), &off);
    let traced = tracing_subscriber::layer::SubscriberExt::with(
        tracing_subscriber::registry(),
        otlp.layer(),
    );
    let exporting = Exporting::start(otlp).await;
    tracing::subscriber::with_default(traced, || {
        for _ in 0..10 {
            drop(tracing::debug_span!(target: "syva_test", "a-span"));
        }
    });
    exporting.emit(10).await;
    exporting
        .until("nothing is under way", || {
            let spans = exporting.accounts.exported().spans.expect("exported");
            exporting.flow().under_way() == 0 && spans.under_way() == 0 && spans.handed_over == 10
        })
        .await;
    let exports = *shelf.exports.lock().expect("whole");
    let spans = exporting.accounts.exported().spans.expect("exported");
    let records = exporting.flow();
    assert_eq!(records.confirmed, shelf.len());
    assert_eq!(
        spans.confirmed,
        shelf.spans.lock().expect("whole").len() as u64
    );
    // Of an export with fewer than three all are refused: how they are grouped is a matter of time.
    let dropped = records.dropped + spans.dropped;
    assert!(
        dropped > 0 && dropped <= 3 * exports,
        "{dropped} of {exports} exports"
    );
    assert_eq!(records.confirmed + spans.confirmed + dropped, 20);
    assert_eq!(exporting.accounts.exported().up.len(), 2);
    assert!(exporting.accounts.exported().up.iter().all(|(_, up)| *up));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_does_not_answer_in_time_or_dies_over_an_export_is_tried_again() {
    let (shelf, addr) = (Shelf::default(), free_addr().await);
    let serving = shelf.open(addr).await;
    let vars = [
        LOGS_ONLY[0],
        LOGS_ONLY[1],
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "300"),
    ];
    let exporting = Exporting::start(otlp_with(format!("http://{addr}"), &vars)).await;
    shelf.answers(Answer::Slow(Duration::from_secs(60)));
    exporting.emit(20).await;
    exporting
        .until("it was tried twice", || {
            *shelf.exports.lock().expect("whole") >= 2
        })
        .await;
    assert_eq!(exporting.flow().under_way(), 20);
    serving.abort();
    let _ = serving.await;
    exporting.emit(20).await;
    shelf.answers(Answer::Take);
    shelf.open(addr).await;
    exporting
        .until("all is confirmed", || exporting.flow().confirmed == 40)
        .await;
    assert_eq!(shelf.len(), 40);
}

/// How long a command takes, in the middle of many.
async fn latency(exporting: &Exporting) -> Duration {
    let mut took = Vec::new();
    for number in 0..200 {
        let started = Instant::now();
        exporting.node.zone(&format!("zone-of-{number}")).await;
        took.push(started.elapsed());
    }
    took.sort_unstable();
    took[took.len() / 2]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_takes_the_connection_and_nothing_else_slows_no_command_and_no_denial() {
    let (shelf, addr) = (Shelf::default(), free_addr().await);
    shelf.open(addr).await;
    let well = Exporting::start(otlp(format!("http://{addr}"), false)).await;
    let hole = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let black = format!("http://{}", hole.local_addr().expect("bound"));
    let ill = Exporting::start(otlp(black, false)).await;
    ill.emit(70_000).await;
    let started = Instant::now();
    ill.emit(10_000).await;
    let (ill_events, started) = (started.elapsed(), Instant::now());
    well.emit(10_000).await;
    let well_events = started.elapsed();
    let (ill_took, well_took) = (latency(&ill).await, latency(&well).await);
    println!("a command: {well_took:?}, with a black hole: {ill_took:?}");
    println!("10,000 denials: {well_events:?}, with a black hole: {ill_events:?}");
    assert!(ill_took < well_took * 3 + Duration::from_millis(5));
    assert!(ill_events < well_events * 3 + Duration::from_millis(500));
    let lost = ill.node.engine.events_dropped();
    let flow = ill.stop().await;
    assert_eq!(flow.confirmed + flow.dropped + lost, 80_000);
    assert_eq!(flow.confirmed, 0);
}

/// Who vouches for a collector, and what that collector shows.
fn vouched() -> (String, ServerTlsConfig) {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(params, key).expect("signed");
    let key = KeyPair::generate().expect("a key");
    let names = vec!["localhost".to_owned()];
    let params = CertificateParams::new(names).expect("a name");
    let certificate = params.signed_by(&key, &authority).expect("signed");
    let identity = Identity::from_pem(certificate.pem(), key.serialize_pem());
    (authority.pem(), ServerTlsConfig::new().identity(identity))
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_headers_and_compression_reach_the_collector_and_an_impostor_gets_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let (authority, tls) = vouched();
    let file = dir.path().join("authority.pem");
    std::fs::write(&file, authority).expect("written");
    let vars = [
        LOGS_ONLY[0],
        LOGS_ONLY[1],
        (
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
            file.to_str().expect("UTF-8"),
        ),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "authorization=Bearer%20secret",
        ),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
    ];
    let addr = free_addr().await;
    let endpoint = format!("https://localhost:{}", addr.port());
    let impostor = Shelf::default();
    let serving = impostor.open_secured(addr, vouched().1).await;
    let exporting = Exporting::start(otlp_with(endpoint, &vars)).await;
    exporting.emit(10).await;
    exporting
        .until("it is told", || {
            exporting.accounts.exported().up == [("logs", false)]
        })
        .await;
    assert_eq!(*impostor.exports.lock().expect("whole"), 0);
    assert_eq!(exporting.flow().under_way(), 10);
    serving.abort();
    let _ = serving.await;
    let shelf = Shelf::default();
    shelf.open_secured(addr, tls).await;
    exporting
        .until("all is confirmed", || exporting.flow().confirmed == 10)
        .await;
    assert_eq!(shelf.len(), 10);
    let headers = shelf.headers.lock().expect("whole").clone();
    let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    assert_eq!(said("authorization"), Some("Bearer secret"));
    assert_eq!(said("grpc-encoding"), Some("gzip"));
}
