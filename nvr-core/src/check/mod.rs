//! stub
use crate::clock::SharedClock;
use crate::error::Result;
use crate::event::Event;
use crate::files::Root;
use crate::store::Store;
/// stub
/// # Errors
/// stub
pub fn reconcile(_: &Store, _: &Root, _: &SharedClock) -> Result<Vec<Event>> {
    Ok(vec![])
}
