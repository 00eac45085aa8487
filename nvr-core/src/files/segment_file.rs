//! Files that grow: what the pipeline writes into.

use std::io::{self, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::delete::remove_file;
use super::growing::GrowingSegment;
use super::naming::SegmentName;
use super::plain;
use super::sync::Target;
use super::tree::Shared;
use crate::error::{Error, ErrorKind, Result};
use crate::fault::storage;
use crate::media::{GrowingIndex, describe, mfra};
use crate::segment::{ClosedSegment, SegmentFile};

/// What both kinds have in common.
#[derive(Debug)]
struct Base {
    tree: Arc<Shared>,
    name: SegmentName,
    path: PathBuf,
    target: Arc<Target>,
    growing: Arc<GrowingSegment>,
    /// It left the registry in order.
    done: bool,
}

impl Base {
    fn new(tree: Arc<Shared>, name: SegmentName, target: Arc<Target>, growing: Arc<GrowingSegment>) -> Self {
        Self {
            path: name.path(),
            tree,
            name,
            target,
            growing,
            done: false,
        }
    }

    fn failed(&self, verb: &str, e: io::Error) -> Error {
        storage(format!("{verb} {}", self.tree.full_path(&self.name).display()), e)
    }

    /// Writes all of it and says how much was written when that fails.
    fn write(&self, mut offset: u64, mut data: &[u8]) -> Result<()> {
        if let Some(e) = self.target.take_failure() {
            return Err(self.failed("sync", e));
        }
        while !data.is_empty() {
            match self.target.file.write_at(data, offset) {
                Ok(0) => return Err(self.failed("write", io::ErrorKind::WriteZero.into())),
                Ok(n) => {
                    offset += n as u64;
                    data = &data[n..];
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.failed("write", e)),
            }
        }
        self.target.written();
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        if let Some(e) = self.target.take_failure() {
            return Err(self.failed("sync", e));
        }
        self.target.sync().map_err(|e| self.failed("sync", e))?;
        self.done = true;
        self.tree.registry.finish(&self.growing);
        Ok(())
    }

    /// Removes a file of ours that holds no frame.
    fn discard(&mut self) {
        self.done = true;
        self.tree.registry.remove(&self.name.camera, &self.path);
        if let Err(e) = remove_file(self.tree.root(), &self.name) {
            tracing::warn!(camera = %self.name.camera, path = %self.name, error = %e, "cannot remove an empty segment");
        }
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        if !self.done {
            self.tree.abandon(&self.name, self.growing.start());
        }
    }
}

/// A fragmented MP4: follows the muxer's bytes and puts the description behind `moov`.
#[derive(Debug)]
pub(super) struct FragmentedFile {
    base: Base,
    index: GrowingIndex,
    /// Bytes of the muxer taken so far; it only ever appends.
    muxed: u64,
    /// Bytes in the file.
    written: u64,
    described: bool,
    /// Over everything up to `written`.
    hash: Box<blake3::Hasher>,
    /// Over everything up to `whole`.
    whole_hash: Box<blake3::Hasher>,
    whole: u64,
    failed: bool,
}

impl FragmentedFile {
    pub(super) fn new(
        tree: Arc<Shared>,
        name: SegmentName,
        target: Arc<Target>,
        growing: Arc<GrowingSegment>,
    ) -> Self {
        Self {
            base: Base::new(tree, name, target, growing),
            index: GrowingIndex::new(),
            muxed: 0,
            written: 0,
            described: false,
            hash: Box::default(),
            whole_hash: Box::default(),
            whole: 0,
            failed: false,
        }
    }

    fn append(&mut self, data: &[u8]) -> Result<()> {
        let mut rest = data;
        if !self.described {
            // The init comes in one piece or a few; nothing of it is shown before it is written.
            let n = self.index.push_until_init(rest).map_err(|e| self.odd(e))?;
            self.put(&rest[..n])?;
            rest = &rest[n..];
            if self.index.init().is_none() {
                return Ok(());
            }
            let description = describe::to_box(self.base.growing.start());
            self.index.push(&description).map_err(|e| self.odd(e))?;
            self.put(&description)?;
            self.described = true;
        }
        // Written before it is indexed: the index never tells of bytes that are not there.
        self.base.write(self.written, rest)?;
        let indexed = self.index.push(rest);
        self.hash_written(rest);
        self.base.growing.publish(self.index.index(), self.written);
        indexed.map_err(|e| self.odd(e))
    }

    fn put(&mut self, data: &[u8]) -> Result<()> {
        self.base.write(self.written, data)?;
        self.hash_written(data);
        Ok(())
    }

    fn hash_written(&mut self, data: &[u8]) {
        let from = self.written;
        self.written += data.len() as u64;
        let whole = self.index.whole_len();
        let mut rest = data;
        if whole > self.whole && (from..=self.written).contains(&whole) {
            let (inside, behind) = data.split_at((whole - from) as usize);
            self.hash.update(inside);
            self.whole_hash.clone_from(&self.hash);
            self.whole = whole;
            rest = behind;
        }
        self.hash.update(rest);
    }

    fn odd(&self, e: Error) -> Error {
        e.context(format_args!("the muxer's bytes for {}", self.base.name))
    }

    /// After a failed write: only whole fragments stay in the file.
    fn cut(&self) {
        if let Err(e) = self.base.target.file.set_len(self.whole) {
            tracing::debug!(camera = %self.base.name.camera, path = %self.base.name, error = %e, "cannot cut behind the last whole fragment");
        }
    }
}

impl SegmentFile for FragmentedFile {
    fn path(&self) -> &Path {
        &self.base.path
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        if self.failed {
            return Err(storage(
                format!("write {}: it failed before", self.base.name),
                rustix::io::Errno::IO,
            ));
        }
        let result = if offset == self.muxed {
            self.append(data)
        } else {
            Err(Error::new(
                ErrorKind::Internal,
                format!(
                    "the muxer of {} went from byte {} to {offset}: only appending is possible",
                    self.base.name, self.muxed
                ),
            ))
        };
        self.muxed += data.len() as u64;
        if result.is_err() {
            self.failed = true;
            self.cut();
        }
        result
    }

    fn finish(mut self: Box<Self>) -> Result<ClosedSegment> {
        let index = self.index.index();
        let (Some(init), false) = (self.index.init(), index.fragments.is_empty()) else {
            let error = Error::new(
                ErrorKind::Corrupt,
                format!("segment {} got no whole fragment; it was removed", self.base.name),
            );
            self.base.discard();
            return Err(error);
        };
        let closing = mfra::closing_boxes(index, init, self.index.samples());
        let blob = index.to_blob();
        let duration_ns = index.duration_ns();
        let whole = self.whole;
        if self.written != whole || self.failed {
            self.base
                .target
                .file
                .set_len(whole)
                .map_err(|e| self.base.failed("cut", e))?;
        }
        let mut hash = self.whole_hash.clone();
        let mut size_bytes = whole;
        match self.base.write(whole, &closing) {
            Ok(()) => {
                hash.update(&closing);
                size_bytes += closing.len() as u64;
            }
            // The footage is whole without its ends: better indexed now than lost from sight until there is
            // room for a few kilobytes.
            Err(e) if super::cause_of(&e).is_some_and(|c| c.kind == crate::event::CauseKind::DiskFull) => {
                self.base
                    .target
                    .file
                    .set_len(whole)
                    .map_err(|e| self.base.failed("cut", e))?;
            }
            Err(e) => return Err(e),
        }
        self.base.growing.publish(self.index.index(), size_bytes);
        self.base.finish()?;
        Ok(ClosedSegment {
            start: self.base.growing.start().clone(),
            path: self.base.path.clone(),
            duration_ns,
            size_bytes,
            fragments: blob,
            hash: Some(*hash.finalize().as_bytes()),
            recovered: false,
        })
    }
}

/// A plain container: written anywhere, described by its name alone.
#[derive(Debug)]
pub(super) struct PlainFile {
    base: Base,
    size: u64,
}

impl PlainFile {
    pub(super) fn new(
        tree: Arc<Shared>,
        name: SegmentName,
        target: Arc<Target>,
        growing: Arc<GrowingSegment>,
    ) -> Self {
        Self {
            base: Base::new(tree, name, target, growing),
            size: 0,
        }
    }
}

impl SegmentFile for PlainFile {
    fn path(&self) -> &Path {
        &self.base.path
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        self.base.write(offset, data)?;
        self.size = self.size.max(offset.saturating_add(data.len() as u64));
        self.base.growing.set_size(self.size);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<ClosedSegment> {
        if self.size == 0 {
            let error = Error::new(
                ErrorKind::Corrupt,
                format!("segment {} got no data; it was removed", self.base.name),
            );
            self.base.discard();
            return Err(error);
        }
        let info = plain::read(
            &mut BufReader::new(&self.base.target.file),
            self.base.growing.start().container,
        );
        self.base.finish()?;
        Ok(ClosedSegment {
            start: self.base.growing.start().clone(),
            path: self.base.path.clone(),
            duration_ns: info.map_or(0, |i| i.duration_ns),
            size_bytes: self.size,
            fragments: Vec::new(),
            hash: None,
            recovered: false,
        })
    }
}
