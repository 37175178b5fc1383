//! Where the host is seen from. A service manager gives the daemon a mount namespace of its own (that is
//! what hardening is), so its own `/tmp` need not be the host's: what is looked up for the host is looked
//! up where PID 1 is (D19). See proc(5): `/proc/PID/root` leads into that process' mount namespace; it
//! takes `CAP_SYS_PTRACE`.

use std::path::{Path, PathBuf};

/// The host's root directory, in the host's mount namespace.
pub const ROOT: &str = "/proc/1/root";

/// Where this process finds what the host calls `path`.
pub(crate) fn place(path: &Path) -> PathBuf {
    let below = path.strip_prefix("/").unwrap_or(path);
    Path::new(ROOT).join(below)
}
