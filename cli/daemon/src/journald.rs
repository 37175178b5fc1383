//! Standard error that outlives journald. What systemd connects it to is a stream that ends with
//! journald: it is connected anew then, and a line that nobody takes is no reason to fail.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;

/// Where journald takes streams (sd_journal_stream_fd(3)).
const STREAMS: &str = "/run/systemd/journal/stdout";

/// What it is told of a stream: the identifier, no unit, priority info, and nothing to forward.
const HEADER: &[u8] = b"syva-core\n\n6\n0\n0\n0\n0\n";

/// The writer of log lines.
#[derive(Debug)]
pub struct Stderr {
    journald: bool,
    again: Option<UnixStream>,
}

impl Stderr {
    /// This process' standard error; `JOURNAL_STREAM` in the environment says that it is journald's.
    pub fn new() -> Stderr {
        Stderr {
            journald: std::env::var_os("JOURNAL_STREAM").is_some(),
            again: None,
        }
    }

    fn put(&mut self, line: &[u8]) -> io::Result<()> {
        match &mut self.again {
            Some(stream) => stream.write_all(line),
            None => io::stderr().write_all(line),
        }
    }

    fn connect_again(&mut self) -> io::Result<()> {
        let mut stream = UnixStream::connect(STREAMS)?;
        stream.write_all(HEADER)?;
        self.again = Some(stream);
        Ok(())
    }
}

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let written = self.put(line).or_else(|error| match self.journald {
            true => self.connect_again().and_then(|()| self.put(line)),
            false => Err(error),
        });
        written.map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
