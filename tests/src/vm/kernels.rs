//! Finds the newest Debian kernel of each series through apt and keeps it in the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::VmError;
use super::apt::Mirrors;
use super::cache::{self, Cache};
use super::command::output;
use super::extract;
use super::mirrors;
use super::packages::{self, Record};

/// How long a look at the mirror counts before the next run asks again.
const CHECK_EVERY: Duration = Duration::from_secs(24 * 3600);

/// How long a mirror that did not answer is left alone while the cache has a kernel.
const RETRY_AFTER: Duration = Duration::from_secs(15 * 60);

/// The metapackage that always depends on a suite's newest cloud kernel.
const METAPACKAGE: &str = "linux-image-cloud-amd64";

/// A kernel series the tests run on.
#[derive(Debug, PartialEq, Eq)]
pub struct Series {
    /// The name used on the command line.
    pub name: &'static str,
    /// The Debian suites that carry it.
    suites: &'static [&'static str],
    /// What the package version starts with.
    prefix: &'static str,
    /// Whether its absence is tolerated: Debian has ended its support, so it may go any day.
    pub optional: bool,
}

/// Every kernel series the tests run on, oldest first.
pub const ALL: [Series; 4] = [
    Series {
        name: "5.10",
        suites: &["bullseye", "bullseye-security"],
        prefix: "5.10.",
        optional: true,
    },
    Series {
        name: "6.1",
        suites: &["bookworm", "bookworm-security"],
        prefix: "6.1.",
        optional: false,
    },
    Series {
        name: "6.12",
        suites: &["trixie", "trixie-security"],
        prefix: "6.12.",
        optional: false,
    },
    Series {
        name: "latest",
        suites: &["trixie-backports"],
        prefix: "",
        optional: false,
    },
];

/// A kernel in the cache, ready to boot.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// The series' name.
    pub name: &'static str,
    /// The Debian version of the package.
    pub version: String,
    /// Holds `vmlinuz`, and `modules/` with `modules.dep`.
    pub dir: PathBuf,
}

impl Kernel {
    /// The bootable image.
    pub fn image(&self) -> PathBuf {
        self.dir.join("vmlinuz")
    }

    /// The folder of the modules kept, uncompressed.
    pub fn modules(&self) -> PathBuf {
        self.dir.join("modules")
    }
}

/// The series with the names given; `all` stands for every one.
pub fn named(name: &str) -> Result<Vec<&'static Series>, VmError> {
    if name == "all" {
        return Ok(ALL.iter().collect());
    }
    let found = ALL.iter().find(|series| series.name == name);
    found
        .map(|series| vec![series])
        .ok_or_else(|| VmError::Unknown {
            kind: "kernel",
            name: name.to_owned(),
            known: ALL.map(|series| series.name).join(", ") + ", all",
        })
}

/// Returns the newest kernel of a series: asks the mirror at most once a day (or when `refresh`
/// is set), fetches what is new, and falls back to the cache when the mirror does not answer.
pub fn obtain(series: &'static Series, cache: &Cache, refresh: bool) -> Result<Kernel, VmError> {
    let _locked = cache.lock()?;
    let home = cache.kernel(series.name);
    cache::make_dir(&home)?;
    let (checked, unanswered) = (home.join("checked"), home.join("unanswered"));
    let cached = current(series, &home);
    if let Some(kernel) = &cached
        && !refresh
        && (cache::is_fresh(&checked, CHECK_EVERY) || cache::is_fresh(&unanswered, RETRY_AFTER))
    {
        return Ok(kernel.clone());
    }
    let mut trouble = None;
    let fetched = fetch(series, cache, &home, &mut trouble);
    let (kernel, stamp) = match (fetched, cached, trouble) {
        (Ok(kernel), _, None) => (kernel, checked),
        // The lists are of an earlier day, or lack one suite of two.
        (Ok(kernel), _, Some(error)) => going_on(kernel, &error, unanswered),
        (Err(error), Some(kernel), trouble) => {
            going_on(kernel, &trouble.unwrap_or(error), unanswered)
        }
        (Err(error), None, trouble) => {
            let why = trouble.unwrap_or(error).to_string();
            return Err(VmError::NoKernel {
                kernel: series.name,
                why,
                cache: home,
            });
        }
    };
    fs::write(&stamp, "").map_err(VmError::io("writing", &stamp))?;
    Ok(kernel)
}

/// Says that `kernel` may not be the newest; the mirror is left alone for a while.
fn going_on(kernel: Kernel, error: &VmError, stamp: PathBuf) -> (Kernel, PathBuf) {
    eprintln!(
        "vmtest: kernel {}: going on with {}: {error}",
        kernel.name, kernel.version
    );
    (kernel, stamp)
}

/// The version the cache names as current, if it is complete.
fn current(series: &'static Series, home: &Path) -> Option<Kernel> {
    let version = fs::read_to_string(home.join("current"))
        .ok()?
        .trim()
        .to_owned();
    let kernel = Kernel {
        name: series.name,
        dir: home.join(&version),
        version,
    };
    extract::is_whole(&kernel).then_some(kernel)
}

