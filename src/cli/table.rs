//! Tables on stdout, and JSON for programs.

use std::io::Write;

use serde_json::Value;

use crate::journal::time;
use crate::types::Printable;

/// Writes rows under their headings, each column as wide as its widest cell. Text from the network is escaped.
pub(super) fn write<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> std::io::Result<()> {
    let rows: Vec<[String; N]> = rows
        .iter()
        .map(|row| row.each_ref().map(|cell| Printable(cell).to_string()))
        .collect();
    let heading = headings.map(str::to_owned);
    let width = |n: usize| {
        let cells = rows.iter().chain([&heading]);
        cells.map(|row| row[n].chars().count()).max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut out = std::io::stdout().lock();
    for row in [&heading].into_iter().chain(&rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(cell);
            let pad = width.saturating_sub(cell.chars().count()) + 2;
            line.extend(std::iter::repeat_n(' ', pad));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Writes JSON as it came.
pub(super) fn json(value: &Value) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value:#}")
}

/// A text of an answer; `-` where there is none.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => "-".into(),
    }
}

/// A time of an answer, in seconds since 1970.
pub(super) fn when(value: &Value) -> String {
    value
        .as_i64()
        .map_or("-".into(), |seconds| format!("{} UTC", time::to_the_second(seconds)))
}

/// The list under a name; empty when there is none.
pub(super) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}
