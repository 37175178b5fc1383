//! The engine's own files: claims that no command made, but the configuration. They are rows of the desired
//! image like any other, in a zone that nobody is in.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::path::Path;

use syva_model::file_system;
use syva_model::image::{ClaimRow, ObjectKey, Scope, ZoneId};
use syva_model::kernel::Prober;

use crate::address::Address;
use crate::loader::LoaderMsg;
use crate::vantage::Vantage;

/// How many claims the engine has of its own at most: what the map must hold beside its capacity.
pub const OWN: usize = 8;

/// Where the engine's own files lie, and how they are looked up.
#[derive(Clone)]
pub struct OwnFiles {
    /// Who has the prober.
    pub loader: Address<LoaderMsg>,
    /// From where paths are looked up.
    pub vantage: Vantage,
    /// The state directory, the socket and its directory; each with all that is below it.
    pub paths: Vec<String>,
}

impl OwnFiles {
    /// Their rows, as they are now. What cannot be claimed is said in the log: there file modes alone
    /// keep a zone out.
    pub async fn rows(&self) -> BTreeMap<ObjectKey, ClaimRow> {
        if self.paths.is_empty() {
            return BTreeMap::new();
        }
        let Ok(Ok(prober)) = self.loader.call(LoaderMsg::Prober).await else {
            // The loader is being restarted, and so will be what needs this.
            return BTreeMap::new();
        };
        let outermost = self.paths.iter().filter(|path| !self.is_covered(path));
        let found = outermost.take(OWN).filter_map(|path| {
            row(&*prober, &self.vantage, path)
                .inspect_err(|said| {
                    tracing::warn!(path, %said, "no claim keeps zones from a path of the engine's own");
                })
                .ok()
        });
        found.collect()
    }

    /// Whether it lies in another of them: a claim on a directory covers what is in it, also what is made
    /// anew at every start, as the socket is.
    fn is_covered(&self, path: &str) -> bool {
        let path = Path::new(path);
        let mut others = self.paths.iter().map(Path::new);
        others.any(|other| other != path && path.starts_with(other))
    }
}

fn row(
    prober: &dyn Prober,
    vantage: &Vantage,
    path: &str,
) -> Result<(ObjectKey, ClaimRow), String> {
    let fd = vantage
        .open_exactly(Path::new(path))
        .map_err(|said| said.to_string())?;
    let facts = prober.probe(fd.as_fd()).map_err(|said| said.to_string())?;
    if !file_system::is_claimable(facts.fs_magic) {
        return Err(format!("it lies on {}", file_system::name(facts.fs_magic)));
    }
    let depth = path.split('/').filter(|part| !part.is_empty()).count();
    Ok((
        facts.key,
        ClaimRow {
            zone: ZoneId::ENGINE,
            scope: Scope::Subtree,
            generation: facts.generation,
            depth: u32::try_from(depth).unwrap_or(u32::MAX),
        },
    ))
}
