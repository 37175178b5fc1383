//! File systems, by the magic number that statfs(2) reports and the name that mountinfo shows.

/// Those whose inode numbers identify an object as long as it exists: paths on them can be claimed.
/// Others are refused until they have been tried (I10).
pub const CLAIMABLE: &[(u64, &str)] = &[
    (0xef53, "ext4"),
    (0x5846_5342, "xfs"),
    (0x0102_1994, "tmpfs"),
    (0x8584_58f6, "ramfs"),
];

/// Names of those that people try, for the refusal.
const OTHERS: &[(u64, &str)] = &[
    (0x9123_683e, "btrfs"),
    (0xf2f5_2010, "f2fs"),
    (0x794c_7630, "overlayfs"),
    (0x6969, "nfs"),
    (0x6573_5546, "fuse"),
    (0x9fa0, "proc"),
    (0x6265_6572, "sysfs"),
    (0x6367_7270, "cgroup2"),
    (0x4d44, "vfat"),
];

/// Whether paths on it can be claimed.
pub fn is_claimable(magic: u64) -> bool {
    CLAIMABLE.iter().any(|(number, _)| *number == magic)
}

/// What it is called.
pub fn name(magic: u64) -> String {
    let mut known = CLAIMABLE.iter().chain(OTHERS);
    known.find(|(number, _)| *number == magic).map_or_else(
        || format!("a file system with magic {magic:#x}"),
        |(_, name)| (*name).to_owned(),
    )
}

/// The names of the claimable ones, for people.
pub fn claimable() -> String {
    let names: Vec<&str> = CLAIMABLE.iter().map(|(_, name)| *name).collect();
    names.join(", ")
}
