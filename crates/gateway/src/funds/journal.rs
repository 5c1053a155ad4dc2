//! The gateway's journal: what was forwarded and is not settled, kept on disk so that a crash does
//! not forget it.
//!
//! Two files take turns. Each holds the whole state (a few dozen bytes a lease) with a sequence
//! number and a checksum, so that a write that is cut short, or bits that flip, leave the state
//! before it. What was forwarded after the last write is lost in a crash: at most one tick. The
//! journal never holds more than was forwarded.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use tollgate_types::{Bytes, GatewayId, LeaseId, LeaseUsage};

const MAGIC: &[u8; 8] = b"tollgate";
const VERSION: u32 = 1;
/// Magic, version, gateway, sequence number, count of records, checksum of all the rest.
const HEADER: usize = 8 + 4 + 8 + 8 + 4 + 4;
/// Lease, used, granted.
const RECORD: usize = 24;
/// The largest journal that is read: four million leases.
const LARGEST: u64 = 100 << 20;

/// An open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    slots: [File; 2],
    gateway: GatewayId,
    sequence: u64,
    written: Vec<LeaseUsage>,
}

/// What a slot holds.
#[derive(Debug, PartialEq, Eq)]
struct Snapshot {
    gateway: GatewayId,
    sequence: u64,
    usages: Vec<LeaseUsage>,
}

impl Journal {
    /// Opens the journal in a folder, which is made where it is missing, and reads what the run
    /// before left. `fresh_id` names the gateway where the folder is new.
    ///
    /// # Errors
    /// Where the folder cannot be used. A journal that cannot be understood is no error: it is
    /// logged, and nothing of it is reported.
    pub(crate) fn open(folder: &Path, fresh_id: GatewayId) -> io::Result<(Self, Vec<LeaseUsage>)> {
        std::fs::create_dir_all(folder)?;
        let (slot_a, state_a) = open_slot(&folder.join("usage-a"))?;
        let (slot_b, state_b) = open_slot(&folder.join("usage-b"))?;
        let newest = [state_a, state_b].into_iter().flatten().max_by_key(|state| state.sequence);
        let known_id = newest.as_ref().map_or(fresh_id, |state| state.gateway);
        let gateway = gateway_id(folder, known_id)?;
        // The names of the files must survive a crash as well.
        File::open(folder)?.sync_all()?;
        let (sequence, usages) = newest.map(|state| (state.sequence, state.usages)).unwrap_or_default();
        Ok((Self { slots: [slot_a, slot_b], gateway, sequence, written: usages.clone() }, usages))
    }

    /// This gateway's id, the same over restarts.
    pub(crate) fn gateway(&self) -> GatewayId {
        self.gateway
    }

    /// Writes the whole state, unless it is what was written last.
    ///
    /// # Errors
    /// The disk does not take it, as for [`Journal::write`].
    pub(crate) fn write_if_changed(&mut self, usages: &[LeaseUsage]) -> io::Result<()> {
        if self.written == usages { Ok(()) } else { self.write(usages) }
    }

    /// Writes the whole state, over the older of the two files.
    ///
    /// # Errors
    /// Those of the disk; the state before stays readable.
    pub(crate) fn write(&mut self, usages: &[LeaseUsage]) -> io::Result<()> {
        let sequence = self.sequence + 1;
        let bytes = encode(self.gateway, sequence, usages);
        let [slot_a, slot_b] = &mut self.slots;
        // Only a write that has succeeded moves on to the other file.
        let slot = if sequence.is_multiple_of(2) { slot_a } else { slot_b };
        slot.rewind()?;
        slot.write_all(&bytes)?;
        slot.set_len(bytes.len() as u64)?;
        slot.sync_data()?;
        self.sequence = sequence;
        self.written = usages.to_vec();
        Ok(())
    }
}

fn open_slot(path: &Path) -> io::Result<(File, Option<Snapshot>)> {
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let mut bytes = Vec::new();
    (&mut file).take(LARGEST).read_to_end(&mut bytes)?;
    let state = decode(&bytes);
    if state.is_none() && !bytes.is_empty() {
        tracing::warn!(file = %path.display(), "a file of the journal is damaged and is not used");
    }
    Ok((file, state))
}

