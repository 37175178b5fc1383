//! Terminals: typing for whoever reads there, by whatever makes one's own what is another's.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::libc;

use super::aim::Aim;
use super::sys::{self, Arg, call};
use super::technique::{Technique, node, zone_and_host};

/// Each ends or changes the session of a victim.
pub const ALL: &[Technique] = &[
    zone_and_host("reading what is typed at its terminal", |it, _| {
        let terminal = sys::open(
            &it.terminal,
            libc::O_RDONLY | libc::O_NOCTTY | libc::O_NONBLOCK,
        )?;
        match nix::unistd::read(&terminal, &mut [0; 64]) {
            // Nobody has typed anything.
            Err(nix::errno::Errno::EAGAIN) | Ok(_) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }),
    zone_and_host("writing to its terminal", |it, _| {
        nix::unistd::write(opened(it)?, b"\x07")?;
        Ok(())
    }),
    zone_and_host(
        "having everybody write to its terminal, by chmod(2)",
        |it, _| {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&it.terminal, PermissionsExt::from_mode(0o622))
        },
    ),
    zone_and_host("TIOCSTI on its terminal", |it, _| types(&opened(it)?)).lacking(WITHOUT_TYPING),
    zone_and_host(
        "TIOCSTI on its terminal, after taking it with TIOCSCTTY",
        |it, _| {
            let terminal = opened(it)?;
            nix::unistd::setsid()?;
            take(&terminal, true)?;
            types(&terminal)
        },
    )
    .lacking(WITHOUT_TYPING),
    zone_and_host("taking its terminal with TIOCSCTTY", |it, _| {
        let terminal = opened(it)?;
        nix::unistd::setsid()?;
        take(&terminal, true)
    }),
    zone_and_host("hanging its terminal up with TIOCVHANGUP", |it, _| {
        const TIOCVHANGUP: u32 = 0x5437;
        let terminal = opened(it)?;
        call(libc::SYS_ioctl, [sys::fd(&terminal), TIOCVHANGUP.into()]).map(drop)
    }),
    node(
        "the console's output with TIOCCONS",
        |_, _| {
            let own = nix::pty::openpty(None, None)?;
            let asked = [sys::fd(&own.slave), Arg::Number(libc::TIOCCONS as i64)];
            // Until the terminal is closed.
            call(libc::SYS_ioctl, asked).map(drop)
        },
        |_, _| {
            let own = nix::pty::openpty(None, None)?;
            nix::unistd::setsid()?;
            take(&own.slave, false)?;
            // With its other end the session's leader would be hung up: this process.
            std::mem::forget(own.master);
            Ok(())
        },
    ),
];

/// Since 6.2 a kernel can be built or told to do without.
const WITHOUT_TYPING: &[i32] = &[libc::EIO];

fn opened(it: &Aim) -> io::Result<OwnedFd> {
    sys::open(&it.terminal, libc::O_RDWR | libc::O_NOCTTY)
}

/// Makes it the terminal of this process' session; from another session if need be.
pub fn take(terminal: &impl AsRawFd, from_another: bool) -> io::Result<()> {
    let asked = [
        sys::fd(terminal),
        Arg::Number(libc::TIOCSCTTY as i64),
        i32::from(from_another).into(),
    ];
    call(libc::SYS_ioctl, asked).map(drop)
}

fn types(terminal: &impl AsRawFd) -> io::Result<()> {
    let asked = [
        sys::fd(terminal),
        Arg::Number(libc::TIOCSTI as i64),
        c"x".into(),
    ];
    call(libc::SYS_ioctl, asked).map(drop)
}
