//! Somebody changes the maps behind the daemon's back: it is noticed, put right and counted.

use libbpf_rs::{MapCore as _, MapFlags, MapHandle};

use crate::daemon::{Daemon, eventually};
use crate::guest::maps::loaded;
use crate::guest::stage::Stage;
use crate::guest::{Checks, Failure};

/// Empties each policy map in turn.
pub fn repaired(checks: &mut Checks, stage: &Stage, daemon: &Daemon) -> Result<(), Failure> {
    let drift = || {
        let status = daemon.done(&["status"])?;
        let repaired = status.json()["drift_repaired"].as_u64();
        Ok::<u64, Failure>(repaired.ok_or("no drift_repaired")?)
    };
    let comparisons_pass = || {
        // Two seconds hold at least one comparison.
        let uptime = || Ok::<_, Failure>(daemon.done(&["status"])?.json()["uptime_secs"].as_u64());
        let from = uptime()?;
        eventually("the next comparison", || {
            Ok(uptime()? > from.map(|from| from + 2))
        })
    };
    comparisons_pass()?;
    checks.equal("nothing has drifted by itself", &drift()?, &0);
    let mut expected = 0;
    for name in ["members", "claims", "zones"] {
        let map = loaded(name)?;
        let keys: Vec<_> = map.keys().collect();
        for key in &keys {
            map.delete(key)?;
        }
        expected += keys.len() as u64;
        checks.that(
            format!("{name} held rows to delete"),
            !keys.is_empty(),
            "it was empty",
        );
        eventually("the repair", || Ok(drift()? >= expected))?;
        checks.equal(
            format!("each row of {name} is repaired and counted once"),
            &drift()?,
            &expected,
        );
        stage.kept_apart(checks, &format!("after {name} were deleted"));
    }
    let (zones, mut drifted) = (loaded("zones")?, expected);
    for (what, key) in [("changed", known(&zones)?), ("added", vec![0xee; 4])] {
        // Without its own number in front the kernel would not take it for a row at all.
        let row = [&key[..], &PRIVILEGED.to_ne_bytes()].concat();
        zones.update(&key, &row, MapFlags::ANY)?;
        drifted += 1;
        eventually("the repair", || Ok(drift()? >= drifted))?;
        checks.equal(
            format!("a zone's row that was {what} is repaired and counted"),
            &drift()?,
            &drifted,
        );
        stage.kept_apart(checks, &format!("after a zone's row was {what}"));
    }
    comparisons_pass()?;
    checks.equal("then there is nothing to repair", &drift()?, &drifted);
    Ok(())
}

/// A zone flag that lets its tasks do anything.
const PRIVILEGED: u32 = 1;

/// The key of one row.
fn known(map: &MapHandle) -> Result<Vec<u8>, Failure> {
    Ok(map.keys().next().ok_or("the map is empty")?)
}
