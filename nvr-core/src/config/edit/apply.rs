//! A change put into the text of a configuration.
//!
//! Comments go with what they stand directly above or behind; a blank line parts them from it. So a camera that is
//! removed takes its own comments along and leaves those of its neighbours.

use serde_json::{Map, Value as Json};
use toml_edit::{ArrayOfTables, DocumentMut, InlineTable, Item, Table, TableLike, Value};

use super::EditOrigin;
use super::comments::{last_position, positions, prefix, remove, staying, tables_mut};
use super::fields::{FieldError, Names};
use super::lists;
use super::mask::{is_secret, references, resolved};
use crate::config::SECTIONS;

/// The sections that are lists, with the key that names an entry.
pub(super) const LISTS: [(&str, &str); 6] = [
    ("cameras", "id"),
    ("upload", "name"),
    ("calendar", "name"),
    ("alert_rule", "name"),
    ("alert_channel", "name"),
    ("timelapse", "name"),
];

/// The text with the change in it.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) text: String,
    /// Paths of what differs now.
    pub(super) changed: Vec<String>,
    /// What is wrong with the change itself.
    pub(super) errors: Vec<FieldError>,
    pub(super) names: Names,
}

/// Puts a change into a text: for each section an object of keys and values, for cameras and upload targets an object
/// of such objects by id or name. `null` takes a key, or a whole entry, out.
pub(super) fn apply(document: DocumentMut, changes: &Map<String, Json>, origin: EditOrigin) -> Applied {
    let mut edit = Edit {
        document,
        origin,
        changed: Vec::new(),
        errors: Vec::new(),
    };
    for (section, change) in changes {
        let list = LISTS.iter().find(|(name, _)| name == section);
        match (list, change) {
            _ if !SECTIONS.iter().any(|(name, _)| name == section) => {
                let names = SECTIONS.map(|(name, _)| name).join(", ");
                edit.wrong(section, "there is no such section", format!("they are {names}"));
            }
            (Some((_, id)), Json::Object(entries)) => {
                for (name, entry) in entries {
                    edit.entry(section, id, name, entry);
                }
            }
            (None, Json::Object(keys)) => edit.section(section, keys),
            (Some((_, id)), _) => {
                let hint = format!("give an object: {{\"the {id}\": {{…}}}}, null to remove one");
                edit.wrong(section, format!("`{section}` is changed entry by entry"), hint);
            }
            (None, _) => edit.wrong(section, "a section is an object", "give the keys to change"),
        }
    }
    Applied {
        names: names(&edit.document),
        text: edit.document.to_string(),
        changed: edit.changed,
        errors: edit.errors,
    }
}

/// The names of the entries of the list sections.
pub(super) fn names(document: &DocumentMut) -> Names {
    let of = |section: &str, id: &str| match document.get(section) {
        Some(Item::ArrayOfTables(list)) => list.iter().map(|t| name_of(t, id)).collect(),
        Some(Item::Value(Value::Array(list))) => {
            let tables = list.iter().map(Value::as_inline_table);
            tables.map(|t| t.and_then(|t| name_of(t, id))).collect()
        }
        _ => Vec::new(),
    };
    Names(LISTS.map(|(section, id)| (section, of(section, id))).into())
}

fn name_of(table: &dyn TableLike, id: &str) -> Option<String> {
    table.get(id).and_then(Item::as_str).map(str::to_owned)
}

struct Edit {
    document: DocumentMut,
    origin: EditOrigin,
    changed: Vec<String>,
    errors: Vec<FieldError>,
}

impl Edit {
    fn wrong(&mut self, path: &str, message: impl Into<String>, hint: impl Into<String>) {
        self.errors.push(FieldError::new(path, message, hint));
    }

    fn section(&mut self, section: &str, keys: &Map<String, Json>) {
        let mut done = Done {
            inline: self.document.get(section).is_some_and(Item::is_inline_table),
            ..Done::default()
        };
        if self.document.get(section).is_none() {
            if keys.values().all(Json::is_null) {
                return;
            }
            let table = self.new_table();
            self.document.insert(section, Item::Table(table));
        }
        let origin = self.origin;
        let Some(table) = self.document.get_mut(section).and_then(Item::as_table_like_mut) else {
            return self.wrong(
                section,
                "this is not a table in the file",
                "repair it with an editor",
            );
        };
        for (key, value) in keys {
            set(table, section, key, value, origin, &mut done);
        }
        let position = self
            .document
            .get(section)
            .and_then(Item::as_table)
            .and_then(Table::position);
        self.take(done, position);
    }

