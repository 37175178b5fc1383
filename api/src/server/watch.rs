//! WatchEvents: denials as the protocol tells them, with what a person needs to understand one.

use syva_actors::fanout::{Delivery, Denial};
use syva_model::decision::Operation;
use syva_model::hook::{Hook, ObjectKind};
use syva_model::image::ZoneId;
use syva_model::kernel::{KernelEvent, Verdict};

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
            Verdict::Escape => "escape",
        }
        .to_owned(),
        zone: zone.clone(),
        target_zone: target.clone(),
        path: path.clone(),
        dst_ip: String::new(),
        dst_port: 0,
        what_failed: what_failed(&delivery.denial),
        why_it_matters: why(&delivery.denial),
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
        Hook::TaskKill | Hook::FileSendSigiotask => {
            format!("signal {} to process {}", kernel.signal, kernel.object_pid)
        }
        Hook::UnixStreamConnect | Hook::UnixMaySend if denial.path.is_empty() => {
            "an unnamed socket".to_owned()
        }
        Hook::UnixStreamConnect | Hook::UnixMaySend => format!("socket {}", denial.path),
        Hook::PtraceAccessCheck if kernel.operation == Operation::Inspect => {
            format!("reading about process {}", kernel.object_pid)
        }
        Hook::PtraceAccessCheck => format!("attaching to process {}", kernel.object_pid),
        Hook::PtraceTraceme => format!("tracing process {}, which asked for it", kernel.object_pid),
        Hook::CgroupAttachTask => format!("process {}, cgroup {}", kernel.object_pid, denial.path),
        Hook::CgroupCanFork => format!("cgroup {}", denial.path),
        Hook::Bpf => format!("bpf command {}", denial.path),
        _ if kernel.kind == ObjectKind::Node => denial.path.clone(),
        _ if kernel.kind == ObjectKind::Task => format!("process {}", kernel.object_pid),
        _ if kernel.kind == ObjectKind::Ipc => denial.path.clone(),
        _ => format!("inode {}", kernel.inode),
    }
}

/// What a hook of changes to tasks is about, before the task.
fn task_change(hook: Hook) -> &'static str {
    match hook {
        Hook::TaskSetnice => "changing the priority of",
        Hook::TaskSetioprio => "changing the I/O priority of",
        Hook::TaskSetscheduler => "changing the scheduling or the processors of",
        Hook::TaskSetrlimit => "changing the limits of",
        Hook::FileSendSigiotask => "having a file send",
        _ => "changing",
    }
}

/// What a mutation hook is about, before the path.
fn mutation(hook: Hook, operation: Operation) -> &'static str {
    match hook {
        Hook::InodeLink if operation == Operation::Relabel => {
            "linking to where its zone would be another"
        }
        Hook::InodeRename if operation == Operation::Relabel => "renaming the claimed",
        Hook::FileMprotect => "making executable the mapping of",
        Hook::FileReceive => "receiving a descriptor of",
        Hook::InodeCreate | Hook::InodeMkdir | Hook::InodeMknod | Hook::InodeSymlink => "making",
        Hook::InodeLink => "linking",
        Hook::InodeRename => "renaming or replacing",
        Hook::InodeUnlink | Hook::InodeRmdir => "removing",
        Hook::PathNotify => "watching",
        Hook::SbMount | Hook::MoveMount => "mounting on",
        Hook::SbPivotroot => "changing the root to",
        Hook::SbRemount => "changing the options of the file system with",
        Hook::InodeSetxattr | Hook::InodeRemovexattr => "changing an extended attribute of",
        _ => "changing",
    }
}

