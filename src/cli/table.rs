//! Tables on stdout, and JSON for programs.

use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;

use serde_json::Value;

use crate::clock;
use crate::types::Printable;

/// No line on a terminal is longer, unless asked for (`--wide`).
pub(crate) const WIDTH: usize = 99;

/// The least width of a line, even if a terminal is narrower: it would be unreadable.
const NARROW: usize = 40;

/// How wide a line on stdout may be.
pub(super) fn width(wide: bool) -> usize {
    if wide { usize::MAX } else { width_of(&std::io::stdout()) }
}

/// How wide a line may be: as wide as the terminal, up to a width that is easy to read. No limit without a terminal.
pub(super) fn width_of(out: &(impl AsFd + IsTerminal)) -> usize {
    if !out.is_terminal() {
        return usize::MAX;
    }
    let columns = rustix::termios::tcgetwinsize(out).map_or(0, |size| usize::from(size.ws_col));
    // Some terminals report 0: unknown.
    if columns == 0 {
        WIDTH
    } else {
        columns.clamp(NARROW, WIDTH)
    }
}

/// Writes a text, wrapped to the width, with an indent from the second line on.
pub(super) fn wrapped(out: &mut impl Write, text: &str, indent: usize, width: usize) -> std::io::Result<()> {
    let begin = text.len() - text.trim_start().len();
    let mut line = " ".repeat(begin);
    let mut is_empty = true;
    // The first words keep their distance.
    for word in text[begin..].split(' ') {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > width {
            writeln!(out, "{}", line.trim_end())?;
            line = " ".repeat(indent);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    writeln!(out, "{}", line.trim_end())
}

/// Columns that fit into a line: the widest is cut until all do.
fn fit<const N: usize>(mut widths: [usize; N], most: usize) -> [usize; N] {
    let gaps = 2 * N.saturating_sub(1);
    loop {
        let over = widths.iter().sum::<usize>().saturating_add(gaps).saturating_sub(most);
        let Some(widest) = widths.iter_mut().max().filter(|widest| over > 0 && **widest > 8) else {
            return widths;
        };
        *widest -= 1;
    }
}

/// A cell of at most so many characters.
fn cut(cell: &str, most: usize) -> String {
    if cell.chars().count() <= most {
        return cell.to_owned();
    }
    cell.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// Writes rows under their headings, each column as wide as its widest cell; on a terminal they are cut to a line,
/// unless `wide`. Text from the network is escaped.
pub(super) fn write<const N: usize>(headings: [&str; N], rows: &[[String; N]], wide: bool) -> std::io::Result<()> {
    let rows: Vec<[String; N]> = rows
        .iter()
        .map(|row| row.each_ref().map(|cell| Printable(cell).to_string()))
        .collect();
    let heading = headings.map(str::to_owned);
    let widest = |n: usize| {
        let cells = rows.iter().chain([&heading]);
        cells.map(|row| row[n].chars().count()).max().unwrap_or(0)
    };
    let widths: [usize; N] = fit(std::array::from_fn(widest), self::width(wide));
    let mut out = std::io::stdout().lock();
    for row in [&heading].into_iter().chain(&rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let cell = cut(cell, width);
            line.push_str(&cell);
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
        .map_or("-".into(), |seconds| format!("{} UTC", clock::to_the_second(seconds)))
}

/// The list under a name; empty when there is none.
pub(super) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widest_columns_are_cut_until_a_line_fits() {
        assert_eq!(fit([5, 10, 20], usize::MAX), [5, 10, 20]);
        assert_eq!(fit([5, 10, 20], 39), [5, 10, 20]);
        assert_eq!(fit([5, 60, 80], 99), [5, 45, 45]);
        // Columns that would become useless keep their width.
        assert_eq!(fit([8; 20], 99), [8; 20]);
        assert_eq!((cut("abcdef", 6), cut("äbcdef", 4)), ("abcdef".into(), "äbc…".into()));
    }
}
