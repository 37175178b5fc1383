//! PostgreSQL and nginx as Debian's units start them, in two zones that may talk to each other.

use std::fs;
use std::path::Path;

use super::{shell, shell_in, undisturbed};
use crate::daemon::{Setup, eventually_asking_every, put};
use crate::guest::actor::{act, make_cgroup};
use crate::guest::systemd::node::denials;
use crate::guest::systemd::unit;
use crate::guest::{Checks, Failure};

const NGINX: &str = "nginx.service";
const PAGE: &str = "/srv/web/index.html";
/// What asks the database is a process of zone web.
const CLIENT: &str = "client";
const PSQL: &str = "runuser -u postgres -- psql --quiet --tuples-only --no-align";

/// What nginx serves, and where it keeps what it caches.
const SITE: &str = "server {
	listen 127.0.0.1:8080;
	root /srv/web;
	access_log /srv/web/access.log;
	client_body_temp_path /srv/web/body;
}
";

/// The zones that the suite's end tries to cross.
pub struct Zones;

/// The unit of the one cluster that the package made.
fn database() -> Result<String, Failure> {
    let cluster = shell("pg_lsclusters --no-header | awk '{ print $1 \"-\" $2; exit }'")?;
    Ok(format!("postgresql@{cluster}.service"))
}

/// Registers both zones and puts both units into them.
pub fn zones(core: &Setup) -> Result<Zones, Failure> {
    put(Path::new(PAGE), "a page\n")?;
    put(Path::new("/etc/nginx/conf.d/site.conf"), SITE)?;
    shell(
        "rm -f /etc/nginx/sites-enabled/default; mkdir -p /srv/web/body; chown -R www-data /srv/web",
    )?;
    core.done(&["zones", "register", "web", "--host-path", "/srv/web"])?;
    core.done(&[
        "zones",
        "register",
        "db",
        "--host-path",
        "/var/lib/postgresql",
    ])?;
    core.done(&["comms", "allow", "web", "db"])?;
    for (name, zone) in [(NGINX.to_owned(), "web"), (database()?, "db")] {
        let attach = format!("/usr/local/bin/syva-cli containers attach %n {zone} --unit %n");
        unit::drop_in(
            &name,
            "syva",
            &format!("[Service]\nExecStartPre=+{attach}\n"),
        )?;
    }
    Ok(Zones)
}

/// Starts both and uses them.
pub fn run(checks: &mut Checks, core: &Setup) -> Result<(), Failure> {
    let database = database()?;
    undisturbed(checks, core, "PostgreSQL starts in its zone", || {
        started(&database)?;
        answers("PostgreSQL", &format!("{PSQL} --command 'select 1'"))
    })?;
    undisturbed(checks, core, "nginx starts in its zone", || {
        started(NGINX)?;
        answers("nginx", "curl --silent --fail http://127.0.0.1:8080/")
    })?;
    let listed = core.done(&["containers", "list"])?.json()["containers"].clone();
    checks.equal(
        "both units are in zones",
        &listed.as_array().map(Vec::len),
        &Some(2),
    );
    // A process of zone web beside nginx, as an application would be.
    let client = make_cgroup(CLIENT)?;
    let id = std::os::unix::fs::MetadataExt::ino(&fs::metadata(&client)?).to_string();
    core.done(&["containers", "attach", CLIENT, "web", "--cgroup-id", &id])?;
    undisturbed(
        checks,
        core,
        "zone web makes tables and asks for them",
        || {
            let asked = shell_in(
                &client,
                &format!(
                    "{PSQL} <<'SQL'
create table item (id serial primary key, name text not null, weight numeric);
insert into item (name, weight) select 'item ' || n, n / 7.0 from generate_series(1, 5000) n;
create index on item (name);
vacuum analyze item;
checkpoint;
set max_parallel_workers_per_gather = 2;
set min_parallel_table_scan_size = 0;
set parallel_setup_cost = 0;
set parallel_tuple_cost = 0;
select count(*) from item where weight > 100;
SQL"
                ),
            )?;
            if asked == "4300" {
                Ok(())
            } else {
                Err(format!("it answers {asked:?}").into())
            }
        },
    )?;
    undisturbed(checks, core, "a dump of it, and back", || {
        shell_in(
            &client,
            "runuser -u postgres -- pg_dump postgres | sed s/item/thing/g | \
             runuser -u postgres -- psql --quiet --set ON_ERROR_STOP=1 >/dev/null",
        )
        .map(drop)
    })?;
    undisturbed(checks, core, "pages are served while nginx reloads", || {
        shell_in(
            &client,
            "for n in $(seq 20); do
                curl --silent --fail --output /dev/null http://127.0.0.1:8080/
            done",
        )?;
        unit::must(&["reload", NGINX])?;
        answers("nginx", "curl --silent --fail http://127.0.0.1:8080/")
    })?;
    undisturbed(checks, core, "both restart", || {
        unit::must(&["restart", NGINX, &database])?;
        answers("PostgreSQL", &format!("{PSQL} --command 'select 1'"))?;
        answers("nginx", "curl --silent --fail http://127.0.0.1:8080/")
    })
}

fn started(unit: &str) -> Result<(), Failure> {
    let begun = unit::must(&["start", unit]);
    begun.map_err(|failure| {
        let log = unit::log(unit).unwrap_or_default();
        format!("{failure}; {log}").into()
    })
}

fn answers(what: &str, script: &str) -> Result<(), Failure> {
    let pause = std::time::Duration::from_millis(500);
    eventually_asking_every(pause, what, || Ok(shell(script).is_ok()))
}

impl Zones {
    /// Somebody else's zone reaches neither the data nor the server; the two reach each other's server only.
    pub fn are_kept_apart(&self, checks: &mut Checks, core: &Setup) -> Result<(), Failure> {
        let other = make_cgroup("other")?;
        core.done(&["zones", "register", "other"])?;
        let id = std::os::unix::fs::MetadataExt::ino(&fs::metadata(&other)?).to_string();
        core.done(&["containers", "attach", "other", "other", "--cgroup-id", &id])?;
        let socket = shell("ls -d /run/postgresql/.s.PGSQL.*[0-9]")?;
        let data = "/var/lib/postgresql";
        let before = denials(core)?;
        for (what, action, path) in [
            ("the database's socket", "connect", socket.as_str()),
            ("its data", "open", data),
            ("a page", "open", PAGE),
        ] {
            let outcome = act(&other, action, &[Path::new(path)]);
            checks.denied(format!("another zone is denied {what}"), &outcome);
        }
        checks.equal("and each was counted", &(denials(core)? - before), &3);
        let client = Path::new("/sys/fs/cgroup").join(CLIENT);
        let outcome = act(&client, "connect", &[Path::new(&socket)]);
        checks.allowed("zone web is not denied the database's socket", &outcome);
        let outcome = act(&client, "open", &[Path::new(PAGE)]);
        checks.allowed("nor its own page", &outcome);
        Ok(())
    }
}
