//! The daemon's command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use syva_bpf::Quotas;
use syva_model::image::Mode;
use syva_model::kernel::Capacity;
use syva_rpc::client::DEFAULT_SOCKET;
use syva_rpc::http::DEFAULT_ADDR;

use crate::ask::Verb;

/// Where programs and maps are pinned unless it is said otherwise.
pub const PINS: &str = "/sys/fs/bpf/syva";

/// Enforces zones on this node: journals commands, keeps the kernel's maps to what they add up to.
#[derive(Clone, Debug, Parser)]
#[command(name = "syva-core", version)]
pub struct Args {
    /// What is asked of the daemon that runs. Without it, this is the daemon.
    #[command(subcommand)]
    pub verb: Option<Verb>,

    /// The Unix socket to serve syva.core.v1 on, or to ask on.
    #[arg(long, global = true, env = "SYVA_SOCKET", default_value = DEFAULT_SOCKET, value_name = "PATH")]
    pub socket_path: PathBuf,

    /// Where the journal lies.
    #[arg(
        long,
        env = "SYVA_STATE_DIR",
        default_value = "/var/lib/syva",
        value_name = "DIR"
    )]
    pub state_dir: PathBuf,

    /// The node's mode. It becomes a journal entry; without it the journal's mode stays.
    #[arg(long, value_name = "MODE")]
    pub mode: Option<ModeArg>,

    /// The kernel side. `memory` enforces nothing and says so: for trying the rest on any machine.
    #[arg(long, default_value = "libbpf", value_name = "BACKEND")]
    pub backend: Backend,

    /// Where cgroup v2 is mounted.
    #[arg(long, default_value = "/sys/fs/cgroup", value_name = "DIR")]
    pub cgroup_root: PathBuf,

    /// Where programs and maps are pinned, on a BPF file system: what keeps enforcing while no daemon runs.
    /// With `off` nothing is pinned, and enforcement ends with the daemon.
    #[arg(long, env = "SYVA_PIN_DIR", default_value = PINS, value_name = "DIR", value_parser = pin_dir)]
    pub pin_dir: PinDir,

    /// Ends enforcement, removes what is pinned, and exits. The journal stays; the next start enforces it.
    #[arg(long)]
    pub unload: bool,

    /// How logs are written; RUST_LOG says which.
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,

    /// Where /healthz and /metrics are served, ADDRESS:PORT, or `off`.
    #[arg(long, env = "SYVA_HTTP_ADDR", default_value = DEFAULT_ADDR, value_name = "ADDRESS", value_parser = http_addr)]
    pub http_addr: HttpAddr,

    /// The OpenTelemetry collector to export to, http[s]://HOST:PORT (OTLP over gRPC). Without it, and
    /// without the variables OTEL_EXPORTER_OTLP_*, nothing is exported.
    #[arg(long, value_name = "URL")]
    pub otlp_endpoint: Option<String>,

    /// How often the kernel's maps are compared with what the journal says, and claimed paths are looked
    /// at, in seconds.
    #[arg(long, default_value = "30", value_name = "SECONDS", value_parser = seconds)]
    pub reconcile_interval: Duration,

    /// How many zones the node may have.
    #[arg(long, default_value_t = Capacity::default().zones, value_parser = at_least_one())]
    pub max_zones: u32,

    /// How many cgroups may be in zones, nested ones included.
    #[arg(long, default_value_t = Capacity::default().members, value_parser = at_least_one())]
    pub max_members: u32,

    /// How many paths may be claimed.
    #[arg(long, default_value_t = Capacity::default().claims, value_parser = at_least_one())]
    pub max_claims: u32,

    /// How many pairs of zones may be allowed.
    #[arg(long, default_value_t = Capacity::default().pairs, value_parser = at_least_one())]
    pub max_pairs: u32,

    /// How many sockets of the host may be given to zones.
    #[arg(long, default_value_t = Capacity::default().host_sockets, value_parser = at_least_one())]
    pub max_host_sockets: u32,

    /// How many cgroups one zone may make inside its own. [default: a quarter of --max-members]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub zone_cgroups: Option<u32>,

    /// How many System V objects and keys one zone may make. [default: 16384, a quarter of what all may]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub zone_ipc: Option<u32>,
}

