//! The table of attacks: what suite `attack` found on each kernel, from the logs of its runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::VmError;
use super::kernels;
use super::serial;

/// What the suite's notes about techniques begin with; the columns are set apart by tabs.
const MARK: &str = "technique\t";

/// What precedes the table.
const HEAD: &str = "# What root in a zone tries

What suite `attack` found on each kernel: root with every capability, in the host's namespaces, in a zone, against another zone, the engine and the
host. *Blocked* means that the attacker was refused (or killed) what somebody outside all zones could do, and that the twin, the same on the
attacker's own or what ordinary programs do with the same interface, worked in the same run. *Not here*: the kernel has no such thing, with the error that it gave
to somebody outside all zones. *Open*: `SECURITY.md` says so, too.

`target/debug/vmtest techniques` makes this page from the logs of `make vm-test KERNEL=all SUITE=attack`.
";

/// A row: group, technique, and whose it is that is attacked.
type Row = (String, String, String);

/// The page, from the logs that there are.
///
/// # Errors
/// There is none, or one cannot be read.
pub fn page(logs: &Path) -> Result<String, VmError> {
    let mut order: Vec<Row> = Vec::new();
    let mut found: BTreeMap<(Row, &str), String> = BTreeMap::new();
    let mut columns = Vec::new();
    for series in kernels::named("all")? {
        let path = logs.join(format!("attack-{}.results.log", series.name));
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        columns.push(series.name);
        for note in serial::parse(&text).notes {
            let Some(columns) = note.strip_prefix(MARK) else {
                continue;
            };
            let mut columns = columns.split('\t').map(str::to_owned);
            let mut next = || columns.next().unwrap_or_default();
            let row = (next(), next(), next());
            if !order.contains(&row) {
                order.push(row.clone());
            }
            found.insert((row, series.name), next());
        }
    }
    if columns.is_empty() {
        return Err(VmError::NoLogs {
            dir: logs.to_owned(),
        });
    }
    Ok(rendered(&order, &found, &columns))
}

fn rendered(order: &[Row], found: &BTreeMap<(Row, &str), String>, columns: &[&str]) -> String {
    let mut page = HEAD.to_owned();
    let mut group = "";
    for row in order {
        if row.0 != group {
            group = &row.0;
            let heads = columns.join(" | ");
            let lines = "---|".repeat(columns.len());
            // Writing to a string cannot fail.
            let _ = write!(
                page,
                "\n## {group}\n\n| technique | against | {heads} |\n|---|---|{lines}\n"
            );
        }
        let cells = columns.iter().map(|kernel| {
            let cell = found.get(&(row.clone(), *kernel));
            cell.map_or("not run", String::as_str)
        });
        let cells = cells.collect::<Vec<_>>().join(" | ");
        let _ = writeln!(page, "| {} | {} | {cells} |", row.1, row.2);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_kernel_found_stands_beside_the_others() {
        let logs = tempfile::tempdir().expect("a directory");
        let log = |kernel: &str, text: &str| {
            let path = logs.path().join(format!("attack-{kernel}.results.log"));
            fs::write(path, text).expect("written");
        };
        assert!(page(logs.path()).is_err(), "there are no logs yet");
        log(
            "6.1",
            "NOTE technique\tFiles\topen(2)\tanother zone's\tblocked\nPASS open(2)\n",
        );
        log(
            "6.12",
            "NOTE other\nNOTE technique\tFiles\topen(2)\tanother zone's\tblocked\n\
             NOTE technique\tFiles\topenat3(2)\tanother zone's\tnot here (ENOSYS)\n",
        );
        let page = page(logs.path()).expect("a page");
        assert!(
            page.contains("\n## Files\n\n| technique | against | 6.1 | 6.12 |\n"),
            "{page}"
        );
        assert!(
            page.contains("| open(2) | another zone's | blocked | blocked |"),
            "{page}"
        );
        assert!(
            page.contains("| openat3(2) | another zone's | not run | not here (ENOSYS) |"),
            "{page}"
        );
    }
}
