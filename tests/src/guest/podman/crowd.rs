//! Many containers: they come and go, some of them while they are being attached.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::api::{Api, Running};
use super::container::import_image;
use super::host::{Host, members};
use crate::daemon::{Answer, eventually};
use crate::guest::stage::id;
use crate::guest::{Checks, Failure};

/// How many come and go in all, and how many of them die while they are being attached.
const ALL: usize = 50;
const DYING: usize = 20;

/// Runs them one after another, and removes them.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    let host = Host::start()?;
    host.daemon.done(&["zones", "register", "web"])?;
    import_image()?;
    let api = Api::start()?;
    let took = stale(checks, &host, &api)?;
    let denied = host.counters.read()?;
    dying(checks, &host, &api, took)?;
    let names: Vec<String> = (DYING..ALL).map(name).collect();
    for name in &names {
        let running = api.run(name)?;
        let answer = host.attach(name, "web", &id_of(&running)?)?;
        if answer.exit != 0 {
            checks.that(format!("{name} is attached"), false, format!("{answer:?}"));
        }
    }
    let mut sorted = names.clone();
    sorted.sort_unstable();
    let seen = eventually("the living are members", || Ok(host.listed()? == sorted));
    checks.that(
        format!("the {} that live are listed, and nobody else", names.len()),
        seen.is_ok(),
        format!("{:?}", host.listed()?),
    );
    // Each with what crun makes below it, if it does.
    let rows = members()?;
    checks.that(
        "the members map has their rows, and no others",
        rows == names.len() || rows == 2 * names.len(),
        format!("{rows} rows"),
    );
    for number in 0..ALL {
        api.remove(&name(number))?;
    }
    host.only(checks, &format!("{ALL} containers later"), &[], 0)?;
    checks.equal(
        "no hook has denied anything",
        &host.counters.read()?,
        &denied,
    );
    host.daemon.digest()?;
    host.daemon.terminate()?;
    Ok(())
}

/// One that has died before it is attached is refused, and nothing is left of the attempt. Returns how
/// long attaching takes.
fn stale(checks: &mut Checks, host: &Host, api: &Api) -> Result<Duration, Failure> {
    let id = id_of(&api.run("early")?)?;
    let began = Instant::now();
    let answer = host.attach("early", "web", &id)?;
    let took = began.elapsed();
    checks.equal("a container is attached", &answer.exit, &0);
    api.remove("early")?;
    host.only(checks, "that gone", &[], 0)?;
    let answer = host.attach("late", "web", &id)?;
    checks.that(
        "by the cgroup of a container that is gone none is attached, and why is said",
        refused(&answer),
        format!("{answer:?}"),
    );
    host.only(checks, "after that", &[], 0)?;
    Ok(took)
}

/// They are killed while they are being attached, each a little later than the one before.
fn dying(checks: &mut Checks, host: &Host, api: &Api, took: Duration) -> Result<(), Failure> {
    let (mut attached, mut answers) = (0, Vec::new());
    for number in 0..DYING {
        let name = name(number);
        let running = api.run(&name)?;
        let id = id_of(&running)?;
        let pid = Pid::from_raw(running.pid).ok_or("no pid")?;
        // The first at once, the last when it surely is attached.
        let delay = took * u32::try_from(number)? / u32::try_from(DYING)? * 3 / 2;
        let killer = thread::spawn(move || {
            thread::sleep(delay);
            kill_process(pid, Signal::KILL)
        });
        let answer = host.attach(&name, "web", &id)?;
        killer.join().map_err(|_| "the killing thread has died")??;
        attached += usize::from(answer.exit == 0);
        if answer.exit != 0 && !refused(&answer) {
            answers.push(answer);
        }
    }
    checks.that(
        format!(
            "{DYING} that are killed while they are attached are attached, or refused with a reason"
        ),
        answers.is_empty(),
        format!("{answers:?}"),
    );
    checks.note(format!(
        "attaching took {took:?}; of {DYING} killed meanwhile {attached} had been attached"
    ));
    host.only(checks, "when they are dead", &[], 0)
}

/// Whether it was refused because there is no such cgroup, in words.
fn refused(answer: &Answer) -> bool {
    answer.exit == 1 && answer.reason().contains("there is no cgroup with id")
}

fn name(number: usize) -> String {
    format!("crowd-{number:02}")
}

fn id_of(running: &Running) -> Result<String, Failure> {
    id(&Path::new("/sys/fs/cgroup").join(running.cgroup.trim_start_matches('/')))
}