/// The node's mode, as the command line spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModeArg {
    /// Refuse cross-zone operations.
    Enforce,
    /// Only report them.
    Audit,
}

/// Where to serve HTTP, if at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpAddr(pub Option<SocketAddr>);

/// Where to pin, if at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinDir(pub Option<PathBuf>);

/// Which kernel side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// BPF-LSM programs in this kernel.
    Libbpf,
    /// Maps in memory.
    Memory,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Mode {
        match mode {
            ModeArg::Enforce => Mode::Enforce,
            ModeArg::Audit => Mode::Audit,
        }
    }
}

impl Args {
    /// How large the kernel's maps are.
    pub fn capacity(&self) -> Capacity {
        Capacity {
            zones: self.max_zones,
            members: self.max_members,
            claims: self.max_claims,
            pairs: self.max_pairs,
            host_sockets: self.max_host_sockets,
        }
    }

    /// How much one zone may take of what all zones share.
    pub fn quotas(&self) -> Quotas {
        Quotas {
            cgroups: self.zone_cgroups,
            ipc: self.zone_ipc,
        }
    }
}

fn at_least_one() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..)
}

fn http_addr(text: &str) -> Result<HttpAddr, String> {
    match text {
        "off" => Ok(HttpAddr(None)),
        _ => match text.parse() {
            Ok(addr) => Ok(HttpAddr(Some(addr))),
            Err(_) => Err("neither ADDRESS:PORT (127.0.0.1:9464, [::1]:9464) nor off".to_owned()),
        },
    }
}

fn pin_dir(text: &str) -> Result<PinDir, String> {
    match text {
        "off" => Ok(PinDir(None)),
        _ if text.starts_with('/') => Ok(PinDir(Some(text.into()))),
        _ => Err("neither an absolute path nor off".to_owned()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(0) => Err("at least one second".to_owned()),
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(error) => Err(format!("not a number of seconds: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent_and_checks_its_numbers() {
        Args::command().debug_assert();
        for bad in [
            ["--max-zones", "0"],
            ["--reconcile-interval", "0"],
            ["--mode", "off"],
            ["--http-addr", "localhost"],
            ["--pin-dir", "syva"],
        ] {
            assert!(
                Args::try_parse_from(["syva-core"].iter().chain(&bad)).is_err(),
                "{bad:?}"
            );
        }
        for asked in [
            "--socket-path /s status --format json",
            "status --socket-path /s",
            "events --follow --socket-path /s",
        ] {
            let line = std::iter::once("syva-core").chain(asked.split(' '));
            let args = Args::try_parse_from(line).expect(asked);
            assert!(args.verb.is_some(), "{asked}");
            assert_eq!(args.socket_path, PathBuf::from("/s"), "{asked}");
        }
        let daemon = Args::try_parse_from(["syva-core", "--socket-path", "/s"]).expect("parses");
        assert!(daemon.verb.is_none());
        let args = Args::try_parse_from(["syva-core", "--mode", "audit"]).expect("parses");
        assert_eq!(args.mode.map(Mode::from), Some(Mode::Audit));
        let addr = args.http_addr.0.expect("on by default");
        assert!(addr.ip().is_loopback(), "{addr}");
        let args = Args::try_parse_from(["syva-core", "--http-addr", "off"]).expect("parses");
        assert_eq!(args.http_addr, HttpAddr(None));
        assert_eq!(args.pin_dir, PinDir(Some(PINS.into())));
        let args = Args::try_parse_from(["syva-core", "--pin-dir", "off"]).expect("parses");
        assert_eq!(args.pin_dir, PinDir(None));
    }
}
