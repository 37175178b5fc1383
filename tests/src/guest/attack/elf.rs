//! The smallest programs: one that ends well, and one that is nothing without another as its interpreter.

use std::io;
use std::path::Path;

use super::sys::{halves, text, words};

const HEADER: u64 = 64;
const SEGMENT: u64 = 56;
const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;

/// mov eax, 60; xor edi, edi; syscall: exit(0).
const EXIT: [u8; 9] = [0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05];

/// A program that ends well. It needs no interpreter, and can be one.
pub fn ending_well() -> Vec<u8> {
    file(0x10_0000, &[PT_LOAD], &EXIT)
}

/// A program that has another for its interpreter, and no code of its own.
pub fn interpreted(interpreter: &Path) -> io::Result<Vec<u8>> {
    let name = text(interpreter)?.into_bytes_with_nul();
    Ok(file(0x20_0000, &[PT_INTERP, PT_LOAD], &name))
}

/// An ELF file for x86-64: its header, its segments, what is in all of them. It begins with what is in them.
fn file(base: u64, segments: &[u32], content: &[u8]) -> Vec<u8> {
    let count = segments.len() as u8;
    let (at, length) = (HEADER + u64::from(count) * SEGMENT, content.len() as u64);
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // ET_EXEC, x86-64, version.
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    elf.extend(words(&[base + at, HEADER, 0]));
    // Flags; then the sizes of this header and of a segment's, the segments, no sections.
    elf.extend([0, 0, 0, 0, 64, 0, 56, 0, count, 0, 64, 0, 0, 0, 0, 0]);
    for kind in segments {
        let (offset, size, align) = match *kind {
            PT_LOAD => (0, at + length, 0x1000),
            _ => (at, length, 1),
        };
        // To be written too: 6.1 clears what follows an interpreter's last segment, whether it can or not.
        let everything = 7;
        elf.extend(halves(&[*kind, everything]));
        elf.extend(words(&[
            offset,
            base + offset,
            base + offset,
            size,
            size,
            align,
        ]));
    }
    elf.extend(content);
    elf
}
