//! What is printed where: the answer on stdout (text or JSON), remarks and errors on stderr in text.
//!
//! Much of what is printed was named by confined processes (their paths, their names). Text output
//! therefore escapes every control character: a terminal must not obey what a container says.

use std::borrow::Cow;
use std::io::{self, BufWriter, IsTerminal as _, Write as _};

use serde::Serialize;
use serde_json::{Value, json};
use syva_rpc::client::NOT_ENFORCED_KEY;
use tonic::metadata::MetadataMap;

use crate::exit::Failure;

/// How answers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[allow(missing_docs, reason = "they would be repeated in every help text")]
pub enum Format {
    Text,
    Json,
}

/// A command as JSON names it, and whether it changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    name: &'static str,
    writes: bool,
}

impl Operation {
    /// One that asks.
    pub const fn read(name: &'static str) -> Operation {
        Operation {
            name,
            writes: false,
        }
    }

    /// One that changes.
    pub const fn write(name: &'static str) -> Operation {
        Operation { name, writes: true }
    }

    /// `group.verb`.
    #[cfg(test)]
    pub const fn name(self) -> &'static str {
        self.name
    }
}

/// What the caller should know of a change that was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remarks {
    /// In the reply's own words.
    pub notes: Vec<String>,
    /// What was recorded and is not enforced.
    pub not_enforced: Vec<String>,
}

impl Remarks {
    /// The remarks of a reply: its notes, and its metadata.
    pub fn new(notes: Vec<String>, metadata: &MetadataMap) -> Remarks {
        let not_enforced = metadata
            .get_all(NOT_ENFORCED_KEY)
            .iter()
            .filter_map(|value| value.to_str().ok().map(str::to_owned))
            .collect();
        Remarks {
            notes,
            not_enforced,
        }
    }
}

/// The JSON of a write, done or refused.
#[derive(Serialize)]
struct Written<'a> {
    operation: &'a str,
    ok: bool,
    result: Value,
    reason: Option<String>,
}

/// The JSON of a read.
#[derive(Serialize)]
struct Answer<'a> {
    operation: &'a str,
    ok: bool,
    #[serde(flatten)]
    data: Value,
}

/// Prints one command's answer.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    format: Format,
    operation: Operation,
}

impl Output {
    /// For one command.
    pub fn new(format: Format, operation: Operation) -> Output {
        Output { format, operation }
    }

    /// Prints what was asked for: the object `data`, or lines of text.
    ///
    /// # Errors
    /// [`Failure::Output`] if stdout takes no more.
    pub fn answer(&self, data: Value, text: impl FnOnce() -> Vec<String>) -> Result<(), Failure> {
        match self.format {
            Format::Text => print_lines(&text()),
            Format::Json => print_json(&Answer {
                operation: self.operation.name,
                ok: true,
                data,
            }),
        }
    }

    /// Prints what was done: the object `result`, or a line of text; and the remarks.
    ///
    /// # Errors
    /// [`Failure::Output`] if stdout takes no more.
    pub fn done(&self, mut result: Value, text: String, remarks: Remarks) -> Result<(), Failure> {
        match self.format {
            Format::Text => {
                for note in &remarks.notes {
                    self.note(note);
                }
                for note in &remarks.not_enforced {
                    self.note(&format!("not enforced: {note}"));
                }
                print_lines(&[text])
            }
            Format::Json => {
                result["notes"] = json!(remarks.notes);
                result["not_enforced"] = json!(remarks.not_enforced);
                print_json(&Written {
                    operation: self.operation.name,
                    ok: true,
                    result,
                    reason: None,
                })
            }
        }
    }

    /// Prints lines for people; JSON carries what they say in the failure that follows.
    ///
    /// # Errors
    /// [`Failure::Output`] if stdout takes no more.
    pub fn people(&self, text: impl FnOnce() -> Vec<String>) -> Result<(), Failure> {
        match self.format {
            Format::Text => print_lines(&text()),
            Format::Json => Ok(()),
        }
    }

