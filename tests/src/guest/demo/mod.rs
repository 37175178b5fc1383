//! Suite `demo`: the picture of the README, proved on a real kernel with the real programs.
//!
//! For every hook between zones, an operation across them must be blocked (and exactly that hook's deny
//! counter up by exactly one, read past the daemon) and its twin inside the zone must work with no
//! counter moved. Last, with the programs detached, everything that was blocked must succeed: a demo
//! that tests nothing fails.

pub(super) mod counters;
pub(super) mod crossing;
pub(super) mod node;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use syva_model::hook::Hook;

use super::actor::{
    Background, Outcome, act, act_on, begin, exec_moved, listen, make_cgroup, receive,
};
use super::{Checks, Failure, mutating};
use counters::DenyCounters;
use node::Node;

/// SIGCONT: it does nothing to a task that runs.
const HARMLESS: &str = "18";

/// Runs the demo; on a host's own kernel too, where it leaves nothing behind.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    let place = Place::make()?;
    let mut node = Node::start(&place.dir)?;
    let stage = Stage::set(&node, &place)?;
    for hook in Hook::between_zones() {
        stage.hook(checks, hook)?;
    }
    stage.file_made_after_the_claim(checks)?;
    stage.nested_cgroup(checks)?;
    stage.live_decision(checks, &node)?;
    stage.traced(checks, &node)?;
    explained(checks, &node)?;
    node.stop()?;
    stage.after_the_daemon(checks)?;
    node.unload()?;
    stage.detached(checks);
    Ok(())
}

/// Where the demo lives: a directory and a cgroup of its own.
pub(super) struct Place {
    pub(super) dir: PathBuf,
    cgroup: PathBuf,
}

