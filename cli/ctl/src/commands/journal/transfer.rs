//! `journal export|import`: a journal as one file, and a new journal from it.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, IsTerminal as _, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use syva_journal::export::{ExportError, Extent, Reader, Writer};
use syva_journal::import::import;
use syva_journal::{Head, Offline};
use syva_model::entry::Entry;
use tempfile::NamedTempFile;

use super::Where;
use super::progress::Progress;
use super::source::Source;
use crate::commands::Session;
use crate::exit::Failure;
use crate::output::Remarks;

/// The name that stands for stdout and stdin.
const STANDARD: &str = "-";

/// `journal export`.
#[derive(Debug, Args)]
pub struct Export {
    /// The file, which must not exist yet; - for stdout
    file: PathBuf,
    /// The last entry of the export [default: the last there is]
    #[arg(long, value_name = "SEQ")]
    to: Option<u64>,
    #[command(flatten)]
    at: Where,
}

/// `journal import`.
#[derive(Debug, Args)]
pub struct Import {
    /// An exported journal, and those that go on after it; - for stdin
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where the new journal goes: a directory that is empty or not there
    #[arg(long, value_name = "NEWDIR")]
    path: PathBuf,
    /// Go on with what the pruned journal in this directory holds, whose daemon is stopped: undoes the
    /// pruning, in NEWDIR
    #[arg(long, value_name = "DIR")]
    then: Option<PathBuf>,
}

impl Export {
    /// Reads, checks and writes. A file is there whole and durable, or not at all.
    ///
    /// # Errors
    /// [`Failure`] of any kind.
    pub async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let mut progress = Progress::new("exporting");
        if self.file.as_os_str() == STANDARD {
            if io::stdout().is_terminal() {
                let words = "an export is not text: name a file, or redirect stdout";
                let error = io::Error::new(io::ErrorKind::AlreadyExists, words);
                return Err(not_exported(&self.file, error));
            }
            let out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
            self.write(session, out, &mut progress).await?;
            return Ok(());
        }
        let draft = draft(&self.file)?;
        let out = BufWriter::with_capacity(1 << 16, draft);
        let (extent, out) = self.write(session, out, &mut progress).await?;
        let bytes = put_in_place(out, &self.file)?;
        drop(progress);
        let (file, Extent { base, head }) = (self.file.display(), extent);
        let entries = head.seq - base.seq;
        session.out.answer(
            json!({
                "file": file.to_string(), "bytes": bytes, "entries": entries,
                "first_seq": base.seq + 1, "last_seq": head.seq, "head": head.hash.to_string(),
            }),
            || {
                let mut lines = vec![
                    format!("{entries} entries in {file}, {bytes} bytes"),
                    format!("head {}", head.hash),
                ];
                if base.seq > 0 {
                    lines.push(format!(
                        "it begins with entry {}: the ones before were pruned, and an import needs \
                         their export too",
                        base.seq + 1
                    ));
                }
                lines
            },
        )
    }

    async fn write<W: Write>(
        &self,
        session: &Session<'_>,
        out: W,
        progress: &mut Progress,
    ) -> Result<(Extent, W), Failure> {
        let failed = |source| Failure::Export {
            file: self.file.clone(),
            source: Box::new(source),
        };
        let mut source = Source::open(session, self.at.path.as_deref()).await?;
        let base = source
            .horizon()
            .await?
            .map_or(Head::EMPTY, |horizon| horizon.head);
        let head = self.head(&mut source, progress).await?;
        let extent = Extent { base, head };
        progress.expect(head.seq);
        let mut writer = Writer::new(out, extent).map_err(failed)?;
        let mut at = base.seq;
        if head.seq > base.seq {
            let mut entries = source.read(base.seq + 1, head.seq).await?;
            while at < head.seq
                && let Some(raw) = entries.next().await?
            {
                let entry: Entry = writer.push(&raw).map_err(failed)?;
                at = entry.seq;
                progress.at(at);
            }
        }
        Ok((extent, writer.finish().map_err(failed)?))
    }

    /// Where the export ends.
    async fn head(&self, source: &mut Source, progress: &mut Progress) -> Result<Head, Failure> {
        let Some(to) = self.to.filter(|to| *to > 0) else {
            return Ok(source.end(progress).await?.head());
        };
        // The part before some damage can be exported: the whole journal is not asked for.
        let raw = source.read(to, to).await?.next().await?;
        match raw {
            Some(raw) if raw.key == to => Ok(Head {
                seq: to,
                hash: raw.hash,
            }),
            _ => Err(Failure::Refused(format!(
                "there is no entry {to} to end the export with"
            ))),
        }
    }
}

