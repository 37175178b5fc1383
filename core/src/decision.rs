//! The reference decision: what `bpf/src/bpf/decide.h` must answer, question for question.
//!
//! It is deliberately the plainest possible statement of D5 and D6. The kernel's `decide()` is
//! compared with it over the whole small [`world`]: compiled for the host (`bpf/src/decide_test.rs`), and in
//! each kernel (`tests/src/guest/decide.rs`).

pub mod world;

use crate::hook::ObjectKind;
use crate::host_socket::{Grant, SocketKey};
use crate::image::{Image, Pair, ZoneId, ZoneRow};

/// What is done to the object, as far as the decision depends on it. The discriminants are the C
/// enumeration's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// What an allowed pair opens: opening, executing, mapping, signalling, connecting.
    Use,
    /// Reading about a task (ptrace's READ mode, which ps(1) needs). Free inside the zone; a pair of
    /// two zones does not open it.
    Inspect,
    /// Taking a task over (ptrace's ATTACH mode, traceme). Inside the zone it needs
    /// [`ZoneRow::allow_ptrace`]; a pair of two zones does not open it.
    Control,
    /// Changing what a claim reaches: linking a file to where its label would be another, renaming
    /// what is claimed itself. Nothing opens it to a zone that is not privileged.
    Relabel,
    /// Ruling over what enforcement rests on: cgroups, bpf(2), the BPF file system. The own zone's
    /// cgroups are free; nothing opens anything else to a zone that is not privileged, not even a
    /// pair with the host.
    Govern,
}

impl Operation {
    /// Every class.
    pub const ALL: [Operation; 5] = [
        Operation::Use,
        Operation::Inspect,
        Operation::Control,
        Operation::Relabel,
        Operation::Govern,
    ];
}

/// Everything a decision may depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// What kind of object is touched.
    pub kind: ObjectKind,
    /// What is done to it.
    pub operation: Operation,
    /// The caller's zone ([`ZoneId::HOST`]: unzoned).
    pub subject: ZoneId,
    /// The caller's zone row; a zone without one is judged as the strictest.
    pub row: ZoneRow,
    /// The object's zone. [`ZoneId::HOST`] means unclaimed for files; else the host's task, socket or
    /// cgroup, or the node.
    pub object: ZoneId,
    /// Whether the pair of the two zones is allowed.
    pub pair: bool,
    /// Whether this very socket of the host was given to the caller's zone. Says nothing of any
    /// other object.
    pub given: bool,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// The operation goes on.
    Allow,
    /// It goes on, and is reported: the subject's zone is audited.
    WouldDeny,
    /// It fails with EPERM.
    Deny,
}

/// Answers one question.
pub fn decide(question: &Question) -> Answer {
    let Question {
        kind,
        operation,
        subject,
        row,
        object,
        pair,
        given,
    } = *question;
    if subject == ZoneId::HOST || row.privileged {
        return Answer::Allow;
    }
    let refused = match object {
        // Nothing may reach what is changing zone, nor what the kernel could not identify (I3, I9).
        ZoneId::LIMBO | ZoneId::UNKNOWN => true,
        _ if operation == Operation::Relabel => true,
        _ if operation == Operation::Govern => object != subject,
        ZoneId::HOST if kind == ObjectKind::File => false,
        // The host in a pair opens tracing its tasks too: the operator named it.
        ZoneId::HOST => !(pair || given && kind == ObjectKind::Socket),
        _ if object == subject => operation == Operation::Control && !row.allow_ptrace,
        _ => operation != Operation::Use || !pair,
    };
    match (refused, row.audit) {
        (false, _) => Answer::Allow,
        (true, true) => Answer::WouldDeny,
        (true, false) => Answer::Deny,
    }
}

/// Answers for a subject and an object of an [`Image`], as the kernel would with those maps.
pub fn decide_in(
    image: &Image,
    kind: ObjectKind,
    operation: Operation,
    subject: ZoneId,
    object: ZoneId,
) -> Answer {
    decide(&Question {
        kind,
        operation,
        subject,
        row: image.zones.get(&subject).copied().unwrap_or_default(),
        object,
        pair: image.pairs.contains(&Pair::new(subject, object)),
        given: false,
    })
}

