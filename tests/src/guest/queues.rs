//! What actors do with POSIX message queues.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::mqueue::{MQ_OFlag, MqAttr, mq_close, mq_open, mq_receive, mq_send, mq_unlink};
use nix::sys::stat::Mode;

/// Does it; `None` for what is no action of these.
pub fn perform(action: &str, args: &[PathBuf]) -> Option<io::Result<()>> {
    let result = match (action, args) {
        ("make-queue", [name]) => open(name, MQ_OFlag::O_CREAT | MQ_OFlag::O_EXCL, |_| Ok(())),
        ("send-queue", [name]) => open(name, MQ_OFlag::empty(), |queue| {
            mq_send(queue, b"a secret", 0)
        }),
        ("receive-queue", [name]) => open(name, MQ_OFlag::empty(), |queue| {
            mq_receive(queue, &mut [0; BYTES as usize], &mut 0).map(drop)
        }),
        ("remove-queue", [name]) => named(name).and_then(|name| Ok(mq_unlink(&*name)?)),
        _ => return None,
    };
    Some(result)
}

const BYTES: i64 = 64;

fn open(
    name: &Path,
    how: MQ_OFlag,
    then: impl FnOnce(&nix::mqueue::MqdT) -> nix::Result<()>,
) -> io::Result<()> {
    let name = named(name)?;
    let attributes = MqAttr::new(0, 4, BYTES, 0);
    let mode = Mode::from_bits_truncate(0o666);
    let flags = MQ_OFlag::O_RDWR | MQ_OFlag::O_NONBLOCK | how;
    let queue = mq_open(&*name, flags, mode, Some(&attributes))?;
    let done = then(&queue);
    mq_close(queue)?;
    Ok(done?)
}

fn named(name: &Path) -> io::Result<CString> {
    Ok(CString::new(name.as_os_str().as_bytes())?)
}
