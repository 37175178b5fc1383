//! The kernel's decision, compiled for the host, answers as the reference model does.
#![allow(unsafe_code)]

use syva_model::decision::{Answer, Operation, Question, decide};
use syva_model::hook::ObjectKind;
use syva_model::image::{ZoneId, ZoneRow};

/// `struct question` of `decide.h`.
#[repr(C)]
struct RawQuestion {
    kind: u32,
    operation: u32,
    subject: u32,
    flags: u32,
    object: u32,
    pair: u32,
    given: u32,
}

unsafe extern "C" {
    safe fn syva_decide(question: &RawQuestion) -> u32;
    safe fn syva_settled(kind: u32, operation: u32, subject: u32, object: u32) -> i32;
}

/// Every question about a small world.
fn world() -> impl Iterator<Item = Question> {
    const ZONES: [ZoneId; 6] = [
        ZoneId::HOST,
        ZoneId(1),
        ZoneId(2),
        ZoneId(3),
        ZoneId::LIMBO,
        ZoneId::UNKNOWN,
    ];
    let asked = ObjectKind::ALL
        .into_iter()
        .flat_map(|kind| Operation::ALL.map(|operation| (kind, operation)));
    asked.flat_map(|(kind, operation)| {
        ZONES.into_iter().flat_map(move |subject| {
            ZONES.into_iter().flat_map(move |object| {
                (0..32u8).map(move |bits| Question {
                    kind,
                    operation,
                    subject,
                    row: ZoneRow {
                        privileged: bits & 1 != 0,
                        audit: bits & 2 != 0,
                        allow_ptrace: bits & 4 != 0,
                    },
                    object,
                    pair: bits & 8 != 0,
                    given: bits & 16 != 0,
                })
            })
        })
    })
}

fn raw(question: &Question) -> RawQuestion {
    let row = question.row;
    RawQuestion {
        kind: question.kind as u32,
        operation: question.operation as u32,
        subject: question.subject.0,
        flags: u32::from(row.privileged)
            | u32::from(row.audit) << 1
            | u32::from(row.allow_ptrace) << 2,
        object: question.object.0,
        pair: u32::from(question.pair),
        given: u32::from(question.given),
    }
}

#[test]
fn the_kernel_s_decision_is_the_reference_s() {
    let mut asked = 0;
    for question in world() {
        let answer = match syva_decide(&raw(&question)) {
            0 => Answer::Allow,
            1 => Answer::WouldDeny,
            2 => Answer::Deny,
            other => panic!("no such verdict: {other}"),
        };
        assert_eq!(answer, decide(&question), "{question:?}");
        asked += 1;
    }
    assert_eq!(asked, 4 * 5 * 6 * 6 * 32);
}

#[test]
fn what_is_settled_without_looking_is_allowed_whatever_the_rows_say() {
    for question in world() {
        let raw = raw(&question);
        if syva_settled(raw.kind, raw.operation, raw.subject, raw.object) != 0 {
            assert_eq!(decide(&question), Answer::Allow, "{question:?}");
        }
    }
}

#[test]
fn the_own_zone_and_unclaimed_files_are_settled_without_looking() {
    use Operation::{Control, Govern, Inspect, Relabel, Use};
    let settled = |kind: ObjectKind, operation: Operation, object| {
        syva_settled(kind as u32, operation as u32, 1, object) != 0
    };
    assert!(settled(ObjectKind::File, Use, 1));
    assert!(settled(ObjectKind::File, Use, ZoneId::HOST.0));
    assert!(settled(ObjectKind::Task, Inspect, 1));
    assert!(!settled(ObjectKind::Task, Control, 1));
    assert!(!settled(ObjectKind::Task, Use, ZoneId::HOST.0));
    assert!(!settled(ObjectKind::File, Use, 2));
    assert!(!settled(ObjectKind::File, Relabel, 1));
    assert!(!settled(ObjectKind::File, Relabel, ZoneId::HOST.0));
    assert!(settled(ObjectKind::Node, Govern, 1));
    assert!(!settled(ObjectKind::Node, Use, ZoneId::HOST.0));
    for kind in [ObjectKind::File, ObjectKind::Node] {
        assert!(!settled(kind, Govern, ZoneId::HOST.0));
    }
}
