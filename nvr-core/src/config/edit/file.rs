//! The configuration file: read, shown, changed, written.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json};
use toml_edit::{DocumentMut, Item, TableLike, Value};

use super::EditOrigin;
use super::apply::{self, Applied};
use super::fields::{FieldError, FieldErrors, Names};
use super::mask::shown;
use crate::config::{Config, Severity};
use crate::error::{Error, ErrorKind, Result};

/// A configuration file as it was read.
pub struct ConfigFile {
    path: PathBuf,
    text: String,
}

impl std::fmt::Debug for ConfigFile {
    /// Without the text, which may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let version = self.version();
        f.debug_struct("ConfigFile")
            .field("path", &self.path)
            .field("version", &version)
            .finish_non_exhaustive()
    }
}

/// A new text for a configuration file, checked and not written yet.
pub struct EditedConfig {
    text: String,
    config: Config,
    changed: Vec<String>,
    unknown: Vec<FieldError>,
}

impl std::fmt::Debug for EditedConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EditedConfig")
            .field("changed", &self.changed)
            .finish_non_exhaustive()
    }
}

impl EditedConfig {
    /// What it says.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Paths of what differs (`cameras.front.source`), without the values.
    #[must_use]
    pub fn changed(&self) -> &[String] {
        &self.changed
    }

    /// What could not be read here and was left open: secrets of cameras and calendars from variables and files that the
    /// recorder has and this process may not have. Their place in [`config`](Self::config) is not to be used.
    #[must_use]
    pub fn unknown(&self) -> &[FieldError] {
        &self.unknown
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl ConfigFile {
    /// Reads it. Blocking.
    ///
    /// # Errors
    /// Those of [`Config::read_text`].
    pub fn read(path: &Path) -> Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            text: Config::read_text(path)?,
        })
    }

    /// A text as if it had been read from `path`.
    #[must_use]
    pub fn of_text(path: &Path, text: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            text: text.into(),
        }
    }

    /// Changes with every change of the file: 32 hexadecimal digits.
    #[must_use]
    pub fn version(&self) -> String {
        version_of(self.text.as_bytes())
    }

    /// What stands in the file, section by section and key by key, secrets as [`KEPT`](super::KEPT); what does not stand
    /// there has its default. `null` when it cannot be read at all.
    #[must_use]
    pub fn shown(&self) -> Json {
        let Ok(document) = self.text.parse::<DocumentMut>() else {
            return Json::Null;
        };
        show_table(document.as_table())
    }

    /// Ids of the cameras that stand in it, as they are written.
    #[must_use]
    pub fn cameras(&self) -> Vec<String> {
        let names = self.text.parse().map(|d| apply::names(&d)).unwrap_or_default();
        names.of("cameras").iter().flatten().cloned().collect()
    }

    /// What is wrong or doubtful in the file.
    #[must_use]
    pub fn problems(&self) -> Vec<(Severity, FieldError)> {
        let names = self.text.parse().map(|d| apply::names(&d)).unwrap_or_default();
        let tell = |list: &[crate::config::ConfigProblem]| {
            list.iter().map(|p| (p.severity, names.field(p))).collect()
        };
        match Config::parse(&self.text, Some(&self.path)) {
            Ok(config) => tell(&config.warnings),
            Err(e) => tell(e.problems()),
        }
    }

    /// Puts a change into the text and checks the whole. `changes` is an object of sections, each an object of keys and
    /// their values; `cameras` and `upload` are objects of such objects by id and name. `null` takes a key or an entry
    /// out. [`KEPT`](super::KEPT) as (part of) a value leaves the secret there as it is. Who sits at this machine need not
    /// have the variables that the recorder has: see [`EditedConfig::unknown`].
    ///
    /// # Errors
    /// `Config` with [`FieldErrors`] as the source: every mistake at once.
    pub fn edit(&self, changes: &Map<String, Json>, origin: EditOrigin) -> Result<EditedConfig> {
        let document = match self.text.parse::<DocumentMut>() {
            Ok(document) => document,
            Err(e) => {
                let found = Config::parse(&self.text, Some(&self.path));
                let fields = found.map_or_else(|e| Names::default().fields(&e), |_| Vec::new());
                return Err(match fields.is_empty() {
                    // The message of the parser quotes the line, password and all.
                    true => Error::new(ErrorKind::Config, "the file cannot be read as TOML").with_source(e),
                    false => FieldErrors(fields).into(),
                });
            }
        };
        let Applied {
            text,
            changed,
            mut errors,
            names,
        } = apply::apply(document, changes, origin);
        let read = match (Config::parse(&text, Some(&self.path)), origin) {
            (Err(e), EditOrigin::Local) => Config::parse_without_secrets(&text, Some(&self.path))
                .map(|config| (config, names.fields(&e))),
            (read, _) => read.map(|config| (config, Vec::new())),
        };
        match read {
            Ok((config, unknown)) if errors.is_empty() => Ok(EditedConfig {
                text,
                config,
                changed,
                unknown,
            }),
            Ok(_) => Err(FieldErrors(errors).into()),
            Err(e) => {
                // What was refused is not in the text, so that it may be told as missing once more.
                let fields = names.fields(&e).into_iter();
                let fields: Vec<_> = fields
                    .filter(|f| !errors.iter().any(|e| e.path == f.path))
                    .collect();
                errors.extend(fields);
                Err(FieldErrors(errors).into())
            }
        }
    }

    /// Writes an edited text in place of this one: at every moment the file is the old or the new one, whole. Mode and
    /// owner stay; of a link the file behind it is written. Blocking.
    ///
    /// # Errors
    /// `Conflict` when the file was changed since it was read; `Storage` when it cannot be written.
    pub fn write(&self, edited: &EditedConfig) -> Result<Self> {
        let named = self.path.display();
        let failed = |e: std::io::Error| {
            Error::io(format_args!("configuration {named}"), e)
                .with_hint("the recorder needs to write the file and the folder it is in")
        };
        let path = fs::canonicalize(&self.path).map_err(failed)?;
        let before = fs::metadata(&path).map_err(failed)?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let new = folder.join(format!(".{name}.new"));
        // Of a write that was cut short.
        match fs::remove_file(&new) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
            _ => {}
        }
        let result = self.exchange(edited, &new, &path, &before, folder);
        if result.is_err() {
            let _ = fs::remove_file(&new);
        }
        result?;
        Ok(Self::of_text(&self.path, &*edited.text))
    }

    fn exchange(
        &self,
        edited: &EditedConfig,
        new: &Path,
        path: &Path,
        before: &fs::Metadata,
        folder: &Path,
    ) -> Result<()> {
        let named = self.path.display();
        let failed = |e: std::io::Error| {
            let error = Error::io(format_args!("configuration {named}"), e);
            match error.kind() {
                ErrorKind::Storage => error.with_hint(
                    "the recorder needs to write the file and the folder it is in; in a container, mount the folder, \
                     not the file",
                ),
                _ => error,
            }
        };
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(new)
            .map_err(failed)?;
        file.write_all(edited.text.as_bytes()).map_err(failed)?;
        let made = file.metadata().map_err(failed)?;
        if (made.uid(), made.gid()) != (before.uid(), before.gid()) {
            std::os::unix::fs::fchown(&file, Some(before.uid()), Some(before.gid())).map_err(|e| {
                Error::io(format_args!("configuration {named}: its owner cannot be kept"), e)
                    .with_hint("give the file to the user of the recorder, or change it with an editor")
            })?;
        }
        let mode = before.permissions().mode() & 0o7777;
        file.set_permissions(fs::Permissions::from_mode(mode))
            .map_err(failed)?;
        file.sync_all().map_err(failed)?;
        let now = fs::read(path).map_err(failed)?;
        if version_of(&now) != self.version() {
            return Err(stale(&self.path));
        }
        fs::rename(new, path).map_err(failed)?;
        fs::File::open(folder).and_then(|f| f.sync_all()).map_err(failed)
    }

    /// Fails unless the file is of this version.
    ///
    /// # Errors
    /// `Conflict`.
    pub fn expect(&self, version: &str) -> Result<()> {
        if version == self.version() {
            return Ok(());
        }
        Err(stale(&self.path))
    }
}

