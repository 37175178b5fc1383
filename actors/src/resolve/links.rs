//! What the kernel noted of files that the host linked out of claims (D3): what of it is news to the journal,
//! and what of it is nobody's any more.

use std::collections::BTreeMap;

use syva_model::command::{Command, LinkFacts};
use syva_model::image::ObjectKey;
use syva_model::kernel::Linked;
use syva_model::state::State;

/// How many files one entry names at most; the next comparison goes on.
const AT_ONCE: usize = 4096;

/// What a look at the kernel's record leads to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// What the journal is to know.
    pub command: Option<Command>,
    /// What the kernel is to forget: the claims are gone.
    pub void: Vec<Linked>,
    /// What the kernel is to know: the claims were lost when its record was restored, and are found.
    pub missing: Vec<Linked>,
}

/// Compares what the kernel holds with the state.
pub fn news(state: &State, held: &[Linked]) -> News {
    let mut news = News::default();
    let (mut made, mut gone) = (Vec::new(), Vec::new());
    for linked in held {
        match state.claim_known_as(linked.claim, linked.claim_generation) {
            None => news.void.push(linked.clone()),
            Some(claim) => {
                let facts = facts(&claim.path, linked);
                if state.gains(&facts) {
                    made.push(facts);
                }
            }
        }
    }
    let held: BTreeMap<ObjectKey, u64> = held
        .iter()
        .map(|linked| (linked.object, linked.generation))
        .collect();
    for (key, claim) in &state.claims {
        for (linked, link) in state.linked_of(*key, claim) {
            if held.get(&linked.object) == Some(&linked.generation) {
                continue;
            }
            match link.device {
                Some(_) => gone.push(facts(&claim.path, &linked)),
                None => news.missing.push(linked),
            }
        }
    }
    made.truncate(AT_ONCE);
    gone.truncate(AT_ONCE);
    let any = !made.is_empty() || !gone.is_empty();
    news.command = any.then_some(Command::Link { made, gone });
    news
}

fn facts(claim: &str, linked: &Linked) -> LinkFacts {
    // Names are chosen by whoever fills the claim, and end up in terminals.
    let printable = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    LinkFacts {
        claim: claim.to_owned(),
        object: linked.object,
        generation: linked.generation,
        name: linked.name.chars().map(printable).collect(),
    }
}
