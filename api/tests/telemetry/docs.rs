//! What is written about the metrics holds: the table in `docs/telemetry.md` is the catalogue's, and
//! dashboard and alerts ask for nothing that does not exist.

use std::fs;
use std::path::PathBuf;

use syva_rpc::figures::catalog::{self, Kind};

fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(path)
}

/// The names of metrics in a query.
fn names(query: &str) -> Vec<&str> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let words = query.split(word);
    words.filter(|word| word.starts_with("syva_")).collect()
}

fn exists(name: &str) -> bool {
    catalog::ALL.iter().any(|metric| metric.name == name)
}

/// Every query in a dashboard, wherever it stands.
fn queries(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str() {
                    Some(text) if key == "expr" || key == "query" => found.push(text.to_owned()),
                    _ => queries(value, found),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| queries(item, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_asks_only_for_metrics_that_exist() {
    let text = fs::read_to_string(file("deploy/grafana/syva.json")).expect("there");
    let dashboard = serde_json::from_str(&text).expect("JSON");
    let mut found = Vec::new();
    queries(&dashboard, &mut found);
    let asked: Vec<&str> = found.iter().flat_map(|query| names(query)).collect();
    assert!(asked.len() > 15, "{asked:?}");
    for name in asked {
        assert!(exists(name), "there is no metric {name}");
    }
}

#[test]
fn the_alerts_ask_only_for_metrics_that_exist() {
    let text = fs::read_to_string(file("deploy/prometheus/syva.rules.yml")).expect("there");
    let lines = text.lines().map(str::trim);
    let asked = lines.filter_map(|line| line.strip_prefix("expr:"));
    let asked: Vec<&str> = asked.flat_map(names).collect();
    assert!(asked.len() > 6, "{asked:?}");
    for name in asked {
        assert!(exists(name), "there is no metric {name}");
    }
}

#[test]
fn the_table_of_metrics_is_the_catalogue_s() {
    const BEGIN: &str = "<!-- metrics: written by UPDATE_DOCS=1 cargo test -->\n";
    const END: &str = "<!-- end of metrics -->\n";
    let path = file("docs/telemetry.md");
    let text = fs::read_to_string(&path).expect("there");
    let (before, rest) = text.split_once(BEGIN).expect("a place for the table");
    let (_, after) = rest.split_once(END).expect("its end");
    let mut table =
        String::from("| metric | labels | kind | unit | meaning |\n|---|---|---|---|---|\n");
    for metric in catalog::ALL {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let labels: Vec<String> = metric.labels.iter().map(|l| format!("`{l}`")).collect();
        let (name, labels, unit) = (metric.name, labels.join(" "), metric.unit);
        table += &format!(
            "| `{name}` | {labels} | {kind} | {unit} | {} |\n",
            metric.help
        );
    }
    let wanted = format!("{before}{BEGIN}{table}{END}{after}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &wanted).expect("written");
    }
    let text = fs::read_to_string(&path).expect("there");
    assert_eq!(text, wanted, "UPDATE_DOCS=1 writes it");
}
