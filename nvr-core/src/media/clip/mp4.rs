//! stub
use super::plan::ClipPlan;
use super::timeline::MapEntry;
use crate::error::Result;
use crate::media::init::InitSegment;

#[derive(Debug)]
pub(super) struct Mp4 {}
impl Mp4 {
    pub(super) fn open(_plan: &ClipPlan, _init: &InitSegment) -> Result<Self> {
        Err(crate::error::Error::new(
            crate::error::ErrorKind::Unsupported,
            "not built yet",
        ))
    }
    pub(super) fn len(&self) -> u64 {
        0
    }
    pub(super) fn mapping(&self) -> &[MapEntry] {
        &[]
    }
    pub(super) fn read_exact(&self, _offset: u64, _buf: &mut [u8]) -> Result<()> {
        Ok(())
    }
}
