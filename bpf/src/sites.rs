// The one list of places where a kernel read or write can fail: (C name, label, what it means). The
// build script makes the C enumeration from it, `counters` the labels. Append, never reorder.

/// Where the programs' helpers can fail, in the order of the kernel's `error_sites` array.
pub(crate) const SITES: &[(&str, &str, &str)] = &[
    (
        "MEMBER_REUSED",
        "member_reused",
        "a membership row was replaced twice while it was read",
    ),
    (
        "CLAIM_REUSED",
        "claim_reused",
        "a claim row was replaced while it was read; refused to zoned callers",
    ),
    (
        "INODE_STORAGE",
        "inode_storage",
        "no memory to cache a label; it was resolved by walking",
    ),
    (
        "WALK_BOUND",
        "walk_bound",
        "an object lies deeper than the walk goes; refused to zoned callers",
    ),
    (
        "WALK_ROOTLESS",
        "walk_rootless",
        "a walk did not end at the file system's root; refused to zoned callers",
    ),
    (
        "ALIAS",
        "alias",
        "a backing inode has no path; refused to zoned callers",
    ),
    (
        "TARGET_CGROUP",
        "target_cgroup",
        "the cgroup of a task that was signalled or traced, or is to trace, could not be read",
    ),
    (
        "SOCKET_CGROUP",
        "socket_cgroup",
        "a socket's cgroup could not be read",
    ),
    (
        "MKDIR_IDS",
        "mkdir_ids",
        "a new cgroup's id or its parent's could not be read",
    ),
    (
        "MKDIR_INHERIT",
        "mkdir_inherit",
        "a new cgroup could not inherit its zone and is outside it",
    ),
    (
        "RELEASE_DELETE",
        "release_delete",
        "a removed cgroup's membership could not be deleted",
    ),
    ("COMM", "comm", "a caller's command name could not be read"),
    (
        "CRED",
        "cred",
        "whether a signal had credentials of its own could not be read",
    ),
    ("NAME", "name", "an object's name could not be read"),
    (
        "MAPPED_FILE",
        "mapped_file",
        "whether a mapping has a file could not be read; it was allowed",
    ),
    (
        "OVERLAY_MAKER",
        "overlay_maker",
        "who made an overlay could not be recorded; what is behind it is judged as well",
    ),
    (
        "SIGNALLER",
        "signaller",
        "who chose whom a file's signals go to could not be recorded; whoever brings one about is judged",
    ),
    (
        "IPC_OBJECT",
        "ipc_object",
        "which System V object is meant could not be read; it was allowed",
    ),
    (
        "IPC_TABLE",
        "ipc_table",
        "a System V object's maker could not be recorded; making it was refused to zoned callers",
    ),
    (
        "IPC_REUSED",
        "ipc_reused",
        "the row of a System V object was replaced while it was read; refused to zoned callers",
    ),
    (
        "FILE_MAKER",
        "file_maker",
        "who made a queue or shared memory could not be recorded; it is nobody's",
    ),
];
