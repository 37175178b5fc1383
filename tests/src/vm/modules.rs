//! Which kernel modules are kept, what they depend on, and in which order they load.

use std::collections::BTreeMap;

/// Modules the suites may ask for. Those a kernel has built in are simply not there.
pub const KEPT: [&str; 14] = [
    "virtio_pci",
    "virtio_blk",
    "dm_mod",
    "evdev",
    "softdog",
    "msr",
    "loop",
    "serport",
    "uinput",
    "overlay",
    "btrfs",
    "ext4",
    "xfs",
    "nfsd",
];

/// `modules.dep` (see depmod(8)): each module's file and the files it needs loaded before it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Dependencies(BTreeMap<String, (String, Vec<String>)>);

impl Dependencies {
    /// Parses `modules.dep`. Paths keep the form they have there, relative to the version's folder.
    pub fn parse(text: &str) -> Self {
        let mut map = BTreeMap::new();
        for line in text.lines() {
            let Some((path, needs)) = line.split_once(':') else {
                continue;
            };
            let needs = needs.split_whitespace().map(str::to_owned).collect();
            map.insert(module_name(path), (path.to_owned(), needs));
        }
        Self(map)
    }

    /// The files to load, in order, so that every module in `names` is there in the end; a name
    /// that is no module of this kernel contributes nothing.
    pub fn load_order(&self, names: &[&str]) -> Vec<String> {
        let mut order: Vec<String> = Vec::new();
        for name in names {
            let Some((path, needs)) = self.0.get(&module_name(name)) else {
                continue;
            };
            // depmod lists the nearest dependency first, so the deepest comes last.
            for file in needs.iter().rev().chain([path]) {
                if !order.contains(file) {
                    order.push(file.clone());
                }
            }
        }
        order
    }
}

/// A path's module name: no folders, no `.ko` nor compression, underscores for dashes.
pub fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str = "\
kernel/drivers/block/virtio_blk.ko.xz: kernel/drivers/virtio/virtio.ko.xz kernel/drivers/virtio/virtio_ring.ko.xz
kernel/drivers/virtio/virtio.ko.xz: kernel/drivers/virtio/virtio_ring.ko.xz
kernel/drivers/virtio/virtio_ring.ko.xz:
kernel/fs/overlayfs/overlay.ko.xz:
kernel/lib/raid6-pq.ko:
";

    #[test]
    fn what_is_needed_loads_first_and_once() {
        let order = Dependencies::parse(LISTED).load_order(&["virtio", "virtio_blk", "overlay"]);
        let names: Vec<String> = order.iter().map(|file| module_name(file)).collect();
        assert_eq!(names, ["virtio_ring", "virtio", "virtio_blk", "overlay"]);
    }

    #[test]
    fn what_a_kernel_has_built_in_is_not_loaded() {
        assert!(Dependencies::parse(LISTED).load_order(&["ext4"]).is_empty());
    }

    #[test]
    fn dashes_and_underscores_name_the_same_module() {
        let order = Dependencies::parse(LISTED).load_order(&["raid6_pq"]);
        assert_eq!(order, ["kernel/lib/raid6-pq.ko"]);
    }
}
