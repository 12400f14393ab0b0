//! What tshark sees in a capture: `NAME.expected.tsv` beside it, one row for
//! each PDU, a headline that names the columns.

use std::collections::HashMap;
use std::path::Path;

/// One row: its values by column. A value that is absent is an empty one.
pub type Row = HashMap<String, String>;

/// The rows about PDUs that stand in TCP directly, not in a pipe.
pub fn tcp_rows(capture: &Path) -> Vec<Row> {
    let text = std::fs::read_to_string(capture.with_extension("expected.tsv")).unwrap();
    let mut lines = text.lines();
    let columns: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let row = |line: &str| {
        let values = line.split('\t').map(str::to_owned);
        columns.iter().map(|c| c.to_string()).zip(values).collect()
    };
    lines
        .map(row)
        .filter(|row: &Row| row["over"] == "tcp")
        .collect()
}

/// The number in a column, written in decimal.
pub fn number(row: &Row, column: &str) -> u32 {
    row[column].parse().unwrap()
}
