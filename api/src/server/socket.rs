//! The daemon's socket: made for root alone (0600, until peers are told apart), never taken from a
//! daemon that lives, taken over from one that died.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use tokio::net::UnixListener;

/// Why there is no socket to serve on.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// A daemon answers there.
    #[error(
        "the socket {0:?} is in use by a live daemon: stop it first, or choose another --socket-path"
    )]
    InUse(PathBuf),
    /// Something else is there.
    #[error("{0:?} exists and is no socket: remove it, or choose another --socket-path")]
    NotASocket(PathBuf),
    /// The system refused.
    #[error(
        "cannot {tried} {path:?}: {source}; check the directory and its permissions, or choose another --socket-path"
    )]
    System {
        /// What was tried.
        tried: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Makes the socket.
///
/// # Errors
/// [`SocketError`].
pub fn bind(path: &Path) -> Result<UnixListener, SocketError> {
    let failed = |tried, path: &Path| {
        let path = path.to_owned();
        move |source| SocketError::System {
            tried,
            path,
            source,
        }
    };
    if let Some(dir) = path
        .parent()
        .filter(|dir| !dir.as_os_str().is_empty() && !dir.exists())
    {
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(dir);
        made.map_err(failed("make the directory", dir))?;
    }
    clear_the_way(path)?;
    // Nobody else may connect between bind and a chmod: the mode is right from the beginning.
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(path);
    rustix::process::umask(before);
    bound.map_err(failed("bind the socket", path))
}

/// Removes a socket that nobody serves any more.
fn clear_the_way(path: &Path) -> Result<(), SocketError> {
    let failed = |tried| {
        move |source| SocketError::System {
            tried,
            path: path.to_owned(),
            source,
        }
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("look at")(error)),
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err(SocketError::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(SocketError::InUse(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            tracing::info!(path = %path.display(), "removing the socket of a daemon that is gone");
            fs::remove_file(path).map_err(failed("remove the stale socket"))
        }
        Err(error) => Err(failed("connect to")(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[tokio::test]
    async fn the_socket_is_root_s_alone_and_its_directory_is_made() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("run/syva/core.sock");
        let _listener = bind(&path).expect("bound");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_live_daemon_keeps_its_socket_and_a_stale_one_is_replaced() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("core.sock");
        let listener = bind(&path).expect("bound");
        assert!(matches!(bind(&path), Err(SocketError::InUse(_))));
        drop(listener);
        bind(&path).expect("a stale socket is no obstacle");
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("precious");
        fs::write(&path, "data").expect("written");
        assert!(matches!(bind(&path), Err(SocketError::NotASocket(_))));
        assert_eq!(fs::read_to_string(&path).expect("still there"), "data");
    }
}
