//! What can be asked on the command line. Each group's verbs stand in its own file in `commands`.

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use syva_rpc::client::DEFAULT_SOCKET;

use crate::commands::{
    Session, comms, containers, doctor, events, host_paths, host_sockets, journal, mode, status,
    zones,
};
use crate::exit::Failure;
use crate::output::{Format, Operation, Output};

const EXIT_CODES: &str = "\
Exit codes: 0 done or unchanged; 1 refused (unknown zone, stale, conflict, invalid argument, not \
permitted); 2 usage; 3 the daemon cannot be reached; 4 the daemon failed.";

const GLOBAL: &str = "Options of every command";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "syva-cli", version, about = "Asks the Syvä daemon of this node", after_help = EXIT_CODES)]
pub struct Args {
    /// The daemon's socket
    #[arg(long, global = true, env = "SYVA_SOCKET", default_value = DEFAULT_SOCKET, value_name = "PATH", help_heading = GLOBAL)]
    pub socket: PathBuf,
    /// Text for people, or JSON for scripts (streams: one object a line)
    #[arg(long, global = true, value_enum, default_value_t = Format::Text, help_heading = GLOBAL)]
    pub format: Format,
    /// What is asked.
    #[command(subcommand)]
    pub group: Group,
}

/// A group of commands.
#[derive(Debug, Subcommand)]
pub enum Group {
    /// How the daemon is: health, hooks, counts, and what is not enforced
    Status,
    /// What keeps this host from enforcing, and what to do; it needs no daemon
    Doctor(doctor::Doctor),
    /// Zones and their policies
    #[command(subcommand)]
    Zones(zones::Verb),
    /// Paths of the host that belong to a zone
    #[command(subcommand)]
    HostPaths(host_paths::Verb),
    /// Single sockets of the host that zones may use
    #[command(subcommand)]
    HostSockets(host_sockets::Verb),
    /// Whether operations across zones are refused, or only reported
    #[command(subcommand)]
    Mode(mode::Verb),
    /// Pairs of zones that may communicate
    #[command(subcommand)]
    Comms(comms::Verb),
    /// Containers and the zones they are in
    #[command(subcommand)]
    Containers(containers::Verb),
    /// Denials: the recent ones, and with --follow those to come
    Events(events::Events),
    /// The journal of every command the daemon accepted
    #[command(subcommand)]
    Journal(journal::Verb),
}

impl Group {
    /// What is asked, as JSON output names it.
    pub const fn operation(&self) -> Operation {
        match self {
            Group::Status => Operation::read("status"),
            Group::Doctor(_) => Operation::read("doctor"),
            Group::Zones(verb) => verb.operation(),
            Group::HostPaths(verb) => verb.operation(),
            Group::HostSockets(verb) => verb.operation(),
            Group::Mode(verb) => verb.operation(),
            Group::Comms(verb) => verb.operation(),
            Group::Containers(verb) => verb.operation(),
            Group::Events(_) => Operation::read("events"),
            Group::Journal(verb) => verb.operation(),
        }
    }