    /// Prints one item of a stream.
    ///
    /// # Errors
    /// [`Failure::Output`] if stdout takes no more.
    pub fn item(
        &self,
        data: impl FnOnce() -> Value,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Text => print_lines(&[text()]),
            Format::Json => print_json(&data()),
        }
    }

    /// A long stream of items: what is printed may wait, for as long as no terminal shows it.
    pub fn items(&self) -> Items {
        Items {
            format: self.format,
            out: BufWriter::with_capacity(1 << 16, io::stdout()),
            shown: io::stdout().is_terminal(),
        }
    }

    /// Tells people something beside the answer; JSON carries it in its data.
    pub fn note(&self, note: &str) {
        if self.format == Format::Text {
            complain(&format!("note: {note}"));
        }
    }

    /// Prints why the command failed: on stderr, or as an object on stdout.
    pub fn failed(&self, failure: &Failure) {
        if let Failure::Output(error) = failure {
            // Stdout is gone: no use in saying it there, and a reader that went away knows.
            if error.kind() != io::ErrorKind::BrokenPipe {
                complain(&format!("error: {failure}"));
            }
            return;
        }
        let reason = failure.to_string();
        let printed = match self.format {
            Format::Text => Err(()),
            Format::Json if self.operation.writes => print_json(&Written {
                operation: self.operation.name,
                ok: false,
                result: Value::Null,
                reason: Some(reason.clone()),
            })
            .map_err(drop),
            Format::Json => {
                let mut data = failure.data();
                data["reason"] = json!(reason);
                print_json(&Answer {
                    operation: self.operation.name,
                    ok: false,
                    data,
                })
                .map_err(drop)
            }
        };
        if printed.is_err() {
            complain(&format!("error: {reason}"));
        }
    }
}

/// A long stream of items.
#[derive(Debug)]
pub struct Items {
    format: Format,
    out: BufWriter<io::Stdout>,
    shown: bool,
}

impl Items {
    /// Prints one.
    ///
    /// # Errors
    /// [`Failure::Output`] if stdout takes no more.
    pub fn item(
        &mut self,
        data: impl FnOnce() -> Value,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Text => writeln!(self.out, "{}", printable(&text()))?,
            Format::Json => {
                serde_json::to_writer(&mut self.out, &data()).map_err(io::Error::from)?;
                writeln!(self.out)?;
            }
        }
        if self.shown {
            self.out.flush()?;
        }
        Ok(())
    }

    /// Prints what waits. Dropped without it, what waits is printed too, and an error is not heard of.
    ///
    /// # Errors
    /// [`Failure::Output`] if stdout takes no more.
    pub fn end(&mut self) -> Result<(), Failure> {
        Ok(self.out.flush()?)
    }
}

fn print_lines(lines: &[String]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    for line in lines {
        writeln!(out, "{}", printable(line))?;
    }
    Ok(out.flush()?)
}

fn print_json(object: &impl Serialize) -> Result<(), Failure> {
    let line = serde_json::to_string(object).map_err(io::Error::from)?;
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

fn complain(line: &str) {
    // Where stderr is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "{}", printable(line));
}

/// The text with control characters, and what reorders a line, escaped.
fn printable(text: &str) -> Cow<'_, str> {
    let odd = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(odd) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if odd(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// A table as lines, or `none` where there are no rows.
pub fn table<const N: usize>(header: [&str; N], rows: Vec<[String; N]>, none: &str) -> Vec<String> {
    if rows.is_empty() {
        return vec![none.to_owned()];
    }
    let mut table = comfy_table::Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_header(header);
    for row in rows {
        // A cell is one line: escaped here already, before the table breaks it at a newline.
        table.add_row(row.iter().map(|cell| printable(cell)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

/// The values joined with commas, or a dash.
pub fn list(values: &[String]) -> String {
    or_dash(&values.join(", "))
}

/// The text, or a dash where it is empty.
pub fn or_dash(text: &str) -> String {
    if text.is_empty() { "-" } else { text }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_told_what_to_do() {
        assert_eq!(printable("web /srv/ä"), "web /srv/ä");
        assert_eq!(
            printable("a\u{1b}[2Jb\n\u{202e}c\u{9b}"),
            r"a\u{1b}[2Jb\n\u{202e}c\u{9b}"
        );
    }

    #[test]
    fn a_table_keeps_one_row_a_line_and_no_trailing_blanks() {
        let lines = table(
            ["NAME", "ID"],
            vec![["we\nb".into(), "1".into()], ["db".into(), String::new()]],
            "none",
        );
        assert_eq!(lines, ["NAME   ID", r"we\nb  1", "db"]);
        assert_eq!(table(["A"], vec![], "no zones"), ["no zones"]);
    }

    #[test]
    fn every_repeat_of_the_metadata_key_is_read() {
        let mut metadata = MetadataMap::new();
        for text in ["network mode", "egress"] {
            metadata.append(NOT_ENFORCED_KEY, text.parse().expect("ascii"));
        }
        let remarks = Remarks::new(vec!["n".into()], &metadata);
        assert_eq!(remarks.notes, ["n"]);
        assert_eq!(remarks.not_enforced, ["network mode", "egress"]);
    }
}