    fn entry(&mut self, section: &str, id: &str, name: &str, entry: &Json) {
        let path = format!("{section}.{name}");
        let names = names(&self.document);
        let index = names.of(section).iter().position(|n| n.as_deref() == Some(name));
        match (entry, index) {
            (Json::Null, Some(index)) => {
                self.remove(section, index);
                self.changed.push(path);
            }
            (Json::Null, None) => self.wrong(&path, "there is none of that name", "it may be gone already"),
            (Json::Object(keys), _) => {
                if keys.get(id).is_some_and(|v| v.as_str() != Some(name)) {
                    let hint = "footage is kept under it: remove this one and add another";
                    self.wrong(
                        &format!("{path}.{id}"),
                        format!("the {id} of an entry stays"),
                        hint,
                    );
                }
                let index = index.unwrap_or_else(|| {
                    self.changed.push(path.clone());
                    self.push(section, id, name)
                });
                let origin = self.origin;
                let (table, position) = match self.document.get_mut(section) {
                    Some(Item::ArrayOfTables(list)) => {
                        let table = list.get_mut(index);
                        let position = table.as_ref().and_then(|t| t.position());
                        (table.map(|t| t as &mut dyn TableLike), position)
                    }
                    Some(Item::Value(Value::Array(list))) => {
                        let table = list.get_mut(index).and_then(Value::as_inline_table_mut);
                        (table.map(|t| t as &mut dyn TableLike), None)
                    }
                    _ => (None, None),
                };
                let Some(table) = table else {
                    return self.wrong(
                        section,
                        "this is not a list in the file",
                        "repair it with an editor",
                    );
                };
                let mut done = Done {
                    inline: position.is_none(),
                    ..Done::default()
                };
                for (key, value) in keys.iter().filter(|(key, _)| *key != id) {
                    set(table, &path, key, value, origin, &mut done);
                }
                self.take(done, position);
            }
            _ => self.wrong(
                &path,
                "this is an object of keys, or null to remove it",
                "see GET /config/schema",
            ),
        }
    }

    fn take(&mut self, done: Done, position: Option<isize>) {
        self.changed.extend(done.changed);
        self.errors.extend(done.errors);
        if !done.left.is_empty() {
            self.put_behind(position, &done.left);
        }
    }

    /// A table for the end of the text, behind the comments that are there.
    fn new_table(&mut self) -> Table {
        let last = positions(&self.document).into_iter().max().unwrap_or(0);
        let mut table = Table::new();
        table.set_position(Some(last + 1));
        let trailing = self.document.trailing().as_str().unwrap_or_default().to_owned();
        let is_first = self.document.is_empty() && trailing.is_empty();
        let lead = if is_first { "" } else { "\n" };
        let closed = if trailing.is_empty() || trailing.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        table.decor_mut().set_prefix(format!("{trailing}{closed}{lead}"));
        self.document.set_trailing("");
        table
    }

    /// Adds an entry to a list, with its name; returns its index.
    fn push(&mut self, section: &str, id: &str, name: &str) -> usize {
        let named = toml_edit::value(name);
        match self.document.get_mut(section) {
            Some(Item::Value(Value::Array(list))) if !list.is_empty() => {
                let mut table = InlineTable::new();
                table.insert(id, name.into());
                let mut value = Value::InlineTable(table);
                if let Some(last) = list.iter().last().map(|v| v.decor().clone()) {
                    let lead = last.prefix().and_then(|p| p.as_str()).unwrap_or(" ");
                    let lead = if lead.contains('#') { "\n" } else { lead };
                    let lead = if list.len() == 1 && lead.is_empty() {
                        " "
                    } else {
                        lead
                    };
                    value.decor_mut().set_prefix(lead);
                }
                list.push_formatted(value);
                return list.len() - 1;
            }
            Some(Item::ArrayOfTables(list)) if !list.is_empty() => {
                let mut table = Table::new();
                table.decor_mut().set_prefix("\n");
                // Directly behind the last one.
                table.set_position(list.iter().last().and_then(last_position));
                table.insert(id, named);
                list.push(table);
                return list.len() - 1;
            }
            _ => {}
        }
        // None yet, or an empty list (`cameras = []`).
        self.document.remove(section);
        let mut table = self.new_table();
        table.insert(id, named);
        let mut list = ArrayOfTables::new();
        list.push(table);
        self.document.insert(section, Item::ArrayOfTables(list));
        0
    }

    fn remove(&mut self, section: &str, index: usize) {
        match self.document.get_mut(section) {
            Some(Item::ArrayOfTables(list)) => {
                let table = list.remove(index);
                if list.is_empty() {
                    self.document.remove(section);
                }
                let left = staying(prefix(table.decor(), "")).to_owned();
                if !left.is_empty() {
                    self.put_behind(table.position(), &left);
                }
            }
            Some(Item::Value(Value::Array(list))) => {
                list.remove(index);
            }
            _ => {}
        }
    }

