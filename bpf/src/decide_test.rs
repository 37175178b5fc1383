//! The kernel's decision, compiled for the host, answers as the reference model does.
#![allow(unsafe_code)]

use syva_model::decision::world::{QUESTIONS, questions, words};
use syva_model::decision::{Answer, Operation, decide};
use syva_model::hook::ObjectKind;
use syva_model::image::ZoneId;

unsafe extern "C" {
    safe fn syva_decide(question: &[u32; 7]) -> u32;
    safe fn syva_settled(kind: u32, operation: u32, subject: u32, object: u32) -> i32;
}

#[test]
fn the_kernel_s_decision_is_the_reference_s() {
    let mut asked = 0;
    for question in questions() {
        let answer = match syva_decide(&words(&question)) {
            0 => Answer::Allow,
            1 => Answer::WouldDeny,
            2 => Answer::Deny,
            other => panic!("no such verdict: {other}"),
        };
        assert_eq!(answer, decide(&question), "{question:?}");
        asked += 1;
    }
    assert_eq!(asked, QUESTIONS);
}

#[test]
fn what_is_settled_without_looking_is_allowed_whatever_the_rows_say() {
    for question in questions() {
        let [kind, operation, subject, _, object, ..] = words(&question);
        if syva_settled(kind, operation, subject, object) != 0 {
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
