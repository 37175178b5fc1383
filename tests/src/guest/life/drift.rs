//! Somebody changes the maps behind the daemon's back: it is noticed, put right and counted.

use libbpf_rs::MapCore as _;
use libbpf_rs::MapHandle;
use libbpf_rs::query::MapInfoIter;

use crate::daemon::{Daemon, eventually};
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
        let map = map(name)?;
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
    comparisons_pass()?;
    checks.equal("then there is nothing to repair", &drift()?, &expected);
    Ok(())
}

/// The daemon's map of that name.
fn map(name: &str) -> Result<MapHandle, Failure> {
    let named = |info: &libbpf_rs::query::MapInfo| info.name.to_string_lossy() == name;
    let info = MapInfoIter::default()
        .find(named)
        .ok_or_else(|| format!("no map is named {name}"))?;
    Ok(MapHandle::from_map_id(info.id)?)
}
