//! Suite `attack`: root inside a zone, with every capability and the host's namespaces, against another
//! zone and the host.
//!
//! Each technique is tried three times. By somebody in no zone, where it must work: a technique that works
//! for nobody proves nothing, and is said not to be there. By the attacker, who must be refused. By the
//! attacker on its own, or as ordinary programs use the same interface, which must work.

pub mod aim;
mod calls;
mod capabilities;
mod cgroups;
mod changes;
mod devices;
mod elf;
mod engine;
mod files;
mod handles;
mod host;
pub mod ipc;
mod mounts;
mod narrow;
mod programs;
mod sockets;
pub mod sys;
mod tasks;
mod technique;
mod terminals;
mod unix;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};

use self::aim::{Aim, Side};
pub use self::sys::in_child;
use self::technique::{ALL, Against, Technique, Twin};
use super::actor::{self, Outcome, make_cgroup};
use super::stage::{attach, setup};
use super::{Checks, Failure};
use crate::daemon::Daemon;

/// How long an attempt may take, under emulation.
const PATIENCE: Duration = Duration::from_secs(20);

/// Both zones, the host, and the daemon between them.
struct Field {
    attacker: Side,
    victim: Side,
    host: Side,
    free: PathBuf,
    _terminal: PtyMaster,
}

/// Goes through the table; `SYVA_ATTACK` in the environment of vmtest is a part of the names of those to try,
/// or of their group's, or several such parts with `|` between them.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    let only = std::env::var("SYVA_ATTACK").unwrap_or_default();
    let mut field = Field::prepare()?;
    let daemon = field.guard()?;
    for group in ALL {
        field.revive()?;
        for technique in group.techniques {
            let names = [group.name, technique.name];
            if only
                .split('|')
                .any(|part| names.iter().any(|name| name.contains(part)))
            {
                field.attack(checks, group.name, group.anew, technique)?;
            }
        }
    }
    checks.equal(
        "the daemon is healthy after all that",
        &daemon.done(&["status"])?.text("health").as_str(),
        &"healthy",
    );
    Ok(())
}

/// What an attacker's process does.
pub fn perform(name: &Path, it: &Path, own: &Path) -> io::Result<()> {
    let aim = |text: &Path| -> io::Result<Aim> {
        serde_json::from_str(&text.to_string_lossy()).map_err(io::Error::other)
    };
    let name = name.to_string_lossy();
    let (name, own_way) = match name.strip_prefix("twin of ") {
        Some(name) => (name, true),
        None => (&*name, false),
    };
    let technique = technique::named(name).ok_or(io::ErrorKind::NotFound)?;
    let attempt = match technique.twin {
        Twin::Instead(twin) if own_way => twin,
        _ => technique.attempt,
    };
    attempt(&aim(it)?, &aim(own)?)
}

/// Counts the page faults of a process with perf_event_open(2), for a moment.
pub fn count_faults(pid: &Path) -> io::Result<()> {
    let pid = pid.to_string_lossy().parse().map_err(io::Error::other)?;
    tasks::perf(pid, -1)
}

