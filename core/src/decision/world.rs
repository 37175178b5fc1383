//! Every question about a small world, and how C is asked one: for whoever compares the kernel's decision
//! with the reference.

use super::{Operation, Question};
use crate::hook::ObjectKind;
use crate::image::{ZoneId, ZoneRow};

/// The zones of the small world: the host, a few others, and those that are none.
const ZONES: [ZoneId; 6] = [
    ZoneId::HOST,
    ZoneId(1),
    ZoneId(2),
    ZoneId(3),
    ZoneId::LIMBO,
    ZoneId::UNKNOWN,
];

/// The combinations of what is either so or not so: three permissions, the pair, what was given.
const COMBINATIONS: u8 = 32;

/// How many questions [`questions`] asks.
pub const QUESTIONS: usize = ObjectKind::ALL.len()
    * Operation::ALL.len()
    * ZONES.len()
    * ZONES.len()
    * COMBINATIONS as usize;

/// Every question about it.
pub fn questions() -> impl Iterator<Item = Question> {
    let asked = ObjectKind::ALL
        .into_iter()
        .flat_map(|kind| Operation::ALL.map(|operation| (kind, operation)));
    asked.flat_map(|(kind, operation)| {
        ZONES.into_iter().flat_map(move |subject| {
            ZONES.into_iter().flat_map(move |object| {
                (0..COMBINATIONS).map(move |bits| Question {
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

/// A question as `struct question` of `bpf/src/bpf/decide.h`: its fields, all of four bytes, in order.
pub fn words(question: &Question) -> [u32; 7] {
    let row = question.row;
    [
        question.kind as u32,
        question.operation as u32,
        question.subject.0,
        u32::from(row.privileged) | u32::from(row.audit) << 1 | u32::from(row.allow_ptrace) << 2,
        question.object.0,
        u32::from(question.pair),
        u32::from(question.given),
    ]
}
