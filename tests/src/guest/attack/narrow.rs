//! System calls of the 32-bit table, which a 64-bit program makes by `int $0x80`: other numbers, and
//! addresses that fit in 32 bits.
#![allow(unsafe_code)]

use std::arch::asm;
use std::io;
use std::num::NonZeroUsize;
use std::os::raw::c_void;
use std::ptr::NonNull;
use std::sync::OnceLock;

use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use super::sys;

/// A page that 32 bits can name.
#[derive(Debug)]
pub struct Low(NonNull<c_void>);

impl Drop for Low {
    fn drop(&mut self) {
        // SAFETY: the page is its own, and nobody's who outlives it.
        let _ = unsafe { munmap(self.0, PAGE.get()) };
    }
}

const PAGE: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

impl Low {
    /// One that begins with these bytes, with zeros behind them.
    pub fn holding(bytes: &[u8]) -> io::Result<Low> {
        if bytes.len() > PAGE.get() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_32BIT;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: new memory, wherever the kernel likes.
        let page = unsafe { mmap_anonymous(None, PAGE, protection, flags)? };
        // SAFETY: the page is new, and has room for them.
        unsafe {
            page.cast::<u8>()
                .copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len());
        }
        Ok(Low(page))
    }

    /// Its address.
    pub fn address(&self) -> u32 {
        self.0.addr().get() as u32
    }

    /// Writes a word at its beginning.
    pub fn begin_with(&mut self, word: u32) {
        // SAFETY: the page is this process's, and aligned.
        unsafe { self.0.cast::<u32>().write_volatile(word) }
    }
}

/// Calls the kernel. Addresses among the arguments are those of [`Low`] pages, which are larger than what
/// the calls here write.
pub fn call(number: u32, args: [u32; 5]) -> io::Result<i32> {
    static HERE: OnceLock<bool> = OnceLock::new();
    // A kernel without such calls kills whoever makes one.
    let here = || sys::in_child(|| raw(GETPID, [0; 5]).map(drop)).is_ok();
    if !*HERE.get_or_init(here) {
        return Err(io::Error::from_raw_os_error(libc::ENOSYS));
    }
    raw(number, args)
}

const GETPID: u32 = 20;

fn raw(number: u32, [a, b, c, d, e]: [u32; 5]) -> io::Result<i32> {
    let answer: i32;
    // SAFETY: the kernel stays within what the arguments name, as with every system call, and leaves all
    // other registers but these alone. The compiler needs rbx itself.
    unsafe {
        asm!(
            "xchg rbx, {a}",
            "int 0x80",
            "xchg rbx, {a}",
            a = inout(reg) u64::from(a) => _,
            inlateout("eax") number => answer,
            in("ecx") b,
            in("edx") c,
            in("esi") d,
            in("edi") e,
            lateout("r8") _,
            lateout("r9") _,
            lateout("r10") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    if (-4095..0).contains(&answer) {
        return Err(io::Error::from_raw_os_error(-answer));
    }
    Ok(answer)
}
