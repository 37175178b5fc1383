// The one list of places where a kernel read or write can fail: (C name, label, what it means, whether
// something was let through for it). The build script makes the C enumeration from it, `counters` the labels.
// Append, never reorder.

/// Something was allowed for not being known (I9): the node's health is degraded.
const LETS_THROUGH: bool = true;
/// It was refused, or resolved in another way, or a detail is missing.
const HARMLESS: bool = false;

/// Where the programs' helpers can fail, in the order of the kernel's `error_sites` array.
pub(crate) const SITES: &[(&str, &str, &str, bool)] = &[
    (
        "MEMBER_REUSED",
        "member_reused",
        "a membership row was replaced twice while it was read",
        LETS_THROUGH,
    ),
    (
        "CLAIM_REUSED",
        "claim_reused",
        "a claim row was replaced while it was read; refused to zoned callers",
        HARMLESS,
    ),
    (
        "INODE_STORAGE",
        "inode_storage",
        "no memory to cache a label; it was resolved by walking",
        HARMLESS,
    ),
    (
        "WALK_BOUND",
        "walk_bound",
        "an object lies deeper than the walk goes; refused to zoned callers",
        HARMLESS,
    ),
    (
        "WALK_ROOTLESS",
        "walk_rootless",
        "a walk did not end at the file system's root; refused to zoned callers",
        HARMLESS,
    ),
    (
        "ALIAS",
        "alias",
        "a backing inode has no path; refused to zoned callers",
        HARMLESS,
    ),
    (
        "TARGET_CGROUP",
        "target_cgroup",
        "the cgroup of a task that was signalled or traced, or is to trace, could not be read",
        LETS_THROUGH,
    ),
    (
        "SOCKET_CGROUP",
        "socket_cgroup",
        "a socket's cgroup could not be read",
        HARMLESS,
    ),
    (
        "MKDIR_IDS",
        "mkdir_ids",
        "a new cgroup's id or its parent's could not be read",
        LETS_THROUGH,
    ),
    (
        "MKDIR_INHERIT",
        "mkdir_inherit",
        "a new cgroup could not inherit its zone and is outside it",
        LETS_THROUGH,
    ),
    (
        "RELEASE_DELETE",
        "release_delete",
        "a removed cgroup's membership could not be deleted",
        HARMLESS,
    ),
    (
        "COMM",
        "comm",
        "a caller's command name could not be read",
        HARMLESS,
    ),
    (
        "CRED",
        "cred",
        "whether a signal had credentials of its own could not be read",
        HARMLESS,
    ),
    (
        "NAME",
        "name",
        "an object's name could not be read",
        HARMLESS,
    ),
    (
        "MAPPED_FILE",
        "mapped_file",
        "whether a mapping has a file could not be read; it was allowed",
        LETS_THROUGH,
    ),
    (
        "OVERLAY_MAKER",
        "overlay_maker",
        "who made an overlay could not be recorded; what is behind it is judged as well",
        HARMLESS,
    ),
    (
        "CGROUP_FILE",
        "cgroup_file",
        "which cgroup a file of a cgroup file system is of could not be read; it was allowed",
        LETS_THROUGH,
    ),
    (
        "BPF_ATTR",
        "bpf_attr",
        "what bpf(2) was asked for could not be read; it was refused to zoned callers",
        HARMLESS,
    ),
    (
        "MOVED_TASK",
        "moved_task",
        "the cgroup that a task is moved or started from or into could not be read; it was allowed",
        LETS_THROUGH,
    ),
    (
        "PARK",
        "park",
        "the cgroup that a foreign task was pulled into could not be made nobody's",
        LETS_THROUGH,
    ),
    (
        "KILL",
        "kill",
        "a caller that had to be killed could not be",
        LETS_THROUGH,
    ),
    (
        "SIGNALLER",
        "signaller",
        "who chose whom a file's signals go to could not be recorded; whoever brings one about is judged",
        LETS_THROUGH,
    ),
    (
        "IPC_OBJECT",
        "ipc_object",
        "which System V object or key is meant could not be read; it was allowed",
        LETS_THROUGH,
    ),
    (
        "IPC_TABLE",
        "ipc_table",
        "the maker of a System V object or a key could not be recorded; making it was refused to zoned callers",
        HARMLESS,
    ),
    (
        "IPC_REUSED",
        "ipc_reused",
        "the row of a System V object or a key was replaced while it was read; refused to zoned callers",
        HARMLESS,
    ),
    (
        "FILE_MAKER",
        "file_maker",
        "who made a queue or shared memory could not be recorded; it is nobody's",
        LETS_THROUGH,
    ),
    (
        "MOUNT_PEERS",
        "mount_peers",
        "a mount is shared by more than are looked at; refused to zoned callers",
        HARMLESS,
    ),
    (
        "LINK",
        "link",
        "a file was linked out of its claim by the host, and that could not be recorded: the other name is \
         nobody's",
        LETS_THROUGH,
    ),
    (
        "ZONE_USAGE",
        "zone_usage",
        "what a zone takes of the tables that all share could not be counted: nothing bounds it",
        LETS_THROUGH,
    ),
];
