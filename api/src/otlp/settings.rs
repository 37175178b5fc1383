//! Settings: where to export to, from the command line and OpenTelemetry's own variables. Without an
//! endpoint nothing is exported.

use std::time::Duration;

use tonic::metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue};
use tonic::transport::{Certificate, Identity};

use super::Signal;

/// How long an export may take, unless `OTEL_EXPORTER_OTLP_TIMEOUT` says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How often metrics are exported, unless `OTEL_METRIC_EXPORT_INTERVAL` says otherwise.
const INTERVAL: Duration = Duration::from_secs(60);

/// Where one signal goes.
#[derive(Clone, Debug)]
pub struct Target {
    /// The collector, `http://HOST:PORT` or `https://HOST:PORT`.
    pub endpoint: String,
    /// What is sent along with each export.
    pub headers: MetadataMap,
    /// How long one may take.
    pub timeout: Duration,
    /// Whether exports are compressed.
    pub gzip: bool,
    /// What `https://` rests on.
    pub tls: Tls,
}

/// What TLS rests on.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Who may vouch for the collector; without it, whoever the node trusts.
    pub authority: Option<Certificate>,
    /// What the daemon shows of itself, if it is asked.
    pub identity: Option<Identity>,
}

/// What is exported where.
#[derive(Clone, Debug)]
pub struct Settings {
    targets: [Option<Target>; 3],
    /// How often metrics are exported.
    pub interval: Duration,
}

/// What cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// An endpoint.
    #[error(
        "cannot export to {endpoint:?}: {why}; the endpoint is http://HOST:PORT or https://HOST:PORT of a collector that takes OTLP over gRPC"
    )]
    Endpoint {
        /// The endpoint.
        endpoint: String,
        /// Why not.
        why: String,
    },
    /// A variable.
    #[error("cannot use {variable}={value:?}: {why}")]
    Variable {
        /// Its name.
        variable: String,
        /// Its value.
        value: String,
        /// Why not.
        why: &'static str,
    },
    /// A file that a variable names.
    #[error("cannot read {variable}={path:?}: {said}; it names a PEM file")]
    File {
        /// The variable.
        variable: String,
        /// The file.
        path: String,
        /// What the system said.
        said: String,
    },
}

