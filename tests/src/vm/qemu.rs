//! Boots a kernel in QEMU's own emulator, within a time limit.
//!
//! Never with KVM: what passes here must pass on a machine without nested virtualisation too.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::VmError;

/// How the emulator runs the guest's processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cpu {
    /// One host thread takes turns at all guest processors. The only mode in which programs may
    /// be attached while other processors run: multi-threaded, the emulator mishandles the
    /// kernel's live patching and the guest dies with "Oops: int3".
    SingleThread,
    /// A host thread per guest processor, for races; attach nothing while they run.
    MultiThread,
    /// One guest processor whose clock advances a nanosecond an instruction: the guest's
    /// monotonic clock counts instructions, exactly and repeatably, for code that never blocks.
    Count,
}

/// Which control groups init mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cgroups {
    /// cgroup2 on `/sys/fs/cgroup`.
    V2,
    /// Some v1 controllers, and cgroup2 on `/sys/fs/cgroup/unified`.
    Hybrid,
    /// None: the suite mounts its own.
    None,
}

/// Which file system a guest runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// The initramfs itself: busybox, and init runs the suite.
    Initramfs,
    /// A Debian on `/dev/vda` (see [`super::root`]): systemd is the first process, cgroup2 is alone, and
    /// the suite runs in `syva-suite.service`. A disk asked for is `/dev/vdb` then.
    Debian,
}

/// How a suite's guest is booted.
#[derive(Debug, Clone, Copy)]
pub struct Boot {
    /// How processors are emulated.
    pub cpu: Cpu,
    /// Which file system it runs on.
    pub root: Root,
    /// The number of guest processors; one under [`Cpu::Count`], whatever is said here.
    pub processors: u8,
    /// Guest memory in MiB.
    pub memory: u32,
    /// The kernel's list of security modules; without `bpf` in it nothing can be enforced.
    pub lsm: &'static str,
    /// Which control groups init mounts; systemd mounts its own.
    pub cgroups: Cgroups,
    /// Kernel modules loaded before the suite starts (see [`super::modules::KEPT`]); a Debian root
    /// brings those that it needs.
    pub modules: &'static [&'static str],
    /// Further words for the kernel's command line.
    pub kernel_args: &'static [&'static str],
    /// The size in MiB of a disk, `/dev/vda`; 0 for none. It needs the modules `virtio_pci`
    /// and `virtio_blk`, and is gone when the guest has ended.
    pub disk: u64,
    /// What makes the file system on it, a program of this host and its arguments; nothing: it is empty.
    pub format: &'static [&'static str],
    /// Further arguments for QEMU.
    pub qemu_args: &'static [&'static str],
}

impl Boot {
    /// Two processors, 1 GiB, BPF among the security modules, cgroup2 only.
    pub const DEFAULT: Self = Self {
        cpu: Cpu::SingleThread,
        root: Root::Initramfs,
        processors: 2,
        memory: 1024,
        lsm: "lockdown,capability,landlock,bpf",
        cgroups: Cgroups::V2,
        modules: &[],
        kernel_args: &[],
        disk: 0,
        format: &[],
        qemu_args: &[],
    };

    /// For benchmarks: the guest's clock counts instructions.
    pub const COUNT: Self = Self {
        cpu: Cpu::Count,
        kernel_args: &["mitigations=off"],
        ..Self::DEFAULT
    };

    /// Two processors, 1.5 GiB and a Debian with systemd and podman.
    pub const DEBIAN: Self = Self {
        root: Root::Debian,
        memory: 1536,
        ..Self::DEFAULT
    };

    /// The kernel modules to load, in a sensible order.
    pub fn all_modules(&self) -> Vec<&'static str> {
        let needed: &[&str] = match self.root {
            Root::Initramfs => &[],
            Root::Debian => &["virtio_pci", "virtio_blk", "ext4", "overlay"],
        };
        needed.iter().chain(self.modules).copied().collect()
    }

    /// The kernel's command line for `suite`.
    pub fn kernel_command_line(&self, suite: &str) -> String {
        let cgroups = match self.cgroups {
            Cgroups::V2 => "v2",
            Cgroups::Hybrid => "hybrid",
            Cgroups::None => "none",
        };
        // The kernel wants ten timer interrupts within some milliseconds of boot, or panics ("IO-APIC + timer
        // doesn't work"); on a busy machine the emulator does not get round to them.
        let mut line = format!(
            "console=ttyS0 panic=-1 quiet no_timer_check lsm={} syva.suite={suite} syva.cgroup={cgroups}",
            self.lsm
        );
        for word in self.kernel_args {
            line.push(' ');
            line.push_str(word);
        }
        // The kernel makes a variable of init's of what it does not know.
        if let Ok(only) = std::env::var("SYVA_ATTACK") {
            line.push_str(&format!(" SYVA_ATTACK=\"{only}\""));
        }
        line
    }

    /// QEMU's arguments for processors and memory.
    fn machine_args(&self) -> Vec<String> {
        let (accel, processors) = match self.cpu {
            Cpu::SingleThread => ("tcg,thread=single", self.processors),
            Cpu::MultiThread => ("tcg,thread=multi", self.processors),
            Cpu::Count => ("tcg,thread=single", 1),
        };
        let mut args: Vec<String> = ["-accel", accel, "-cpu", "max", "-m"]
            .map(str::to_owned)
            .to_vec();
        args.extend([
            self.memory.to_string(),
            String::from("-smp"),
            processors.to_string(),
        ]);
        if self.cpu == Cpu::Count {
            args.extend([String::from("-icount"), String::from("shift=0,sleep=off")]);
        }
        args.extend(self.qemu_args.iter().map(|arg| (*arg).to_owned()));
        args
    }
}

