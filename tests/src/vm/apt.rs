//! Reads the machine's own apt configuration and writes private sources for other Debian suites.
//!
//! No mirror's address is written in this repository: the one that this machine uses for its own
//! suite serves the others as well. See sources.list(5) for both formats.

use std::fmt::Write as _;

/// One apt source: where from, which suites, and the options that make it trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// Mirror addresses.
    pub uris: Vec<String>,
    /// Suites, such as `bookworm-security`.
    pub suites: Vec<String>,
    /// Components, such as `main`.
    pub components: Vec<String>,
    /// The options worth copying, under their deb822 names.
    pub options: Vec<(String, String)>,
}

/// The mirrors a Debian machine takes its packages and its security updates from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirrors {
    /// The archive proper.
    pub archive: Source,
    /// The security archive, if one is configured or can be derived.
    pub security: Option<Source>,
}

/// Options that decide whether and how apt trusts a source.
const TRUST_OPTIONS: [&str; 4] = [
    "Signed-By",
    "Trusted",
    "Check-Valid-Until",
    "Allow-Downgrade-To-Insecure",
];

/// Debian's release names, without which a third party's source cannot be told from Debian's.
const RELEASES: [&str; 12] = [
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "stable",
    "oldstable",
    "oldoldstable",
    "testing",
    "unstable",
    "experimental",
];

/// Parses a one-line style file (`sources.list`, `*.list`).
pub fn parse_list(text: &str) -> Vec<Source> {
    text.lines().filter_map(parse_list_line).collect()
}

fn parse_list_line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim();
    let mut rest = line.strip_prefix("deb")?;
    if !rest.starts_with([' ', '\t', '[']) {
        return None;
    }
    rest = rest.trim_start();
    let mut source = Source::default();
    if let Some(bracketed) = rest.strip_prefix('[') {
        let (options, after) = bracketed.split_once(']')?;
        rest = after;
        for option in options.split_whitespace() {
            let Some((key, value)) = option.split_once('=') else {
                continue;
            };
            keep_option(&mut source, key, &value.replace(',', " "));
        }
    }
    let mut words = rest.split_whitespace().map(str::to_owned);
    source.uris.push(words.next()?);
    source.suites.push(words.next()?);
    source.components.extend(words);
    Some(source)
}

/// Parses a deb822 style file (`*.sources`); disabled and source-only stanzas are left out.
pub fn parse_deb822(text: &str) -> Vec<Source> {
    let without_comments: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
    without_comments
        .split(|line| line.trim().is_empty())
        .filter_map(parse_stanza)
        .collect()
}