/// The id in the folder's file, or else this one, which is written there.
fn gateway_id(folder: &Path, otherwise: GatewayId) -> io::Result<GatewayId> {
    let path = folder.join("gateway-id");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
            String::new()
        }
        Err(error) => return Err(error),
    };
    if let Some(id) = text.trim().parse().ok().filter(|id| *id > 0) {
        return Ok(GatewayId::new(id));
    }
    let next = folder.join("gateway-id.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
    writeln!(file, "{otherwise}")?;
    file.sync_all()?;
    std::fs::rename(next, path)?;
    Ok(otherwise)
}

fn encode(gateway: GatewayId, sequence: u64, usages: &[LeaseUsage]) -> Vec<u8> {
    let mut records = Vec::with_capacity(usages.len() * RECORD);
    for usage in usages {
        for number in [usage.id.get(), usage.used.as_i64(), usage.granted.as_i64()] {
            records.extend_from_slice(&number.to_le_bytes());
        }
    }
    let mut bytes = Vec::with_capacity(HEADER + records.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&gateway.get().to_le_bytes());
    bytes.extend_from_slice(&sequence.to_le_bytes());
    // A gateway does not hold four thousand million leases.
    bytes.extend_from_slice(&(usages.len() as u32).to_le_bytes());
    let checksum = checksum(&bytes, &records);
    bytes.extend_from_slice(&checksum);
    bytes.extend_from_slice(&records);
    bytes
}

fn decode(bytes: &[u8]) -> Option<Snapshot> {
    let (header, records) = bytes.split_at_checked(HEADER)?;
    let (said, sum) = header.split_at_checked(HEADER - 4)?;
    let count = u32::from_le_bytes(said.get(28..32)?.try_into().ok()?);
    let is_sound = said.starts_with(MAGIC)
        && said.get(8..12)? == VERSION.to_le_bytes()
        && sum == checksum(said, records)
        && records.len() == count as usize * RECORD;
    let gateway = GatewayId::new(number(said, 12)?);
    let sequence = u64::from_le_bytes(said.get(20..28)?.try_into().ok()?);
    let usages = records.chunks_exact(RECORD).map(record).collect::<Option<Vec<_>>>()?;
    is_sound.then_some(Snapshot { gateway, sequence, usages })
}

fn record(bytes: &[u8]) -> Option<LeaseUsage> {
    Some(LeaseUsage {
        id: LeaseId::new(number(bytes, 0)?),
        used: Bytes::from_i64(number(bytes, 8)?),
        granted: Bytes::from_i64(number(bytes, 16)?),
    })
}

fn number(bytes: &[u8], place: usize) -> Option<i64> {
    Some(i64::from_le_bytes(bytes.get(place..place + 8)?.try_into().ok()?))
}

