//! Facts about the index, and whether it is sound.

use rusqlite::{Connection, OptionalExtension};

use super::error::SqlResult;
use super::{Store, writes};
use crate::error::Result;

/// Key of the random id that pairs the index with one recordings root.
const TREE_ID: &str = "tree_id";

fn set(conn: &Connection, key: &str, value: &str) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    )
    .and_then(|mut s| s.execute((key, value)))
    .sql()?;
    Ok(())
}

writes! {
    /// Sets a fact about the index.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    set_meta, set_meta_blocking(key: &str, value: &str) -> () {{
        let (key, value) = (key.to_owned(), value.to_owned());
        move |conn: &Connection| set(conn, &key, &value)
    }}

    /// Pairs the index with the recordings root that bears this id.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    set_tree_id, set_tree_id_blocking(id: &str) -> () {{
        let id = id.to_owned();
        move |conn: &Connection| set(conn, TREE_ID, &id)
    }}
}

impl Store {
    /// A fact about the index.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn meta(&self, key: &str) -> Result<Option<String>> {
        self.read(|conn| {
            conn.prepare_cached("SELECT value FROM meta WHERE key = ?1")
                .and_then(|mut s| s.query_row([key], |r| r.get(0)).optional())
                .sql()
        })
    }

    /// Id of the recordings root that this index belongs to; `None` while it belongs to none.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn tree_id(&self) -> Result<Option<String>> {
        self.meta(TREE_ID)
    }

    /// Examines the pages of the database file, without comparing the contents of its indexes (much faster than
    /// [`integrity_check`](Self::integrity_check)), and returns what is wrong; empty: nothing.
    ///
    /// # Errors
    /// `Storage` when the index cannot be read, `Corrupt` when it is too broken to be examined.
    pub fn quick_check(&self) -> Result<Vec<String>> {
        self.read(|conn| {
            let mut statement = conn.prepare("PRAGMA quick_check(100)").sql()?;
            let mut problems = Vec::new();
            for line in statement.query_map([], |r| r.get::<_, String>(0)).sql()? {
                problems.push(line.sql()?);
            }
            problems.retain(|line| line != "ok");
            Ok(problems)
        })
    }

    /// Examines the whole database file (slow) and returns what is wrong with it; empty: nothing.
    ///
    /// # Errors
    /// `Storage` when the index cannot be read, `Corrupt` when it is too broken to be examined.
    pub fn integrity_check(&self) -> Result<Vec<String>> {
        self.read(|conn| {
            let mut problems = Vec::new();
            let mut statement = conn.prepare("PRAGMA integrity_check(100)").sql()?;
            for line in statement.query_map([], |r| r.get::<_, String>(0)).sql()? {
                problems.push(line.sql()?);
            }
            problems.retain(|line| line != "ok");
            let mut statement = conn.prepare("PRAGMA foreign_key_check").sql()?;
            for table in statement
                .query_map([], |r| r.get::<_, String>(0))
                .sql()?
                .take(100)
            {
                problems.push(format!(
                    "a row of {} refers to a row that is not there",
                    table.sql()?
                ));
            }
            problems.extend(super::totals::differences(conn)?);
            Ok(problems)
        })
    }
}
