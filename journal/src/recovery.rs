//! Recovery: what a store that was just opened is worth, held against its anchor.
//!
//! The store is walked from the first entry, or from a snapshot's ([`start`]). The walk ends at entry N, because the store ends there
//! or because entry N + 1 has a [`Fault`]. The anchor says that A was acknowledged.
//!
//! | found | at opening | at reopening | accepting loss |
//! |---|---|---|---|
//! | entry A has another hash | refuse: `Different` | refuse | take what is there |
//! | N < A, the store ends | refuse: `Short` | refuse | take what is there |
//! | N < A, a torn record follows | refuse: `BadEntry` | refuse | cut it and all after |
//! | N ≥ A, the store ends | keep: written, chained, not acknowledged | cut after A | keep |
//! | N ≥ A, a torn record follows | keep to N, cut the rest | cut after A | keep to N, cut the rest |
//! | a record that is intact and not understood follows | refuse: `BadEntry` | refuse | refuse |
//! | both slots damaged | refuse: `AnchorDamaged` | refuse | take what is there |
//! | one slot damaged | as above, with the other; report | same | same |
//! | the store cannot be opened, or not read to its end | refuse: `StoreUnreadable` | refuse | set it aside, keep what can be read |
//! | no anchor, a store | refuse: `Foreign` | refuse | only if its first entry is one |
//!
//! What was pruned is no fault: the first entry there is follows what the horizon says
//! ([`crate::horizon`]), and that is bound by an entry behind it.
//!
//! Opening keeps what lies beyond the anchor because nobody was told that it failed: the daemon died
//! between the sync and the anchor. Reopening cuts it because somebody was: the batch that failed.
//!
//! Whatever is kept or cut is made durable before the anchor follows. Only accepting loss leaves the
//! anchor where it is: the first append moves it, so that the loss stays refused until the entry
//! about it is durable.

use std::path::Path;

use crate::anchor::Reading;
use crate::error::JournalError;
use crate::record::{Fault, Head, RawRecord, check, inspect, intact};
use crate::store::{Store, StoreError};

/// How many records a walk holds at once.
pub(crate) const STEP: usize = 256;

/// What opening a journal found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Whether there was no journal and an empty one was made.
    pub created: bool,
    /// The journal's end, and so its number of entries.
    pub head: Head,
    /// What the anchor had said.
    pub anchored: Head,
    /// The entry after which every one was checked: the last pruned or, if there is a snapshot, the
    /// snapshot's. Of those before it a few were looked at.
    pub checked_after: u64,
    /// What was found beyond the anchor.
    pub tail: Tail,
    /// One of the anchor's slots was damaged and has been written anew. If a crash did not tear it,
    /// the last append acknowledged may be missing without a trace.
    pub anchor_damaged: bool,
}

/// What was found beyond the anchor: appended, never acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// How many entries were whole, and are kept.
    pub kept: u64,
    /// What was not kept.
    pub cut: Option<Cut>,
}

/// Records that were removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The number of the first entry that is gone.
    pub from: u64,
    /// How many records, or parts of records, are gone.
    pub records: u64,
    /// Why.
    pub because: String,
}

/// How far a walk came.
pub(crate) struct Walk {
    /// The last good entry.
    pub(crate) head: Head,
    /// What stands at the anchor's number, if the walk came there.
    at_anchor: Option<Head>,
    /// What is wrong with the next.
    fault: Option<Fault>,
}

/// How many entries before a snapshot a start looks at.
const PROBES: u64 = 64;

/// After which entry a start's walk begins. History before a snapshot is not read at every start: the
/// snapshot's own entry must be there and be the one that the snapshot says, what the anchor says must
/// be no earlier, and entries spread over all that comes before must be whole, so that a store of
/// which sled lost a part is walked from its beginning and refused. What else is wrong with the history
/// changes nothing that is enforced; `journal verify` finds it.
///
/// # Errors
/// [`StoreError`]: the store cannot be read.
pub(crate) fn start(
    store: &dyn Store,
    base: Head,
    anchored: Option<Head>,
    snapshot: Option<Head>,
) -> Result<Head, StoreError> {
    let within = |at: &Head| at.seq > base.seq && anchored.is_some_and(|end| at.seq <= end.seq);
    let Some(snapshot) = snapshot.filter(within) else {
        return Ok(base);
    };
    // Key 0, which no entry has, may hold another program's record.
    let first = store.read(0, 1)?;
    if first.first().map(|raw| raw.key) != Some(base.seq + 1) {
        return Ok(base);
    }
    let span = snapshot.seq - base.seq - 1;
    let steps = PROBES.min(span.max(1));
    for step in 0..=steps {
        // In 128 bits, lest the product overflow.
        let offset = u128::from(span) * u128::from(step) / u128::from(steps);
        let seq = base.seq + 1 + u64::try_from(offset).unwrap_or(span);
        let raw = store.read(seq, 1)?.pop();
        let whole = |raw: &RawRecord| raw.key == seq && intact(raw).is_ok();
        let Some(raw) = raw.filter(whole) else {
            return Ok(base);
        };
        if seq == snapshot.seq && raw.hash != snapshot.hash {
            return Ok(base);
        }
    }
    Ok(snapshot)
}