fn checksum(said: &[u8], records: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(said);
    hasher.update(records);
    hasher.finalize().to_le_bytes()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    impl Journal {
        /// A journal both of whose files are what is found in the folder, unread.
        pub(crate) fn broken(folder: &Path) -> io::Result<Self> {
            let open = |name| OpenOptions::new().write(true).open(folder.join(name));
            let slots = [open("usage-a")?, open("usage-b")?];
            Ok(Self { slots, gateway: GATEWAY, sequence: 0, written: Vec::new() })
        }
    }

    const GATEWAY: GatewayId = GatewayId::new(5);

    fn usage(id: i64, used: u64) -> LeaseUsage {
        LeaseUsage { id: LeaseId::new(id), used: Bytes::new(used), granted: Bytes::new(1000) }
    }

    /// A folder with two states: the newest, its file, and the one before.
    fn two_states() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, left) = Journal::open(folder.path(), GATEWAY).unwrap();
        assert!(left.is_empty());
        journal.write(&[usage(1, 1)]).unwrap();
        journal.write(&[usage(1, 2), usage(2, 7)]).unwrap();
        let files = ["usage-a", "usage-b"].map(|name| folder.path().join(name));
        let sequence = |path: &PathBuf| decode(&std::fs::read(path).unwrap()).unwrap().sequence;
        let [a, b] = files;
        if sequence(&a) > sequence(&b) { (folder, a, b) } else { (folder, b, a) }
    }

    fn left_in(folder: &Path) -> Vec<LeaseUsage> {
        Journal::open(folder, GatewayId::new(6)).unwrap().1
    }

    #[test]
    fn keeps_the_newest_state_and_the_gateways_id() {
        let (folder, ..) = two_states();
        assert_eq!(left_in(folder.path()), vec![usage(1, 2), usage(2, 7)]);
        let (mut journal, _) = Journal::open(folder.path(), GatewayId::new(6)).unwrap();
        assert_eq!(journal.gateway(), GATEWAY);
        for used in 3..9 {
            // Shorter and longer than before, in both files.
            let usages: Vec<_> =
                (0..(used * 5) % 7).map(|id| usage(i64::try_from(id).unwrap(), used)).collect();
            journal.write(&usages).unwrap();
            assert_eq!(left_in(folder.path()), usages);
        }
    }

    #[test]
    fn a_write_that_was_cut_short_or_altered_leaves_the_state_before() {
        let (folder, newest, _) = two_states();
        let whole = std::fs::read(&newest).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&newest, &whole[..cut]).unwrap();
            assert_eq!(left_in(folder.path()), vec![usage(1, 1)], "cut at {cut}");
        }
        for place in 0..whole.len() {
            for bit in 0..8 {
                let mut altered = whole.clone();
                altered[place] ^= 1 << bit;
                std::fs::write(&newest, &altered).unwrap();
                assert_eq!(left_in(folder.path()), vec![usage(1, 1)], "bit {bit} of byte {place}");
            }
        }
        let longer = [whole.clone(), vec![0; RECORD]].concat();
        std::fs::write(&newest, longer).unwrap();
        assert_eq!(left_in(folder.path()), vec![usage(1, 1)]);
    }

    #[test]
    fn two_damaged_files_leave_nothing_and_can_be_written_again() {
        let (folder, newest, before) = two_states();
        std::fs::write(newest, b"tollgate and then nonsense that is long enough for a header").unwrap();
        std::fs::write(before, [0; 4096]).unwrap();
        let (mut journal, left) = Journal::open(folder.path(), GatewayId::new(6)).unwrap();
        assert_eq!((journal.gateway(), left), (GATEWAY, Vec::new()));
        journal.write(&[usage(3, 3)]).unwrap();
        assert_eq!(left_in(folder.path()), vec![usage(3, 3)]);
    }

    #[test]
    fn the_gateways_id_is_found_in_the_journal_where_its_file_is_damaged() {
        let (folder, newest, before) = two_states();
        for damaged in [&b""[..], b"x", b"-3", b"0", b"\xff\xfe"] {
            std::fs::write(folder.path().join("gateway-id"), damaged).unwrap();
            assert_eq!(Journal::open(folder.path(), GatewayId::new(6)).unwrap().0.gateway(), GATEWAY);
        }
        std::fs::remove_file(folder.path().join("gateway-id")).unwrap();
        std::fs::write(newest, b"").unwrap();
        std::fs::write(before, b"").unwrap();
        assert_eq!(Journal::open(folder.path(), GatewayId::new(6)).unwrap().0.gateway(), GatewayId::new(6));
    }

    #[test]
    fn what_did_not_change_is_not_written_again() {
        let (folder, newest, _) = two_states();
        let (mut journal, left) = Journal::open(folder.path(), GATEWAY).unwrap();
        std::fs::write(&newest, b"gone").unwrap();
        journal.write_if_changed(&left).unwrap();
        assert_eq!(std::fs::read(&newest).unwrap(), b"gone");
        journal.write_if_changed(&[usage(1, 9)]).unwrap();
        assert_eq!(left_in(folder.path()), vec![usage(1, 9)]);
    }
}
