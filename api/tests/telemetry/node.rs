//! An engine in this process, over a kernel in memory that can be told to claim enforcement and to
//! fail; in front of it the real HTTP server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use syva_actors::engine::{Config, Engine};
use syva_actors::fanout::Outlet;
use syva_actors::ledger::Facts;
use syva_actors::memory::MemoryKernel;
use syva_actors::{CommandError, Done, Request};
use syva_model::admit::Node as Host;
use syva_model::command::{BootId, Pod};
use syva_model::entry::Peer;
use syva_model::hook::Hook;
use syva_model::image::{CgroupId, Table, ZoneId};
use syva_model::kernel::{
    Capacity, ControlStore, CounterSource, Counters, DenialCount, EventSource, HookCounters,
    Kernel, KernelError, LetThrough, LinkStore, Loaded, Prober, SelfTest, Share, TableStore,
    ZoneUsage,
};
use syva_rpc::figures::{Build, Source};
use syva_rpc::http;
use syva_rpc::otlp::accounts::Accounts;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The memory backend with another face: it may say that it enforces, counts what it is told to, and
/// may fail to read its counters. No kernel enforces here.
#[derive(Clone)]
pub struct Pretender {
    pub memory: MemoryKernel,
    pub enforcing: bool,
    pub blind: Arc<AtomicBool>,
}

impl Kernel for Pretender {
    fn load(&mut self, capacity: &Capacity) -> Result<Loaded, KernelError> {
        let mut loaded = self.memory.load(capacity)?;
        loaded.enforcing = self.enforcing;
        for hook in &mut loaded.hooks {
            hook.attached = self.enforcing;
        }
        let tests = ["cgroup", "inode"].map(|name| SelfTest {
            name,
            outcome: Ok(()),
        });
        loaded.self_tests = tests.to_vec();
        Ok(loaded)
    }
    fn table(&self, table: Table) -> Result<Box<dyn TableStore>, KernelError> {
        self.memory.table(table)
    }
    fn control(&self) -> Result<Box<dyn ControlStore>, KernelError> {
        self.memory.control()
    }
    fn events(&self) -> Result<Box<dyn EventSource>, KernelError> {
        self.memory.events()
    }
    fn prober(&self) -> Result<Arc<dyn Prober>, KernelError> {
        self.memory.prober()
    }
    fn counters(&self) -> Result<Arc<dyn CounterSource>, KernelError> {
        Ok(Arc::new(self.clone()))
    }
    fn links(&self) -> Result<Arc<dyn LinkStore>, KernelError> {
        self.memory.links()
    }

    fn unload(&mut self) -> Result<(), KernelError> {
        self.memory.unload()
    }
}

impl CounterSource for Pretender {
    fn counters(&self) -> Result<Counters, KernelError> {
        if self.blind.load(Ordering::Relaxed) {
            return Err(KernelError {
                operation: "read counters",
                on: "map hooks".into(),
                said: "asked to fail".into(),
                errno: None,
                remedy: String::new(),
            });
        }
        let hook = HookCounters {
            allow: 5,
            deny: 4,
            would_deny: 3,
            error: 2,
            lost: 1,
        };
        let denial = |object| DenialCount {
            hook: Hook::FileOpen,
            subject: ZoneId(1),
            object: ZoneId(object),
            count: 2,
        };
        Ok(Counters {
            hooks: vec![hook; Hook::ALL.len()],
            denials: vec![denial(2), denial(3)],
            denials_overflow: 0,
            escapes: 4,
            error_sites: vec![("read_path".into(), 2)],
            usage: vec![ZoneUsage {
                zone: ZoneId(1),
                share: Share::Cgroups,
                held: 6,
                quota: 8,
                refused: 7,
            }],
        })
    }

    fn let_through(&self) -> Result<Vec<LetThrough>, KernelError> {
        Ok(Vec::new())
    }
}

/// The engine and its address.
pub struct Node {
    pub engine: Arc<Engine>,
    pub source: Arc<Source>,
    pub memory: MemoryKernel,
    pub blind: Arc<AtomicBool>,
    pub addr: SocketAddr,
    _dir: TempDir,
}