impl Field {
    fn prepare() -> Result<Field, Failure> {
        shell(
            "mkdir -p /srv /dev/mqueue /run/attack /run/spare && mke2fs -q /dev/vda 2>/dev/null && \
             mount -t ext4 /dev/vda /srv && mount -t mqueue mqueue /dev/mqueue",
        )?;
        // A namespace of mounts that is the host's and no zone's.
        shell("unshare -m sleep 86400 </dev/null >/dev/null 2>&1 &")?;
        let free = make_cgroup("pods/free")?;
        let side = |name: &str| -> Result<Side, Failure> {
            let cgroup = make_cgroup(&format!("pods/{name}"))?;
            Side::new(name, Path::new("/srv/pods").join(name), cgroup)
        };
        let terminal = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)?;
        grantpt(&terminal)?;
        unlockpt(&terminal)?;
        std::os::unix::fs::symlink(ptsname_r(&terminal)?, calls::TERMINAL)?;
        Ok(Field {
            _terminal: terminal,
            attacker: side("attacker")?,
            victim: side("victim")?,
            host: side("host")?,
            free,
        })
    }

    /// Starts the daemon and puts both sides into their zones.
    fn guard(&self) -> Result<Daemon, Failure> {
        make_cgroup("system/syva")?;
        let join = "echo 0 >/sys/fs/cgroup/system/syva/cgroup.procs && exec \"$0\" \"$@\"";
        let daemon = setup(&[])?.under(&["sh", "-c", join]).start()?;
        fs::write(engine::PID, daemon.pid().to_string())?;
        for (side, more) in [
            (&self.attacker, &["--allow-ptrace"][..]),
            (&self.victim, &[]),
        ] {
            let Aim {
                name, dir, cgroup, ..
            } = &side.aim;
            let dir = dir.to_string_lossy();
            let words = ["zones", "register", name, "--host-path", &dir];
            daemon.done(&[&words[..], more].concat())?;
            let answer = attach(&daemon, name, name, cgroup)?;
            if answer.exit != 0 {
                return Err(format!("attaching {name}: {answer:?}").into());
            }
        }
        Ok(daemon)
    }

    fn revive(&mut self) -> Result<(), Failure> {
        for side in [&mut self.attacker, &mut self.victim, &mut self.host] {
            side.prepare()?;
            side.revive()?;
        }
        Ok(())
    }

    fn attack(
        &mut self,
        checks: &mut Checks,
        group: &str,
        anew: bool,
        technique: &Technique,
    ) -> Result<(), Failure> {
        let aims: &[&str] = match technique.against {
            Against::Zone => &["another zone's"],
            Against::ZoneAndHost => &["another zone's", "the host's"],
            Against::Node => &["the node's"],
        };
        for whose in aims {
            let claim = format!("{group}: {}, {whose}", technique.name);
            self.fresh(anew)?;
            let found = self.tried(technique, whose, anew)?;
            let twin = self.twin(technique, anew)?;
            let found_text = match (&found, technique.known) {
                (Found::Leaked(_), Some(why)) => format!("open: {why}"),
                (found, _) => found.to_string(),
            };
            let row = [group, technique.name, whose, &found_text].join("\t");
            checks.note(format!("technique\t{row}"));
            let here = !matches!(found, Found::NotHere(_));
            match found {
                Found::Leaked(_) if technique.known.is_some() => {
                    checks.check(format!("{claim}: open, as documented"), Ok::<_, &str>(()));
                }
                Found::Blocked if technique.known.is_some() => {
                    checks.check(&claim, Err::<(), _>("it is documented to be open"));
                }
                Found::Blocked => checks.check(&claim, Ok::<_, &str>(())),
                Found::NotHere(_) => {}
                other => checks.check(&claim, Err::<(), _>(other)),
            }
            if here {
                checks.allowed(format!("{claim}: its twin"), &twin);
            }
        }
        Ok(())
    }

    /// By somebody who may, and then by the attacker.
    fn tried(&mut self, technique: &Technique, whose: &str, anew: bool) -> Result<Found, Failure> {
        let it = |field: &Field| match whose {
            "the host's" => field.host.aim.clone(),
            _ => field.victim.aim.clone(),
        };
        let free = self.free.clone();
        let control = if technique.control {
            let outcome = self.attempt(&free, technique.name, &it(self))?;
            self.fresh(anew)?;
            outcome
        } else {
            Outcome::Done
        };
        let zone = self.attacker.aim.cgroup.clone();
        let outcome = self.attempt(&zone, technique.name, &it(self))?;
        let escaped = Path::new(cgroups::EVIDENCE).exists();
        Ok(match (control, outcome) {
            (_, Outcome::Done) => Found::Leaked(String::from("it succeeded")),
            _ if escaped => Found::Leaked(String::from("it ran outside its zone")),
            (Outcome::Refused(errno), _) if technique.lacking.contains(&errno) => {
                Found::NotHere(errno)
            }
            (control, _) if control != Outcome::Done => Found::Broken(format!(
                "it does not work for somebody in no zone: {control:?}"
            )),
            (_, Outcome::Refused(errno)) if technique.refusals.contains(&errno) => Found::Blocked,
            (_, Outcome::Killed) => Found::Blocked,
            (_, outcome) => Found::Broken(format!("it failed otherwise: {outcome:?}")),
        })
    }

    fn twin(&mut self, technique: &Technique, anew: bool) -> Result<Outcome, Failure> {
        self.fresh(anew)?;
        let own = self.attacker.aim.clone();
        let zone = own.cgroup.clone();
        self.attempt(&zone, &format!("twin of {}", technique.name), &own)
    }

    /// Everything as it was, and everybody alive.
    fn fresh(&mut self, anew: bool) -> Result<(), Failure> {
        // It may not be there.
        let _ = fs::remove_file(cgroups::EVIDENCE);
        mounts::as_it_was()?;
        ipc::as_it_was();
        for side in [&mut self.attacker, &mut self.victim, &mut self.host] {
            side.prepare()?;
            for (name, wanted) in [("nested", false), ("planted", false), ("spare", true)] {
                let cgroup = side.aim.cgroup.join(name);
                // Both fail where it is already so.
                let _ = if wanted {
                    fs::create_dir(&cgroup)
                } else {
                    fs::remove_dir(&cgroup)
                };
            }
            if anew || side.aim.is_dead() {
                side.revive()?;
            }
        }
        Ok(())
    }

    fn attempt(&self, cgroup: &Path, name: &str, it: &Aim) -> Result<Outcome, Failure> {
        let it_text = serde_json::to_string(it)?;
        let own = serde_json::to_string(&self.attacker.aim)?;
        let args = [Path::new(name), Path::new(&it_text), Path::new(&own)];
        let open = File::options()
            .write(true)
            .open(it.cgroup.join("cgroup.procs"))?;
        let mut child = actor::actor(cgroup, "attack", &args)
            .stdin(Stdio::from(open))
            .spawn()?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = child.try_wait()? {
                return Ok(actor::outcome(Ok(status), cgroup, name));
            }
            thread::sleep(Duration::from_millis(2));
        }
        child.kill()?;
        child.wait()?;
        Ok(Outcome::Broken(format!("not over within {PATIENCE:?}")))
    }
}

/// What came of an attack.
#[derive(Debug)]
enum Found {
    /// The attacker was refused what others can do.
    Blocked,
    /// This kernel has no such thing: what it says.
    NotHere(i32),
    /// It had its effect.
    Leaked(String),
    /// It says nothing about the engine.
    Broken(String),
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Found::Blocked => write!(f, "blocked"),
            Found::NotHere(errno) => {
                let errno = nix::errno::Errno::from_raw(*errno);
                write!(f, "not here ({errno:?})")
            }
            Found::Leaked(how) => write!(f, "leaked: {how}"),
            Found::Broken(why) => write!(f, "broken: {why}"),
        }
    }
}

fn shell(script: &str) -> Result<(), Failure> {
    let status = Command::new("sh").args(["-c", script]).status()?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{script}: {status}").into())
}
