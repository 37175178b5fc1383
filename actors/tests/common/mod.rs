//! A node for the tests: an engine over the in-memory kernel, a journal, and a directory tree that
//! stands for cgroupfs (a directory's inode number is its cgroup id there, too).
#![allow(dead_code)] // each test binary uses its part
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Debug;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use syva_actors::engine::Config;
use syva_actors::ledger::Facts;
use syva_actors::memory::MemoryKernel;
use syva_actors::request::PolicyRequest;
use syva_actors::vantage::Vantage;
use syva_actors::{CommandError, Done, Engine, Request, StartError};
use syva_journal::{Journal, JournalReader, Memory, Record};
use syva_model::admit::Node;
use syva_model::command::{BootId, Command, Pod, Policy};
use syva_model::decision::Operation;
use syva_model::entry::Peer;
use syva_model::hook::Hook;
use syva_model::image::{CgroupId, Image, MemberRow, Mode, Origin, ZoneId};
use syva_model::kernel::{Capacity, KernelEvent, Verdict};
use syva_model::name::Party;
use syva_model::project::project;
use syva_model::state::State;
use tempfile::TempDir;

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);
/// For tests that want no timer in their way.
pub const NEVER: Duration = Duration::from_secs(3600);

pub const BOOT: BootId = BootId([1; 16]);

/// What outlives a daemon: the directories, the kernel's maps, and the disk of a journal in memory.
pub struct Host {
    pub dir: TempDir,
    pub kernel: MemoryKernel,
    pub disk: Memory,
    pub boot: BootId,
    pub mode: Option<Mode>,
    pub interval: Duration,
}

impl Host {
    pub fn new() -> Host {
        // A tmpfs, where there is one: claims can be made there, and inode numbers are not reused.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let dir = dir.expect("a directory");
        for inner in ["cgroups", "files"] {
            fs::create_dir(dir.path().join(inner)).expect("a directory");
        }
        Host {
            dir,
            kernel: MemoryKernel::new(),
            disk: Memory::new(),
            boot: BOOT,
            mode: None,
            interval: NEVER,
        }
    }

    pub fn journal_dir(&self) -> PathBuf {
        self.dir.path().join("journal")
    }

    fn config(&self) -> Config {
        let node = Node {
            capacity: Capacity::default(),
            engine_paths: vec![self.journal_dir().to_string_lossy().into_owned()],
            own_cgroup: "/own".into(),
            init_cgroup: "/init".into(),
        };
        Config {
            journal_dir: self.journal_dir(),
            cgroup_root: self.dir.path().join("cgroups"),
            vantage: Vantage::own(),
            mode: self.mode,
            facts: Facts {
                node,
                boot: self.boot,
                clock: || 1_764_000_000_000_000_000,
            },
            own_paths: Vec::new(),
            outlet: None,
            reconcile_every: self.interval,
        }
    }

    /// Starts on a journal in the directory.
    pub async fn start(&self) -> Result<Engine, StartError> {
        Engine::start(self.config(), Box::new(self.kernel.clone())).await
    }

    /// Starts on the journal in memory.
    pub async fn start_in_memory(&self) -> Engine {
        let (journal, recovery) = match self.disk.open() {
            Ok((journal, recovery)) => (journal, Some(recovery)),
            Err(error) => (self.disk.refused(&error).expect("is held"), None),
        };
        let kernel = Box::new(self.kernel.clone());
        let engine = Engine::start_on(journal, recovery, self.config(), kernel).await;
        let engine = engine.expect("starts");
        self.disk.take_calls();
        engine
    }

    pub fn journal_is_locked(&self) -> bool {
        Journal::open(&self.journal_dir()).is_err()
    }

    /// Makes a cgroup, with those above it, and says its id.
    pub fn cgroup(&self, path: &str) -> CgroupId {
        let dir = self.cgroup_dir(path);
        fs::create_dir_all(&dir).expect("a cgroup");
        CgroupId(fs::metadata(dir).expect("there").ino())
    }

    pub fn cgroup_dir(&self, path: &str) -> PathBuf {
        self.dir.path().join("cgroups").join(path)
    }

    /// Makes a file and says its path.
    pub fn file(&self, name: &str) -> String {
        let path = self.dir.path().join("files").join(name);
        fs::write(&path, name).expect("a file");
        let path = path.canonicalize().expect("there");
        path.to_string_lossy().into_owned()
    }

    /// The maps hold exactly what the journal says, and the control row says so.
    pub fn agrees_with(&self, journal: &JournalReader) -> bool {
        let state = fold(journal);
        let control = self.kernel.control_row();
        self.kernel_rows() == project(&state)
            && (control.applied, control.applying) == (state.seq(), state.seq())
    }

    /// The maps without the kernel-born rows.
    pub fn kernel_rows(&self) -> Image {
        let mut image = self.kernel.image();
        image.members.retain(|_, row| row.origin == Origin::Journal);
        image
    }

