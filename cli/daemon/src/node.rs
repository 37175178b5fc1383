//! What the daemon finds out about the node before it starts: its boot, its cgroups, its own paths.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use syva_actors::cgroups;
use syva_actors::ledger::Facts;
use syva_actors::vantage::Vantage;
use syva_model::admit::Node;
use syva_model::command::BootId;

use crate::args::{Args, Backend, PINS};

/// From where the host's paths are looked up: from PID 1's mount namespace. The memory backend enforces
/// nothing and needs no privileges, so it looks from where it is.
pub fn vantage(args: &Args) -> Vantage {
    match args.backend {
        Backend::Libbpf => Vantage::of(syva_bpf::vantage::ROOT),
        Backend::Memory => Vantage::own(),
    }
}

/// Gathers them.
///
/// # Errors
/// What could not be read, and from where.
pub fn facts(args: &Args) -> Result<Facts> {
    let file = "/proc/sys/kernel/random/boot_id";
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    let boot = BootId::parse(&text).with_context(|| format!("{file} holds no UUID: {text:?}"))?;
    let node = Node {
        capacity: args.capacity(),
        engine_paths: engine_paths(args)?,
        own_cgroup: cgroup_of("self", args)?,
        init_cgroup: cgroup_of("1", args)?,
    };
    Ok(Facts {
        node,
        boot,
        clock: now,
    })
}

/// The cgroup of a process. In memory there may be no cgroup v2 to speak of: only the root is out of
/// bounds then.
fn cgroup_of(pid: &str, args: &Args) -> Result<String> {
    match (cgroups::of_process(pid), args.backend) {
        // As the paths of cgroups that are to be attached are compared with it.
        (Ok(path), _) => Ok(path.to_string_lossy().into_owned()),
        (Err(_), Backend::Memory) => Ok("/".to_owned()),
        (Err(error), Backend::Libbpf) => Err(error).with_context(|| {
            let root = args.cgroup_root.display();
            format!(
                "cannot learn the cgroup of process {pid} from /proc/{pid}/cgroup: without cgroup v2 \
                 there are no zones; mount -t cgroup2 cgroup2 {root}"
            )
        }),
    }
}

/// The state directory, the socket's directory and the pins, free of symbolic links as claims are.
fn engine_paths(args: &Args) -> Result<Vec<String>> {
    let pins = args.pin_dir.0.clone().unwrap_or_else(|| PINS.into());
    let mut paths = own_files(args)?;
    paths.push(resolved(&pins)?);
    Ok(paths)
}

/// The same without the pins, whose file system no zone reaches.
pub fn own_files(args: &Args) -> Result<Vec<String>> {
    let socket = args
        .socket_path
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default();
    let own = [args.state_dir.clone(), args.socket_path.clone()];
    // A shared directory like /tmp or /run is not the engine's, the socket in it is.
    let dedicated = (socket.file_name() == Some("syva".as_ref())).then_some(socket);
    own.into_iter()
        .chain(dedicated)
        .map(|path| resolved(&path))
        .collect()
}

fn resolved(path: &Path) -> Result<String> {
    let absolute =
        std::path::absolute(path).with_context(|| format!("cannot use path {path:?}"))?;
    // What does not exist yet is made later, below what does.
    let mut missing = Vec::new();
    let mut there = absolute.as_path();
    let found: PathBuf = loop {
        match (there.canonicalize(), there.parent(), there.file_name()) {
            (Ok(found), ..) => break found,
            (Err(_), Some(parent), Some(name)) => {
                missing.push(name.to_owned());
                there = parent;
            }
            (Err(_), ..) => break PathBuf::from("/"),
        }
    };
    let whole = missing
        .iter()
        .rev()
        .fold(found, |path, name| path.join(name));
    let text = whole.into_os_string().into_string();
    text.map_err(|path| anyhow::anyhow!("the path {path:?} is not UTF-8: choose another"))
}

/// The wall clock, in nanoseconds since the Unix epoch; 0 before it.
fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_still_to_be_made_is_resolved_as_far_as_it_exists() {
        let dir = tempfile::tempdir().expect("a directory");
        let real = dir.path().canonicalize().expect("there");
        std::os::unix::fs::symlink(&real, real.join("link")).expect("linked");
        let through = real.join("link/state/syva");
        let wanted = real
            .join("state/syva")
            .into_os_string()
            .into_string()
            .expect("UTF-8");
        assert_eq!(resolved(&through).expect("resolved"), wanted);
    }
}
