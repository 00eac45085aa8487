//! Opening, upgrading, refusing.

use super::*;

/// The versions of today and some more.
fn with(more: &[&'static str]) -> &'static [&'static str] {
    [open::MIGRATIONS, more].concat().leak()
}

fn listing(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .map(|p| (p.clone(), std::fs::read(p).unwrap()))
        .collect();
    files.sort();
    files
}

fn both_refuse(path: &Path) -> [Error; 2] {
    [OpenMode::ReadWrite, OpenMode::ReadOnly].map(|mode| Store::open(path, mode).unwrap_err())
}

#[test]
fn other_files_are_refused_and_left_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let foreign = dir.path().join("foreign.db");
    let conn = Connection::open(&foreign).unwrap();
    conn.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1); PRAGMA user_version = 1;")
        .unwrap();
    drop(conn);
    let text = dir.path().join("notes.txt");
    std::fs::write(&text, "hello").unwrap();
    let before = listing(dir.path());
    for e in both_refuse(&foreign) {
        assert_eq!(e.kind(), ErrorKind::Conflict);
        assert!(e.hint().is_some());
    }
    for e in both_refuse(&text) {
        assert_eq!(e.kind(), ErrorKind::Corrupt);
        assert!(e.hint().unwrap().contains("nvr check --rebuild"));
    }
    assert_eq!(listing(dir.path()), before);
}

#[test]
fn an_empty_file_becomes_an_index_and_a_missing_folder_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.db");
    std::fs::write(&path, "").unwrap();
    let store = Store::open(&path, OpenMode::ReadWrite).unwrap();
    assert_eq!(store.count().unwrap(), 0);
    store.shutdown_blocking().unwrap();
    assert_eq!(listing(dir.path()).len(), 1, "nothing is left over");
    let e = Store::open(dir.path().join("no/index.db"), OpenMode::ReadWrite).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
}

#[test]
fn an_older_version_is_upgraded_and_keeps_its_rows() {
    let f = Fixture::new();
    f.store.upsert_camera_blocking(&cam("a"), None, at(1)).unwrap();
    f.store.shutdown_blocking().unwrap();

    let future = with(&[
        "ALTER TABLE cameras ADD COLUMN colour TEXT; UPDATE cameras SET colour = 'red';",
        "CREATE TABLE later (x INTEGER) STRICT;",
    ]);
    let e = Store::open_with(&f.path(), OpenMode::ReadOnly, future).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Conflict);
    let upgraded = Store::open_with(&f.path(), OpenMode::ReadWrite, future).unwrap();
    let colour: String = upgraded
        .read(|c| {
            c.query_row(
                "SELECT colour FROM cameras JOIN (SELECT count(*) FROM later)",
                [],
                |r| r.get(0),
            )
            .map_err(error::from_sqlite)
        })
        .unwrap();
    assert_eq!(colour, "red");
    upgraded.shutdown_blocking().unwrap();

    // And this version refuses what the newer one made, saying so, without changing it.
    let before = listing(f.dir.path());
    for e in both_refuse(&f.path()) {
        assert_eq!(e.kind(), ErrorKind::Unsupported);
        let newer = format!("version {}", future.len());
        assert!(e.to_string().contains(&newer), "{e}");
        assert!(e.hint().is_some());
    }
    let after: Vec<_> = listing(f.dir.path())
        .into_iter()
        .filter(|(p, bytes)| !(bytes.is_empty() || p.to_string_lossy().ends_with("-shm")))
        .collect();
    assert_eq!(after, before);
}

#[test]
fn an_upgrade_that_fails_changes_nothing() {
    let broken = with(&["CREATE TABLE half (x INTEGER); INSERT INTO nowhere VALUES (1);"]);
    let f = Fixture::new();
    f.store.shutdown_blocking().unwrap();
    Store::open_with(&f.path(), OpenMode::ReadWrite, broken).unwrap_err();
    let again = Store::open(f.path(), OpenMode::ReadWrite).unwrap();
    let half: i64 = again
        .read(|c| {
            c.query_row(
                "SELECT count(*) FROM sqlite_schema WHERE name = 'half'",
                [],
                |r| r.get(0),
            )
            .map_err(error::from_sqlite)
        })
        .unwrap();
    assert_eq!(half, 0);
    let dangling =
        with(&["INSERT INTO gaps (camera, start_ns, cause, message) VALUES ('nobody', 0, '', '');"]);
    drop(again);
    let e = Store::open_with(&f.path(), OpenMode::ReadWrite, dangling).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Corrupt);
}

