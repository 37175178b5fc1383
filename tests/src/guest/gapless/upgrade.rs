//! An upgrade to a daemon with another BPF object, and back.

use std::collections::{BTreeMap, BTreeSet};

use libbpf_rs::ProgramType;
use libbpf_rs::query::{LinkInfoIter, ProgInfoIter};
use syva_model::hook::Hook;

use super::no_drift;
use crate::daemon::{Daemon, eventually};
use crate::guest::stage::Stage;
use crate::guest::{Checks, Failure, binary};

/// The kernel keeps fifteen bytes of a program's name.
const NAME: usize = 15;

/// The programs of the hooks that are attached: the name, and what the kernel calls the same program by,
/// a sum over its instructions.
#[derive(Debug, PartialEq, Eq)]
struct Attached {
    ids: BTreeSet<u32>,
    tags: BTreeMap<String, BTreeSet<[u8; 8]>>,
}

fn attached() -> Attached {
    let linked: BTreeSet<u32> = LinkInfoIter::default().map(|link| link.prog_id).collect();
    let mut found = Attached {
        ids: BTreeSet::new(),
        tags: BTreeMap::new(),
    };
    for program in ProgInfoIter::default() {
        let name = program.name.to_string_lossy().into_owned();
        let ours = Hook::ALL
            .iter()
            .any(|hook| hook.name()[..hook.name().len().min(NAME)] == name);
        let kind = matches!(program.ty, ProgramType::Lsm | ProgramType::Tracing);
        if kind && ours && linked.contains(&program.id) {
            found.ids.insert(program.id);
            found.tags.entry(name).or_default().insert(program.tag.0);
        }
    }
    found
}

/// One program a hook: the former ones are gone.
fn settled(before: &Attached) -> Result<Attached, Failure> {
    eventually("the former programs are detached", || {
        let now = attached();
        Ok(now.ids.is_disjoint(&before.ids) && now.ids.len() == Hook::ALL.len())
    })?;
    Ok(attached())
}

/// Kills the daemon, starts the other, and then this one again.
pub fn there_and_back(
    checks: &mut Checks,
    stage: &Stage,
    daemon: Daemon,
) -> Result<Daemon, Failure> {
    let shipped = daemon.setup().clone();
    let next = shipped.clone().program(binary("syva-core-next")?);
    let (digest, first) = (daemon.digest()?, attached());
    checks.equal("a program a hook", &first.ids.len(), &Hook::ALL.len());
    daemon.kill()?;

    let daemon = next.start()?;
    let second = settled(&first)?;
    let same: Vec<_> = first
        .tags
        .iter()
        .filter(|(name, tags)| {
            second
                .tags
                .get(*name)
                .is_none_or(|now| !now.is_disjoint(tags))
        })
        .collect();
    checks.equal(
        "upgraded: every hook's program is another",
        &same,
        &Vec::new(),
    );
    checks.equal("with the same state", &daemon.digest()?, &digest);
    no_drift(checks, &daemon, "an upgrade")?;
    stage.kept_apart(checks, "upgraded");
    daemon.terminate()?;
    stage.kept_apart(checks, "upgraded and stopped");

    let daemon = shipped.start()?;
    let third = settled(&second)?;
    checks.equal(
        "taken back: the programs are those of before",
        &third.tags,
        &first.tags,
    );
    no_drift(checks, &daemon, "taking it back")?;
    stage.kept_apart(checks, "taken back");
    Ok(daemon)
}
