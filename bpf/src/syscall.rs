//! What the system calls are called that ask for a capability and may be refused it.

use crate::skel::types::syscall_table;

/// By their numbers in the 64-bit table: the kernel's interface, which only grows.
const CALLS: [(u32, &str); 19] = [
    (44, "sendto"),
    (46, "sendmsg"),
    (153, "vhangup"),
    (159, "adjtimex"),
    (163, "acct"),
    (167, "swapon"),
    (168, "swapoff"),
    (169, "reboot"),
    (170, "sethostname"),
    (171, "setdomainname"),
    (175, "init_module"),
    (176, "delete_module"),
    (246, "kexec_load"),
    (304, "open_by_handle_at"),
    (305, "clock_adjtime"),
    (313, "finit_module"),
    (320, "kexec_file_load"),
    (442, "mount_setattr"),
    (467, "open_tree_attr"),
];

/// By their numbers in the 32-bit table.
const CALLS_32: [(u32, &str); 19] = [
    (51, "acct"),
    (74, "sethostname"),
    (87, "swapon"),
    (88, "reboot"),
    (111, "vhangup"),
    (115, "swapoff"),
    (121, "setdomainname"),
    (124, "adjtimex"),
    (128, "init_module"),
    (129, "delete_module"),
    (283, "kexec_load"),
    (342, "open_by_handle_at"),
    (343, "clock_adjtime"),
    (350, "finit_module"),
    (369, "sendto"),
    (370, "sendmsg"),
    (405, "clock_adjtime64"),
    (442, "mount_setattr"),
    (467, "open_tree_attr"),
];

/// The call's name, or its number where it is none of these.
pub(crate) fn name(detail: u32) -> String {
    let number = detail & !syscall_table::SYSCALL_32.0;
    let (table, told) = if detail == number {
        (&CALLS, "")
    } else {
        (&CALLS_32, " (32 bits)")
    };
    match table.iter().find(|(known, _)| *known == number) {
        Some((_, name)) => format!("{name}{told}"),
        None => format!("system call {number}{told}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_the_name_of_its_own_table_and_another_one_its_number() {
        let narrow = |number| syscall_table::SYSCALL_32.0 | number;
        for (detail, called) in [
            (167, "swapon"),
            (87, "system call 87"),
            (narrow(87), "swapon (32 bits)"),
            (narrow(167), "system call 167 (32 bits)"),
        ] {
            assert_eq!(name(detail), called);
        }
    }
}