    /// Asks the daemon at `socket` and prints its answer.
    ///
    /// # Errors
    /// [`Failure`], whose exit code the process ends with.
    pub async fn run(self, socket: &Path, out: &Output) -> Result<(), Failure> {
        let session = Session::new(socket, out);
        match self {
            Group::Status => status::run(&session).await,
            Group::Doctor(doctor) => doctor.run(&session).await,
            Group::Zones(verb) => verb.run(&session).await,
            Group::HostPaths(verb) => verb.run(&session).await,
            Group::HostSockets(verb) => verb.run(&session).await,
            Group::Mode(verb) => verb.run(&session).await,
            Group::Comms(verb) => verb.run(&session).await,
            Group::Containers(verb) => verb.run(&session).await,
            Group::Events(events) => events.run(&session).await,
            Group::Journal(verb) => verb.run(&session).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(std::iter::once("syva-cli").chain(line.split_whitespace()))
    }

    #[test]
    fn every_example_of_the_docs_parses() {
        let docs = include_str!("../../../docs/cli.md");
        let quoted = docs.split('`').skip(1).step_by(2);
        let examples: Vec<&str> = quoted
            .filter_map(|text| text.strip_prefix("syva-cli "))
            .collect();
        assert!(examples.len() >= 15, "{examples:?}");
        for example in examples {
            assert!(parse(example).is_ok(), "{example}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_command_of_the_contract_parses_and_names_itself() {
        for (line, operation) in [
            ("status", "status"),
            ("doctor", "doctor"),
            ("zones list", "zones.list"),
            ("zones register web", "zones.register"),
            (
                "zones register web --type isolated --network locked",
                "zones.register",
            ),
            ("zones remove web --drain", "zones.remove"),
            (
                "host-paths register web /srv --recursive",
                "host-paths.register",
            ),
            ("host-paths remove web /srv", "host-paths.remove"),
            ("host-paths list --zone web", "host-paths.list"),
            (
                "host-sockets allow web /run/dbus/system_bus_socket",
                "host-sockets.allow",
            ),
            ("host-sockets deny web @name", "host-sockets.deny"),
            ("host-sockets list --zone web", "host-sockets.list"),
            ("comms list", "comms.list"),
            ("comms list web", "comms.list"),
            ("comms allow web db", "comms.allow"),
            ("comms deny web db", "comms.deny"),
            (
                "containers attach c1 web --cgroup-id 7 --generation 2",
                "containers.attach",
            ),
            (
                "containers attach c1 web --unit nginx.service",
                "containers.attach",
            ),
            (
                "containers attach c1 web --cgroup-path /sys/fs/cgroup/c1",
                "containers.attach",
            ),
            ("containers detach c1", "containers.detach"),
            ("containers list", "containers.list"),
            ("events --follow", "events"),
            (
                "journal inspect --from 2 --to 9 --kind boot --zone web",
                "journal.inspect",
            ),
            ("journal replay", "journal.replay"),
            (
                "journal replay --to 2026-01-31T14:00:00+02:00 --diff live --path /j",
                "journal.replay",
            ),
            (
                "journal inspect --since 2026-01-31T14:00:00Z --peer 0 --path /j",
                "journal.inspect",
            ),
            ("journal verify --path /j", "journal.verify"),
            ("journal export - --to 3", "journal.export"),
            ("journal import /e --path /j", "journal.import"),
        ] {
            let args = parse(line).expect(line);
            assert_eq!(args.group.operation().name(), operation, "{line}");
        }
    }

    #[test]
    fn global_options_stand_before_or_after_the_verb() {
        for line in [
            "--format json --socket /s zones list",
            "zones list --format json --socket /s",
        ] {
            let args = parse(line).expect(line);
            assert_eq!(
                (args.format, args.socket.as_path()),
                (Format::Json, Path::new("/s"))
            );
        }
    }

    #[test]
    fn what_is_incomplete_or_unknown_is_a_usage_error() {
        for (line, kind) in [
            ("zones register", ErrorKind::MissingRequiredArgument),
            (
                "containers attach c1 web",
                ErrorKind::MissingRequiredArgument,
            ),
            (
                "containers attach c1 web --cgroup-id -1",
                ErrorKind::UnknownArgument,
            ),
            (
                "containers attach c1 web --cgroup-id 7 --unit a.service",
                ErrorKind::ArgumentConflict,
            ),
            ("zones register web --type odd", ErrorKind::InvalidValue),
            (
                "zones register web --network bridged",
                ErrorKind::InvalidValue,
            ),
            ("journal cut", ErrorKind::InvalidSubcommand),
            (
                "journal prune --path /d --before 5",
                ErrorKind::MissingRequiredArgument,
            ),
            (
                "journal prune --path /d --before 5 --export /e --without-export",
                ErrorKind::ArgumentConflict,
            ),
            ("journal import /e", ErrorKind::MissingRequiredArgument),
            ("journal replay --to soon", ErrorKind::ValueValidation),
            ("journal inspect --since 5", ErrorKind::ValueValidation),
            ("status extra", ErrorKind::UnknownArgument),
        ] {
            assert_eq!(parse(line).expect_err(line).kind(), kind, "{line}");
        }
    }
}
