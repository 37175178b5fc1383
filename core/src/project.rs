//! The projection: what the kernel's policy maps should hold for a state.
//!
//! Every row is a function of the state alone; the whole image and the rows an entry touched are
//! worked out by the same few functions, so they cannot disagree.

use crate::command::ZoneType;
use crate::fold::Touched;
use crate::host_socket::Grant;
use crate::image::{
    CgroupId, ClaimRow, Image, MemberRow, Mode, ObjectKey, Origin, Pair, ZoneId, ZoneRow,
};
use crate::plan::{Change, Diff};
use crate::state::State;

/// The whole desired image.
pub fn project(state: &State) -> Image {
    let rows = |id: &ZoneId| zone_row(state, *id).map(|row| (*id, row));
    Image {
        zones: state.index.names.keys().filter_map(rows).collect(),
        members: state
            .index
            .by_cgroup
            .keys()
            .filter_map(|id| member_row(state, *id).map(|row| (*id, row)))
            .collect(),
        claims: state
            .claims
            .keys()
            .copied()
            .chain(state.index.former.keys().copied())
            .chain(state.index.above.keys().map(|above| above.object))
            .filter_map(|key| claim_row(state, key).map(|row| (key, row)))
            .collect(),
        pairs: state.open_pairs().clone(),
        host_sockets: state.given_sockets().collect(),
    }
}

/// Brings `image` up to `state` where entries have touched it, and says what changed.
pub fn update(image: &mut Image, state: &State, touched: &Touched) -> Diff {
    let mut diff = Diff::default();
    for id in &touched.zones {
        let new = zone_row(state, *id);
        diff.zones
            .extend(Change::of(*id, image.zones.get(id).copied(), new));
        replace(&mut image.zones, *id, new);
    }
    for id in &touched.members {
        let new = member_row(state, *id);
        diff.members
            .extend(Change::of(*id, image.members.get(id).copied(), new));
        replace(&mut image.members, *id, new);
    }
    for key in &touched.claims {
        let new = claim_row(state, *key);
        diff.claims
            .extend(Change::of(*key, image.claims.get(key).copied(), new));
        replace(&mut image.claims, *key, new);
    }
    for pair in &touched.pairs {
        let open = state.open_pairs().contains(pair);
        let was = if open {
            !image.pairs.insert(*pair)
        } else {
            image.pairs.remove(pair)
        };
        diff.pairs
            .extend(Change::of(*pair, was.then_some(()), open.then_some(())));
    }
    for grant in &touched.host_sockets {
        let given = state.is_given(grant);
        let was = if given {
            !image.host_sockets.insert(*grant)
        } else {
            image.host_sockets.remove(grant)
        };
        diff.host_sockets
            .extend(Change::of(*grant, was.then_some(()), given.then_some(())));
    }
    diff
}

fn replace<K: Ord, V>(rows: &mut std::collections::BTreeMap<K, V>, key: K, new: Option<V>) {
    match new {
        Some(row) => rows.insert(key, row),
        None => rows.remove(&key),
    };
}

fn zone_row(state: &State, id: ZoneId) -> Option<ZoneRow> {
    let zone = state.zone_by_id(id)?;
    Some(ZoneRow {
        privileged: zone.policy.zone_type == ZoneType::Privileged,
        audit: state.mode_of(zone) == Mode::Audit,
        allow_ptrace: zone.policy.allow_ptrace,
    })
}

fn member_row(state: &State, id: CgroupId) -> Option<MemberRow> {
    let (_, member) = state.container_of(id)?;
    Some(MemberRow {
        zone: member.zone,
        root: id,
        origin: Origin::Journal,
    })
}

fn claim_row(state: &State, key: ObjectKey) -> Option<ClaimRow> {
    let held = state.claims.get(&key);
    let held = held.map(|claim| (claim, claim.generation));
    let Some((claim, generation)) = held.or_else(|| state.former(key)) else {
        return state.above_claims(key).map(ClaimRow::above);
    };
    let depth = claim
        .path
        .split('/')
        .filter(|part| !part.is_empty())
        .count();
    Some(ClaimRow {
        zone: claim.zone,
        scope: claim.scope(),
        generation,
        depth: u32::try_from(depth).unwrap_or(u32::MAX),
    })
}

/// What stands between two images.
pub fn diff(old: &Image, new: &Image) -> Diff {
    let pair = |image: &Image, pair: &Pair| image.pairs.contains(pair).then_some(());
    let given = |image: &Image, grant: &Grant| image.host_sockets.contains(grant).then_some(());
    Diff {
        zones: Change::between(&old.zones, &new.zones),
        members: Change::between(&old.members, &new.members),
        claims: Change::between(&old.claims, &new.claims),
        pairs: old
            .pairs
            .union(&new.pairs)
            .filter_map(|p| Change::of(*p, pair(old, p), pair(new, p)))
            .collect(),
        host_sockets: old
            .host_sockets
            .union(&new.host_sockets)
            .filter_map(|g| Change::of(*g, given(old, g), given(new, g)))
            .collect(),
    }
}