fn stale(path: &Path) -> Error {
    let message = format!("configuration {}: it was changed meanwhile", path.display());
    Error::new(ErrorKind::Conflict, message).with_hint("read it again, and make the change once more")
}

fn version_of(text: &[u8]) -> String {
    blake3::hash(text).to_hex()[..32].to_owned()
}

fn show_table(table: &dyn TableLike) -> Json {
    let pairs = table.iter().map(|(key, item)| (key.to_owned(), show(key, item)));
    Json::Object(pairs.collect())
}

fn show(key: &str, item: &Item) -> Json {
    match item {
        Item::None => Json::Null,
        Item::Value(value) => show_value(key, value),
        Item::Table(table) => show_table(table),
        Item::ArrayOfTables(list) => list.iter().map(|t| show_table(t)).collect(),
    }
}

fn show_value(key: &str, value: &Value) -> Json {
    match value {
        Value::String(text) => shown(key, text.value()).into(),
        // Of the wrong kind; it may be a secret all the same.
        _ if super::is_secret(key) => super::KEPT.into(),
        Value::Integer(n) => (*n.value()).into(),
        Value::Float(n) => (*n.value()).into(),
        Value::Boolean(b) => (*b.value()).into(),
        Value::Datetime(d) => d.value().to_string().into(),
        Value::Array(list) => list.iter().map(|v| show_value(key, v)).collect(),
        Value::InlineTable(table) => show_table(table),
    }
}
