//! Compact records that can grow: varints, tagged fields, and a check sum.

use super::boxes::{Reader, corrupt};
use crate::error::{Error, ErrorKind, Result};

/// Appends an unsigned LEB128 number (1 byte per 7 bits).
pub(super) fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Reads what [`put_varint`] wrote.
pub(super) fn varint(r: &mut Reader<'_>) -> Result<u64> {
    let mut n = 0u64;
    for shift in (0..64).step_by(7) {
        let b = r.u8()?;
        let bits = u64::from(b & 0x7f);
        if shift == 63 && bits > 1 {
            break;
        }
        n |= bits << shift;
        if b & 0x80 == 0 {
            return Ok(n);
        }
    }
    Err(corrupt("a number of more than 64 bits"))
}

/// Small numbers of either sign become small unsigned ones.
pub(super) const fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

/// The reverse of [`zigzag`].
pub(super) const fn unzigzag(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}

/// Length of the check sum behind a record.
const CHECK_LEN: usize = 8;

/// Guards against a torn or half-written record, not against intent.
fn check(data: &[u8]) -> [u8; CHECK_LEN] {
    let mut out = [0; CHECK_LEN];
    out.copy_from_slice(&blake3::hash(data).as_bytes()[..CHECK_LEN]);
    out
}

/// Writes a record: `version`, then fields of (tag, length, value), then the check sum.
#[derive(Debug)]
pub(super) struct RecordWriter(Vec<u8>);

impl RecordWriter {
    /// Begins a record of this version.
    pub(super) fn new(version: u8) -> Self {
        Self(vec![version])
    }

    /// A field of bytes.
    pub(super) fn bytes(&mut self, tag: u64, value: &[u8]) -> &mut Self {
        put_varint(&mut self.0, tag);
        put_varint(&mut self.0, value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    /// A field that is one number.
    pub(super) fn number(&mut self, tag: u64, n: u64) -> &mut Self {
        let mut value = Vec::with_capacity(10);
        put_varint(&mut value, n);
        self.bytes(tag, &value)
    }

    /// A field that is one signed number.
    pub(super) fn signed(&mut self, tag: u64, n: i64) -> &mut Self {
        self.number(tag, zigzag(n))
    }

    /// The finished record.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let sum = check(&self.0);
        self.0.extend_from_slice(&sum);
        self.0
    }
}

/// A record read back. Fields that nobody asks for (of a newer writer) do no harm.
#[derive(Debug)]
pub(super) struct Record<'a>(Vec<(u64, &'a [u8])>);

/// Most fields that are accepted.
const MAX_FIELDS: usize = 256;

impl<'a> Record<'a> {
    /// Checks the sum and the version and splits the fields.
    pub(super) fn parse(data: &'a [u8], version: u8) -> Result<Self> {
        let (body, sum) = data
            .len()
            .checked_sub(CHECK_LEN)
            .map(|n| data.split_at(n))
            .ok_or_else(|| corrupt("record is cut"))?;
        if sum != check(body) {
            return Err(corrupt("record does not match its check sum"));
        }
        let mut r = Reader::new(body);
        let found = r.u8()?;
        if found != version {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("record of version {found}, this program reads version {version}"),
            )
            .with_hint("it was written by a newer release; use that one"));
        }
        let mut fields = Vec::new();
        while !r.rest().is_empty() {
            let tag = varint(&mut r)?;
            let len = usize::try_from(varint(&mut r)?).map_err(|_| corrupt("record field too long"))?;
            fields.push((tag, r.take(len)?));
            if fields.len() > MAX_FIELDS {
                return Err(corrupt("record with too many fields"));
            }
        }
        Ok(Self(fields))
    }

    /// A field, if it is there.
    pub(super) fn get(&self, tag: u64) -> Option<&'a [u8]> {
        self.0.iter().find(|(t, _)| *t == tag).map(|(_, v)| *v)
    }

    /// A field that must be there.
    pub(super) fn bytes(&self, tag: u64) -> Result<&'a [u8]> {
        self.get(tag)
            .ok_or_else(|| corrupt(format!("record without field {tag}")))
    }

    /// A number, if it is there.
    pub(super) fn get_number(&self, tag: u64) -> Result<Option<u64>> {
        self.get(tag).map(|v| varint(&mut Reader::new(v))).transpose()
    }

    /// A number that must be there.
    pub(super) fn number(&self, tag: u64) -> Result<u64> {
        varint(&mut Reader::new(self.bytes(tag)?))
    }

    /// A number of 32 bits that must be there.
    pub(super) fn number_u32(&self, tag: u64) -> Result<u32> {
        u32::try_from(self.number(tag)?).map_err(|_| corrupt(format!("field {tag} is too large")))
    }

    /// A signed number that must be there.
    pub(super) fn signed(&self, tag: u64) -> Result<i64> {
        self.number(tag).map(unzigzag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unknown_fields_are_skipped_and_versions_are_not() {
        let mut w = RecordWriter::new(3);
        w.number(99, 7).bytes(1000, b"new").signed(1, -5);
        let data = w.finish();
        assert_eq!(Record::parse(&data, 3).unwrap().signed(1).unwrap(), -5);
        assert_eq!(
            Record::parse(&data, 2).unwrap_err().kind(),
            ErrorKind::Unsupported
        );
    }

    proptest! {
        #[test]
        fn numbers_round_trip(n in any::<u64>()) {
            let mut out = Vec::new();
            put_varint(&mut out, n);
            prop_assert_eq!(varint(&mut Reader::new(&out)).unwrap(), n);
            prop_assert_eq!(unzigzag(zigzag(n as i64)), n as i64);
        }

        #[test]
        fn any_flipped_bit_is_noticed(at in any::<prop::sample::Index>(), bit in 0..8u32) {
            let mut w = RecordWriter::new(1);
            w.bytes(1, b"front-door").number(2, 12345);
            let mut data = w.finish();
            let at = at.index(data.len());
            data[at] ^= 1 << bit;
            prop_assert!(Record::parse(&data, 1).is_err());
        }

        #[test]
        fn garbage_does_not_panic(mut data in prop::collection::vec(any::<u8>(), 0..100)) {
            let sum = check(&data);
            data.extend(sum);
            let _ = Record::parse(&data, data[0]);
            let _ = varint(&mut Reader::new(&data));
        }
    }
}
