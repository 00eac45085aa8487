//! Boxes of the ISO base media file format (ISO/IEC 14496-12, 4.2): a bounded reader and a small writer.
//!
//! Nothing here knows what a box means; see [`init`](super::init) and [`fragment`](super::fragment).

use std::fmt;

use crate::error::{Error, ErrorKind, Result};

/// A `Corrupt` error.
pub(crate) fn corrupt(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, message)
}

/// The four-character code of a box or sample entry.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FourCc(pub [u8; 4]);

impl FourCc {
    /// Whether all four are printable ASCII (or the `©` of QuickTime), as in every registered code.
    #[must_use]
    pub fn is_plausible(self) -> bool {
        self.0.iter().all(|b| matches!(b, 0x20..=0x7e | 0xa9))
    }
}

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{self}'")
    }
}

impl PartialEq<[u8; 4]> for FourCc {
    fn eq(&self, other: &[u8; 4]) -> bool {
        self.0 == *other
    }
}

impl PartialEq<&[u8; 4]> for FourCc {
    fn eq(&self, other: &&[u8; 4]) -> bool {
        self.0 == **other
    }
}

/// The header of a box.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BoxHeader {
    /// Type.
    pub kind: FourCc,
    /// The extended type of a `uuid` box.
    pub uuid: Option<[u8; 16]>,
    /// Size of the whole box in bytes, header included; `None` when it reaches to the end of the file
    /// (size field 0).
    pub size: Option<u64>,
    /// Size of the header in bytes: 8, 16, 24 or 32.
    pub header_len: u8,
}

/// What [`BoxHeader::parse`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeaderParse {
    /// A whole header.
    Whole(BoxHeader),
    /// The header is longer than the data; this many bytes are needed to go on (more than were given).
    NeedsBytes(usize),
}

/// Longest header: 64-bit size and extended type.
pub const MAX_HEADER_LEN: usize = 32;

impl BoxHeader {
    /// Reads the header at the start of `data`.
    ///
    /// # Errors
    /// `Corrupt` when the size is smaller than the header.
    pub fn parse(data: &[u8]) -> Result<HeaderParse> {
        let mut r = Reader::new(data);
        if data.len() < 8 {
            return Ok(HeaderParse::NeedsBytes(8));
        }
        let short = r.u32()?;
        let kind = FourCc(r.array()?);
        let is_uuid = kind == b"uuid";
        let header_len = 8 + if short == 1 { 8 } else { 0 } + if is_uuid { 16 } else { 0 };
        if data.len() < header_len {
            return Ok(HeaderParse::NeedsBytes(header_len));
        }
        let size = match short {
            0 => None,
            1 => Some(r.u64()?),
            n => Some(u64::from(n)),
        };
        let uuid = if is_uuid { Some(r.array()?) } else { None };
        if size.is_some_and(|s| s < header_len as u64) {
            return Err(corrupt(format!(
                "box '{kind}' of {} bytes is smaller than its header",
                size.unwrap_or(0)
            )));
        }
        Ok(HeaderParse::Whole(Self {
            kind,
            uuid,
            size,
            header_len: header_len as u8,
        }))
    }
}

/// One whole box inside a slice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BoxRef<'a> {
    /// Its header; `size` is filled in even where the size field is 0.
    pub header: BoxHeader,
    /// Offset of the box from the start of the slice that was iterated.
    pub offset: usize,
    /// The whole box, header included.
    pub bytes: &'a [u8],
}

impl<'a> BoxRef<'a> {
    /// Type.
    #[must_use]
    pub fn kind(&self) -> FourCc {
        self.header.kind
    }

    /// What follows the header.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        &self.bytes[usize::from(self.header.header_len)..]
    }

    /// Offset of the body from the start of the slice that was iterated.
    #[must_use]
    pub fn body_offset(&self) -> usize {
        self.offset + usize::from(self.header.header_len)
    }

    /// The boxes inside.
    #[must_use]
    pub fn children(&self) -> Boxes<'a> {
        Boxes::new(self.body())
    }

    /// Version, flags and the rest of a full box.
    ///
    /// # Errors
    /// `Corrupt` when it is too short.
    pub fn full(&self) -> Result<(u8, u32, Reader<'a>)> {
        let mut r = Reader::new(self.body());
        let word = r
            .u32()
            .map_err(|e| e.context(format_args!("box '{}'", self.kind())))?;
        Ok(((word >> 24) as u8, word & 0x00ff_ffff, r))
    }
}

/// Iterates the boxes of a slice. Ends after the first error; fewer than 8 trailing bytes are ignored
/// when they are zero (some writers end containers with a zero terminator).
#[derive(Clone, Debug)]
pub struct Boxes<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Boxes<'a> {
    /// The boxes that make up `data`.
    #[must_use]
    pub const fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    fn read(&mut self) -> Result<Option<BoxRef<'a>>> {
        let rest = &self.data[self.at..];
        if rest.is_empty() || (rest.len() < 8 && rest.iter().all(|&b| b == 0)) {
            return Ok(None);
        }
        let mut header = match BoxHeader::parse(rest)? {
            HeaderParse::Whole(h) => h,
            HeaderParse::NeedsBytes(n) => {
                return Err(corrupt(format!(
                    "box header needs {n} bytes, {} are left",
                    rest.len()
                )));
            }
        };
        let size = header.size.unwrap_or(rest.len() as u64);
        let bytes = usize::try_from(size)
            .ok()
            .and_then(|n| rest.get(..n))
            .ok_or_else(|| {
                corrupt(format!(
                    "box '{}' of {size} bytes does not fit into {}",
                    header.kind,
                    rest.len()
                ))
            })?;
        header.size = Some(size);
        let offset = self.at;
        self.at += bytes.len();
        Ok(Some(BoxRef {
            header,
            offset,
            bytes,
        }))
    }
}

