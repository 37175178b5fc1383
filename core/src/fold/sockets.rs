//! Folding host sockets: who asks for them, and what becomes of their paths.

use std::collections::{BTreeMap, BTreeSet};

use super::{FoldError, Reply, Step};
use crate::command::{SocketFacts, SocketReresolved};
use crate::host_socket::{Grant, SocketKey};
use crate::image::ZoneId;
use crate::name::ZoneName;
use crate::state::{Given, LostSocket, Member};

impl Step<'_> {
    pub(super) fn allow_host_socket(
        &mut self,
        name: &ZoneName,
        facts: &SocketFacts,
    ) -> Result<Reply, FoldError> {
        let zone = self.zone_id(name)?;
        self.give(zone, facts, |given| given.by_command = true);
        Ok(Reply {
            notes: self.state.socket_notes(zone, &facts.path),
            ..Reply::said(format!("zone {name} may use {}", facts.path))
        })
    }

    /// Whoever asked for it, and wherever it is now: what counts is its path.
    pub(super) fn deny_host_socket(
        &mut self,
        name: &ZoneName,
        asked: &str,
        path: &str,
    ) -> Result<Reply, FoldError> {
        let zone = self.zone_id(name)?;
        self.take(zone, |given| given.path == path || given.path == asked);
        Ok(Reply::said(format!("zone {name} may not use {path}")))
    }

    /// Gives what the policy lists, and takes what only the earlier one did.
    pub(super) fn replace_policy_sockets(&mut self, zone: ZoneId, sockets: &[SocketFacts]) {
        let listed: BTreeSet<SocketKey> = sockets.iter().map(|facts| facts.socket).collect();
        let mut gone = Vec::new();
        for (grant, given) in self.state.host_sockets.range_mut(Grant::of(zone)) {
            if !listed.contains(&grant.socket) {
                given.by_policy = false;
                gone.extend((!given.by_command).then_some(*grant));
            }
        }
        for grant in gone {
            self.remove_socket(&grant);
        }
        for lost in &mut self.state.lost_sockets {
            lost.given.by_policy &= lost.zone != zone;
        }
        let wanted = |lost: &LostSocket| lost.given.by_policy || lost.given.by_command;
        self.state.lost_sockets.retain(wanted);
        for facts in sockets {
            self.give(zone, facts, |given| given.by_policy = true);
        }
    }

    /// What goes with a zone.
    pub(super) fn take_all_sockets(&mut self, zone: ZoneId) {
        self.take(zone, |_| true);
    }

    /// The key of a path may be another one on another boot: each is given under what it is now.
    pub(super) fn find_sockets_again(&mut self, found: &[SocketReresolved]) -> usize {
        let found: BTreeMap<&str, SocketKey> = found
            .iter()
            .filter_map(|again| Some((again.path.as_str(), again.found?)))
            .collect();
        let held = std::mem::take(&mut self.state.host_sockets);
        self.touched.host_sockets.extend(held.keys().copied());
        let mut waiting = std::mem::take(&mut self.state.lost_sockets);
        for (grant, given) in held {
            // Abstract names are not looked up: they are what they say.
            if grant.socket.place.is_abstract() {
                self.insert_socket(grant, given);
            } else {
                let zone = grant.zone;
                waiting.push(LostSocket { zone, given });
            }
        }
        for LostSocket { zone, given } in waiting {
            match found.get(given.path.as_str()) {
                Some(socket) => {
                    let socket = *socket;
                    self.insert_socket(Grant { zone, socket }, given);
                }
                None => self.state.lost_sockets.push(LostSocket { zone, given }),
            }
        }
        self.state.lost_sockets.len()
    }

    pub(super) fn give_for_unit(&mut self, member: &Member) {
        for grant in member.grants() {
            *self.state.index.by_unit.entry(grant).or_insert(0) += 1;
            self.touched.host_sockets.insert(grant);
        }
    }

    pub(super) fn take_for_unit(&mut self, member: &Member) {
        for grant in member.grants() {
            if let Some(members) = self.state.index.by_unit.get_mut(&grant) {
                *members -= 1;
                if *members == 0 {
                    self.state.index.by_unit.remove(&grant);
                }
            }
            self.touched.host_sockets.insert(grant);
        }
    }

    /// Gives a socket under its path's key of today; an earlier one of the same path is given up.
    fn give(&mut self, zone: ZoneId, facts: &SocketFacts, ask: impl FnOnce(&mut Given)) {
        let grant = Grant {
            zone,
            socket: facts.socket,
        };
        let mut given = Given {
            path: facts.path.clone(),
            by_policy: false,
            by_command: false,
            seq: self.seq,
        };
        for earlier in self.take(zone, |held| held.path == facts.path) {
            given.by_policy |= earlier.by_policy;
            given.by_command |= earlier.by_command;
            given.seq = earlier.seq;
        }
        ask(&mut given);
        self.insert_socket(grant, given);
    }

    /// Two paths may lead to one socket; it is then given as long as either is asked for.
    fn insert_socket(&mut self, grant: Grant, given: Given) {
        let held = self
            .state
            .host_sockets
            .entry(grant)
            .or_insert_with(|| Given {
                by_policy: false,
                by_command: false,
                ..given.clone()
            });
        held.by_policy |= given.by_policy;
        held.by_command |= given.by_command;
        self.touched.host_sockets.insert(grant);
    }

    fn take(&mut self, zone: ZoneId, which: impl Fn(&Given) -> bool) -> Vec<Given> {
        let held = self.state.host_sockets_in(zone);
        let held = held.filter(|(_, given)| which(given));
        let grants: Vec<Grant> = held.map(|(grant, _)| *grant).collect();
        let mut taken: Vec<Given> = grants
            .iter()
            .filter_map(|grant| self.remove_socket(grant))
            .collect();
        self.state.lost_sockets.retain(|lost| {
            let goes = lost.zone == zone && which(&lost.given);
            taken.extend(goes.then(|| lost.given.clone()));
            !goes
        });
        taken
    }

    fn remove_socket(&mut self, grant: &Grant) -> Option<Given> {
        self.touched.host_sockets.insert(*grant);
        self.state.host_sockets.remove(grant)
    }
}