fn parse_stanza(lines: &[&str]) -> Option<Source> {
    let mut source = Source::default();
    let (mut binary, mut enabled) = (false, true);
    for (key, value) in fields(lines) {
        let words = || {
            value
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        match key.to_ascii_lowercase().as_str() {
            "types" => binary = words().iter().any(|word| word == "deb"),
            "uris" => source.uris = words(),
            "suites" => source.suites = words(),
            "components" => source.components = words(),
            "enabled" => enabled = !matches!(value.trim(), "no" | "false" | "0" | "off"),
            _ => keep_option(&mut source, &key, &value),
        }
    }
    (binary && enabled && !source.uris.is_empty() && !source.suites.is_empty()).then_some(source)
}

/// Joins continuation lines to their fields, keeping the line breaks an inline key needs.
fn fields(lines: &[&str]) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in lines {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((key, value)) = line.split_once(':') {
            fields.push((key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    fields
}

fn keep_option(source: &mut Source, key: &str, value: &str) {
    let name = TRUST_OPTIONS
        .iter()
        .find(|name| name.eq_ignore_ascii_case(key));
    if let Some(name) = name {
        source.options.push(((*name).to_owned(), value.to_owned()));
    }
}

impl Mirrors {
    /// Picks Debian's own mirrors among a machine's sources; `None` when there is no archive.
    pub fn among(sources: &[Source]) -> Option<Self> {
        let archive = best(sources, "debian", is_release)?.clone();
        let security = best(sources, "debian-security", is_security)
            .cloned()
            .or_else(|| derive_security(&archive));
        Some(Self { archive, security })
    }

    /// The private sources file, deb822, that offers `suites` from these mirrors.
    pub fn sources_file(&self, suites: &[&str]) -> String {
        let mut text = String::new();
        for suite in suites {
            let mirror = if is_security(suite) {
                self.security.as_ref()
            } else {
                Some(&self.archive)
            };
            let Some(mirror) = mirror else { continue };
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main",
                mirror.uris.join(" ")
            );
            for (key, value) in &mirror.options {
                let _ = writeln!(text, "{key}: {value}");
            }
            text.push('\n');
        }
        text
    }
}

fn is_release(suite: &str) -> bool {
    let base = suite
        .strip_suffix("-updates")
        .or_else(|| suite.strip_suffix("-backports"))
        .unwrap_or(suite);
    RELEASES.contains(&base)
}

fn is_security(suite: &str) -> bool {
    suite
        .strip_suffix("-security")
        .is_some_and(|base| RELEASES.contains(&base))
}

/// The source that looks most like Debian's own: third parties use Debian's suite names as well.
fn best<'a>(sources: &'a [Source], folder: &str, wanted: fn(&str) -> bool) -> Option<&'a Source> {
    let mut best: Option<(u8, &Source)> = None;
    for source in sources {
        let offers_main = source.components.iter().any(|c| c == "main");
        if !offers_main || !source.suites.iter().any(|suite| wanted(suite)) {
            continue;
        }
        let signed_by = source.options.iter().find(|(key, _)| key == "Signed-By");
        let trust = match signed_by {
            Some((_, value)) if value.contains("debian-archive") => 2,
            Some(_) => 0,
            None => 1,
        };
        let named = source
            .uris
            .iter()
            .any(|uri| uri.trim_end_matches('/').ends_with(folder));
        let score = trust + if named { 2 } else { 0 };
        if best.is_none_or(|(high, _)| score > high) {
            best = Some((score, source));
        }
    }
    best.map(|(_, source)| source)
}

/// Mirrors of the whole of Debian keep the security archive beside the archive.
fn derive_security(archive: &Source) -> Option<Source> {
    let uris: Vec<String> = archive
        .uris
        .iter()
        .filter_map(|uri| {
            uri.trim_end_matches('/')
                .strip_suffix("/debian")
                .map(|r| format!("{r}/debian-security"))
        })
        .collect();
    (!uris.is_empty()).then(|| Source {
        uris,
        ..archive.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEB822: &str = "\
# A comment
Types: deb deb-src
URIs: http://mirror.example/debian
# A comment within
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security/
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb-src
URIs: http://source.example/debian
Suites: bookworm
Components: main
";

    #[test]
    fn deb822_leaves_out_disabled_and_source_only_stanzas() {
        let sources = parse_deb822(DEB822);
        assert_eq!(sources.len(), 2);
        assert_eq!(sources[0].suites, ["bookworm", "bookworm-updates"]);
        assert_eq!(sources[1].uris, ["http://mirror.example/debian-security/"]);
    }

    #[test]
    fn an_inline_key_keeps_its_lines() {
        let text = "Types: deb\nURIs: http://m.example/debian\nSuites: trixie\nComponents: main\n\
                    Signed-By:\n -----BEGIN PGP\n .\n abc\n";
        let sources = parse_deb822(text);
        assert_eq!(sources[0].options[0].1, "\n -----BEGIN PGP\n .\n abc");
        let file = Mirrors::among(&sources).unwrap().sources_file(&["trixie"]);
        assert!(
            file.contains("Signed-By: \n -----BEGIN PGP\n .\n abc\n"),
            "{file}"
        );
    }

    #[test]
    fn one_line_sources_are_read_with_and_without_options() {
        let text = "\
# deb http://commented.example/debian bookworm main
deb http://plain.example/debian bookworm main contrib # why
deb [arch=amd64 signed-by=/k1.gpg,/k2.gpg] http://opts.example/debian bookworm main
deb-src http://source.example/debian bookworm main
debris http://no.example/debian bookworm main
";
        let sources = parse_list(text);
        assert_eq!(sources.len(), 2);
        assert_eq!(sources[0].components, ["main", "contrib"]);
        assert_eq!(
            sources[1].options,
            [(String::from("Signed-By"), String::from("/k1.gpg /k2.gpg"))]
        );
    }

    #[test]
    fn both_formats_give_the_same_private_sources() {
        let list = "\
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.example/debian bookworm main
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.example/debian-security/ bookworm-security main
";
        let file = |sources: &[Source]| {
            Mirrors::among(sources)
                .unwrap()
                .sources_file(&["trixie", "trixie-security"])
        };
        let text = file(&parse_list(list));
        assert_eq!(text, file(&parse_deb822(DEB822)));
        assert_eq!(
            text,
            "Types: deb\nURIs: http://mirror.example/debian\nSuites: trixie\nComponents: main\n\
             Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
             Types: deb\nURIs: http://mirror.example/debian-security/\nSuites: trixie-security\n\
             Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n"
        );
    }

    #[test]
    fn a_third_party_with_debians_suite_names_is_not_taken_for_debian() {
        let text = "\
deb [signed-by=/vendor.gpg] http://vendor.example/debian/prod bookworm main
deb http://mirror.example/debian bookworm main
deb http://other.example/apt cloud-tools main
";
        let mirrors = Mirrors::among(&parse_list(text)).unwrap();
        assert_eq!(mirrors.archive.uris, ["http://mirror.example/debian"]);
    }

    #[test]
    fn the_security_archive_is_derived_when_none_is_configured() {
        let mirrors = Mirrors::among(&parse_list("deb http://m.example/debian/ bookworm main"));
        let security = mirrors.unwrap().security.unwrap();
        assert_eq!(security.uris, ["http://m.example/debian-security"]);
    }

    #[test]
    fn without_a_debian_mirror_there_is_none() {
        let text = "deb http://m.example/ubuntu noble main\ndeb http://v.example/x stable extra";
        assert_eq!(Mirrors::among(&parse_list(text)), None);
    }
}