    /// Puts comments in front of the table that follows a place of the text, or at its end.
    fn put_behind(&mut self, position: Option<isize>, comments: &str) {
        let behind = |p: &isize| position.is_some_and(|at| *p > at);
        let next = positions(&self.document).into_iter().filter(behind).min();
        let mut tables = tables_mut(&mut self.document).into_iter();
        if let Some(table) = tables.find(|t| next.is_some() && t.position() == next) {
            let old = prefix(table.decor(), "\n").to_owned();
            table.decor_mut().set_prefix(format!("{comments}{old}"));
        } else {
            let old = self.document.trailing().as_str().unwrap_or_default().to_owned();
            self.document.set_trailing(format!("{comments}{old}"));
        }
    }
}

/// What came of setting keys.
#[derive(Default)]
struct Done {
    changed: Vec<String>,
    errors: Vec<FieldError>,
    /// Comments of what was removed that stay.
    left: String,
    /// Whether the table is one of braces.
    inline: bool,
}

/// Sets, or with `null` removes, one key.
fn set(table: &mut dyn TableLike, path: &str, key: &str, value: &Json, origin: EditOrigin, done: &mut Done) {
    let path = format!("{path}.{key}");
    let old = table.get(key).and_then(Item::as_value);
    let mut new = match value {
        Json::Null => {
            if table.contains_key(key) {
                done.left.push_str(&remove(table, key));
                done.changed.push(path);
            }
            return;
        }
        Json::String(text) => match checked(key, text, old.and_then(Value::as_str), origin) {
            Ok(text) => Value::from(text),
            Err((message, hint)) => return done.errors.push(FieldError::new(&path, message, hint)),
        },
        // Its value must not stand in a message of the reader.
        _ if is_secret(key) => {
            return done
                .errors
                .push(FieldError::new(&path, "this is a text", "put it in quotes"));
        }
        Json::Bool(b) => Value::from(*b),
        Json::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(n), _) => Value::from(n),
            (None, Some(n)) => Value::from(n),
            (None, None) => return done.errors.push(FieldError::new(&path, "not a number", "")),
        },
        Json::Array(_) => match lists::value(key, value, old, origin) {
            Ok(list) => list,
            Err((message, hint)) => return done.errors.push(FieldError::new(&path, message, hint)),
        },
        Json::Object(_) => {
            let message = "this is a text, a number, true or false, or a list";
            return done
                .errors
                .push(FieldError::new(&path, message, "see GET /config/schema"));
        }
    };
    if old.is_some_and(|old| is_same(old, &new)) {
        return;
    }
    done.changed.push(path);
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            let decor = old.decor().clone();
            *old = new;
            *old.decor_mut() = decor;
        }
        None => {
            if done.inline {
                // The space before the closing brace goes along.
                let last = table.iter_mut().last();
                if let Some(last) = last.and_then(|(_, item)| item.as_value_mut())
                    && let Some(suffix) = last.decor().suffix().cloned()
                {
                    last.decor_mut().set_suffix("");
                    new.decor_mut().set_prefix(" ");
                    new.decor_mut().set_suffix(suffix);
                }
            }
            table.insert(key, Item::Value(new));
        }
    }
}

fn is_same(old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::String(a), Value::String(b)) => a.value() == b.value(),
        (Value::Integer(a), Value::Integer(b)) => a.value() == b.value(),
        (Value::Float(a), Value::Float(b)) => a.value() == b.value(),
        (Value::Boolean(a), Value::Boolean(b)) => a.value() == b.value(),
        (Value::Array(a), Value::Array(b)) => lists::json(a) == lists::json(b),
        _ => false,
    }
}

/// The text that is meant, if this origin may say it.
pub(super) fn checked(
    key: &str,
    text: &str,
    old: Option<&str>,
    origin: EditOrigin,
) -> Result<String, (&'static str, &'static str)> {
    let text = resolved(key, text, old).map_err(|()| {
        (
            "`***` stands for a secret that is there already, and there is none",
            "enter it",
        )
    })?;
    if origin == EditOrigin::Local || Some(text.as_str()) == old {
        return Ok(text);
    }
    let known = references(old.unwrap_or_default());
    if references(&text).iter().any(|r| !known.contains(r)) {
        return Err((
            "`${` stands for a variable or file, which only the file itself may name",
            "leave it out, or write it into the file with an editor",
        ));
    }
    let scheme = text.trim_start().get(..5);
    if key == "source" && scheme.is_some_and(|s| s.eq_ignore_ascii_case("file:")) {
        return Err((
            "files of the recorder's machine are not opened for the network",
            "write it into the file with an editor, or use `nvr camera add`",
        ));
    }
    Ok(text)
}