/// As [`decide_in`], for the use of a socket of the host that can be given.
pub fn decide_host_socket_in(image: &Image, subject: ZoneId, socket: SocketKey) -> Answer {
    decide(&Question {
        kind: ObjectKind::Socket,
        operation: Operation::Use,
        subject,
        row: image.zones.get(&subject).copied().unwrap_or_default(),
        object: ZoneId::HOST,
        pair: image.pairs.contains(&Pair::new(subject, ZoneId::HOST)),
        given: image.host_sockets.contains(&Grant {
            zone: subject,
            socket,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEB: ZoneId = ZoneId(1);
    const DB: ZoneId = ZoneId(2);

    fn ask(kind: ObjectKind, subject: ZoneId, object: ZoneId) -> Question {
        Question {
            kind,
            operation: Operation::Use,
            subject,
            row: ZoneRow::default(),
            object,
            pair: false,
            given: false,
        }
    }

    #[test]
    fn a_socket_that_was_given_is_open_if_it_is_the_host_s_and_opens_nothing_else() {
        let given = |kind, object| {
            decide(&Question {
                given: true,
                ..ask(kind, WEB, object)
            })
        };
        assert_eq!(given(ObjectKind::Socket, ZoneId::HOST), Answer::Allow);
        assert_eq!(given(ObjectKind::Task, ZoneId::HOST), Answer::Deny);
        for object in [DB, ZoneId::LIMBO, ZoneId::UNKNOWN] {
            assert_eq!(given(ObjectKind::Socket, object), Answer::Deny);
        }
    }

    #[test]
    fn another_zone_is_refused_and_the_own_zone_is_not() {
        for kind in ObjectKind::ALL {
            assert_eq!(decide(&ask(kind, WEB, DB)), Answer::Deny);
            assert_eq!(decide(&ask(kind, WEB, WEB)), Answer::Allow);
            assert_eq!(
                decide(&Question {
                    pair: true,
                    ..ask(kind, WEB, DB)
                }),
                Answer::Allow
            );
        }
    }

    #[test]
    fn the_host_is_free_as_a_caller_and_closed_as_an_object_but_for_unclaimed_files() {
        assert_eq!(
            decide(&ask(ObjectKind::File, ZoneId::HOST, DB)),
            Answer::Allow
        );
        assert_eq!(
            decide(&ask(ObjectKind::File, WEB, ZoneId::HOST)),
            Answer::Allow
        );
        assert_eq!(
            decide(&ask(ObjectKind::Task, WEB, ZoneId::HOST)),
            Answer::Deny
        );
        assert_eq!(
            decide(&ask(ObjectKind::Socket, WEB, ZoneId::HOST)),
            Answer::Deny
        );
    }

    #[test]
    fn a_privileged_zone_is_unrestricted_and_an_audited_one_is_only_reported() {
        let question = ask(ObjectKind::Task, WEB, DB);
        let privileged = ZoneRow {
            privileged: true,
            ..ZoneRow::default()
        };
        let audit = ZoneRow {
            audit: true,
            ..ZoneRow::default()
        };
        assert_eq!(
            decide(&Question {
                row: privileged,
                ..question
            }),
            Answer::Allow
        );
        assert_eq!(
            decide(&Question {
                row: audit,
                ..question
            }),
            Answer::WouldDeny
        );
    }

    #[test]
    fn a_task_is_traced_inside_its_zone_only_and_taken_over_with_permission_only() {
        let trace = |operation, object, allow_ptrace, pair| {
            decide(&Question {
                operation,
                row: ZoneRow {
                    allow_ptrace,
                    ..ZoneRow::default()
                },
                pair,
                ..ask(ObjectKind::Task, WEB, object)
            })
        };
        use Operation::{Control, Inspect};
        for (operation, object, allow_ptrace, pair, answer) in [
            (Inspect, WEB, false, false, Answer::Allow),
            (Control, WEB, false, false, Answer::Deny),
            (Control, WEB, true, false, Answer::Allow),
            (Inspect, DB, true, true, Answer::Deny),
            (Control, DB, true, true, Answer::Deny),
            (Inspect, ZoneId::HOST, true, false, Answer::Deny),
            (Control, ZoneId::HOST, false, false, Answer::Deny),
            (Control, ZoneId::HOST, false, true, Answer::Allow),
        ] {
            assert_eq!(
                trace(operation, object, allow_ptrace, pair),
                answer,
                "{operation:?} of {object}, allow_ptrace {allow_ptrace}, pair {pair}"
            );
        }
        let host = Question {
            operation: Control,
            ..ask(ObjectKind::Task, ZoneId::HOST, DB)
        };
        assert_eq!(decide(&host), Answer::Allow);
    }

    #[test]
    fn the_node_is_opened_by_a_pair_with_the_host_and_what_enforcement_rests_on_by_nothing() {
        let node = |operation, object, pair| {
            decide(&Question {
                operation,
                pair,
                ..ask(ObjectKind::Node, WEB, object)
            })
        };
        use Operation::{Govern, Use};
        for (operation, object, pair, answer) in [
            (Use, ZoneId::HOST, false, Answer::Deny),
            (Use, ZoneId::HOST, true, Answer::Allow),
            (Govern, ZoneId::HOST, true, Answer::Deny),
            (Govern, DB, true, Answer::Deny),
            (Govern, WEB, false, Answer::Allow),
        ] {
            assert_eq!(
                node(operation, object, pair),
                answer,
                "{operation:?} of {object}, pair {pair}"
            );
        }
        let privileged = Question {
            operation: Govern,
            row: ZoneRow {
                privileged: true,
                ..ZoneRow::default()
            },
            ..ask(ObjectKind::Node, WEB, ZoneId::HOST)
        };
        assert_eq!(decide(&privileged), Answer::Allow);
    }

    #[test]
    fn limbo_and_the_unknown_are_refused_even_to_themselves() {
        for object in [ZoneId::LIMBO, ZoneId::UNKNOWN] {
            for subject in [WEB, ZoneId::LIMBO, ZoneId::UNKNOWN] {
                assert_eq!(
                    decide(&ask(ObjectKind::File, subject, object)),
                    Answer::Deny
                );
            }
        }
    }
}
