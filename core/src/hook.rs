//! The one list of LSM hooks: C indices, Rust names, metric labels and the docs' table all come
//! from here (`bpf/build.rs` writes the C header, a test checks `docs/hooks.md`).

use serde::{Deserialize, Serialize};

/// The kind of thing a hook protects; it decides how the object's zone is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ObjectKind {
    /// An inode, labelled by its nearest claimed ancestor.
    File,
    /// A task, labelled by its cgroup.
    Task,
    /// A socket, labelled by the claim it is bound in, else by the cgroup that made it.
    Socket,
}

macro_rules! hooks {
    ($( $variant:ident = $index:literal, $name:literal, $kind:ident, $denies:literal; )+) => {
        /// An LSM hook on which a decision is taken.
        ///
        /// The discriminant is the index in the kernel's counters and events. It is part of the
        /// map schema: append, never renumber.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum Hook { $( #[doc = $denies] $variant = $index, )+ }

        impl Hook {
            /// Every hook, in index order.
            pub const ALL: &'static [Hook] = &[ $( Hook::$variant, )+ ];

            /// The LSM hook's own name in the kernel, used everywhere a human or a metric sees it.
            pub const fn name(self) -> &'static str {
                match self { $( Hook::$variant => $name, )+ }
            }

            /// What kind of object the hook protects.
            pub const fn object_kind(self) -> ObjectKind {
                match self { $( Hook::$variant => ObjectKind::$kind, )+ }
            }

            /// What an operator is told the hook denies.
            pub const fn denies(self) -> &'static str {
                match self { $( Hook::$variant => $denies, )+ }
            }
        }
    };
}

hooks! {
    FileOpen = 0, "file_open", File, "opening a file of another zone";
    TaskKill = 1, "task_kill", Task, "sending a signal to a task of another zone or of the host";
    UnixStreamConnect = 2, "unix_stream_connect", Socket,
        "connecting to a Unix stream or seqpacket socket of another zone or of the host";
    BprmCheckSecurity = 3, "bprm_check_security", File,
        "executing a file of another zone, or a script whose interpreter is one";
    MmapFile = 4, "mmap_file", File, "mapping a file of another zone to execute it";
    PtraceAccessCheck = 5, "ptrace_access_check", Task,
        "reading about or attaching to a task of another zone (even of an allowed pair) or of the host; attaching inside a \
         zone without `allow_ptrace`";
    PtraceTraceme = 6, "ptrace_traceme", Task,
        "being traced, at its own wish, by a parent that may not attach to it";
    UnixMaySend = 7, "unix_may_send", Socket,
        "sending a datagram to a Unix socket of another zone or of the host, and connecting to one";
}

impl Hook {
    /// The index in kernel counters and events.
    pub const fn index(self) -> u32 {
        self as u32
    }

    /// The hook with that index, if there is one.
    pub fn from_index(index: u32) -> Option<Hook> {
        Hook::ALL.get(usize::try_from(index).ok()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_dense_and_names_unique() {
        for (position, hook) in Hook::ALL.iter().enumerate() {
            assert_eq!(hook.index() as usize, position);
            assert_eq!(Hook::from_index(hook.index()), Some(*hook));
        }
        let mut names: Vec<_> = Hook::ALL.iter().map(|h| h.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Hook::ALL.len());
        assert_eq!(Hook::from_index(Hook::ALL.len() as u32), None);
    }
}
