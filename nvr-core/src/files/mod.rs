//! stub
use std::path::{Path,PathBuf};
use std::sync::Arc;
use crate::error::Result;
use crate::event::Cause;
use crate::media::FragmentIndex;
use crate::segment::*;
/// x
#[derive(Debug)]
pub struct Root;
/// x
#[derive(Debug)]
pub struct Tree;
/// x
#[derive(Debug)]
pub struct GrowingSegment;
impl GrowingSegment { /// x
 pub fn path(&self)->&Path { Path::new("") } /// x
 pub fn index(&self)->Arc<FragmentIndex> { Arc::default() } }
impl Tree { /// x
 pub fn growing(&self)->Vec<Arc<GrowingSegment>> { vec![] } /// x
 pub fn healthy(&self)->std::result::Result<(),Cause> {Ok(())} /// x
 pub fn release(&self) {} }
impl SegmentFiles for Tree { fn create(&self, _s:&SegmentStart)->Result<Box<dyn SegmentFile>> { Err(crate::error::Error::new(crate::error::ErrorKind::Internal,"")) } }
/// x
#[derive(Debug)]
pub struct Usage{pub total_bytes:u64,pub available_bytes:u64}
/// x
pub fn usage_of(_:&PathBuf)->Result<Usage>{Ok(Usage{total_bytes:0,available_bytes:0})}
