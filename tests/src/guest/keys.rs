//! What actors do with the kernel's keys.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::libc::{self, c_long};

// linux/keyctl.h
const USER_KEYRING: c_long = -4;
const JOIN_SESSION_KEYRING: c_long = 1;
const UPDATE: c_long = 2;
const REVOKE: c_long = 3;
const SETPERM: c_long = 5;
const DESCRIBE: c_long = 6;
const SEARCH: c_long = 10;
const READ: c_long = 11;
/// Everybody may do everything, as far as the key's permissions go.
const ALL: c_long = 0x3f3f_3f3f;

/// The serial number of the key with that description, as this process may read it.
pub fn serial_of(description: &str) -> io::Result<i32> {
    let table = fs::read_to_string("/proc/keys")?;
    let line = table
        .lines()
        .find(|line| line.contains(&format!(" {description}:")));
    let number = line.and_then(|line| line.split_ascii_whitespace().next());
    let serial = number.and_then(|number| i32::from_str_radix(number, 16).ok());
    serial.ok_or_else(|| io::Error::other(format!("no key {description}: {table}")))
}

/// Does it; `None` for what is no action of these.
pub fn perform(action: &str, args: &[PathBuf]) -> Option<io::Result<()>> {
    let result = match (action, args) {
        ("make-key", [name]) => make(name),
        ("find-key", [name]) => find(name),
        ("join-keyring", []) => control([JOIN_SESSION_KEYRING, 0, 0, 0, 0]).map(drop),
        ("read-key", [serial]) => with_room(READ, serial),
        ("describe-key", [serial]) => with_room(DESCRIBE, serial),
        ("update-key", [serial]) => number(serial).and_then(|serial| {
            let text = b"changed";
            control([
                UPDATE,
                serial,
                text.as_ptr() as c_long,
                text.len() as c_long,
                0,
            ])
            .map(drop)
        }),
        ("revoke-key", [serial]) => {
            number(serial).and_then(|serial| control([REVOKE, serial, 0, 0, 0]).map(drop))
        }
        _ => return None,
    };
    Some(result)
}

fn number(serial: &Path) -> io::Result<c_long> {
    let text = serial.to_str().unwrap_or_default();
    text.parse().map_err(io::Error::other)
}

fn checked(answer: c_long) -> io::Result<c_long> {
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(answer)
}

fn control([command, a, b, c, d]: [c_long; 5]) -> io::Result<c_long> {
    // SAFETY: the callers pass numbers, or addresses of what outlives the call.
    checked(unsafe { libc::syscall(libc::SYS_keyctl, command, a, b, c, d) })
}

/// Puts a key into the user's keyring, which all zones of a user share, and opens it to all.
fn make(name: &Path) -> io::Result<()> {
    let description = CString::new(name.as_os_str().as_bytes())?;
    let secret = b"a secret";
    // SAFETY: the strings end with zero bytes, and the secret is as long as is said.
    let serial = checked(unsafe {
        libc::syscall(
            libc::SYS_add_key,
            c"user".as_ptr(),
            description.as_ptr(),
            secret.as_ptr(),
            secret.len(),
            USER_KEYRING,
        )
    })?;
    control([SETPERM, serial, ALL, 0, 0]).map(drop)
}

/// Looks for a key in the user's keyring.
fn find(name: &Path) -> io::Result<()> {
    let description = CString::new(name.as_os_str().as_bytes())?;
    let (kind, name) = (c"user".as_ptr() as c_long, description.as_ptr() as c_long);
    control([SEARCH, USER_KEYRING, kind, name, 0]).map(drop)
}

fn with_room(command: c_long, serial: &Path) -> io::Result<()> {
    let mut room = [0u8; 128];
    let at = room.as_mut_ptr() as c_long;
    control([command, number(serial)?, at, room.len() as c_long, 0]).map(drop)
}
