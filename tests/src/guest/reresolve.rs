//! Suite `reresolve`: claims whose paths lead elsewhere while the daemon runs. The host replaces, removes
//! and mounts; the daemon follows within its interval, and what was at a path stays its zone's.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::actor::{act, act_on_with};
use super::life::paths::sh;
use super::stage::{Stage, setup};
use super::{Checks, Failure};
use crate::daemon::{Daemon, eventually, put};

/// The daemon's interval, in seconds, as it is told; and what more a slow guest may take.
const INTERVAL: &str = "1";
const AT_MOST: Duration = Duration::from_secs(1);
const SLACK: Duration = Duration::from_secs(8);

/// Where an object may be used again with the same inode number, and where none is.
const PLACES: [&str; 2] = ["/mnt/disk", "/mnt/tmp"];

struct Scene<'a> {
    stage: &'a Stage,
    daemon: &'a Daemon,
}

/// Starts a daemon that looks often, and replaces what zones have claimed under its eyes.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    let stage = Stage::build()?;
    let setup = setup(&["--reconcile-interval", INTERVAL])?;
    let daemon = setup.start()?;
    stage.register(&daemon)?;
    stage.attach(&daemon)?;
    sh(
        "mkdir -p /mnt/disk /mnt/tmp /mnt/late && mount -t tmpfs tmpfs /mnt/tmp
        mke2fs /dev/vda >/dev/null && mount -t ext4 /dev/vda /mnt/disk",
    )?;
    let scene = Scene {
        stage: &stage,
        daemon: &daemon,
    };
    for place in PLACES {
        scene.replaced_by_rename(checks, place)?;
        scene.removed_and_made(checks, place)?;
        scene.file_over_it(checks, place)?;
        scene.gone_with_another_name(checks, place)?;
    }
    scene.mounted_later(checks)?;
    scene.became_a_link(checks)?;
    scene.within_another_zone_s(checks)?;
    scene.by_a_zone_itself(checks)?;
    scene.nothing_is_added(checks)?;
    stage.kept_apart(checks, "in the end");
    daemon.terminate()?;
    // What happens while no daemon runs is seen by the next.
    put(Path::new("/mnt/disk/site/file"), "x")?;
    fs::rename("/mnt/disk/site", "/mnt/disk/site.away")?;
    put(Path::new("/mnt/disk/site/file"), "x")?;
    let daemon = setup.start()?;
    let scene = Scene {
        stage: &stage,
        daemon: &daemon,
    };
    eventually("the start has it followed", || {
        Ok(scene.inode("/mnt/disk/site")? == Some(inode("/mnt/disk/site")?))
    })?;
    scene.is_db_s(checks, "replaced without a daemon", "/mnt/disk/site/file");
    daemon.terminate()?;
    Ok(())
}

fn inode(path: &str) -> Result<u64, Failure> {
    use std::os::unix::fs::MetadataExt as _;
    Ok(fs::symlink_metadata(path)?.ino())
}