    /// The kernel's row of a cgroup.
    pub fn row(&self, id: CgroupId) -> Option<(ZoneId, CgroupId, Origin)> {
        let row = self.kernel.image().members.get(&id).copied();
        row.map(|row: MemberRow| (row.zone, row.root, row.origin))
    }
}

/// The state that the journal's entries add up to.
pub fn fold(journal: &JournalReader) -> State {
    let mut state = State::default();
    for record in entries(journal) {
        state.fold(&record.entry, record.hash).expect("folds");
    }
    state
}

pub fn entries(journal: &JournalReader) -> Vec<Record> {
    journal.read(1, usize::MAX - 1).expect("readable")
}

pub fn last_command(engine: &Engine) -> Command {
    let last = entries(&engine.journal()).pop().expect("an entry");
    last.entry.command
}

pub fn register(zone: &str) -> Request {
    register_with(zone, &[], &[])
}

pub fn allow_socket(zone: &str, path: &str) -> Request {
    let (zone, path) = (zone.into(), path.into());
    Request::AllowHostSocket { zone, path }
}

pub fn register_with(zone: &str, host_paths: &[&str], allowed: &[&str]) -> Request {
    let party = |name: &&str| Party::new(name).expect("a party");
    let policy = Policy {
        allowed_zones: allowed.iter().map(party).collect(),
        ..Policy::default()
    };
    let host_paths = host_paths.iter().map(ToString::to_string).collect();
    Request::RegisterZone {
        zone: zone.into(),
        policy: Some(PolicyRequest {
            policy,
            host_paths,
            host_sockets: Vec::new(),
        }),
    }
}

pub fn claim(zone: &str, path: &str) -> Request {
    Request::RegisterHostPath {
        zone: zone.into(),
        path: path.into(),
        recursive: true,
    }
}

pub fn unclaim(zone: &str, path: &str) -> Request {
    Request::RemoveHostPath {
        zone: zone.into(),
        path: path.into(),
    }
}

pub fn attach(container: &str, zone: &str, cgroup: CgroupId) -> Request {
    Request::Attach {
        container: container.into(),
        zone: zone.into(),
        cgroup,
        pod: Pod::default(),
        source: "test".into(),
        generation: 0,
    }
}

pub fn detach(container: &str) -> Request {
    Request::Detach {
        container: container.into(),
        source: "test".into(),
        generation: 0,
    }
}

pub fn allow(a: &str, b: &str) -> Request {
    Request::AllowComm(a.into(), b.into())
}

pub async fn submit(engine: &Engine, request: Request) -> Result<Done, CommandError> {
    engine.submit(request, Peer::default()).await
}

/// Submits and says the entry's number, 0 if nothing changed.
pub async fn done(engine: &Engine, request: Request) -> u64 {
    let done = submit(engine, request.clone()).await;
    done.unwrap_or_else(|error| panic!("{request:?}: {error}"))
        .seq
        .unwrap_or(0)
}

/// Submits until it is done, as a client does that must not give up.
pub async fn insist(engine: &Engine, request: Request) -> Done {
    let begun = Instant::now();
    loop {
        match submit(engine, request.clone()).await {
            Ok(done) => return done,
            Err(CommandError::Refused(refusal)) => panic!("{request:?}: {refusal}"),
            Err(error) if begun.elapsed() > DEADLINE => panic!("{request:?}: still {error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

/// Waits until something holds.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < DEADLINE, "not so in time: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

pub fn reasons(engine: &Engine) -> Vec<String> {
    engine.health().borrow().reasons.keys().cloned().collect()
}

/// Waits until health names exactly these reasons.
pub async fn reasons_are(engine: &Engine, expected: &[&str]) {
    let mut health = engine.health();
    let wait = health.wait_for(|health| health.reasons.keys().eq(expected));
    let met = tokio::time::timeout(DEADLINE, wait).await.is_ok();
    assert!(met, "expected {expected:?}, got {:?}", reasons(engine));
}

/// A denial that can be told from others by its number.
pub fn event(number: u64) -> KernelEvent {
    KernelEvent {
        monotonic_ns: number,
        hook: Hook::FileOpen,
        verdict: Verdict::Deny,
        subject: ZoneId(1),
        subject_cgroup: CgroupId(1),
        kind: Hook::FileOpen.object_kind(),
        object: ZoneId(2),
        pid: 1,
        tid: 1,
        comm: "test".into(),
        object_pid: 0,
        signal: 0,
        operation: Operation::Use,
        inode: 7,
        claim: None,
        depth: 0,
        name: "name".into(),
        applied: 1,
        applying: 1,
    }
}

pub fn assert_all<T: Debug, E: Debug>(results: impl IntoIterator<Item = Result<T, E>>) -> Vec<T> {
    let all: Result<Vec<T>, E> = results.into_iter().collect();
    all.expect("all of them")
}
