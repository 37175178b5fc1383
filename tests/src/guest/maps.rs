//! The loaded maps, changed behind the back of whoever loaded them.

use libbpf_rs::query::MapInfoIter;
use libbpf_rs::{MapCore as _, MapFlags, MapHandle};

use super::Failure;

/// The kernel keeps fifteen bytes of a map's name.
const NAME: usize = 15;

/// The map of that name that was loaded last.
pub fn loaded(name: &str) -> Result<MapHandle, Failure> {
    let kept = &name[..name.len().min(NAME)];
    let info = MapInfoIter::default()
        .filter(|info| info.name.to_string_lossy() == kept)
        .last()
        .ok_or_else(|| format!("no map is named {name}"))?;
    Ok(MapHandle::from_map_id(info.id)?)
}

/// How many rows it holds.
pub fn rows(map: &MapHandle) -> usize {
    map.keys().count()
}

/// Fills it with rows of zeros, under keys that nothing is known by; [`empty`] takes these away again.
pub fn fill(map: &MapHandle) -> Vec<Vec<u8>> {
    let value = vec![0; map.value_size() as usize];
    let key = |number: u32| {
        // Not a pointer, not a cgroup's id, not a hook's number: the last bytes count, from the top.
        let mut key = vec![0xff; map.key_size() as usize];
        let low = key.len() - 4;
        key[low..].copy_from_slice(&number.to_be_bytes());
        key
    };
    (0..u32::MAX)
        .map(key)
        .take_while(|key| map.update(key, &value, MapFlags::NO_EXIST).is_ok())
        .collect()
}

/// Deletes those rows.
pub fn empty(map: &MapHandle, keys: &[Vec<u8>]) -> Result<(), Failure> {
    for key in keys {
        map.delete(key)?;
    }
    Ok(())
}

/// Writes other bytes to the row with that key, from `offset` on, than it has; returns the row as it was.
pub fn spoil(map: &MapHandle, key: &[u8], offset: usize) -> Result<Vec<u8>, Failure> {
    let row = map
        .lookup(key, MapFlags::ANY)?
        .ok_or("there is no such row")?;
    let mut spoiled = row.clone();
    for byte in &mut spoiled[offset..offset + 8] {
        *byte = !*byte;
    }
    map.update(key, &spoiled, MapFlags::EXIST)?;
    Ok(row)
}