fn boot() -> BootId {
    BootId::parse("0f9b2d4e-1111-4222-8333-444455556666").expect("a UUID")
}

impl Node {
    pub async fn start(enforcing: bool) -> Node {
        Node::start_with(enforcing, None, None).await
    }

    pub async fn start_with(
        enforcing: bool,
        accounts: Option<Arc<Accounts>>,
        outlet: Option<Outlet>,
    ) -> Node {
        let dir = tempfile::tempdir().expect("a directory");
        let facts = Facts {
            node: Host {
                capacity: Capacity::default(),
                engine_paths: Vec::new(),
                own_cgroup: "/own".into(),
                init_cgroup: "/init".into(),
            },
            boot: boot(),
            clock: || 1_700_000_000_000_000_000,
        };
        let config = Config {
            journal_dir: dir.path().join("journal"),
            cgroup_root: dir.path().join("cgroup"),
            vantage: syva_actors::vantage::Vantage::own(),
            mode: None,
            facts,
            own_paths: Vec::new(),
            reconcile_every: Duration::from_secs(3600),
            outlet,
        };
        std::fs::create_dir_all(dir.path().join("cgroup/c1")).expect("a cgroup");
        let kernel = Pretender {
            memory: MemoryKernel::new(),
            enforcing,
            blind: Arc::default(),
        };
        let (memory, blind) = (kernel.memory.clone(), Arc::clone(&kernel.blind));
        let engine = Engine::start(config, Box::new(kernel)).await;
        let engine = Arc::new(engine.expect("started"));
        let build = Build {
            version: "1.2.3",
            git_sha: "abcdef",
        };
        let source = Arc::new(Source::new(Arc::clone(&engine), build, accounts));
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = http::bind(any).await.expect("a port");
        let addr = listener.local_addr().expect("bound");
        tokio::spawn(http::serve(
            Arc::clone(&source),
            listener,
            std::future::pending(),
        ));
        Node {
            engine,
            source,
            memory,
            blind,
            addr,
            _dir: dir,
        }
    }

    /// The id of the one cgroup there is, as stat(2) has it.
    pub fn cgroup(&self) -> CgroupId {
        use std::os::unix::fs::MetadataExt as _;
        let path = self._dir.path().join("cgroup/c1");
        CgroupId(std::fs::metadata(path).expect("there").ino())
    }

    pub async fn run(&self, request: Request) -> Result<Done, CommandError> {
        self.engine.submit(request, Peer::default()).await
    }

    pub async fn zone(&self, name: &str) {
        let request = Request::RegisterZone {
            zone: name.into(),
            policy: None,
        };
        self.run(request).await.expect("registered");
    }

    pub async fn attach(&self, zone: &str, generation: u64) -> Result<Done, CommandError> {
        self.run(Request::Attach {
            container: "c1".into(),
            zone: zone.into(),
            cgroup: self.cgroup(),
            pod: Pod {
                namespace: "shop".into(),
                name: "web-0".into(),
                uid: "u-1".into(),
            },
            source: String::new(),
            generation,
        })
        .await
    }

    /// A GET, with an `Accept` header; the status and the body.
    pub async fn get(&self, path: &str, accept: &str) -> (u16, String) {
        // Figures are told again for a moment.
        tokio::time::sleep(Duration::from_millis(120)).await;
        self.get_now(path, accept).await
    }

    /// The same at once: figures may be up to 100 ms old.
    pub async fn get_now(&self, path: &str, accept: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.addr).await.expect("connected");
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: syva\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("asked");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).expect("a status");
        (status.parse().expect("a number"), body.to_owned())
    }

    pub async fn healthz(&self) -> (u16, serde_json::Value) {
        let (status, body) = self.get("/healthz", "*/*").await;
        (status, serde_json::from_str(&body).expect("JSON"))
    }

    pub async fn metrics(&self) -> String {
        let (status, body) = self.get("/metrics", "*/*").await;
        assert_eq!(status, 200, "{body}");
        body
    }
}