/// What was refused to whom, in a sentence.
pub(crate) fn what_failed(denial: &Denial) -> String {
    let kernel = &denial.kernel;
    let who = format!("{} (process {})", kernel.comm, kernel.pid);
    if kernel.verdict == Verdict::Escape {
        return format!(
            "process {} was moved out of zone {}, to cgroup {}, by {who}",
            kernel.object_pid, denial.zone, denial.path
        );
    }
    let what = match kernel.hook {
        Hook::FileOpen => format!("opening {}", denial.path),
        Hook::TaskKill => format!("sending signal {}", kernel.signal),
        Hook::UnixStreamConnect => format!("connecting to {}", context(denial)),
        Hook::UnixMaySend => format!("connecting or sending to {}", context(denial)),
        Hook::BprmCheckSecurity => format!("executing {}", denial.path),
        Hook::MmapFile => format!("mapping {} to execute it", denial.path),
        Hook::PtraceAccessCheck | Hook::PtraceTraceme => context(denial),
        Hook::FilePermission => format!("writing {}", denial.path),
        Hook::Bpf => format!("bpf(2) with {}", denial.path),
        Hook::CgroupCanFork => format!("starting a process in cgroup {}", denial.path),
        Hook::CgroupAttachTask => format!(
            "moving process {}, cgroup {},",
            kernel.object_pid, denial.path
        ),
        Hook::SbUmount => format!("unmounting {}", denial.path),
        Hook::KeyPermission if kernel.kind == ObjectKind::Task => {
            format!("replacing the session keyring of {}", context(denial))
        }
        Hook::IpcPermission | Hook::KeyPermission => format!("using {}", denial.path),
        Hook::ShmShmctl | Hook::MsgQueueMsgctl | Hook::SemSemctl => {
            format!("removing, changing or asking about {}", denial.path)
        }
        hook if hook.object_kind() == ObjectKind::Task => {
            format!("{} {}", task_change(hook), context(denial))
        }
        hook => format!("{} {}", mutation(hook, kernel.operation), denial.path),
    };
    let outcome = match kernel.verdict {
        // What a system call makes of a refusal of ptrace's right is its own: EPERM or EACCES.
        Verdict::Deny if traces(kernel) => "was refused",
        Verdict::Deny if kills(kernel.hook) => "was answered with SIGKILL",
        Verdict::Deny => "was refused with EPERM",
        Verdict::WouldDeny => "would be refused if the zone were not audited",
        Verdict::Escape => "was allowed",
    };
    let because = if is_host_socket(kernel) {
        format!(
            ": zone {} was not given this socket of the host",
            denial.zone
        )
    } else {
        String::new()
    };
    format!("{what} by {who} {outcome}{because}")
}

/// Hooks that cannot refuse, and kill the caller instead.
fn kills(hook: Hook) -> bool {
    matches!(hook, Hook::CgroupCanFork | Hook::CgroupAttachTask)
}

fn traces(kernel: &KernelEvent) -> bool {
    matches!(kernel.operation, Operation::Inspect | Operation::Control)
}

fn is_host_socket(kernel: &KernelEvent) -> bool {
    kernel.object == ZoneId::HOST && kernel.kind == ObjectKind::Socket
}

