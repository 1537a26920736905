//! What foyer keeps, and how it lies on the disk.

use std::io::{Read, Write};

use bytes::Bytes;
use foyer::{Code, Error, ErrorKind, Result};

use crate::base::bounds::CACHE_ENTRY_BYTES_MAX;
use crate::policy::fingerprint::Fingerprint;

/// Bytes that an entry takes in memory beside its answer, about.
const OVERHEAD_BYTES: usize = 160;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(pub Fingerprint);

/// Bytes before the answer.
const HEAD_BYTES: usize = 28;

/// An encoded answer with its time. Milliseconds since 1970: it must mean the same after a restart.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// How often the cache had been cleared before.
    pub epoch: u64,
    pub stored_ms: u64,
    pub expires_ms: u64,
    pub answer: Bytes,
}

impl Entry {
    pub(super) fn weight(&self) -> usize {
        self.answer.len() + OVERHEAD_BYTES
    }
}

impl Code for Key {
    fn encode(&self, writer: &mut impl Write) -> Result<()> {
        writer.write_all(&self.0.0).map_err(Error::io_error)
    }

    fn decode(reader: &mut impl Read) -> Result<Self> {
        read_array(reader).map(|bytes| Self(Fingerprint(bytes)))
    }

    fn estimated_size(&self) -> usize {
        16
    }
}

impl Code for Entry {
    fn encode(&self, writer: &mut impl Write) -> Result<()> {
        let mut head = [0; HEAD_BYTES];
        head[..8].copy_from_slice(&self.epoch.to_le_bytes());
        head[8..16].copy_from_slice(&self.stored_ms.to_le_bytes());
        head[16..24].copy_from_slice(&self.expires_ms.to_le_bytes());
        head[24..].copy_from_slice(&(self.answer.len() as u32).to_le_bytes());
        writer.write_all(&head).map_err(Error::io_error)?;
        writer.write_all(&self.answer).map_err(Error::io_error)
    }

    /// Reserves nothing by the word of the bytes: a length is believed up to the bound, and as the bytes arrive.
    fn decode(reader: &mut impl Read) -> Result<Self> {
        let epoch = u64::from_le_bytes(read_array(reader)?);
        let stored_ms = u64::from_le_bytes(read_array(reader)?);
        let expires_ms = u64::from_le_bytes(read_array(reader)?);
        let length = u32::from_le_bytes(read_array(reader)?) as usize;
        if length > CACHE_ENTRY_BYTES_MAX {
            return Err(Error::new(ErrorKind::OutOfRange, "longer than any entry"));
        }
        let mut answer = Vec::new();
        reader.take(length as u64).read_to_end(&mut answer).map_err(Error::io_error)?;
        if answer.len() != length {
            return Err(Error::new(ErrorKind::OutOfRange, "shorter than it says"));
        }
        Ok(Self { epoch, stored_ms, expires_ms, answer: answer.into() })
    }

    fn estimated_size(&self) -> usize {
        HEAD_BYTES + self.answer.len()
    }
}

fn read_array<const N: usize>(reader: &mut impl Read) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes).map_err(Error::io_error)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn back_and_forth(epoch: u64, stored_ms: u64, expires_ms: u64, answer: Vec<u8>) {
            let entry = Entry { epoch, stored_ms, expires_ms, answer: answer.clone().into() };
            let mut bytes = Vec::new();
            prop_assert!(entry.encode(&mut bytes).is_ok());
            prop_assert_eq!(bytes.len(), entry.estimated_size());
            let back = Entry::decode(&mut bytes.as_slice());
            let back = back.map(|entry| (entry.epoch, entry.stored_ms, entry.expires_ms, entry.answer));
            prop_assert_eq!(back.ok(), Some((epoch, stored_ms, expires_ms, answer.into())));
            bytes.pop();
            prop_assert!(Entry::decode(&mut bytes.as_slice()).is_err());
        }

        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            if let Ok(entry) = Entry::decode(&mut bytes.as_slice()) {
                prop_assert!(entry.answer.len() <= bytes.len());
            }
        }
    }
}