/// Fetches the newest kernel the lists have. That the lists could not be read anew, or not all of
/// them, goes into `trouble`: what they say may be good all the same.
fn fetch(
    series: &'static Series,
    cache: &Cache,
    home: &Path,
    trouble: &mut Option<VmError>,
) -> Result<Kernel, VmError> {
    let mirrors = mirrors::of_this_machine()?;
    let apt = PrivateApt::prepare(cache.apt(series.name), &mirrors, series.suites)?;
    *trouble = apt.update().err();
    let metas = apt.show(METAPACKAGE)?;
    let unlisted = |what: String| VmError::Layout {
        kernel: series.name,
        version: format!("in {}", series.suites.join(", ")),
        what,
    };
    let meta = packages::newest(&metas, series.prefix)
        .ok_or_else(|| unlisted(format!("no {METAPACKAGE} {}", series.prefix)))?;
    let dir = home.join(&meta.version);
    let kernel = Kernel {
        name: series.name,
        version: meta.version.clone(),
        dir,
    };
    if !extract::is_whole(&kernel) {
        eprintln!(
            "vmtest: kernel {}: fetching {}",
            kernel.name, kernel.version
        );
        let parts = apt.kernel_parts(meta)?;
        if parts.is_empty() {
            return Err(unlisted(format!(
                "{METAPACKAGE} {} needs no kernel",
                meta.version
            )));
        }
        extract::unpack(&kernel, &apt.download(&parts)?)?;
        cache::remove_dir(&apt.downloads)?;
    }
    let pointer = home.join("current");
    fs::write(&pointer, &kernel.version).map_err(VmError::io("writing", &pointer))?;
    Ok(kernel)
}

/// apt with sources, lists and caches of its own: the machine's are neither read nor changed.
struct PrivateApt {
    home: PathBuf,
    downloads: PathBuf,
}

impl PrivateApt {
    fn prepare(home: PathBuf, mirrors: &Mirrors, suites: &[&str]) -> Result<Self, VmError> {
        let downloads = home.join("downloads");
        for dir in [
            home.join("lists/partial"),
            home.join("archives/partial"),
            downloads.clone(),
        ] {
            cache::make_dir(&dir)?;
        }
        let sources = home.join("syva.sources");
        fs::write(&sources, mirrors.sources_file(suites))
            .map_err(VmError::io("writing", &sources))?;
        Ok(Self { home, downloads })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let home = self.home.display();
        for option in [
            format!("Dir::Etc::sourcelist={home}/syva.sources"),
            String::from("Dir::Etc::sourceparts=/dev/null"),
            format!("Dir::State::lists={home}/lists"),
            String::from("Dir::State::status=/dev/null"),
            format!("Dir::Cache={home}"),
            String::from("Dir::Cache::pkgcache="),
            String::from("Dir::Cache::srcpkgcache="),
            // The cache may be under a home folder that apt's own user cannot enter.
            String::from("APT::Sandbox::User=root"),
            String::from("APT::Architecture=amd64"),
            String::from("APT::Architectures=amd64"),
            String::from("Acquire::Languages=none"),
            String::from("Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false"),
            String::from("Acquire::Retries=1"),
            String::from("Acquire::http::Timeout=20"),
        ] {
            command.arg("-o").arg(option);
        }
        command.arg("-q");
        command
    }

    fn update(&self) -> Result<(), VmError> {
        let mut command = self.command("apt-get");
        command.arg("update").arg("--error-on=any");
        output("read the mirror's package lists", &mut command).map(drop)
    }

    fn show(&self, package: &str) -> Result<Vec<Record>, VmError> {
        let mut command = self.command("apt-cache");
        let text = output("read package records", command.args(["show", package]))?;
        Ok(packages::parse_records(&text))
    }

    /// The packages that together hold the kernel that `meta` stands for.
    fn kernel_parts(&self, meta: &Record) -> Result<Vec<Record>, VmError> {
        let mut parts: Vec<Record> = Vec::new();
        let mut wanted: Vec<String> = meta.depends.clone();
        while let Some(name) = wanted.pop() {
            if !packages::is_kernel_part(&name) || parts.iter().any(|part| part.name == name) {
                continue;
            }
            let records = self.show(&name)?;
            if let Some(record) = packages::newest(&records, "") {
                wanted.extend(record.depends.iter().cloned());
                parts.push(record.clone());
            }
        }
        Ok(parts)
    }

    fn download(&self, parts: &[Record]) -> Result<Vec<PathBuf>, VmError> {
        cache::remove_dir(&self.downloads)?;
        cache::make_dir(&self.downloads)?;
        let mut command = self.command("apt-get");
        command.current_dir(&self.downloads).arg("download");
        command.args(
            parts
                .iter()
                .map(|part| format!("{}={}", part.name, part.version)),
        );
        output("download a kernel", &mut command)?;
        let entries = fs::read_dir(&self.downloads)
            .map_err(VmError::io("reading folder", &self.downloads))?;
        Ok(entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect())
    }
}
