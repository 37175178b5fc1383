//! A state as rows: to be printed, and to be compared with another.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use syva_model::image::Scope;
use syva_model::state::{Claim, Given, State, Zone};

use crate::output::{list, or_dash, table};

/// Everything a state holds, by kind and name. The fields of a row are JSON's.
pub type Rows = BTreeMap<(&'static str, String), Map<String, Value>>;

/// The state's rows.
pub fn rows(state: &State) -> Rows {
    let mut rows = Rows::new();
    let mut put = |kind, name: String, value: Value| {
        if let Value::Object(fields) = value {
            rows.insert((kind, name), fields);
        }
    };
    let boot = state.boot.map(|boot| boot.to_string());
    put(
        "node",
        "node".to_owned(),
        json!({ "mode": state.mode.name(), "boot": boot }),
    );
    for (name, zone) in &state.zones {
        put("zone", name.to_string(), zone_row(zone));
    }
    for (id, member) in &state.members {
        put(
            "container",
            id.clone(),
            json!({
                "zone": state.zone_label(member.zone), "cgroup_id": member.cgroup.0,
                "cgroup_path": member.cgroup_path, "source": member.source,
                "generation": member.generation, "pod_namespace": member.pod.namespace,
                "pod_name": member.pod.name, "pod_uid": member.pod.uid, "seq": member.seq,
            }),
        );
    }
    for (object, claim) in &state.claims {
        let mut row = claim_row(state, claim, "held");
        row["object"] = json!(object.to_string());
        put("path", claim.path.clone(), row);
    }
    for (path, claim) in &state.lost {
        put("path", path.clone(), claim_row(state, claim, "lost"));
    }
    for (grant, given) in &state.host_sockets {
        let label = state.zone_label(grant.zone);
        put(
            "socket",
            format!("{label} {}", given.path),
            socket_row(&label, given, "held"),
        );
    }
    for lost in &state.lost_sockets {
        let label = state.zone_label(lost.zone);
        put(
            "socket",
            format!("{label} {}", lost.given.path),
            socket_row(&label, &lost.given, "lost"),
        );
    }
    for pair in state.open_pairs() {
        let mut zones = [pair.low(), pair.high()].map(|zone| state.zone_label(zone));
        zones.sort();
        let [a, b] = zones;
        put(
            "pair",
            format!("{a} {b}"),
            json!({ "zone_a": a, "zone_b": b }),
        );
    }
    rows
}

fn zone_row(zone: &Zone) -> Value {
    let policy = &zone.policy;
    let allowed: Vec<_> = policy
        .allowed_zones
        .iter()
        .map(ToString::to_string)
        .collect();
    json!({
        "zone_id": zone.id.0,
        "state": if zone.draining { "draining" } else { "active" },
        "type": policy.zone_type,
        "network": policy.network_mode.name(),
        "allow_ptrace": policy.allow_ptrace,
        "allowed_zones": allowed,
        "allowed_egress_cidrs": policy.allowed_egress_cidrs,
        "seq": zone.seq,
    })
}

fn claim_row(state: &State, claim: &Claim, found: &str) -> Value {
    json!({
        "zone": state.zone_label(claim.zone), "recursive": claim.scope() == Scope::Subtree,
        "state": found, "seq": claim.seq,
        "former": claim.former.iter().map(|former| former.object.to_string()).collect::<Vec<_>>(),
    })
}

fn socket_row(zone: &str, given: &Given, found: &str) -> Value {
    json!({ "zone": zone, "path": given.path, "state": found, "seq": given.seq })
}

/// The state as one JSON object.
pub fn state_json(rows: &Rows) -> Value {
    let of = |kind: &str, name: &str| -> Vec<Value> {
        rows.iter()
            .filter(|((of, _), _)| *of == kind)
            .map(|((_, called), fields)| {
                let mut row = fields.clone();
                if !name.is_empty() {
                    row.insert(name.to_owned(), json!(called));
                }
                Value::Object(row)
            })
            .collect()
    };
    let node = of("node", "").pop().unwrap_or_default();
    json!({
        "mode": node["mode"], "boot": node["boot"],
        "zones": of("zone", "name"), "containers": of("container", "container_id"),
        "paths": of("path", "path"), "host_sockets": of("socket", ""),
        "pairs": of("pair", ""),
    })
}

/// The state as tables.
pub fn state_text(rows: &Rows) -> Vec<String> {
    let of = |kind: &'static str| rows.iter().filter(move |((of, _), _)| *of == kind);
    let mut lines = Vec::new();
    for ((_, _), node) in of("node") {
        lines.push(format!(
            "mode {}, boot {}",
            text(&node["mode"]),
            text(&node["boot"])
        ));
    }
    lines.push(String::new());
    lines.extend(table(
        ["ZONE", "ID", "STATE", "TYPE", "NETWORK", "ALLOWS", "ENTRY"],
        of("zone")
            .map(|((_, name), row)| {
                let field = |name: &str| text(&row[name]);
                let [id, state, kind] = ["zone_id", "state", "type"].map(field);
                let [network, allows, seq] = ["network", "allowed_zones", "seq"].map(field);
                [name.clone(), id, state, kind, network, allows, seq]
            })
            .collect(),
        "no zones",
    ));
    lines.push(String::new());
    lines.extend(table(
        [
            "CONTAINER",
            "ZONE",
            "CGROUP",
            "PATH",
            "SOURCE",
            "GENERATION",
            "ENTRY",
        ],
        of("container")
            .map(|((_, name), row)| {
                let field = |name: &str| text(&row[name]);
                let [zone, id, path] = ["zone", "cgroup_id", "cgroup_path"].map(field);
                let [source, generation, seq] = ["source", "generation", "seq"].map(field);
                [name.clone(), zone, id, path, source, generation, seq]
            })
            .collect(),
        "no containers",
    ));
    lines.push(String::new());
    lines.extend(table(
        ["PATH", "ZONE", "BELOW TOO", "STATE", "ENTRY"],
        of("path")
            .map(|((_, name), row)| {
                let field = |name: &str| text(&row[name]);
                let [zone, below, state, seq] = ["zone", "recursive", "state", "seq"].map(field);
                [name.clone(), zone, below, state, seq]
            })
            .collect(),
        "no claimed paths",
    ));
    lines.push(String::new());
    lines.extend(table(
        ["HOST SOCKET", "ZONE", "STATE", "ENTRY"],
        of("socket")
            .map(|(_, row)| ["path", "zone", "state", "seq"].map(|name| text(&row[name])))
            .collect(),
        "no host sockets",
    ));
    lines.push(String::new());
    lines.extend(table(
        ["OPEN PAIR", ""],
        of("pair")
            .map(|(_, row)| [text(&row["zone_a"]), text(&row["zone_b"])])
            .collect(),
        "no open pairs",
    ));
    lines
}

/// What became of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    kind: &'static str,
    name: String,
    before: Option<Map<String, Value>>,
    after: Option<Map<String, Value>>,
}

