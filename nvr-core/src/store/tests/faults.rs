//! Failing operations, full disks, broken files, crashes and many threads.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::store::error::SqlResult;

/// Keeps the writer in a transaction of its own until told to go on, so that what is queued meanwhile
/// shares the next one.
fn hold(store: &Store) -> (std::sync::mpsc::Sender<()>, oneshot::Receiver<Result<()>>) {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (running, runs) = std::sync::mpsc::channel();
    let (command, answer) = writer::operation(move |_| {
        running.send(()).ok();
        wait.recv().ok();
        Ok(())
    });
    store.writer().unwrap().blocking_send(command).unwrap();
    runs.recv().unwrap();
    (go, answer)
}

fn queue<T: Send + 'static>(
    store: &Store,
    f: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
) -> oneshot::Receiver<Result<T>> {
    let (command, answer) = writer::operation(f);
    store.writer().unwrap().blocking_send(command).unwrap();
    answer
}

fn put(key: &'static str) -> impl FnOnce(&Connection) -> Result<()> + Send {
    move |c| {
        c.execute("INSERT INTO meta VALUES (?1, '')", [key])
            .sql()
            .map(|_| ())
    }
}

#[test]
fn an_operation_that_fails_or_panics_is_undone_alone() {
    let f = Fixture::new();
    let (go, first) = hold(&f.store);
    let good = queue(&f.store, put("good"));
    let bad = queue(&f.store, |c| {
        put("half")(c)?;
        Err::<(), _>(Error::new(ErrorKind::Conflict, "no"))
    });
    let twice = queue(&f.store, put("good"));
    let panics = queue(&f.store, |c| -> Result<()> {
        put("panic")(c)?;
        panic!("a fault in an operation")
    });
    let last = queue(&f.store, put("last"));
    go.send(()).unwrap();
    first.blocking_recv().unwrap().unwrap();
    good.blocking_recv().unwrap().unwrap();
    assert_eq!(
        bad.blocking_recv().unwrap().unwrap_err().kind(),
        ErrorKind::Conflict
    );
    assert_eq!(
        twice.blocking_recv().unwrap().unwrap_err().kind(),
        ErrorKind::AlreadyExists
    );
    assert_eq!(
        panics.blocking_recv().unwrap().unwrap_err().kind(),
        ErrorKind::Internal
    );
    last.blocking_recv().unwrap().unwrap();
    for (key, there) in [("good", true), ("half", false), ("panic", false), ("last", true)] {
        assert_eq!(f.store.meta(key).unwrap().is_some(), there, "{key}");
    }
}

#[test]
fn a_full_disk_is_said_and_writing_goes_on_when_there_is_room() {
    let f = Fixture::new();
    let limit = |pages: i64| {
        f.store
            .write_blocking(move |c| {
                c.query_row(&format!("PRAGMA max_page_count={pages}"), [], |r| {
                    r.get::<_, i64>(0)
                })
                .sql()
            })
            .unwrap()
    };
    limit(1); // SQLite makes that the present size
    let mut big = closed("a", 0, 0, 10);
    big.fragments = vec![1; 1 << 20];
    let e = f.store.insert_segments_blocking(vec![big.clone()]).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Storage);
    assert!(e.hint().is_some());
    assert_eq!(f.store.count().unwrap(), 0, "nothing of it is left");
    limit(1_000_000);
    f.store.insert_segments_blocking(vec![big]).unwrap();
    assert_eq!(f.store.count().unwrap(), 1);
    assert!(f.store.integrity_check().unwrap().is_empty());
}

#[test]
fn every_operation_of_a_lost_transaction_is_told() {
    let f = Fixture::new();
    let (go, first) = hold(&f.store);
    let good = queue(&f.store, put("good"));
    // What SQLite does by itself on an I/O error.
    let lost = queue(&f.store, |c| {
        c.execute_batch("ROLLBACK").sql()?;
        Err::<(), _>(Error::new(ErrorKind::Storage, "the disk said no"))
    });
    let never_run = queue(&f.store, put("later"));
    go.send(()).unwrap();
    first.blocking_recv().unwrap().unwrap();
    for answer in [good, lost, never_run] {
        let e = answer.blocking_recv().unwrap().unwrap_err();
        assert_eq!(
            (e.kind(), e.to_string().as_str()),
            (ErrorKind::Storage, "the disk said no")
        );
    }
    assert_eq!(f.store.meta("good").unwrap(), None);
    f.store.set_meta_blocking("good", "again").unwrap();
    assert_eq!(f.store.meta("good").unwrap().as_deref(), Some("again"));
}

#[test]
fn after_a_fault_the_file_is_opened_again_but_never_made_anew() {
    let f = Fixture::new();
    f.store.set_meta_blocking("k", "v").unwrap();
    let fault = || {
        f.store.write_blocking(|_| {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_WRITE);
            Err::<(), _>(error::from_sqlite(rusqlite::Error::SqliteFailure(code, None)))
        })
    };
    assert_eq!(fault().unwrap_err().kind(), ErrorKind::Storage);
    f.store.set_meta_blocking("k", "w").unwrap();
    assert_eq!(f.store.meta("k").unwrap().as_deref(), Some("w"));

    assert_eq!(fault().unwrap_err().kind(), ErrorKind::Storage);
    let away = f.dir.path().join("away.db");
    std::fs::rename(f.path(), &away).unwrap();
    let e = f.store.set_meta_blocking("k", "x").unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Storage);
    assert!(!f.path().exists());
    std::fs::rename(&away, f.path()).unwrap();
    f.store.set_meta_blocking("k", "x").unwrap();
    assert_eq!(f.store.meta("k").unwrap().as_deref(), Some("x"));
}

