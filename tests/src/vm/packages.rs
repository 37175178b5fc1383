//! Reads apt's package records: the newest version of a package and the packages behind it.

use std::cmp::Ordering;

/// One package record, as `apt-cache show` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The package's name.
    pub name: String,
    /// Its Debian version.
    pub version: String,
    /// The first alternative of every dependency, by name.
    pub depends: Vec<String>,
}

/// Parses the records `apt-cache show` printed.
pub fn parse_records(text: &str) -> Vec<Record> {
    text.split("\n\n").filter_map(parse_record).collect()
}

fn parse_record(stanza: &str) -> Option<Record> {
    let field = |name: &str| {
        stanza
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
    };
    let depends = field("Depends").unwrap_or_default();
    Some(Record {
        name: field("Package")?.to_owned(),
        version: field("Version")?.to_owned(),
        depends: depends
            .split(',')
            .filter_map(|clause| clause.split(['|', '(']).next())
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect(),
    })
}

/// The record with the highest version whose version starts with `prefix`.
pub fn newest<'a>(records: &'a [Record], prefix: &str) -> Option<&'a Record> {
    records
        .iter()
        .filter(|record| record.version.starts_with(prefix))
        .max_by(|a, b| compare_versions(&a.version, &b.version))
}

/// Whether a dependency carries the kernel or its modules. From 6.19 on Debian's kernel package
/// is empty and depends on one package with the kernel and one with the modules.
pub fn is_kernel_part(name: &str) -> bool {
    ["linux-image-", "linux-binary-", "linux-modules-"]
        .iter()
        .any(|prefix| {
            name.strip_prefix(prefix)
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        })
}

/// Orders two Debian versions as deb-version(7) defines it.
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    let (epoch_a, rest_a) = split_epoch(a);
    let (epoch_b, rest_b) = split_epoch(b);
    let (upstream_a, revision_a) = rest_a.rsplit_once('-').unwrap_or((rest_a, ""));
    let (upstream_b, revision_b) = rest_b.rsplit_once('-').unwrap_or((rest_b, ""));
    epoch_a
        .cmp(&epoch_b)
        .then_with(|| compare_part(upstream_a, upstream_b))
        .then_with(|| compare_part(revision_a, revision_b))
}

fn split_epoch(version: &str) -> (u64, &str) {
    match version.split_once(':') {
        Some((epoch, rest)) => (epoch.parse().unwrap_or(0), rest),
        None => (0, version),
    }
}

/// Compares alternating runs of non-digits and digits.
fn compare_part(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (text_a, rest_a) = split_run(a, |c| !c.is_ascii_digit());
        let (text_b, rest_b) = split_run(b, |c| !c.is_ascii_digit());
        let (number_a, rest_a) = split_run(rest_a, |c| c.is_ascii_digit());
        let (number_b, rest_b) = split_run(rest_b, |c| c.is_ascii_digit());
        let ordering =
            compare_text(text_a, text_b).then_with(|| compare_number(number_a, number_b));
        if ordering != Ordering::Equal {
            return ordering;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

fn split_run(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

fn compare_number(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// `~` sorts before the end, letters before everything else.
fn compare_text(a: &str, b: &str) -> Ordering {
    let weight = |c: Option<char>| match c {
        Some('~') => -1,
        None => 0,
        Some(c) if c.is_ascii_alphabetic() => c as i32,
        Some(c) => c as i32 + 256,
    };
    let (mut a, mut b) = (a.chars(), b.chars());
    loop {
        let (next_a, next_b) = (a.next(), b.next());
        let ordering = weight(next_a).cmp(&weight(next_b));
        if ordering != Ordering::Equal || next_a.is_none() {
            return ordering;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_debian_orders_them() {
        let rising = [
            "5.10.223-1",
            "5.10.262-1",
            "6.1.9-1",
            "6.1.176-1",
            "6.1.192-1~deb11u1",
            "6.1.192-1",
            "6.1.192-2",
            "6.12.117-1",
            "7.3.4-1~bpo13+1",
            "7.3.4-1",
            "1:1.0-1",
        ];
        for (at, low) in rising.iter().enumerate() {
            assert_eq!(compare_versions(low, low), Ordering::Equal);
            for high in &rising[at + 1..] {
                assert_eq!(
                    compare_versions(low, high),
                    Ordering::Less,
                    "{low} < {high}"
                );
                assert_eq!(
                    compare_versions(high, low),
                    Ordering::Greater,
                    "{high} > {low}"
                );
            }
        }
        assert_eq!(compare_versions("1.00-1", "1.0-1"), Ordering::Equal);
    }

    const RECORDS: &str = "\
Package: linux-image-cloud-amd64
Version: 6.1.176-1
Depends: linux-image-6.1.0-50-cloud-amd64 (= 6.1.176-1)

Package: linux-image-cloud-amd64
Version: 6.1.192-2
Depends: linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2), kmod | other-kmod
Description: Linux

Package: linux-image-cloud-amd64
Version: 6.12.1-1~bpo12+1
Depends: linux-image-6.12.1-cloud-amd64
";

    #[test]
    fn the_newest_of_the_series_is_chosen_not_the_newest_of_all() {
        let records = parse_records(RECORDS);
        let newest_6_1 = newest(&records, "6.1.").unwrap();
        assert_eq!(newest_6_1.version, "6.1.192-2");
        assert_eq!(
            newest_6_1.depends,
            ["linux-image-6.1.0-56-cloud-amd64", "kmod"]
        );
        assert_eq!(newest(&records, "").unwrap().version, "6.12.1-1~bpo12+1");
        assert_eq!(newest(&records, "5.10."), None);
    }

    #[test]
    fn only_packages_of_one_kernel_are_its_parts() {
        for part in [
            "linux-image-6.1.0-56-cloud-amd64",
            "linux-binary-7.3.4+deb13-cloud-amd64",
            "linux-modules-7.3.4+deb13-cloud-amd64",
        ] {
            assert!(is_kernel_part(part), "{part}");
        }
        for other in [
            "linux-modules-cloud-amd64",
            "linux-base",
            "initramfs-tools",
            "kmod",
        ] {
            assert!(!is_kernel_part(other), "{other}");
        }
    }
}
