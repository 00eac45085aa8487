//! Keys that hold lists: points of a picture, and tables within a section.

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use toml::Spanned;
use toml::de::DeValue;

use super::reader::{self, Reader, Section};
use super::values::{FromValue, Value, Wrong};

/// A point of a picture, in shares of width and height from the upper left.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Point(pub(super) (f32, f32));

impl JsonSchema for Point {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Point".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "point",
            "type": "array",
            "items": { "type": "number", "minimum": 0, "maximum": 1 },
            "minItems": 2,
            "maxItems": 2,
        })
    }
}

impl FromValue for Point {
    fn from_value(value: &Value) -> Result<Self, Wrong> {
        let inside = |n: &f64| (0.0..=1.0).contains(n);
        match value {
            Value::Numbers(list) if list.len() == 2 && list.iter().all(inside) => {
                Ok(Self((list[0] as f32, list[1] as f32)))
            }
            _ => Err(Wrong::new(
                value,
                "a point of the picture",
                "write [0.1, 0.5]: shares of width and height from the upper left, each from 0 to 1",
            )),
        }
    }
}

/// A list of tables within a section, each declared as `R`. It is read by [`within`].
#[derive(Debug)]
pub(super) struct Tables<R>(PhantomData<R>);

impl<R: JsonSchema> JsonSchema for Tables<R> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("List of {}", R::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "title": "tables", "type": "array", "items": generator.subschema_for::<R>() })
    }
}

impl<R: JsonSchema> FromValue for Tables<R> {
    fn from_value(value: &Value) -> Result<Self, Wrong> {
        match value {
            Value::Other("a list") => Ok(Self(PhantomData)),
            _ => Err(Wrong::new(value, "a list of tables", "write [{ … }, { … }]")),
        }
    }
}

/// Has each table of a list below a key of a section read, which holds one `thing` each.
pub(super) fn within<'a, 'b>(
    reader: &mut Reader<'a, 'b>,
    section: &Section<'_>,
    key: &str,
    thing: &str,
    read: impl FnMut(&mut Reader<'a, 'b>, &Section<'_>),
) {
    if let Some(found) = section.table.and_then(|t| t.get(key)) {
        each(reader, found, &format!("{}.{key}", section.path), thing, read);
    }
}

/// The same of a value; what is no table is told.
pub(super) fn each<'a, 'b>(
    reader: &mut Reader<'a, 'b>,
    found: &Spanned<DeValue<'_>>,
    path: &str,
    thing: &str,
    mut read: impl FnMut(&mut Reader<'a, 'b>, &Section<'_>),
) {
    let list = found.get_ref().as_array();
    for (index, item) in list.into_iter().flat_map(|list| list.iter()).enumerate() {
        let path = format!("{path}[{index}]");
        let DeValue::Table(table) = item.get_ref() else {
            let message = format!("a {thing} is a table, not {}", reader::a_kind(item.get_ref()));
            reader.problems.error(&item.span(), &path, message, None);
            continue;
        };
        let section = Section {
            path,
            table: Some(table),
            span: item.span(),
        };
        read(reader, &section);
    }
}