fn why(denial: &Denial) -> String {
    let Denial {
        kernel,
        zone,
        target,
        ..
    } = denial;
    if kernel.operation == Operation::Relabel {
        return format!("zone {zone} may not change what a claim reaches");
    }
    if traces(kernel) {
        let who = if kernel.subject == kernel.object {
            "each other".to_owned()
        } else {
            format!("those of {target}")
        };
        return format!("processes of zone {zone} may not trace {who}");
    }
    if kernel.verdict == Verdict::Escape {
        return format!("what is outside zone {zone} is not held to its rules");
    }
    if kernel.operation == Operation::Govern {
        return format!(
            "zone {zone} may not touch what enforcement rests on, nor other cgroups than its own"
        );
    }
    let object = match kernel.kind {
        ObjectKind::File => "files",
        ObjectKind::Task => "processes",
        ObjectKind::Socket => "sockets",
        ObjectKind::Node => "node",
        ObjectKind::Ipc if kernel.hook == Hook::KeyPermission => "keys",
        ObjectKind::Ipc => "System V objects",
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
    if kernel.verdict == Verdict::Escape {
        return vec![
            "a task that no zone restricts wrote the process to another cgroup: no denial, but no rule of the zone \
             holds for it any more"
                .to_owned(),
        ];
    }
    // Between two zones no command opens tracing, and inside one no pair does.
    let pair =
        kernel.operation == Operation::Use || traces(kernel) && kernel.object == ZoneId::HOST;
    let mut causes = Vec::new();
    if kernel.operation == Operation::Relabel {
        causes.push(
            "what is claimed itself is not renamed, and no file linked to where its zone would be another, by a zone \
             that is not privileged"
                .to_owned(),
        );
    }
    // What is named is what can be given: a bare name is a socket bound by a relative path.
    if is_host_socket(kernel) && denial.path.starts_with(['/', '@']) {
        causes.push(format!(
            "this socket of the host was not given to zone {zone}; if it should be: syva-cli host-sockets \
             allow {zone} {}",
            denial.path
        ));
    }
    if traces(kernel) && kernel.subject == kernel.object {
        causes.push(format!(
            "zone {zone} is registered without allow_ptrace (syva-cli zones register --allow-ptrace)"
        ));
    } else if pair {
        causes.push(format!(
            "the pair {zone} and {target} is not allowed; if it should be: syva-cli comms allow {zone} {target}"
        ));
    } else if traces(kernel) {
        causes.push("tracing across zones is refused even for an allowed pair".to_owned());
    }
    if kernel.operation == Operation::Govern {
        causes.push(
            "only a privileged zone rules over other cgroups than its own, uses bpf(2) as it likes, or reaches the \
             BPF file system (syva-cli zones register --type privileged)"
                .to_owned(),
        );
    }
    if kernel.kind == ObjectKind::File && kernel.object != ZoneId::HOST {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use syva_model::image::CgroupId;

    use super::*;

    fn told(operation: Operation, object: u32, target: &str) -> v1::DenyEvent {
        tell(kernel(operation, object), target, "")
    }

    fn kernel(operation: Operation, object: u32) -> KernelEvent {
        KernelEvent {
            monotonic_ns: 1,
            hook: Hook::PtraceAccessCheck,
            verdict: Verdict::Deny,
            subject: ZoneId(1),
            subject_cgroup: CgroupId(7),
            kind: ObjectKind::Task,
            object: ZoneId(object),
            pid: 2,
            tid: 2,
            comm: "gdb".into(),
            object_pid: 3,
            signal: 0,
            operation,
            inode: 0,
            claim: None,
            depth: 0,
            name: String::new(),
            applied: 0,
            applying: 0,
        }
    }

    fn tell(kernel: KernelEvent, target: &str, path: &str) -> v1::DenyEvent {
        event(&Delivery {
            denial: Arc::new(Denial {
                kernel,
                zone: "web".into(),
                target: target.into(),
                path: path.into(),
            }),
            lost_before: 0,
        })
    }

    #[test]
    fn of_a_host_socket_it_is_said_how_it_alone_could_be_given() {
        for hook in [Hook::UnixStreamConnect, Hook::UnixMaySend] {
            let at = |object| KernelEvent {
                hook,
                kind: ObjectKind::Socket,
                ..kernel(Operation::Use, object)
            };
            let bus = tell(at(0), "host", "/run/dbus/system_bus_socket");
            let causes = bus.possible_causes.join("\n");
            assert!(causes.contains("host-sockets allow web /run/dbus/system_bus_socket"));
            assert!(causes.contains("comms allow web host"));
            assert!(bus.what_failed.contains("was not given this socket"));
            assert!(bus.context.ends_with("/run/dbus/system_bus_socket"));
            // What cannot be given is not offered.
            for other in [tell(at(0), "host", ""), tell(at(2), "db", "/s")] {
                assert!(!other.possible_causes.join("\n").contains("host-sockets"));
            }
        }
    }

    #[test]
    fn of_a_change_it_is_said_what_it_was_and_of_a_relabelling_that_nothing_opens_it() {
        let at = |hook: Hook, operation, object| KernelEvent {
            hook,
            kind: hook.object_kind(),
            ..kernel(operation, object)
        };
        let made = tell(at(Hook::InodeMkdir, Operation::Use, 2), "db", "/srv/db/new");
        assert!(made.what_failed.starts_with("making /srv/db/new by gdb"));
        assert!(made.what_failed.ends_with("was refused with EPERM"));
        assert!(made.possible_causes[0].contains("comms allow web db"));
        let renamed = at(Hook::InodeRename, Operation::Relabel, 1);
        let renamed = tell(renamed, "web", "/srv/web");
        assert!(
            renamed
                .what_failed
                .starts_with("renaming the claimed /srv/web")
        );
        let causes = renamed.possible_causes.join("\n");
        assert!(causes.contains("is claimed itself") && !causes.contains("comms allow"));
        assert!(!causes.contains("allow_ptrace"));
    }

    #[test]
    fn what_is_said_of_ptrace_is_what_would_help() {
        let inside = told(Operation::Control, 1, "web");
        assert_eq!(inside.context, "attaching to process 3");
        assert!(
            inside
                .what_failed
                .starts_with("attaching to process 3 by gdb")
        );
        assert!(inside.possible_causes[0].contains("allow_ptrace"));
        let across = told(Operation::Inspect, 2, "db");
        assert_eq!(across.context, "reading about process 3");
        assert!(!across.possible_causes[0].contains("comms allow"));
        assert!(across.why_it_matters.ends_with("may not trace those of db"));
        let host = told(Operation::Control, 0, "host");
        assert!(host.possible_causes[0].contains("comms allow web host"));
    }
}
