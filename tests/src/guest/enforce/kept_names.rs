//! What is claimed itself keeps its name, though an allowed pair opens everything else of it.

use std::fs;
use std::path::Path;

use syva_model::decision::Operation;
use syva_model::hook::Hook;
use syva_model::image::Scope;

use super::world::{ONE, World};
use crate::guest::{Checks, Failure};

/// What is claimed itself is not removed or replaced by another zone, though a pair opens its content;
/// by its own zone it is.
pub fn with_a_pair(checks: &mut Checks, world: &mut World, dir: &Path) -> Result<(), Failure> {
    let (one, two) = (world.one.clone(), world.two.clone());
    let [file, dir, new] = ["kept", "kept-dir", "kept-new"].map(|name| dir.join(name));
    let changes: [(Hook, &str, &[&Path]); 3] = [
        (Hook::InodeRename, "rename", &[&new, &file]),
        (Hook::InodeUnlink, "unlink", &[&file]),
        (Hook::InodeRmdir, "rmdir", &[&dir]),
    ];
    for (hook, action, args) in changes {
        fs::write(&file, "")?;
        fs::write(&new, "")?;
        fs::create_dir(&dir)?;
        let what = |who: &str, claimed: &str| {
            format!("an allowed pair: zone {who}: {action} of what is{claimed} claimed itself")
        };
        let claimed = if action == "rmdir" { &dir } else { &file };
        let key = world.claim(claimed, ONE, Scope::Exact)?;
        let event = world
            .refused(checks, &what("two", ""), hook, &two, action, args)?
            .ok_or("no event")?;
        checks.equal("event: operation", &event.operation, &Operation::Relabel);
        world.allowed(checks, &what("one", ""), &one, action, args)?;
        world.unclaim(key)?;
        let _ = fs::remove_dir(&dir);
        let _ = fs::remove_file(&file);
        fs::write(&file, "")?;
        fs::write(&new, "")?;
        fs::create_dir(&dir)?;
        world.allowed(checks, &what("two", " not"), &two, action, args)?;
        let _ = fs::remove_dir(&dir);
    }
    Ok(())
}
