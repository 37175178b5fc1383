//! `journal export|import`: a journal as one file, and a new journal from it.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, IsTerminal as _, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use syva_journal::Head;
use syva_journal::export::{ExportError, Extent, Reader, Writer};
use syva_journal::import::import;
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
    /// An exported journal; - for stdin
    file: PathBuf,
    /// Where the new journal goes: a directory that is empty or not there
    #[arg(long, value_name = "NEWDIR")]
    path: PathBuf,
}

impl Export {
    /// Reads, checks and writes. A file is there whole and durable, or not at all.
    ///
    /// # Errors
    /// [`Failure`] of any kind.
    pub async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let failed = |source| Failure::Export {
            file: self.file.clone(),
            source: Box::new(source),
        };
        let io_failed = |error: io::Error| failed(error.into());
        let mut progress = Progress::new("exporting");
        if self.file.as_os_str() == STANDARD {
            if io::stdout().is_terminal() {
                let words = "an export is not text: name a file, or redirect stdout";
                return Err(io_failed(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    words,
                )));
            }
            let out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
            self.write(session, out, &mut progress).await?;
            return Ok(());
        }
        if self.file.exists() {
            let words =
                "it exists, and an export never replaces a file: name another, or remove it";
            return Err(io_failed(io::Error::new(
                io::ErrorKind::AlreadyExists,
                words,
            )));
        }
        let dir = match self.file.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        let draft = NamedTempFile::new_in(dir).map_err(io_failed)?;
        let out = BufWriter::with_capacity(1 << 16, draft);
        let (head, out) = self.write(session, out, &mut progress).await?;
        let draft = out
            .into_inner()
            .map_err(|error| io_failed(error.into_error()))?;
        let bytes = draft.as_file().metadata().map_err(io_failed)?.len();
        draft
            .as_file()
            .sync_all()
            .map_err(io_failed)
            .and_then(|()| {
                draft
                    .persist_noclobber(&self.file)
                    .map_err(|error| io_failed(error.error))
            })?;
        File::open(dir)
            .and_then(|dir| dir.sync_all())
            .map_err(io_failed)?;
        drop(progress);
        let file = self.file.display();
        session.out.answer(
            json!({
                "file": file.to_string(), "bytes": bytes, "entries": head.seq,
                "first_seq": 1, "last_seq": head.seq, "head": head.hash.to_string(),
            }),
            || {
                vec![
                    format!("{} entries in {file}, {bytes} bytes", head.seq),
                    format!("head {}", head.hash),
                ]
            },
        )
    }

    async fn write<W: Write>(
        &self,
        session: &Session<'_>,
        out: W,
        progress: &mut Progress,
    ) -> Result<(Head, W), Failure> {
        let failed = |source| Failure::Export {
            file: self.file.clone(),
            source: Box::new(source),
        };
        let mut source = Source::open(session, self.at.path.as_deref()).await?;
        let head = self.head(&mut source, progress).await?;
        let extent = Extent {
            base: Head::EMPTY,
            head,
        };
        progress.expect(head.seq);
        let mut writer = Writer::new(out, extent).map_err(failed)?;
        let mut at = 0;
        if head.seq > 0 {
            let mut entries = source.read(1, head.seq).await?;
            while at < head.seq
                && let Some(raw) = entries.next().await?
            {
                let entry: Entry = writer.push(&raw).map_err(failed)?;
                at = entry.seq;
                progress.at(at);
            }
        }
        Ok((head, writer.finish().map_err(failed)?))
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

impl Import {
    /// Checks and writes.
    ///
    /// # Errors
    /// [`Failure::Import`]; nothing was made then.
    pub fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let failed = |error: ExportError| Failure::Import {
            file: self.file.clone(),
            source: Box::new(error.into()),
        };
        let from: Box<dyn Read> = if self.file.as_os_str() == STANDARD {
            Box::new(io::stdin().lock())
        } else {
            Box::new(File::open(&self.file).map_err(|error| failed(error.into()))?)
        };
        let reader = Reader::new(BufReader::with_capacity(1 << 16, from)).map_err(failed)?;
        let mut progress = Progress::new("importing");
        progress.expect(reader.extent().head.seq);
        let head = import(&self.path, reader, &mut |seq| progress.at(seq)).map_err(|source| {
            Failure::Import {
                file: self.file.clone(),
                source: Box::new(source),
            }
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