impl<'a> Iterator for Boxes<'a> {
    type Item = Result<BoxRef<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.read().transpose();
        if !matches!(item, Some(Ok(_))) {
            self.at = self.data.len();
        }
        item
    }
}

impl std::iter::FusedIterator for Boxes<'_> {}

/// The first box of this type directly inside `data`.
///
/// # Errors
/// `Corrupt` when a box before it is.
pub fn find<'a>(data: &'a [u8], kind: &[u8; 4]) -> Result<Option<BoxRef<'a>>> {
    for b in Boxes::new(data) {
        let b = b?;
        if b.kind() == kind {
            return Ok(Some(b));
        }
    }
    Ok(None)
}

/// The first box at a path of types (`[b"mdia", b"minf"]`) below `data`.
///
/// # Errors
/// `Corrupt` when a box before it is.
pub fn find_path<'a>(data: &'a [u8], path: &[&[u8; 4]]) -> Result<Option<BoxRef<'a>>> {
    let mut inside = data;
    let mut found = None;
    for kind in path {
        found = find(inside, kind)?;
        match &found {
            Some(b) => inside = b.body(),
            None => return Ok(None),
        }
    }
    Ok(found)
}

/// Reads big-endian numbers off a slice; running over the end is a `Corrupt` error.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    data: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the beginning of `data`.
    #[must_use]
    pub const fn new(data: &'a [u8]) -> Self {
        Self { data }
    }

    /// What has not been read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.data
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    /// `Corrupt` at the end; so do all the others.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        match self.data.split_at_checked(n) {
            Some((head, tail)) => {
                self.data = tail;
                Ok(head)
            }
            None => Err(corrupt(format!("{n} bytes wanted, {} are left", self.data.len()))),
        }
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// `Corrupt` at the end.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }
}

macro_rules! numbers {
    ($($name:ident: $ty:ty),*) => {
        impl Reader<'_> {
            $(
                #[doc = concat!("The next `", stringify!($ty), "`.\n\n# Errors\n`Corrupt` at the end.")]
                pub fn $name(&mut self) -> Result<$ty> {
                    Ok(<$ty>::from_be_bytes(self.array()?))
                }
            )*
        }
    };
}
numbers!(u8: u8, u16: u16, u32: u32, u64: u64, i16: i16, i32: i32, i64: i64);

/// Writes boxes into a vector; sizes are filled in when a box ends.
#[derive(Clone, Default, Debug)]
pub struct BoxWriter {
    out: Vec<u8>,
}

impl BoxWriter {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What was written.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// Number of bytes written so far.
    #[must_use]
    pub fn position(&self) -> usize {
        self.out.len()
    }

    /// Appends raw bytes.
    pub fn bytes(&mut self, data: &[u8]) -> &mut Self {
        self.out.extend_from_slice(data);
        self
    }

    /// Appends a number.
    pub fn u8(&mut self, n: u8) -> &mut Self {
        self.bytes(&[n])
    }

    /// Appends a number, big-endian.
    pub fn u16(&mut self, n: u16) -> &mut Self {
        self.bytes(&n.to_be_bytes())
    }

    /// Appends a number, big-endian.
    pub fn u32(&mut self, n: u32) -> &mut Self {
        self.bytes(&n.to_be_bytes())
    }

    /// Appends a number, big-endian.
    pub fn u64(&mut self, n: u64) -> &mut Self {
        self.bytes(&n.to_be_bytes())
    }

    /// Overwrites four bytes written earlier.
    ///
    /// # Panics
    /// When `at + 4` lies behind [`position`](Self::position).
    pub fn patch_u32(&mut self, at: usize, n: u32) {
        self.out[at..at + 4].copy_from_slice(&n.to_be_bytes());
    }

    /// A box with what `body` writes. Boxes written here are held in memory, so 32 bits of size do.
    ///
    /// # Panics
    /// When the box becomes larger than 4 GiB.
    pub fn boxed(&mut self, kind: &[u8; 4], body: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.out.len();
        self.u32(0).bytes(kind);
        body(self);
        let size = u32::try_from(self.out.len() - start).expect("a box in memory is below 4 GiB");
        self.patch_u32(start, size);
        self
    }

    /// A full box: with version and flags.
    ///
    /// # Panics
    /// As [`boxed`](Self::boxed).
    pub fn full(
        &mut self,
        kind: &[u8; 4],
        version: u8,
        flags: u32,
        body: impl FnOnce(&mut Self),
    ) -> &mut Self {
        self.boxed(kind, |w| {
            w.u32(u32::from(version) << 24 | (flags & 0x00ff_ffff));
            body(w);
        })
    }

    /// A `uuid` box.
    ///
    /// # Panics
    /// As [`boxed`](Self::boxed).
    pub fn uuid(&mut self, uuid: &[u8; 16], body: impl FnOnce(&mut Self)) -> &mut Self {
        self.boxed(b"uuid", |w| {
            w.bytes(uuid);
            body(w);
        })
    }
}

#[cfg(test)]
mod tests;
