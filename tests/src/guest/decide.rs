//! Suite `decide`: the decision as this kernel runs it, from the hooks' own header, against the reference.

use std::mem::MaybeUninit;

use libbpf_rs::ProgramInput;
use libbpf_rs::skel::{OpenSkel as _, SkelBuilder as _};
use syva_model::decision::world::{QUESTIONS, questions, words};
use syva_model::decision::{Answer, Question, decide};

use super::{Checks, Failure};

#[allow(
    unsafe_code,
    missing_docs,
    clippy::all,
    clippy::expect_used,
    clippy::panic,
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used,
    reason = "generated"
)]
#[rustfmt::skip]
mod skel {
    include!(concat!(env!("OUT_DIR"), "/decide.skel.rs"));
}

/// `SETTLED` in decide.bpf.c.
const SETTLED: u32 = 256;

/// Asks the kernel everything.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    let mut storage = MaybeUninit::uninit();
    let skel = skel::DecideSkelBuilder::default()
        .open(&mut storage)?
        .load()?;
    let ask = |question: &Question| -> Result<u32, Failure> {
        let packet: Vec<u8> = words(question)
            .into_iter()
            .flat_map(u32::to_ne_bytes)
            .collect();
        let input = ProgramInput {
            data_in: Some(&packet),
            ..ProgramInput::default()
        };
        Ok(skel.progs.decision.test_run(input)?.return_value)
    };
    let (mut asked, mut denied, mut settled) = (0, 0, 0);
    for question in questions() {
        let said = ask(&question)?;
        let expected = decide(&question);
        let answer = match said & !SETTLED {
            0 => Answer::Allow,
            1 => Answer::WouldDeny,
            2 => Answer::Deny,
            other => return Err(format!("no such verdict: {other} to {question:?}").into()),
        };
        if answer != expected || said & SETTLED != 0 && expected != Answer::Allow {
            let why = format!("{question:?}: {said}, and {expected:?} was expected");
            checks.that("the kernel decides as the reference does", false, why);
        }
        asked += 1;
        denied += usize::from(answer == Answer::Deny);
        settled += usize::from(said & SETTLED != 0);
    }
    checks.equal("every question was asked", &asked, &QUESTIONS);
    let some = |count: usize| count > 0 && count < asked;
    checks.that(
        "the kernel decides as the reference does, and not always the same",
        some(denied) && some(settled),
        format!("{denied} denied, {settled} settled of {asked}"),
    );
    checks.note(format!(
        "{asked} questions: {denied} denied, {settled} settled at once"
    ));
    Ok(())
}
