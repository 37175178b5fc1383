//! WatchEvents: denials as the protocol tells them, with what a person needs to understand one.

use syva_actors::fanout::{Delivery, Denial};
use syva_model::hook::{Hook, ObjectKind};
use syva_model::kernel::Verdict;

use crate::v1;

/// A denial on the wire.
pub fn event(delivery: &Delivery) -> v1::DenyEvent {
    let Denial {
        kernel,
        zone,
        target,
        path,
    } = &*delivery.denial;
    v1::DenyEvent {
        timestamp_ns: kernel.monotonic_ns,
        hook: kernel.hook.name().to_owned(),
        zone_id: kernel.subject.0,
        target_zone_id: kernel.object.0,
        pid: kernel.pid,
        comm: kernel.comm.clone(),
        inode: kernel.inode,
        context: context(&delivery.denial),
        decision: match kernel.verdict {
            Verdict::Deny => "deny",
            Verdict::WouldDeny => "would_deny",
        }
        .to_owned(),
        zone: zone.clone(),
        target_zone: target.clone(),
        path: path.clone(),
        dst_ip: String::new(),
        dst_port: 0,
        what_failed: what_failed(&delivery.denial),
        why_it_matters: why(kernel.hook, zone, target),
        possible_causes: causes(&delivery.denial),
        applied_seq: kernel.applied,
        applying_seq: kernel.applying,
        cgroup_id: kernel.subject_cgroup.0,
        tid: kernel.tid,
        target_pid: kernel.object_pid,
        signal: kernel.signal,
        lost_before: delivery.lost_before,
    }
}

fn context(denial: &Denial) -> String {
    let kernel = &denial.kernel;
    match kernel.hook {
        Hook::FileOpen => format!("inode {}", kernel.inode),
        Hook::TaskKill => format!("signal {} to process {}", kernel.signal, kernel.object_pid),
        Hook::UnixStreamConnect if denial.path.is_empty() => "an unnamed socket".to_owned(),
        Hook::UnixStreamConnect => format!("socket {}", denial.path),
    }
}

/// What was refused to whom, in a sentence.
pub(crate) fn what_failed(denial: &Denial) -> String {
    let kernel = &denial.kernel;
    let who = format!("{} (process {})", kernel.comm, kernel.pid);
    let what = match kernel.hook {
        Hook::FileOpen => format!("opening {}", denial.path),
        Hook::TaskKill => format!("sending signal {}", kernel.signal),
        Hook::UnixStreamConnect => format!("connecting to {}", context(denial)),
    };
    let outcome = match kernel.verdict {
        Verdict::Deny => "was refused with EPERM",
        Verdict::WouldDeny => "would be refused if the zone were not audited",
    };
    format!("{what} by {who} {outcome}")
}

fn why(hook: Hook, zone: &str, target: &str) -> String {
    let object = match hook.object_kind() {
        ObjectKind::File => "files",
        ObjectKind::Task => "processes",
        ObjectKind::Socket => "sockets",
    };
    format!("zone {zone} may not reach the {object} of {target}")
}

fn causes(denial: &Denial) -> Vec<String> {
    let Denial {
        kernel,
        zone,
        target,
        ..
    } = denial;
    let mut causes = vec![format!(
        "the pair {zone} and {target} is not allowed; if it should be: syva-cli comms allow {zone} {target}"
    )];
    if kernel.hook.object_kind() == ObjectKind::File {
        causes.push(format!(
            "the path is claimed by {target}: syva-cli host-paths list --zone {target}"
        ));
    }
    causes.push(format!(
        "the process is in zone {zone} by its cgroup {}: syva-cli containers list --zone {zone}",
        kernel.subject_cgroup
    ));
    causes
}