/// What is different in `after`, in the order of the rows.
pub fn diff(before: &Rows, after: &Rows) -> Vec<Change> {
    let mut keys: Vec<_> = before.keys().chain(after.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter()
        .filter(|key| before.get(key) != after.get(key))
        .map(|key| Change {
            kind: key.0,
            name: key.1.clone(),
            before: before.get(key).cloned(),
            after: after.get(key).cloned(),
        })
        .collect()
}

impl Change {
    /// As JSON.
    pub fn json(&self) -> Value {
        let change = match (&self.before, &self.after) {
            (None, _) => "added",
            (_, None) => "removed",
            _ => "changed",
        };
        json!({
            "change": change, "kind": self.kind, "name": self.name,
            "before": self.before, "after": self.after,
        })
    }

    /// As a line: what was added or removed with all its fields, what changed with those that did.
    pub fn line(&self) -> String {
        let (kind, name) = (self.kind, &self.name);
        let all = |fields: &Map<String, Value>| {
            let fields = fields.iter().filter(|(_, value)| !is_empty(value));
            let words = fields.map(|(name, value)| format!("{name} {}", text(value)));
            words.collect::<Vec<_>>().join("; ")
        };
        match (&self.before, &self.after) {
            (None, None) => String::new(),
            (None, Some(after)) => format!("+ {kind} {name}: {}", all(after)),
            (Some(before), None) => format!("- {kind} {name}: {}", all(before)),
            (Some(before), Some(after)) => {
                let names: std::collections::BTreeSet<_> =
                    before.keys().chain(after.keys()).collect();
                let of = |fields: &Map<String, Value>, name: &str| {
                    fields.get(name).map_or_else(|| "-".to_owned(), text)
                };
                let words: Vec<_> = names
                    .into_iter()
                    .filter(|name| before.get(*name) != after.get(*name))
                    .map(|name| format!("{name} {} → {}", of(before, name), of(after, name)))
                    .collect();
                format!("~ {kind} {name}: {}", words.join("; "))
            }
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => or_dash(text),
        Value::Array(items) => list(&items.iter().map(text).collect::<Vec<_>>()),
        other => other.to_string(),
    }
}