#[test]
fn a_broken_file_is_corrupt_with_a_hint() {
    let f = Fixture::new();
    let segments = (0..2000).map(|i| closed("a", i, i64::from(i) * 10, 10)).collect();
    f.store.insert_segments_blocking(segments).unwrap();
    f.store.shutdown_blocking().unwrap();
    let mut bytes = std::fs::read(f.path()).unwrap();
    for page in bytes.chunks_mut(4096).skip(1) {
        page.fill(0xA5);
    }
    std::fs::write(f.path(), bytes).unwrap();
    let broken = Store::open(f.path(), OpenMode::ReadOnly)
        .and_then(|s| s.segments(&SegmentQuery::new([], TimeRange::ALL)).map(|_| ()));
    let e = broken.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Corrupt);
    assert!(e.hint().unwrap().contains("nvr check --rebuild"));
}

#[test]
fn a_crash_in_the_middle_of_a_batch_leaves_what_was_committed() {
    let f = Fixture::new();
    f.store
        .insert_segments_blocking(vec![closed("a", 0, 0, 10)])
        .unwrap();
    let (from, to) = (f.dir.path().to_owned(), tempfile::tempdir().unwrap());
    let target = to.path().to_owned();
    let batch: Vec<ClosedSegment> = (1..5000).map(|i| closed("a", i, i64::from(i) * 10, 10)).collect();
    // The files as a kill would leave them: a transaction of thousands of rows, spilled or not, without
    // its commit.
    f.store
        .write_blocking(move |c| {
            c.execute_batch("PRAGMA cache_size=10").sql()?;
            for s in &batch {
                c.execute(
                    "INSERT INTO segments (camera, run, sequence, path, state, start_ns, duration_ns, size_bytes,
                         container, video_codec, width, height)
                     VALUES ('a', 1, ?1, ?2, 'closed', ?3, 1, 1, 'fmp4', 'h264', 1, 1)",
                    (s.start.sequence, s.path.to_str(), s.start.start.as_ns()),
                )
                .sql()?;
            }
            for name in ["index.db", "index.db-wal"] {
                std::fs::copy(from.join(name), target.join(name)).unwrap();
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(f.store.count().unwrap(), 5000);
    let wal = |d: &Path| std::fs::metadata(d.join("index.db-wal")).unwrap().len();
    assert!(wal(to.path()) > 100_000, "the batch did reach the disk");
    let survivor = Store::open(to.path().join("index.db"), OpenMode::ReadWrite).unwrap();
    assert_eq!(survivor.count().unwrap(), 1);
    assert!(survivor.integrity_check().unwrap().is_empty());
    survivor
        .insert_segments_blocking(vec![closed("a", 1, 10, 10)])
        .unwrap();
}

#[test]
fn what_is_queued_is_written_when_the_last_handle_is_dropped() {
    let f = Fixture::new();
    let path = f.path();
    let (go, first) = hold(&f.store);
    let last = queue(&f.store, put("last"));
    let Fixture { dir, store } = f;
    drop(store);
    go.send(()).unwrap();
    first.blocking_recv().unwrap().unwrap();
    last.blocking_recv().unwrap().unwrap();
    let again = Store::open(&path, OpenMode::ReadWrite).unwrap();
    assert!(again.meta("last").unwrap().is_some());
    drop(dir);
}

#[test]
fn many_readers_see_whole_commits_while_many_write() {
    const WRITERS: u32 = 3;
    const EACH: u32 = 150;
    let f = Fixture::new();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for r in 0..8 {
            let (store, done) = (f.store.clone(), &done);
            scope.spawn(move || {
                let mut before = 0;
                let query = SegmentQuery::new([cam("w0"), cam("w1"), cam("w2")], TimeRange::ALL);
                loop {
                    let last_round = done.load(Ordering::SeqCst);
                    // Pairs are written in one operation: an odd number would be half a commit.
                    let n = store.all_segments(&query).unwrap().len();
                    assert_eq!(n % 2, 0, "reader {r}");
                    assert!(n >= before);
                    before = n;
                    if last_round {
                        assert_eq!(n as u32, 2 * WRITERS * EACH);
                        return;
                    }
                }
            });
        }
        let writers: Vec<_> = (0..WRITERS)
            .map(|w| {
                let store = f.store.clone();
                scope.spawn(move || {
                    for i in 0..EACH {
                        let camera = format!("w{w}");
                        let pair = [2 * i, 2 * i + 1].map(|n| closed(&camera, n, i64::from(n) * 10, 10));
                        store.insert_segments_blocking(pair.to_vec()).unwrap();
                    }
                })
            })
            .collect();
        for w in writers {
            w.join().unwrap();
        }
        done.store(true, Ordering::SeqCst);
    });
}

#[test]
fn two_processes_may_write_in_turn() {
    let f = Fixture::new();
    let other = Store::open(f.path(), OpenMode::ReadWrite).unwrap();
    for i in 0..20 {
        let store = [&f.store, &other][i as usize % 2];
        store
            .insert_segments_blocking(vec![closed("a", i, i64::from(i) * 10, 10)])
            .unwrap();
    }
    assert_eq!(other.count().unwrap(), 20);
    other.shutdown_blocking().unwrap();
    assert_eq!(f.store.count().unwrap(), 20);
    assert_eq!(
        other.shutdown_blocking().unwrap_err().kind(),
        ErrorKind::Unavailable
    );
}