impl Place {
    pub(super) fn make() -> Result<Place, Failure> {
        let dir = PathBuf::from(format!("/tmp/syva-demo.{}", std::process::id()));
        fs::create_dir(&dir)?;
        let cgroup = make_cgroup(&format!("syva-demo.{}", std::process::id()))?;
        Ok(Place { dir, cgroup })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What is left belongs to nobody else; a demo on a host should not litter.
        for inner in ["web/nested", "web", "db", ""] {
            let _ = fs::remove_dir(self.cgroup.join(inner));
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Two zones, each with a cgroup, a directory, a process and a socket; and what is in neither.
pub(super) struct Stage {
    pub(super) web: Side,
    pub(super) db: Side,
    pub(super) outside: Outside,
    pub(super) counters: DenyCounters,
}

pub(super) struct Outside {
    pub(super) cgroup: PathBuf,
    program: PathBuf,
}

pub(super) struct Side {
    pub(super) cgroup: PathBuf,
    pub(super) dir: PathBuf,
    pub(super) secret: PathBuf,
    socket: PathBuf,
    datagrams: PathBuf,
    _listener: Background,
    _receiver: Background,
    process: Background,
}

impl Side {
    fn make(node: &Node, place: &Place, zone: &str, flags: &[&str]) -> Result<Side, Failure> {
        let (cgroup, dir) = (place.cgroup.join(zone), place.dir.join(zone));
        fs::create_dir(&cgroup)?;
        fs::create_dir(&dir)?;
        let secret = dir.join("secret");
        fs::write(&secret, zone)?;
        let register = ["zones", "register", zone, "--network", "host"];
        node.ask(&[&register, flags].concat())?;
        let id = fs::metadata(&cgroup)?.ino().to_string();
        node.ask(&[
            "containers",
            "attach",
            &format!("{zone}-1"),
            zone,
            "--cgroup-id",
            &id,
        ])?;
        let claimed = dir.to_str().ok_or("the demo's directory is not UTF-8")?;
        node.ask(&["host-paths", "register", zone, claimed, "--recursive"])?;
        // Outside the claim, so that the socket is the zone's by the cgroup that made it.
        let socket = place.dir.join(format!("{zone}.sock"));
        let listener = listen(&cgroup, &socket)?;
        let datagrams = place.dir.join(format!("{zone}.datagrams"));
        let receiver = receive(&cgroup, &datagrams)?;
        let process = begin(&cgroup, "wait", &[])?;
        Ok(Side {
            cgroup,
            dir,
            secret,
            socket,
            datagrams,
            _listener: listener,
            _receiver: receiver,
            process,
        })
    }

    pub(super) fn pid(&self) -> PathBuf {
        self.process.pid().to_string().into()
    }
}

impl Stage {
    pub(super) fn set(node: &Node, place: &Place) -> Result<Stage, Failure> {
        let db = Side::make(node, place, "db", &[])?;
        let web = Side::make(node, place, "web", &["--allow-ptrace"])?;
        let outside = Outside {
            cgroup: place.cgroup.clone(),
            program: place.dir.join("program"),
        };
        Ok(Stage {
            web,
            db,
            outside,
            counters: DenyCounters::find()?,
        })
    }

    /// What a hook is about, done by zone web to a side.
    pub(super) fn attempt(&self, hook: Hook, to: &Side) -> Outcome {
        let from = &self.web.cgroup;
        match hook {
            Hook::FileOpen => act(from, "open", &[&to.secret]),
            Hook::TaskKill => act(from, "kill", &[&to.pid(), Path::new(HARMLESS)]),
            Hook::UnixStreamConnect => act(from, "connect", &[&to.socket]),
            Hook::UnixMaySend => act(from, "send", &[&to.datagrams]),
            // What is executed is opened first, and file_open refuses that. So this one becomes the
            // side's between the two: it is moved into its claim.
            Hook::BprmCheckSecurity => {
                let program = &self.outside.program;
                if let Err(error) = write_program(program) {
                    return Outcome::Broken(format!("writing {}: {error}", program.display()));
                }
                exec_moved(from, program, program, &to.dir.join("program"))
            }
            // The descriptor is inherited from this process, which is in no zone.
            Hook::MmapFile => match File::open(&to.secret) {
                Ok(file) => act_on(from, "map", file),
                Err(error) => Outcome::Broken(format!("opening: {error}")),
            },
            Hook::PtraceAccessCheck => act(from, "attach", &[&to.pid()]),
            // The side's task asks to be traced by its parent, which is web's.
            Hook::PtraceTraceme => act(&self.outside.cgroup, "be-asked", &[from, &to.cgroup]),
            // As with mmap_file, the descriptor comes from this process.
            Hook::FileMprotect => match File::open(&to.secret) {
                Ok(file) => act_on(from, "map-then-execute", file),
                Err(error) => Outcome::Broken(format!("opening: {error}")),
            },
            Hook::FileReceive => {
                match File::open(&to.secret).and_then(|file| mutating::handed_over(&file)) {
                    Ok(socket) => act_on(from, "receive-descriptor", socket),
                    Err(error) => Outcome::Broken(format!("handing over: {error}")),
                }
            }
            Hook::InodeCreate
            | Hook::InodeMkdir
            | Hook::InodeMknod
            | Hook::InodeSymlink
            | Hook::InodeLink
            | Hook::InodeRename
            | Hook::InodeUnlink
            | Hook::InodeRmdir
            | Hook::InodeSetattr
            | Hook::InodeSetxattr
            | Hook::InodeRemovexattr => crossing::change(from, hook, &to.dir.join("changed")),
            Hook::TaskSetnice => act(from, "set-priority", &[&to.pid()]),
            Hook::TaskSetioprio => act(from, "set-io-priority", &[&to.pid()]),
            Hook::TaskSetscheduler => act(from, "set-affinity", &[&to.pid()]),
            Hook::TaskSetrlimit => act(from, "set-limit", &[&to.pid()]),
            Hook::FileSendSigiotask => crossing::file_signal(from, &to.cgroup),
            Hook::IpcPermission | Hook::ShmShmctl | Hook::MsgQueueMsgctl | Hook::SemSemctl => {
                crossing::sysv(from, &to.cgroup, hook)
            }
            Hook::KeyPermission => crossing::key(from, &to.cgroup),
            _ => Outcome::Broken(format!("{} is not between zones", hook.name())),
        }
    }

    fn hook(&self, checks: &mut Checks, hook: Hook) -> Result<(), Failure> {
        let name = hook.name();
        self.blocked(checks, &format!("{name}: web at db's"), hook, |stage| {
            stage.attempt(hook, &stage.db)
        })?;
        self.works(checks, &format!("{name}: web at its own"), |stage| {
            stage.attempt(hook, &stage.web)
        })
    }

    /// It is refused with EPERM, and that hook's counter alone goes up, by one.
    fn blocked(
        &self,
        checks: &mut Checks,
        claim: &str,
        hook: Hook,
        attempt: impl FnOnce(&Stage) -> Outcome,
    ) -> Result<(), Failure> {
        let before = self.counters.read()?;
        let outcome = attempt(self);
        let grown = grown(&before, &self.counters.read()?);
        let expected: Vec<u64> = Hook::ALL.iter().map(|h| u64::from(*h == hook)).collect();
        let errno = crossing::errno(hook);
        let refused = outcome == Outcome::Refused(errno.raw_os_error());
        checks.that(
            format!("{claim}: blocked, {}, deny_delta=1", crossing::name(errno)),
            refused && grown == expected,
            format!("{outcome:?}, deny counters grew by {grown:?}, expected {expected:?}"),
        );
        Ok(())
    }

    /// It works, and no deny counter moves.
    fn works(
        &self,
        checks: &mut Checks,
        claim: &str,
        attempt: impl FnOnce(&Stage) -> Outcome,
    ) -> Result<(), Failure> {
        let before = self.counters.read()?;
        let outcome = attempt(self);
        let grown = grown(&before, &self.counters.read()?);
        checks.that(
            format!("{claim}: works, deny_delta=0"),
            outcome == Outcome::Done && grown.iter().all(|by| *by == 0),
            format!("{outcome:?}, deny counters grew by {grown:?}"),
        );
        Ok(())
    }

    fn file_made_after_the_claim(&self, checks: &mut Checks) -> Result<(), Failure> {
        for side in [&self.db, &self.web] {
            fs::create_dir_all(side.dir.join("deep"))?;
            fs::write(side.dir.join("deep/new"), "made after the claim")?;
        }
        let open = |stage: &Stage, side: &Side| {
            act(&stage.web.cgroup, "open", &[&side.dir.join("deep/new")])
        };
        let claim = "a file made after the claim";
        self.blocked(
            checks,
            &format!("{claim}: web at db's"),
            Hook::FileOpen,
            |stage| open(stage, &stage.db),
        )?;
        self.works(checks, &format!("{claim}: web at its own"), |stage| {
            open(stage, &stage.web)
        })
    }

    fn nested_cgroup(&self, checks: &mut Checks) -> Result<(), Failure> {
        let nested = self.web.cgroup.join("nested");
        fs::create_dir(&nested)?;
        let open = |side: &Side| act(&nested, "open", &[&side.secret]);
        let claim = "a process in a nested cgroup";
        self.blocked(
            checks,
            &format!("{claim}: at db's"),
            Hook::FileOpen,
            |stage| open(&stage.db),
        )?;
        self.works(checks, &format!("{claim}: at its own"), |stage| {
            open(&stage.web)
        })
    }

    fn live_decision(&self, checks: &mut Checks, node: &Node) -> Result<(), Failure> {
        let open = |stage: &Stage| stage.attempt(Hook::FileOpen, &stage.db);
        node.ask(&["comms", "allow", "web", "db"])?;
        self.works(checks, "after AllowComm web db: web at db's", open)?;
        node.ask(&["comms", "deny", "web", "db"])?;
        self.blocked(
            checks,
            "after DenyComm web db: web at db's",
            Hook::FileOpen,
            open,
        )
    }

    /// No pair opens tracing; inside a zone it needs the zone's permission, but for reading.
    fn traced(&self, checks: &mut Checks, node: &Node) -> Result<(), Failure> {
        let hook = Hook::PtraceAccessCheck;
        node.ask(&["comms", "allow", "web", "db"])?;
        self.blocked(
            checks,
            "ptrace, the pair allowed: web at db's",
            hook,
            |stage| stage.attempt(hook, &stage.db),
        )?;
        node.ask(&["comms", "deny", "web", "db"])?;
        self.blocked(
            checks,
            "ptrace, registered without --allow-ptrace: db at its own",
            hook,
            |stage| act(&stage.db.cgroup, "attach", &[&stage.db.pid()]),
        )?;
        self.works(checks, "ptrace, reading only: db at its own", |stage| {
            let exe = Path::new("/proc").join(stage.db.pid()).join("exe");
            act(&stage.db.cgroup, "readlink", &[&exe])
        })
    }

    /// The kernel does not need the daemon.
    fn after_the_daemon(&self, checks: &mut Checks) -> Result<(), Failure> {
        let open = |side: &Side| act(&self.web.cgroup, "open", &[&side.secret]);
        let claim = "the daemon stopped, file_open: web at";
        self.blocked(checks, &format!("{claim} db's"), Hook::FileOpen, |stage| {
            open(&stage.db)
        })?;
        self.works(checks, &format!("{claim} its own"), |stage| {
            open(&stage.web)
        })
    }

    /// With nothing attached, what was blocked succeeds: it was Syvä that blocked it.
    fn detached(&self, checks: &mut Checks) {
        for hook in Hook::between_zones() {
            let outcome = self.attempt(hook, &self.db);
            checks.allowed(
                format!("detached, {}: web at db's works", hook.name()),
                &outcome,
            );
        }
        let nested = self.web.cgroup.join("nested");
        let outcome = act(&nested, "open", &[&self.db.dir.join("deep/new")]);
        checks.allowed("detached, nested cgroup and later file: it works", &outcome);
    }
}

/// A script that does nothing.
fn write_program(path: &Path) -> std::io::Result<()> {
    fs::write(path, "#!/bin/true\n")?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

fn grown(before: &[u64], after: &[u64]) -> Vec<u64> {
    after
        .iter()
        .zip(before)
        .map(|(after, before)| after.wrapping_sub(*before))
        .collect()
}

/// The denials came back as events, and the journal folds to the running state.
fn explained(checks: &mut Checks, node: &Node) -> Result<(), Failure> {
    let events = node.ask(&["--format", "json", "events"])?;
    for hook in Hook::between_zones() {
        let named = |line: &&str| {
            let has = |field: &str, value: &str| line.contains(&format!("\"{field}\":\"{value}\""));
            has("hook", hook.name()) && has("zone", "web") && has("target_zone", "db")
        };
        checks.that(
            format!(
                "{}: the denial came back as an event naming both zones",
                hook.name()
            ),
            events.lines().any(|line| named(&line)),
            &events,
        );
    }
    let replay = node.ask(&["journal", "replay"]);
    let why = replay
        .as_ref()
        .err()
        .map(ToString::to_string)
        .unwrap_or_default();
    checks.that(
        "the journal, folded again, equals the running state",
        replay.is_ok(),
        why,
    );
    Ok(())
}
