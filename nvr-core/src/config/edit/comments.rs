//! Where comments go when what they stand at goes, and the places of tables.

use toml_edit::{DocumentMut, Item, Table, TableLike};

/// Takes a key out; returns those of the comments above it that stay and have no key behind them.
pub(super) fn remove(table: &mut dyn TableLike, key: &str) -> String {
    let above = table.key(key).map(|k| prefix(k.leaf_decor(), "").to_owned());
    let left = above.as_deref().map(staying).unwrap_or_default().to_owned();
    let next = table
        .iter()
        .map(|(k, _)| k.to_owned())
        .skip_while(|k| k != key)
        .nth(1);
    table.remove(key);
    if left.is_empty() {
        return left;
    }
    match next.as_deref().and_then(|next| table.key_mut(next)) {
        Some(mut next) => {
            let old = prefix(next.leaf_decor(), "").to_owned();
            next.leaf_decor_mut().set_prefix(format!("{left}{old}"));
            String::new()
        }
        None => left,
    }
}

/// The part of the text above an entry that stays when the entry goes: up to the last blank line, if there is a
/// comment in it.
pub(super) fn staying(prefix: &str) -> &str {
    let mut end = 0;
    let mut at = 0;
    for line in prefix.split_inclusive('\n') {
        at += line.len();
        if line.trim().is_empty() && line.ends_with('\n') {
            end = at;
        }
    }
    let part = &prefix[..end];
    if part.contains('#') { part } else { "" }
}

pub(super) fn prefix<'d>(decor: &'d toml_edit::Decor, default: &'d str) -> &'d str {
    decor.prefix().and_then(|p| p.as_str()).unwrap_or(default)
}

/// The tables with a heading, as they stand in the document's map.
pub(super) fn tables_mut(document: &mut DocumentMut) -> Vec<&mut Table> {
    let mut out = Vec::new();
    for (_, item) in document.iter_mut() {
        match item {
            Item::Table(table) => out.push(table),
            Item::ArrayOfTables(list) => out.extend(list.iter_mut()),
            _ => {}
        }
    }
    out
}

pub(super) fn positions(document: &DocumentMut) -> Vec<isize> {
    let mut out = Vec::new();
    for (_, item) in document.iter() {
        match item {
            Item::Table(table) => out.extend(last_position(table)),
            Item::ArrayOfTables(list) => out.extend(list.iter().filter_map(last_position)),
            _ => {}
        }
    }
    out
}

/// The place of a table, or of the last one within it (`[[cameras.motion_lines]]` behind its `[[cameras]]`).
pub(super) fn last_position(table: &Table) -> Option<isize> {
    let within = table.iter().flat_map(|(_, item)| match item {
        Item::Table(table) => vec![last_position(table)],
        Item::ArrayOfTables(list) => list.iter().map(last_position).collect(),
        _ => Vec::new(),
    });
    within.chain([table.position()]).flatten().max()
}
