//! `/metrics`: the figures as text, in the format the scraper asks for.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::figures::Sample;
use crate::figures::catalog::{self, Kind, Metric};

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus's own, 0.0.4.
    Prometheus,
}

impl Format {
    /// What an `Accept` header asks for: OpenMetrics if it is named.
    pub fn wanted(accept: &str) -> Format {
        match accept.contains("application/openmetrics-text") {
            true => Format::OpenMetrics,
            false => Format::Prometheus,
        }
    }

    /// Its media type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The samples as text, in the catalogue's order.
///
/// # Errors
/// The encoder's, which nothing in a sample brings about.
pub fn text(samples: &[Sample], format: Format) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Told(samples.to_vec())));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(match format {
        Format::OpenMetrics => text,
        Format::Prometheus => classic(&text),
    })
}

/// In OpenMetrics a counter's family has no `_total`, in Prometheus's format it has; and only
/// OpenMetrics says where the text ends. What is written is alike otherwise.
fn classic(text: &str) -> String {
    let mut classic = String::with_capacity(text.len() + 1024);
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line == "# EOF" {
            continue;
        }
        let header = line
            .strip_prefix("# HELP ")
            .map(|rest| ("# HELP ", rest))
            .or_else(|| line.strip_prefix("# TYPE ").map(|rest| ("# TYPE ", rest)));
        let counter = match header {
            Some(("# TYPE ", rest)) => rest.ends_with(" counter"),
            Some(_) => lines.peek().is_some_and(|next| next.ends_with(" counter")),
            None => false,
        };
        match header.and_then(|(kind, rest)| Some((kind, rest.split_once(' ')?))) {
            Some((kind, (name, rest))) if counter => {
                classic.push_str(&format!("{kind}{name}_total {rest}"));
            }
            _ => classic.push_str(line),
        }
        classic.push('\n');
    }
    classic
}

#[derive(Debug)]
struct Told(Vec<Sample>);

impl Collector for Told {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        // Those without a sample are told too: that nothing has happened is known.
        for metric in catalog::ALL {
            let family = self.0.iter();
            let family = family.filter(|sample| std::ptr::eq(sample.metric, *metric));
            let Metric {
                name, help, kind, ..
            } = metric;
            let (name, kind) = match kind {
                Kind::Counter => (
                    name.strip_suffix("_total").unwrap_or(name),
                    MetricType::Counter,
                ),
                Kind::Gauge => (*name, MetricType::Gauge),
            };
            let mut encoder = encoder.encode_descriptor(name, help, None, kind)?;
            for sample in family {
                let names = sample.metric.labels.iter().copied();
                let labels: Vec<(&str, &str)> = names
                    .zip(sample.labels.iter().map(String::as_str))
                    .collect();
                match labels.is_empty() {
                    true => value(sample, &mut encoder)?,
                    false => value(sample, &mut encoder.encode_family(&labels)?)?,
                }
            }
        }
        Ok(())
    }
}

fn value(sample: &Sample, encoder: &mut MetricEncoder<'_>) -> Result<(), fmt::Error> {
    // Counts are whole: 2^53 of anything is further than a float's exactness, and than we get.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let whole = sample.value as u64;
    match sample.metric.kind {
        Kind::Counter => encoder.encode_counter::<NoLabelSet, _, u64>(&whole, None),
        Kind::Gauge if sample.value.fract() == 0.0 => {
            encoder.encode_gauge(&i64::try_from(whole).unwrap_or(i64::MAX))
        }
        Kind::Gauge => encoder.encode_gauge(&sample.value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    fn samples() -> Vec<Sample> {
        let sample = |metric, labels: &[&str], value| Sample {
            metric,
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            value,
        };
        vec![
            sample(&catalog::UP, &[], 1.0),
            sample(&catalog::ZONE_DENY, &["we\"b", "file_open"], 3.0),
            sample(&catalog::ZONE_DENY, &["db", "task_kill"], 4.0),
        ]
    }

    #[test]
    fn each_format_has_its_own_headers_for_counters() {
        let open = text(&samples(), Format::OpenMetrics).expect("encoded");
        assert!(open.contains("# TYPE syva_zone_deny counter\n"), "{open}");
        assert!(open.ends_with("# EOF\n"), "{open}");
        let classic = text(&samples(), Format::Prometheus).expect("encoded");
        assert!(classic.contains("\nsyva_core_up 1\n"), "{classic}");
        let wanted = "# HELP syva_zone_deny_total Operations refused to callers of the zone\n\
            # TYPE syva_zone_deny_total counter\n\
            syva_zone_deny_total{zone=\"we\\\"b\",hook=\"file_open\"} 3\n\
            syva_zone_deny_total{zone=\"db\",hook=\"task_kill\"} 4\n";
        assert!(classic.contains(wanted), "{classic}");
    }

    #[test]
    fn openmetrics_is_given_to_those_who_name_it() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
        assert_eq!(Format::wanted(prometheus), Format::OpenMetrics);
        assert_eq!(Format::wanted("*/*"), Format::Prometheus);
    }
}