/// Walks the store from what follows `start` to its end or its first fault, and tells `passed` how far
/// it came, now and then. `base` is what the first entry there is follows.
pub(crate) fn walk(
    store: &dyn Store,
    base: Head,
    start: Head,
    anchored: Option<Head>,
    passed: &mut dyn FnMut(u64),
) -> Result<Walk, StoreError> {
    let anchor_seq = anchored.map(|head| head.seq);
    let mut walk = Walk {
        head: start,
        at_anchor: (anchor_seq == Some(start.seq)).then_some(start),
        fault: None,
    };
    // From 0, which no entry has: what stands there is a fault too.
    let mut from = if start == base { 0 } else { start.seq + 1 };
    loop {
        let records = store.read(from, STEP)?;
        if records.is_empty() {
            return Ok(walk);
        }
        for raw in records {
            match check(walk.head, raw) {
                Ok(record) => walk.head = record.head(),
                Err(fault) => {
                    walk.fault = Some(fault);
                    return Ok(walk);
                }
            }
            if anchor_seq == Some(walk.head.seq) {
                walk.at_anchor = Some(walk.head);
            }
        }
        from = walk.head.seq + 1;
        passed(walk.head.seq);
    }
}

/// The good entries after `base`, up to the first that cannot be read or is none.
pub(crate) fn readable(store: &dyn Store, base: Head) -> Vec<RawRecord> {
    let (mut head, mut records) = (base, Vec::new());
    // One by one: a step fails as a whole.
    while let Ok(mut next) = store.read(head.seq + 1, 1) {
        match next.pop() {
            Some(raw) if inspect(head, &raw).is_ok() => {
                head = Head {
                    seq: raw.key,
                    hash: raw.hash,
                };
                records.push(raw);
            }
            _ => break,
        }
    }
    records
}

/// The verdict on a walk.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// Where the journal ends.
    pub(crate) head: Head,
    /// Why what lies behind `head` must go; nothing: nothing lies there.
    pub(crate) cut: Option<String>,
}

/// At opening: the table's first column.
pub(crate) fn judge(dir: &Path, walk: Walk, reading: Reading) -> Result<Verdict, JournalError> {
    let dir = dir.to_owned();
    let Some(anchored) = reading.head else {
        return Err(JournalError::AnchorDamaged { dir });
    };
    let bad = |fault| JournalError::BadEntry {
        dir: dir.clone(),
        seq: walk.head.seq + 1,
        fault,
    };
    match (walk.at_anchor, walk.fault) {
        (Some(found), _) if found != anchored => Err(JournalError::Different {
            dir,
            anchored,
            found,
        }),
        (None, None) => Err(JournalError::Short {
            dir,
            anchored,
            found: walk.head,
        }),
        (None, Some(fault)) => Err(bad(fault)),
        (Some(_), Some(fault)) if !fault.is_torn() => Err(bad(fault)),
        (Some(_), fault) => Ok(Verdict {
            head: walk.head,
            cut: fault.map(|fault| fault.to_string()),
        }),
    }
}

/// At reopening: as at opening, and nothing beyond the anchor stays.
pub(crate) fn judge_again(
    dir: &Path,
    walk: Walk,
    reading: Reading,
) -> Result<Verdict, JournalError> {
    let verdict = judge(dir, walk, reading)?;
    match reading.head {
        Some(anchored) if verdict.head != anchored || verdict.cut.is_some() => Ok(Verdict {
            head: anchored,
            cut: Some("the batch failed and its callers were told so".to_owned()),
        }),
        _ => Ok(verdict),
    }
}

/// Accepting loss: whatever chains from the first entry is the journal.
pub(crate) fn judge_leniently(
    dir: &Path,
    walk: Walk,
    anchor_is_there: bool,
) -> Result<Verdict, JournalError> {
    if !anchor_is_there && walk.head == Head::EMPTY {
        return Err(JournalError::Foreign {
            dir: dir.to_owned(),
            found: "a store whose first record is no entry".to_owned(),
        });
    }
    match walk.fault {
        Some(fault) if !fault.is_torn() => Err(JournalError::BadEntry {
            dir: dir.to_owned(),
            seq: walk.head.seq + 1,
            fault,
        }),
        fault => Ok(Verdict {
            head: walk.head,
            cut: fault.map(|fault| fault.to_string()),
        }),
    }
}

/// Removes what lies behind the verdict's head and counts it. Not durable on return.
pub(crate) fn cut(store: &dyn Store, verdict: &Verdict) -> Result<Option<Cut>, StoreError> {
    let Some(because) = verdict.cut.clone() else {
        return Ok(None);
    };
    // A fault at key 0 is behind the head of an empty journal, too.
    let from = if verdict.head.seq == 0 {
        0
    } else {
        verdict.head.seq + 1
    };
    let (mut records, mut next) = (0, from);
    loop {
        let read = store.read(next, STEP)?;
        let Some(last) = read.last() else { break };
        records += u64::try_from(read.len()).unwrap_or(u64::MAX);
        match last.key.checked_add(1) {
            Some(after) => next = after,
            None => break,
        }
    }
    store.remove_from(from)?;
    Ok(Some(Cut {
        from: verdict.head.seq + 1,
        records,
        because,
    }))
}
