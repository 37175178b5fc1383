//! Suite `preempt`: on a fully preemptible kernel, no hook is skipped.
//!
//! The kernel skips a tracing program that is entered again on the CPU where a preempted task is still
//! in it. LSM programs are exempt in newer kernels; this suite finds out which ones.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use syva_bpf::LibbpfKernel;
use syva_model::image::{
    CgroupId, ClaimRow, Control, MapWrite, MemberRow, Origin, Scope, Table, ZoneId, ZoneRow,
};
use syva_model::kernel::{Capacity, Kernel as _};

use super::actor::make_cgroup;
use super::{Checks, Failure};

const ATTACKERS: usize = 6;
const OPENS: usize = 20_000;

/// Several tasks open a refused file at once; none of them may ever succeed.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    let version = fs::read_to_string("/proc/version")?;
    checks.note(version.trim());
    let cgroup = make_cgroup("attackers")?;
    fs::create_dir_all("/tmp/one")?;
    let file = Path::new("/tmp/one/file");
    fs::write(file, "")?;
    let mut kernel = LibbpfKernel::new(PathBuf::from("/sys/fs/cgroup"));
    kernel.load(&Capacity::default())?;
    confine(&kernel, &cgroup)?;

    let attackers = (0..ATTACKERS)
        .map(|_| {
            Command::new("/proc/self/exe")
                .arg("act")
                .arg(&cgroup)
                .arg("storm")
                .arg(file)
                .stdout(Stdio::piped())
                .spawn()
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut opened = 0u64;
    for attacker in attackers {
        let output = attacker.wait_with_output()?;
        opened += String::from_utf8_lossy(&output.stdout)
            .trim()
            .parse::<u64>()?;
    }
    checks.equal("no refused open ever succeeded", &opened, &0);
    let counters = kernel.counters()?.counters()?;
    let missed: Vec<_> = counters
        .error_sites
        .iter()
        .filter(|(name, count)| name.starts_with("missed_") && *count > 0)
        .collect();
    checks.that(
        "no program was skipped",
        missed.is_empty(),
        format!("{missed:?}"),
    );
    let denied: u64 = counters.denials.iter().map(|denial| denial.count).sum();
    let expected = (ATTACKERS * OPENS) as u64;
    checks.equal("every one was counted", &denied, &expected);
    let lost: u64 = counters.hooks.iter().map(|hook| hook.lost).sum();
    checks.note(format!(
        "{lost} events did not fit the ring, which nobody read"
    ));
    Ok(())
}

/// Claims the folder for one zone and puts the attackers into another.
fn confine(kernel: &LibbpfKernel, cgroup: &Path) -> Result<(), Failure> {
    let (one, two) = (ZoneId(1), ZoneId(2));
    let root = CgroupId(fs::metadata(cgroup)?.ino());
    let row = MemberRow {
        zone: two,
        root,
        origin: Origin::Journal,
    };
    let member = MapWrite::PutMember(root, row);
    kernel.table(Table::Members)?.write(&member)?;
    let zone = MapWrite::PutZone(two, ZoneRow::default());
    kernel.table(Table::Zones)?.write(&zone)?;
    let facts = kernel.prober()?.probe(File::open("/tmp/one")?.as_fd())?;
    let claim = ClaimRow {
        zone: one,
        scope: Scope::Subtree,
        generation: facts.generation,
        depth: 1,
    };
    let claim = MapWrite::PutClaim(facts.key, claim);
    kernel.table(Table::Claims)?.write(&claim)?;
    kernel.control()?.write(&Control {
        epoch: 1,
        ..Control::default()
    })?;
    Ok(())
}

/// What the attackers do: prints how many opens succeeded.
pub fn storm(path: &Path) -> std::io::Result<()> {
    let opened = (0..OPENS).filter(|_| File::open(path).is_ok()).count();
    println!("{opened}");
    Ok(())
}