/// A file beside the one that is to be; refused if that is there.
///
/// # Errors
/// [`Failure::Export`].
pub fn draft(file: &Path) -> Result<NamedTempFile, Failure> {
    if file.exists() {
        let words = "it exists, and an export never replaces a file: name another, or remove it";
        let error = io::Error::new(io::ErrorKind::AlreadyExists, words);
        return Err(not_exported(file, error));
    }
    NamedTempFile::new_in(dir_of(file)).map_err(|error| not_exported(file, error))
}

/// Gives a draft its name, durably, and says how many bytes it has.
///
/// # Errors
/// [`Failure::Export`].
pub fn put_in_place(out: BufWriter<NamedTempFile>, file: &Path) -> Result<u64, Failure> {
    let failed = |error| not_exported(file, error);
    let draft = out
        .into_inner()
        .map_err(|error| failed(error.into_error()))?;
    let bytes = draft.as_file().metadata().map_err(failed)?.len();
    draft.as_file().sync_all().map_err(failed)?;
    draft
        .persist_noclobber(file)
        .map_err(|error| failed(error.error))?;
    let dir = File::open(dir_of(file)).map_err(failed)?;
    dir.sync_all().map_err(failed)?;
    Ok(bytes)
}

fn dir_of(file: &Path) -> &Path {
    match file.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

fn not_exported(file: &Path, error: io::Error) -> Failure {
    Failure::Export {
        file: file.to_owned(),
        source: Box::new(error.into()),
    }
}

/// An export, its header read.
fn opened(file: &Path) -> Result<Reader<BufReader<Box<dyn Read>>>, Failure> {
    let failed = |error: ExportError| Failure::Import {
        file: file.to_owned(),
        source: Box::new(error.into()),
    };
    let from: Box<dyn Read> = if file.as_os_str() == STANDARD {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(file).map_err(|error| failed(error.into()))?)
    };
    Reader::new(BufReader::with_capacity(1 << 16, from)).map_err(failed)
}

impl Import {
    /// Checks and writes.
    ///
    /// # Errors
    /// [`Failure::Import`]; nothing was made then.
    pub fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let exports = self.files.iter().map(|file| opened(file));
        let exports = exports.collect::<Result<Vec<_>, _>>()?;
        let then = self.then.as_deref().map(Offline::open).transpose()?;
        let mut progress = Progress::new("importing");
        let ends = exports.iter().map(|export| export.extent().head.seq);
        progress.expect(
            ends.chain(then.as_ref().map(Offline::last_key))
                .max()
                .unwrap_or(0),
        );
        let passed = &mut |seq| progress.at(seq);
        let head = import(&self.path, exports, then.as_ref(), passed).map_err(|source| {
            let file = self.files.first().cloned().unwrap_or_default();
            let source = Box::new(source);
            Failure::Import { file, source }
        })?;
        drop(progress);
        let dir = self.path.display();
        session.out.done(
            json!({
                "path": dir.to_string(), "entries": head.seq, "head": head.hash.to_string(),
            }),
            format!(
                "{} entries imported into {dir}, head {}",
                head.seq, head.hash
            ),
            Remarks::default(),
        )
    }
}