impl Scene<'_> {
    fn claim(&self, path: &str) -> Result<(), Failure> {
        let words = ["host-paths", "register", "db", path, "--recursive"];
        self.daemon.done(&words)?;
        Ok(())
    }

    fn entries(&self) -> Result<Vec<String>, Failure> {
        let words = ["journal", "inspect", "--kind", "reresolve"];
        let answer = self.daemon.done(&words)?;
        Ok(answer.lines.iter().map(ToString::to_string).collect())
    }

    /// The rows of a path in `host-paths list`: the state, and the inode.
    fn listed(&self, path: &str) -> Result<Vec<(String, u64)>, Failure> {
        let listed = self.daemon.done(&["host-paths", "list"])?.json()["paths"].clone();
        let rows = listed.as_array().ok_or("no list")?.clone();
        let of = |row: &&Value| row["path"] == path;
        let row = |row: &Value| {
            let state = row["state"].as_str().unwrap_or("none").to_owned();
            (state, row["inode"].as_u64().unwrap_or(0))
        };
        Ok(rows.iter().filter(of).map(row).collect())
    }

    fn inode(&self, path: &str) -> Result<Option<u64>, Failure> {
        let rows = self.listed(path)?;
        let claimed = rows.into_iter().find(|(state, _)| state == "claimed");
        Ok(claimed.map(|(_, inode)| inode))
    }

    /// Makes a change, and waits until the daemon has journaled it.
    fn after(
        &self,
        checks: &mut Checks,
        what: &str,
        change: impl FnOnce(&mut Checks) -> Result<(), Failure>,
    ) -> Result<String, Failure> {
        let before = self.entries()?.len();
        change(checks)?;
        let begun = Instant::now();
        eventually(what, || Ok(self.entries()?.len() > before))?;
        let took = begun.elapsed();
        checks.that(
            format!("{what}: it is an entry within the interval"),
            took < AT_MOST + SLACK,
            format!("{took:?}"),
        );
        let entries = self.entries()?;
        Ok(entries.last().ok_or("no entry")?.clone())
    }

    /// Denied to `web`, open to its zone and to what is in none.
    fn is_db_s(&self, checks: &mut Checks, what: &str, path: &str) {
        let open = |cgroup: &PathBuf| act(cgroup, "open", &[path.as_ref()]);
        checks.denied(
            format!("{what}: {path} is denied to web"),
            &open(&self.stage.web),
        );
        checks.allowed(
            format!("{what}: {path} is open to db"),
            &open(&self.stage.db),
        );
        checks.allowed(
            format!("{what}: {path} is open to the host"),
            &open(&self.stage.free),
        );
    }

    fn is_free(&self, checks: &mut Checks, what: &str, path: &str) {
        let opened = act(&self.stage.web, "open", &[path.as_ref()]);
        checks.allowed(format!("{what}: {path} is open to web"), &opened);
    }

    /// The same through a descriptor of the host's that is opened again.
    fn again(&self, checks: &mut Checks, what: &str, file: &File) -> Result<(), Failure> {
        let own: &Path = "/proc/self/fd/0".as_ref();
        let open =
            |cgroup| Ok::<_, Failure>(act_on_with(cgroup, "open", &[own], file.try_clone()?));
        checks.denied(
            format!("{what}: opened again it is denied to web"),
            &open(&self.stage.web)?,
        );
        checks.allowed(
            format!("{what}: opened again it is open to db"),
            &open(&self.stage.db)?,
        );
        Ok(())
    }

    /// A deploy: the new directory is made beside the old one, and takes its name.
    fn replaced_by_rename(&self, checks: &mut Checks, place: &str) -> Result<(), Failure> {
        let what = "replaced by rename";
        let [site, new, old] = ["site", "site.new", "site.old"].map(|n| format!("{place}/{n}"));
        let files = [&site, &new, &old].map(|dir| format!("{dir}/file"));
        put(Path::new(&files[0]), "one")?;
        self.claim(&site)?;
        put(Path::new(&files[1]), "two")?;
        self.is_db_s(checks, "claimed", &files[0]);
        self.is_free(checks, "made beside it", &files[1]);
        let entry = self.after(checks, what, |_| {
            fs::rename(&site, &old)?;
            fs::rename(&new, &site)?;
            Ok(())
        })?;
        checks.that("the entry names the path", entry.contains(&site), &entry);
        self.is_db_s(checks, what, &files[0]);
        self.is_db_s(checks, "what was there before", &files[2]);
        let rows = self.listed(&site)?;
        let expected = vec![
            ("claimed".to_owned(), inode(&site)?),
            ("former".to_owned(), inode(&old)?),
        ];
        checks.equal(format!("{site} is listed as it is"), &rows, &expected);
        Ok(())
    }

    fn removed_and_made(&self, checks: &mut Checks, place: &str) -> Result<(), Failure> {
        let what = "removed and made";
        let dir = format!("{place}/made");
        let file = format!("{dir}/file");
        put(Path::new(&file), "one")?;
        self.claim(&dir)?;
        self.after(checks, what, |_| {
            fs::remove_dir_all(&dir)?;
            put(Path::new(&file), "two")?;
            Ok(())
        })?;
        self.settled(&dir)?;
        self.is_db_s(checks, what, &file);
        Ok(())
    }

    /// An editor: the new file is renamed over the one that is claimed, which somebody has open.
    fn file_over_it(&self, checks: &mut Checks, place: &str) -> Result<(), Failure> {
        let what = "a file renamed over it";
        let (file, new) = (format!("{place}/key"), format!("{place}/key.new"));
        put(Path::new(&file), "one")?;
        self.claim(&file)?;
        let open = File::open(&file)?;
        put(Path::new(&new), "two")?;
        self.is_free(checks, "made beside it", &new);
        self.after(checks, what, |_| Ok(fs::rename(&new, &file)?))?;
        self.is_db_s(checks, what, &file);
        self.again(checks, "what was there and is open", &open)
    }

    /// What is claimed loses the name it was claimed by, and keeps another.
    fn gone_with_another_name(&self, checks: &mut Checks, place: &str) -> Result<(), Failure> {
        let what = "gone from its path";
        let (file, second) = (format!("{place}/twice"), format!("{place}/second"));
        put(Path::new(&file), "one")?;
        fs::hard_link(&file, &second)?;
        self.claim(&file)?;
        let entry = self.after(checks, what, |_| Ok(fs::remove_file(&file)?))?;
        checks.that(
            "the entry says why",
            entry.contains("nothing is there"),
            &entry,
        );
        self.is_db_s(checks, what, &second);
        let states: Vec<String> = self.listed(&file)?.into_iter().map(|(s, _)| s).collect();
        checks.equal(
            format!("{file} is listed as it is"),
            &states,
            &vec!["lost".to_owned(), "former".to_owned()],
        );
        let told = self.daemon.done(&["status"])?.json()["degraded_reasons"].to_string();
        checks.that("health says so", told.contains(&file), &told);
        self.after(checks, "it is back", |_| {
            fs::rename(&second, &file)?;
            Ok(())
        })?;
        self.is_db_s(checks, "back at its path", &file);
        let told = self.daemon.done(&["status"])?.json()["degraded_reasons"].to_string();
        checks.that("and health is well again", !told.contains(&file), &told);
        Ok(())
    }

    /// A volume that comes after the claim, and goes.
    fn mounted_later(&self, checks: &mut Checks) -> Result<(), Failure> {
        let below = "/mnt/late/below";
        put(Path::new(below), "x")?;
        self.claim("/mnt/late")?;
        let under = File::open(below)?;
        self.after(checks, "mounted over it", |_| {
            sh("mount -t tmpfs tmpfs /mnt/late && echo x >/mnt/late/file")
        })?;
        self.settled("/mnt/late")?;
        self.is_db_s(checks, "mounted later", "/mnt/late/file");
        self.again(checks, "what lies under the mount", &under)?;
        self.after(checks, "unmounted", |_| sh("umount /mnt/late"))?;
        self.is_db_s(checks, "unmounted", below);
        // The host's own directories under another name are not taken from everyone.
        self.is_free(checks, "before", "/bin");
        let entry = self.after(checks, "bound over it", |_| {
            sh("mount -o bind /bin /mnt/late")
        })?;
        checks.that(
            "the entry says what it is",
            entry.contains("it is /bin under another name"),
            &entry,
        );
        self.is_free(checks, "bound to a claimed path", "/bin");
        self.after(checks, "unbound", |_| sh("umount /mnt/late"))?;
        self.is_db_s(checks, "unbound", below);
        Ok(())
    }

    fn became_a_link(&self, checks: &mut Checks) -> Result<(), Failure> {
        let (dir, target) = ("/mnt/disk/linked", "/mnt/disk/target");
        put(Path::new("/mnt/disk/linked/file"), "x")?;
        put(Path::new("/mnt/disk/target/file"), "x")?;
        self.claim(dir)?;
        let entry = self.after(checks, "became a link", |_| {
            fs::rename(dir, "/mnt/disk/linked.old")?;
            symlink(target, dir)?;
            Ok(())
        })?;
        checks.that("a link is lost", entry.contains("lost"), &entry);
        self.is_free(checks, "what a link leads to", "/mnt/disk/target/file");
        self.is_db_s(checks, "what was there before", "/mnt/disk/linked.old/file");
        self.daemon.done(&["host-paths", "remove", "db", dir])?;
        self.is_free(checks, "taken back", "/mnt/disk/linked.old/file");
        Ok(())
    }

    /// `db`'s claim inside `web`'s own: `web` does not move it, nor what lies above it, nor what the host
    /// has put above it since.
    fn within_another_zone_s(&self, checks: &mut Checks) -> Result<(), Failure> {
        let inner = "/tmp/web/inner";
        let file = "/tmp/web/inner/secret";
        put(Path::new(file), "x")?;
        fs::create_dir_all("/tmp/web/other")?;
        self.claim(file)?;
        let moves = |from: &str| {
            let to = format!("{from}.moved");
            act(&self.stage.web, "rename", &[from.as_ref(), to.as_ref()])
        };
        checks.denied("web does not move what lies above it", &moves(inner));
        self.after(checks, "the host replaces what lies above it", |_| {
            fs::rename(inner, "/tmp/web/inner.old")?;
            fs::create_dir(inner)?;
            fs::rename("/tmp/web/inner.old/secret", file)?;
            Ok(())
        })?;
        self.settled(file)?;
        checks.denied("web does not move what is above it now", &moves(inner));
        checks.allowed("web moves what is beside it", &moves("/tmp/web/other"));
        for action in ["unlink", "open"] {
            let tried = act(&self.stage.web, action, &[file.as_ref()]);
            checks.denied(format!("web's {action} of it"), &tried);
        }
        self.is_db_s(checks, "inside web's own", file);
        self.daemon.done(&["host-paths", "remove", "db", file])?;
        Ok(())
    }

    /// A zone that can write the directory its claim lies in takes nothing from others with it.
    fn by_a_zone_itself(&self, checks: &mut Checks) -> Result<(), Failure> {
        let [own, new, shared] = ["own", "own.new", "shared"].map(|n| format!("/mnt/disk/{n}"));
        put(Path::new(&own), "x")?;
        put(Path::new(&shared), "x")?;
        self.claim(&own)?;
        let (from, to) = (PathBuf::from(&shared), PathBuf::from(&new));
        let linked = act(&self.stage.db, "link", &[&from, &to]);
        checks.allowed("db links what is nobody's", &linked);
        let entry = self.after(checks, "renamed over by its zone", |checks| {
            let args: [&Path; 2] = [new.as_ref(), own.as_ref()];
            let renamed = act(&self.stage.db, "rename", &args);
            checks.allowed("db renames it over its own", &renamed);
            Ok(())
        })?;
        checks.that("which is not followed", entry.contains("2 names"), &entry);
        self.is_free(checks, "what has two names", &shared);
        // A file of its own it may put there: that is how programs write theirs.
        self.after(checks, "replaced by its zone", |checks| {
            let created = act(&self.stage.db, "create", &[new.as_ref()]);
            checks.allowed("db makes a file", &created);
            let args: [&Path; 2] = [new.as_ref(), own.as_ref()];
            let renamed = act(&self.stage.db, "rename", &args);
            checks.allowed("db renames it over its own again", &renamed);
            Ok(())
        })?;
        self.is_db_s(checks, "made by its zone", &own);
        Ok(())
    }

    /// Passes that see nothing new add nothing.
    fn nothing_is_added(&self, checks: &mut Checks) -> Result<(), Failure> {
        let before = self.daemon.digest()?;
        std::thread::sleep(3 * AT_MOST);
        checks.equal(
            "what is as it was is no entry",
            &self.daemon.digest()?,
            &before,
        );
        Ok(())
    }

    /// Waits until the claim is on what is at its path: in between it may have been seen as gone.
    fn settled(&self, path: &str) -> Result<(), Failure> {
        eventually("the claim follows", || {
            Ok(self.inode(path)? == Some(inode(path)?))
        })
    }
}
