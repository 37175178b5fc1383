//! Zone names: which strings may be one, and which are reserved.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::image::ZoneId;

/// The name of everything that is in no zone.
pub const HOST: &str = "host";

/// The longest zone name, in bytes.
pub const MAX_LEN: usize = 128;

/// A valid zone name: 1 to 128 bytes of letters, digits, `.`, `_`, `-` and `:`, no empty dotted
/// part, neither `host` nor `zone-N`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ZoneName(String);

/// Why a string is not a zone name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Nothing was given.
    #[error("a zone name is empty: give 1 to {MAX_LEN} bytes")]
    Empty,
    /// It is too long.
    #[error("the zone name is {0} bytes long: at most {MAX_LEN} are allowed")]
    TooLong(usize),
    /// A character is not allowed.
    #[error(
        "the zone name {name:?} contains {found:?}: only ASCII letters, digits, '.', '_', '-' and ':' are allowed"
    )]
    Character {
        /// The name.
        name: String,
        /// The first character that is not allowed.
        found: char,
    },
    /// It starts or ends with a dot, or has two in a row.
    #[error("the zone name {0:?} has an empty part: no leading, trailing or doubled dot")]
    EmptyPart(String),
    /// It means something already.
    #[error(
        "the zone name {0:?} is reserved: `host` is what is in no zone, `zone-N` a zone that is gone"
    )]
    Reserved(String),
}

impl ZoneName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`BadName`] says which rule it breaks.
    pub fn new(name: impl Into<String>) -> Result<ZoneName, BadName> {
        let name = name.into();
        if name.is_empty() {
            return Err(BadName::Empty);
        }
        if name.len() > MAX_LEN {
            return Err(BadName::TooLong(name.len()));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':');
        if let Some(found) = name.chars().find(|c| !allowed(*c)) {
            return Err(BadName::Character { name, found });
        }
        if name.split('.').any(str::is_empty) {
            return Err(BadName::EmptyPart(name));
        }
        if is_reserved(&name) {
            return Err(BadName::Reserved(name));
        }
        Ok(ZoneName(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What an id that names no registered zone is called: `host` for 0, `zone-N` else.
pub fn placeholder(id: ZoneId) -> String {
    if id == ZoneId::HOST {
        HOST.to_owned()
    } else {
        format!("zone-{id}")
    }
}

fn is_reserved(name: &str) -> bool {
    name == HOST
        || name
            .strip_prefix("zone-")
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
}

impl fmt::Display for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ZoneName {
    type Error = BadName;

    fn try_from(name: String) -> Result<ZoneName, BadName> {
        ZoneName::new(name)
    }
}

impl From<ZoneName> for String {
    fn from(name: ZoneName) -> String {
        name.0
    }
}

/// One side of a pair: a zone, or the host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Party {
    /// Everything that is in no zone.
    Host,
    /// A zone.
    Zone(ZoneName),
}

impl Party {
    /// Parses `host` or a zone name.
    ///
    /// # Errors
    /// As [`ZoneName::new`].
    pub fn new(name: &str) -> Result<Party, BadName> {
        if name == HOST {
            Ok(Party::Host)
        } else {
            ZoneName::new(name).map(Party::Zone)
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Party::Host => f.write_str(HOST),
            Party::Zone(name) => name.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_accepted() {
        for name in [
            "web",
            "k8s.prod:web_1",
            "zone-a",
            "zone-",
            "a",
            &"x".repeat(128),
        ] {
            assert_eq!(ZoneName::new(name).expect(name).as_str(), name);
        }
    }

    #[test]
    fn each_rule_refuses_its_own_kind_of_bad_name() {
        assert_eq!(ZoneName::new(""), Err(BadName::Empty));
        assert_eq!(ZoneName::new("x".repeat(129)), Err(BadName::TooLong(129)));
        for bad in ["a/b", "a b", "a\n", "ä", "\u{0}"] {
            assert!(
                matches!(ZoneName::new(bad), Err(BadName::Character { .. })),
                "{bad:?}"
            );
        }
        for bad in [".", "..", ".a", "a.", "a..b"] {
            assert!(
                matches!(ZoneName::new(bad), Err(BadName::EmptyPart(_))),
                "{bad:?}"
            );
        }
        for bad in ["host", "zone-1", "zone-007"] {
            assert!(
                matches!(ZoneName::new(bad), Err(BadName::Reserved(_))),
                "{bad:?}"
            );
        }
    }
}