#[test]
fn reading_only_works_beside_a_recorder_after_it_and_after_its_crash() {
    let f = Fixture::new();
    let reader = Store::open(f.path(), OpenMode::ReadOnly).unwrap();
    f.store
        .insert_segments_blocking(vec![closed("a", 0, 0, 10)])
        .unwrap();
    assert_eq!(reader.count().unwrap(), 1, "a live reader sees new commits");
    let e = reader.set_meta_blocking("k", "v").unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Conflict);
    assert!(!reader.is_writable());
    reader.shutdown_blocking().unwrap();

    // What a crash leaves: the file with its WAL, and no lock.
    let crashed = f.dir.path().join("crashed.db");
    std::fs::copy(f.path(), &crashed).unwrap();
    std::fs::copy(
        f.dir.path().join("index.db-wal"),
        f.dir.path().join("crashed.db-wal"),
    )
    .unwrap();
    assert_eq!(
        Store::open(&crashed, OpenMode::ReadOnly)
            .unwrap()
            .count()
            .unwrap(),
        1
    );

    drop(reader);
    f.store.shutdown_blocking().unwrap();
    assert_eq!(
        Store::open(f.path(), OpenMode::ReadOnly)
            .unwrap()
            .count()
            .unwrap(),
        1
    );
    let e = Store::open(f.dir.path().join("none.db"), OpenMode::ReadOnly).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    assert!(e.hint().is_some());
}

#[test]
fn a_closed_index_on_a_read_only_medium_is_read_as_it_lies() {
    let dir = tempfile::tempdir().unwrap();
    let odd = dir.path().join("a ?#%20b.db");
    let store = Store::open(&odd, OpenMode::ReadWrite).unwrap();
    store
        .insert_segments_blocking(vec![closed("a", 0, 0, 10)])
        .unwrap();
    store.shutdown_blocking().unwrap();
    drop(store);
    let before = listing(dir.path()).len();
    let conn = super::super::open::connect_immutable(&odd).unwrap();
    let n: i64 = conn
        .query_row("SELECT count(*) FROM segments", [], |r| r.get(0))
        .unwrap();
    assert_eq!(n, 1);
    assert_eq!(listing(dir.path()).len(), before, "no -shm was made");
}

/// As it lies while a checkpoint goes on: its first page is in the file already, those behind the old end are not.
#[test]
fn an_index_whose_log_is_being_moved_is_opened() {
    let f = Fixture::new();
    let before = std::fs::metadata(f.path()).unwrap().len();
    let rows = (0..200).map(|n| closed("a", n, i64::from(n) * 10, 10));
    f.store.insert_segments_blocking(rows.collect()).unwrap();
    let path = f.path();
    assert_eq!(
        std::fs::metadata(&path).unwrap().len(),
        before,
        "nothing was moved yet"
    );
    // File format, 1.3.8: the size of the database in pages.
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &10_000u32.to_be_bytes(), 28).unwrap();
    // Now: whoever writes moves the log when it ends.
    let broken = f.dir.path().join("broken.db");
    std::fs::copy(&path, &broken).unwrap();
    for mode in [OpenMode::ReadOnly, OpenMode::ReadWrite] {
        assert_eq!(
            Store::open(&path, mode).unwrap().count().unwrap(),
            200,
            "{mode:?}"
        );
    }
    // A file without a log that ends too early is broken.
    for e in both_refuse(&broken) {
        assert_eq!(e.kind(), ErrorKind::Corrupt, "{e}");
    }
    assert_eq!(
        std::fs::read_dir(f.dir.path()).unwrap().count(),
        4,
        "nothing was made beside it"
    );
}
