//! The gateway's journal: how far each lease has got, kept on disk until the control plane knows.
//!
//! Two files take turns. Each holds the whole state (a few dozen bytes a lease) with a sequence
//! number and a checksum, so that a write that is cut short leaves the one before it. What was
//! forwarded after the last write is lost in a crash: at most one tick.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tollgate_types::{Bytes, GatewayId, LeaseId, LeaseUsage};

const MAGIC: &[u8; 8] = b"tollgate";
const VERSION: u32 = 1;
/// Magic, version, sequence number, count of records, checksum.
const HEADER: usize = 8 + 4 + 8 + 4 + 4;
/// Lease, used, granted.
const RECORD: usize = 24;
/// The largest journal that is read: four million leases.
const LARGEST: u64 = 100 << 20;

/// An open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    slots: [File; 2],
    sequence: u64,
    gateway: GatewayId,
    written: Vec<LeaseUsage>,
}

impl Journal {
    /// Opens the journal in a folder, which is made where it is missing, and reads what the run
    /// before left. `fresh_id` names the gateway where the folder is new.
    ///
    /// # Errors
    /// Where the folder cannot be used.
    pub(crate) fn open(folder: &Path, fresh_id: GatewayId) -> io::Result<(Self, Vec<LeaseUsage>)> {
        std::fs::create_dir_all(folder)?;
        let gateway = gateway_id(&folder.join("gateway-id"), fresh_id)?;
        let mut slots = [open(folder.join("usage-a"))?, open(folder.join("usage-b"))?];
        let newest = slots.iter_mut().filter_map(read).max_by_key(|(sequence, _)| *sequence);
        File::open(folder)?.sync_all()?;
        let (sequence, usages) = newest.unwrap_or_default();
        Ok((Self { slots, sequence, gateway, written: usages.clone() }, usages))
    }

    /// This gateway's id, the same over restarts.
    pub(crate) fn gateway(&self) -> GatewayId {
        self.gateway
    }

    /// Writes the whole state, unless it is what was written last.
    ///
    /// # Errors
    /// As [`Journal::write`].
    pub(crate) fn write_if_changed(&mut self, usages: &[LeaseUsage]) -> io::Result<()> {
        if self.written == usages { Ok(()) } else { self.write(usages) }
    }

    /// Writes the whole state, over the older of the two files.
    ///
    /// # Errors
    /// Those of the disk; the state before stays readable.
    pub(crate) fn write(&mut self, usages: &[LeaseUsage]) -> io::Result<()> {
        let sequence = self.sequence + 1;
        let bytes = encode(sequence, usages);
        let slot = &mut self.slots[usize::from(sequence % 2 == 1)];
        slot.rewind()?;
        slot.write_all(&bytes)?;
        slot.set_len(bytes.len() as u64)?;
        slot.sync_data()?;
        self.sequence = sequence;
        self.written = usages.to_vec();
        Ok(())
    }
}

fn open(path: PathBuf) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn gateway_id(path: &Path, fresh: GatewayId) -> io::Result<GatewayId> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let broken =
                || io::Error::new(io::ErrorKind::InvalidData, format!("{} holds no id", path.display()));
            text.trim().parse().map(GatewayId::new).map_err(|_| broken())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            writeln!(file, "{fresh}")?;
            file.sync_all()?;
            Ok(fresh)
        }
        Err(error) => Err(error),
    }
}

fn encode(sequence: u64, usages: &[LeaseUsage]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + usages.len() * RECORD);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&sequence.to_le_bytes());
    // A gateway does not hold four thousand million leases.
    bytes.extend_from_slice(&(usages.len() as u32).to_le_bytes());
    let mut records = Vec::with_capacity(usages.len() * RECORD);
    for usage in usages {
        for number in [usage.id.get(), usage.used.as_i64(), usage.granted.as_i64()] {
            records.extend_from_slice(&number.to_le_bytes());
        }
    }
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&bytes);
    checksum.update(&records);
    bytes.extend_from_slice(&checksum.finalize().to_le_bytes());
    bytes.extend_from_slice(&records);
    bytes
}

/// What a file holds, where it is whole.
fn read(slot: &mut File) -> Option<(u64, Vec<LeaseUsage>)> {
    let mut bytes = Vec::new();
    slot.rewind().ok()?;
    slot.take(LARGEST).read_to_end(&mut bytes).ok()?;
    decode(&bytes)
}

fn decode(bytes: &[u8]) -> Option<(u64, Vec<LeaseUsage>)> {
    let (header, records) = bytes.split_at_checked(HEADER)?;
    let (said, checksum) = header.split_at_checked(HEADER - 4)?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(said);
    hasher.update(records);
    let count = u32::from_le_bytes(said.get(20..24)?.try_into().ok()?);
    let sound = said.starts_with(MAGIC)
        && said.get(8..12)? == VERSION.to_le_bytes()
        && checksum == hasher.finalize().to_le_bytes()
        && records.len() == count as usize * RECORD;
    let sequence = u64::from_le_bytes(said.get(12..20)?.try_into().ok()?);
    sound.then(|| (sequence, records.chunks_exact(RECORD).filter_map(record).collect()))
}

fn record(bytes: &[u8]) -> Option<LeaseUsage> {
    let number =
        |place: usize| Some(i64::from_le_bytes(bytes.get(place * 8..place * 8 + 8)?.try_into().ok()?));
    Some(LeaseUsage {
        id: LeaseId::new(number(0)?),
        used: Bytes::from_i64(number(1)?),
        granted: Bytes::from_i64(number(2)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(id: i64, used: u64) -> LeaseUsage {
        LeaseUsage { id: LeaseId::new(id), used: Bytes::new(used), granted: Bytes::new(1000) }
    }

    fn folder() -> PathBuf {
        let unique = format!("tollgate-journal-{}-{:?}", std::process::id(), std::thread::current().id());
        let folder = std::env::temp_dir().join(unique);
        let _ = std::fs::remove_dir_all(&folder);
        folder
    }

    #[test]
    fn keeps_the_newest_state_and_the_gateways_id() {
        let folder = folder();
        let (mut journal, left) = Journal::open(&folder, GatewayId::new(5)).unwrap();
        assert!(left.is_empty());
        for used in 1..=5 {
            journal.write(&[usage(1, used), usage(2, used * 2)]).unwrap();
        }
        let (journal, left) = Journal::open(&folder, GatewayId::new(6)).unwrap();
        assert_eq!((journal.gateway(), left), (GatewayId::new(5), vec![usage(1, 5), usage(2, 10)]));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_write_that_was_cut_short_or_altered_leaves_the_one_before() {
        let folder = folder();
        let (mut journal, _) = Journal::open(&folder, GatewayId::new(5)).unwrap();
        journal.write(&[usage(1, 1)]).unwrap();
        journal.write(&[usage(1, 2)]).unwrap();
        let newest = ["usage-a", "usage-b"].map(|name| folder.join(name));
        let newest = newest.into_iter().max_by_key(|path| std::fs::read(path).unwrap()[12]).unwrap();
        let whole = std::fs::read(&newest).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&newest, &whole[..cut]).unwrap();
            assert_eq!(
                Journal::open(&folder, GatewayId::new(5)).unwrap().1,
                vec![usage(1, 1)],
                "cut at {cut}"
            );
        }
        for place in 0..whole.len() {
            let mut altered = whole.clone();
            altered[place] ^= 4;
            std::fs::write(&newest, &altered).unwrap();
            assert_eq!(
                Journal::open(&folder, GatewayId::new(5)).unwrap().1,
                vec![usage(1, 1)],
                "altered at {place}"
            );
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
