//! Backups of what is not footage: configuration, index, accounts and pushes, in one archive, while a recorder runs; and
//! their restoration.
//!
//! An archive is a gzipped tar of a few members with known names, all ordinary files: first `manifest.json`, which says what
//! follows with size and BLAKE3, then those of the members that there were. Nothing of an archive is used before all of it
//! was read and compared. What does not belong here: when backups are made (`nvr/backups.rs`), footage.
//!
//! | file | |
//! |---|---|
//! | `manifest` | what an archive says of itself |
//! | `archive` | the archive, written and read |
//! | `make` | the copies, taken at one moment |
//! | `restore` | from the archive to files beside their places |
//! | `exchange` | the files put in place, all or, after a crash, later |
//! | `folder` | a folder to work in that goes with its owner |
//! | `series` | which backup is due, which goes (pure) |

mod archive;
mod exchange;
mod folder;
mod make;
mod manifest;
mod restore;
pub(crate) mod series;
#[cfg(test)]
mod tests;

pub use self::exchange::{finish_restore, is_cut_off};
pub use self::make::{Backup, Sources};
pub use self::manifest::{Manifest, Member};
pub use self::restore::{Restore, RestoreReport};

/// Name of the manifest in an archive.
const MANIFEST: &str = "manifest.json";
/// The configuration file, as it is, comments and passwords included.
const CONFIG: &str = "config.toml";
/// The index.
const INDEX: &str = "index.db";
/// Users, tokens, shares and what was noted of them, without logins.
const ACCOUNTS: &str = "accounts.db";
/// Pushes that are kept over a restart.
const PUSHES: &str = "pushes.json";
/// What may be in an archive beside its manifest, in this order.
const MEMBERS: [&str; 4] = [CONFIG, INDEX, ACCOUNTS, PUSHES];
