//! A real collector: rotel, which prints what it received. `make verify-otlp` fetches it and runs
//! these; they run the engine in this process, over the memory backend, as `otlp.rs` says.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use syva_rpc::client;
use syva_rpc::server::{serve, socket};
use syva_rpc::v1::RegisterZoneRequest;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::collector::free_addr;
use crate::otlp::{Exporting, event, otlp};

struct Rotel {
    child: Child,
    printed: PathBuf,
    dir: tempfile::TempDir,
    endpoint: String,
}

impl Rotel {
    async fn start() -> Rotel {
        let program = std::env::var("SYVA_ROTEL").expect("SYVA_ROTEL: use make verify-otlp");
        let dir = tempfile::tempdir().expect("a directory");
        let printed = dir.path().join("printed");
        let (grpc, http) = (free_addr().await, free_addr().await);
        let out = File::create(&printed).expect("a file");
        let child = Command::new(program)
            .arg("start")
            .args(["--otlp-grpc-endpoint", &grpc.to_string()])
            .args(["--otlp-http-endpoint", &http.to_string()])
            .args(["--exporter", "blackhole", "--batch-timeout", "100ms"])
            .args(["--debug-log", "logs", "--debug-log", "metrics"])
            .args(["--debug-log", "traces"])
            .args(["--debug-log-verbosity", "detailed"])
            .env("NO_COLOR", "1")
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stderr(out.try_clone().expect("cloned"))
            .stdout(out)
            .spawn()
            .expect("rotel starts");
        Rotel {
            child,
            printed,
            dir,
            endpoint: format!("http://{grpc}"),
        }
    }

    fn printed(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.printed).expect("there")).into_owned()
    }

    /// Waits until it has printed something.
    async fn prints(&self, what: &str) -> String {
        for _ in 0..200 {
            let printed = self.printed();
            if printed.contains(what) {
                return printed;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{what:?} is not in what rotel printed:\n{}", self.printed());
    }

    /// Waits until it has printed spans of one trace that stand above each other like that, the last
    /// one without a parent.
    async fn prints_chain(&self, wanted: &[&str]) {
        for _ in 0..200 {
            let printed = self.printed();
            let spans = spans(&printed);
            if spans.iter().any(|span| chain(span, &spans) == wanted) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!(
            "{wanted:?} is not in what rotel printed:\n{}",
            self.printed()
        );
    }

    /// Ends it, so that all it received is printed.
    fn end(&mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("there");
        assert!(self.child.wait().expect("waited for").success());
        self.printed()
    }
}

/// A span as rotel prints it.
struct Printed<'a> {
    trace: &'a str,
    parent: &'a str,
    id: &'a str,
    name: &'a str,
}

fn spans(printed: &str) -> Vec<Printed<'_>> {
    let blocks = printed.split("\nSpan #").skip(1).map(|block| {
        let value = |key: &str| {
            let pairs = block.lines().filter_map(|line| line.split_once(':'));
            let mut found = pairs.filter(|(known, _)| known.trim() == key);
            found.next().map_or("", |(_, value)| value.trim())
        };
        Printed {
            trace: value("Trace ID"),
            parent: value("Parent ID"),
            id: value("ID"),
            name: value("Name"),
        }
    });
    blocks.collect()
}

/// The names of a span and of all above it, up to the one that has no parent.
fn chain<'a>(span: &Printed<'a>, spans: &[Printed<'a>]) -> Vec<&'a str> {
    let mut names = vec![span.name];
    let mut parent = span.parent;
    while let Some(above) = spans
        .iter()
        .find(|known| known.trace == span.trace && known.id == parent)
    {
        names.push(above.name);
        parent = above.parent;
    }
    if !parent.is_empty() {
        names.push("one that was not exported yet");
    }
    names
}

impl Drop for Rotel {
    fn drop(&mut self) {
        // It has ended already if it was ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rotel: make verify-otlp"]
async fn rotel_reads_zones_hook_process_and_path_and_a_command_from_rpc_to_map_write() {
    let rotel = Rotel::start().await;
    let otlp = otlp(rotel.endpoint.clone(), false);
    tracing_subscriber::registry().with(otlp.layer()).init();
    let exporting = Exporting::start(otlp).await;
    let node = &exporting.node;

    let path = rotel.dir.path().join("core.sock");
    let listener = socket::bind(&path).expect("bound");
    let serving = serve(Arc::clone(&node.engine), listener, std::future::pending());
    tokio::spawn(serving);
    let mut client = client::connect(&path, "a-test").await.expect("connected");
    for zone_name in ["web", "db"] {
        let request = RegisterZoneRequest {
            zone_name: zone_name.into(),
            policy: None,
        };
        client.register_zone(request).await.expect("registered");
    }
    let claimed = rotel.dir.path().join("vault");
    fs::create_dir(&claimed).expect("made");
    let claim = syva_actors::Request::RegisterHostPath {
        zone: "db".into(),
        path: claimed.to_str().expect("UTF-8").into(),
        recursive: true,
    };
    node.run(claim).await.expect("claimed");
    // The directories above it have rows too.
    let claims = node.memory.image().claims;
    let inode = fs::metadata(&claimed).expect("there").ino();
    let claim = *claims
        .keys()
        .find(|key| key.ino == inode)
        .expect("one claim");
    node.memory.emit(syva_model::kernel::KernelEvent {
        claim: Some(claim),
        depth: 1,
        ..event(node, 1)
    });

    let printed = rotel.prints("syva.denial").await;
    let file = claimed.join("key").display().to_string();
    for word in [
        "syva.zone",
        "web",
        "syva.target_zone",
        "db",
        "file_open",
        "4242",
        "thread.name",
        "cat",
        "file.path",
        &file,
        "service.name",
        "syva-core",
        "host.name",
        "service.version",
    ] {
        assert!(printed.contains(word), "{word:?} is not in\n{printed}");
    }
    rotel.prints("syva_hook_decisions_total").await;
    rotel.prints("map.write").await;
    let root = "syva.core.v1.SyvaCore/RegisterZone";
    for wanted in [
        &["map.write", "enforce", "batch", root][..],
        &["journal.append", "batch", root],
        &["resolve", root],
    ] {
        rotel.prints_chain(wanted).await;
    }
    // What exports does not export itself.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let printed = rotel.printed();
    for own in ["opentelemetry.proto.collector", "hyper", "Export/"] {
        assert!(!printed.contains(own), "{own:?} is in\n{printed}");
    }
    exporting.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rotel: make verify-otlp"]
async fn a_burst_of_50_000_is_accounted_for_exactly() {
    const BURST: u64 = 50_000;
    let mut rotel = Rotel::start().await;
    let exporting = Exporting::start(otlp(rotel.endpoint.clone(), true)).await;
    exporting.emit(BURST).await;
    exporting
        .until("nothing is under way", || exporting.flow().under_way() == 0)
        .await;
    let lost = exporting.node.engine.events_dropped();
    let flow = exporting.stop().await;
    let printed = rotel.end();
    let mut received: BTreeMap<&str, u64> = BTreeMap::new();
    for line in printed.lines().filter(|line| line.contains("file.inode")) {
        let mut numbers = line.split(|c: char| !c.is_ascii_digit());
        let inode = numbers.rfind(|digits| digits.len() == 7);
        *received.entry(inode.expect("an inode")).or_default() += 1;
    }
    assert_eq!(received.len() as u64, flow.confirmed, "{flow:?}");
    assert!(received.values().all(|times| *times == 1), "once each");
    assert_eq!(flow.confirmed + flow.dropped + lost, BURST);
    println!("{flow:?}, {lost} lost before the export");
}