impl Settings {
    /// From `--otlp-endpoint`, which is for every signal, and the environment.
    ///
    /// # Errors
    /// [`SettingsError`]: what is asked for and cannot be done is told at start (I10).
    pub fn read(
        endpoint: Option<String>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Settings, SettingsError> {
        let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let off = variable("OTEL_SDK_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        let mut targets = [None, None, None];
        for signal in Signal::ALL.into_iter().filter(|_| !off) {
            let upper = signal.name().to_uppercase();
            let own = |what: &str| {
                let name = format!("OTEL_EXPORTER_OTLP_{upper}_{what}");
                let common = format!("OTEL_EXPORTER_OTLP_{what}");
                let named = |name: String| variable(&name).map(|value| (name, value));
                named(name).or_else(|| named(common))
            };
            let chosen = endpoint.clone().or_else(|| Some(own("ENDPOINT")?.1));
            let exporter = variable(&format!("OTEL_{upper}_EXPORTER"));
            let Some(endpoint) = chosen.filter(|_| exporter.as_deref() != Some("none")) else {
                continue;
            };
            if let Some((name, value)) = own("PROTOCOL").filter(|(_, value)| value != "grpc") {
                return Err(bad(name, value, "only grpc is spoken here"));
            }
            targets[signal as usize] = Some(Target {
                endpoint,
                headers: headers(own("HEADERS"))?,
                timeout: millis(own("TIMEOUT"))?.unwrap_or(TIMEOUT),
                gzip: gzip(own("COMPRESSION"))?,
                tls: tls(own)?,
            });
        }
        let interval = "OTEL_METRIC_EXPORT_INTERVAL".to_owned();
        let interval = millis(variable(&interval).map(|value| (interval, value)))?;
        Ok(Settings {
            targets,
            interval: interval.unwrap_or(INTERVAL),
        })
    }

    /// Where a signal goes, if anywhere.
    pub fn target(&self, signal: Signal) -> Option<&Target> {
        self.targets[signal as usize].as_ref()
    }
}

fn bad(variable: String, value: String, why: &'static str) -> SettingsError {
    SettingsError::Variable {
        variable,
        value,
        why,
    }
}

fn gzip(set: Option<(String, String)>) -> Result<bool, SettingsError> {
    let Some((name, value)) = set else {
        return Ok(false);
    };
    match value.trim() {
        "gzip" => Ok(true),
        "none" => Ok(false),
        _ => Err(bad(name, value, "it is gzip or none")),
    }
}

fn tls(own: impl Fn(&str) -> Option<(String, String)>) -> Result<Tls, SettingsError> {
    let file = |what: &str| own(what).map(|(name, path)| pem(name, path)).transpose();
    let identity = match (file("CLIENT_CERTIFICATE")?, file("CLIENT_KEY")?) {
        (Some(certificate), Some(key)) => Some(Identity::from_pem(certificate, key)),
        (None, None) => None,
        _ => {
            let name = "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and _CLIENT_KEY".into();
            return Err(bad(name, "…".into(), "only one of them is set"));
        }
    };
    Ok(Tls {
        authority: file("CERTIFICATE")?.map(Certificate::from_pem),
        identity,
    })
}

fn pem(variable: String, path: String) -> Result<Vec<u8>, SettingsError> {
    std::fs::read(&path).map_err(|error| SettingsError::File {
        variable,
        path,
        said: error.to_string(),
    })
}

fn millis(set: Option<(String, String)>) -> Result<Option<Duration>, SettingsError> {
    let Some((name, value)) = set else {
        return Ok(None);
    };
    match value.trim().parse() {
        Ok(0) | Err(_) => Err(bad(
            name,
            value,
            "it is a number of milliseconds, above zero",
        )),
        Ok(millis) => Ok(Some(Duration::from_millis(millis))),
    }
}

/// `key=value,key=value`, values percent-encoded. What they hold may be secret and is never told.
fn headers(set: Option<(String, String)>) -> Result<MetadataMap, SettingsError> {
    let mut headers = MetadataMap::new();
    let Some((name, value)) = set else {
        return Ok(headers);
    };
    for pair in value.split(',').filter(|pair| !pair.trim().is_empty()) {
        let parsed = pair.split_once('=').and_then(|(key, value)| {
            let key = MetadataKey::<Ascii>::from_bytes(key.trim().to_lowercase().as_bytes());
            let value = MetadataValue::try_from(decoded(value.trim())?);
            Some((key.ok()?, value.ok()?))
        });
        let Some((key, value)) = parsed else {
            let why = "it is key=value,key=value with percent-encoded values";
            return Err(bad(name, "…".into(), why));
        };
        headers.append(key, value);
    }
    Ok(headers)
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        rest = others;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (hex, others) = rest.split_at_checked(2)?;
        let hex = std::str::from_utf8(hex).ok()?;
        bytes.push(u8::from_str_radix(hex, 16).ok()?);
        rest = others;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(flag: Option<&str>, vars: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::read(flag.map(str::to_owned), |name| {
            let found = vars.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn endpoints(settings: &Settings) -> [Option<&str>; 3] {
        Signal::ALL.map(|signal| Some(settings.target(signal)?.endpoint.as_str()))
    }

    #[test]
    fn nothing_is_exported_unless_an_endpoint_is_set() {
        let off = read(None, &[("OTEL_EXPORTER_OTLP_HEADERS", "a=b")]).expect("fine");
        assert_eq!(endpoints(&off), [None, None, None]);
        let all = read(Some("http://c:1"), &[]).expect("fine");
        assert_eq!(endpoints(&all), [Some("http://c:1"); 3]);
        let disabled = read(Some("http://c:1"), &[("OTEL_SDK_DISABLED", "true")]).expect("fine");
        assert_eq!(endpoints(&disabled), [None, None, None]);
    }

    #[test]
    fn a_signal_s_own_variable_wins_over_the_common_one_and_the_command_line_over_both() {
        let vars = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:1"),
            ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://logs:1"),
            ("OTEL_TRACES_EXPORTER", "none"),
        ];
        let settings = read(None, &vars).expect("fine");
        let wanted = [Some("http://logs:1"), Some("http://all:1"), None];
        assert_eq!(endpoints(&settings), wanted);
        let settings = read(Some("http://flag:1"), &vars).expect("fine");
        assert_eq!(
            settings.target(Signal::Logs).expect("set").endpoint,
            "http://flag:1"
        );
        let only = read(None, &vars[1..2]).expect("fine");
        assert_eq!(endpoints(&only), [Some("http://logs:1"), None, None]);
    }

    #[test]
    fn what_cannot_be_done_is_refused_and_secrets_are_not_told() {
        let protocol = [("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")];
        assert!(read(Some("http://c:1"), &protocol).is_err());
        let timeout = [("OTEL_EXPORTER_OTLP_TIMEOUT", "10s")];
        assert!(read(Some("http://c:1"), &timeout).is_err());
        let compression = [("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd")];
        assert!(read(Some("http://c:1"), &compression).is_err());
        let missing = [("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/ca.pem")];
        let error = read(Some("https://c:1"), &missing).expect_err("no such file");
        assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let half = [("OTEL_EXPORTER_OTLP_CLIENT_KEY", file)];
        let error = read(Some("https://c:1"), &half).expect_err("half of a pair");
        assert!(error.to_string().contains("only one"), "{error}");
        let headers = [("OTEL_EXPORTER_OTLP_HEADERS", "key=sec%ret")];
        let error = read(Some("http://c:1"), &headers).expect_err("bad");
        assert!(!error.to_string().contains("sec"), "{error}");
        let headers = [("OTEL_EXPORTER_OTLP_HEADERS", "Key=a%20b, x=1")];
        let settings = read(Some("http://c:1"), &headers).expect("fine");
        let sent = &settings.target(Signal::Logs).expect("set").headers;
        assert_eq!(sent.get("key").expect("there"), "a b");
    }
}