/// The files of one boot.
#[derive(Debug)]
pub struct Files<'a> {
    /// The kernel.
    pub kernel: &'a Path,
    /// Its first file system.
    pub initrd: &'a Path,
    /// The image of its root, if that is a disk; left as it is.
    pub root: Option<PathBuf>,
    /// Its disk, if there is one.
    pub disk: Option<PathBuf>,
    /// Where the console's output goes.
    pub console: PathBuf,
    /// Where the result port's output goes.
    pub results: PathBuf,
}

/// What a guest left behind.
#[derive(Debug)]
pub struct Ended {
    /// What the console printed.
    pub console: String,
    /// What the result port printed.
    pub results: String,
    /// Whether the time limit ended it.
    pub timed_out: bool,
    /// How long it ran.
    pub took: Duration,
}

/// Kills the emulator if the harness leaves early.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail harmlessly when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Boots and waits for the guest to power off, or kills it after `limit`.
pub fn boot(
    boot: &Boot,
    suite: &str,
    files: &Files<'_>,
    limit: Duration,
) -> Result<Ended, VmError> {
    let log = files.console.with_extension("qemu.log");
    let started = Instant::now();
    let mut running = spawn(boot, suite, files, &log)?;
    let status = loop {
        let status = running
            .0
            .try_wait()
            .map_err(VmError::io("waiting for", files.kernel))?;
        if status.is_some() || started.elapsed() >= limit {
            break status;
        }
        thread::sleep(Duration::from_millis(50));
    };
    let took = started.elapsed();
    drop(running);
    if let Some(status) = status.filter(|status| !status.success()) {
        return Err(VmError::Command {
            command: String::from("qemu-system-x86_64"),
            purpose: "boot a guest",
            status,
            said: fs::read_to_string(&log)
                .unwrap_or_default()
                .trim()
                .to_owned(),
        });
    }
    let console = read_serial(&files.console)?;
    // Rewritten without carriage returns, for those who will read it.
    fs::write(&files.console, &console).map_err(VmError::io("writing", &files.console))?;
    Ok(Ended {
        console,
        results: read_serial(&files.results)?,
        timed_out: status.is_none(),
        took,
    })
}

fn spawn(boot: &Boot, suite: &str, files: &Files<'_>, log: &Path) -> Result<Running, VmError> {
    for serial in [&files.console, &files.results] {
        // A guest killed before it opened them must not be judged by an earlier one's output.
        File::create(serial).map_err(VmError::io("creating", serial))?;
    }
    // setpriv, so that no emulator outlives a harness that was killed outright.
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "qemu-system-x86_64"])
        .args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
        ])
        .args(boot.machine_args())
        .arg("-kernel")
        .arg(files.kernel)
        .arg("-initrd")
        .arg(files.initrd)
        .args(["-append", &boot.kernel_command_line(suite)])
        .args(["-serial", &format!("file:{}", files.console.display())])
        .args(["-serial", &format!("file:{}", files.results.display())])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(log).map_err(VmError::io("creating", log))?);
    if let Some(root) = &files.root {
        // What the guest writes goes to a file without a name, beside the log.
        command.env("TMPDIR", log.parent().unwrap_or(Path::new("/tmp")));
        command.args(["-drive", &drive(root, "snapshot=on")]);
    }
    if let Some(disk) = &files.disk {
        command.args(["-drive", &drive(disk, "cache=unsafe")]);
    }
    let child = command.spawn().map_err(|source| VmError::Spawn {
        program: String::from("setpriv"),
        purpose: "boot a guest",
        source,
    })?;
    Ok(Running(child))
}

fn drive(image: &Path, how: &str) -> String {
    // QEMU's own way to write a comma in a value.
    let image = image.display().to_string().replace(',', ",,");
    format!("file={image},format=raw,if=virtio,{how}")
}

fn read_serial(path: &Path) -> Result<String, VmError> {
    let bytes = fs::read(path).map_err(VmError::io("reading", path))?;
    Ok(String::from_utf8_lossy(&bytes).replace('\r', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting_uses_one_processor_and_the_instruction_clock() {
        let args = Boot::COUNT.machine_args().join(" ");
        assert!(args.contains("-smp 1 -icount shift=0,sleep=off"), "{args}");
        let line = Boot::COUNT.kernel_command_line("bench");
        assert!(
            line.contains("syva.suite=bench") && line.ends_with("mitigations=off"),
            "{line}"
        );
    }

    #[test]
    fn a_suite_can_boot_without_bpf_among_the_security_modules() {
        let boot = Boot {
            lsm: "lockdown,capability",
            ..Boot::DEFAULT
        };
        assert!(
            boot.kernel_command_line("x")
                .contains(" lsm=lockdown,capability ")
        );
    }
}
