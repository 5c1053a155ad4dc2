//! The sticky sessions on disk, so that they stay on their exits over a restart.
//!
//! One file, written anew each time beside the old one and renamed over it, with a checksum. What
//! cannot be read is no loss but that sessions begin anew, and is logged. Written every few seconds
//! where something changed, less often the larger it is, and once more when the gateway ends.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tollgate_types::{Clock, ExitId, Time};

use crate::exits::route::SessionKey;
use crate::exits::sessions::{Sessions, Window};

const MAGIC: &[u8; 8] = b"tollsess";
const VERSION: u32 = 1;
/// Magic, version, checksum of all that follows it.
const HEADER: usize = 8 + 4 + 4;
/// Key, began, ends, generation, the exit before, the exit.
const RECORD: usize = 6 * 8;
/// How often it is written at most.
const EVERY: Duration = Duration::from_secs(3);
/// How many records are written a second over time: two megabytes.
const RECORDS_PER_SECOND: usize = 40_000;

/// The file, and what is kept in it.
pub(crate) struct SessionFile {
    path: PathBuf,
    most: usize,
    sessions: Arc<Sessions>,
    clock: Arc<dyn Clock>,
    /// One writer at a time: a write that goes on while the gateway ends must not overtake the last.
    writing: Mutex<()>,
}

impl SessionFile {
    /// Reads the file in a folder, and puts what it holds into the table. Of a larger file than so
    /// many sessions nothing is read.
    pub(crate) fn open(folder: &Path, most: usize, sessions: Arc<Sessions>, clock: Arc<dyn Clock>) -> Self {
        let path = folder.join("sessions");
        match read(&path, most).map(|bytes| decode(&bytes)) {
            Ok(Some(windows)) => sessions.restore(windows, clock.now()),
            Ok(None) => {
                tracing::warn!(file = %path.display(), "the file of sessions is damaged and is not used")
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "the file of sessions cannot be read")
            }
        }
        Self { path, most, sessions, clock, writing: Mutex::default() }
    }

    /// Writes it again and again.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut pause = EVERY;
        loop {
            tokio::time::sleep(pause).await;
            let written = self.clone().save_if_changed().await;
            let seconds = u64::try_from(written / RECORDS_PER_SECOND).unwrap_or(u64::MAX);
            pause = EVERY.max(Duration::from_secs(seconds));
        }
    }

    /// Writes it, where a session has moved since the last time. Returns how many it has written.
    pub(crate) async fn save_if_changed(self: Arc<Self>) -> usize {
        if !self.sessions.take_changed() {
            return 0;
        }
        // Disks can be slow; nothing else shall wait for this one.
        tokio::task::spawn_blocking(move || self.save()).await.unwrap_or(0)
    }

    fn save(&self) -> usize {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut windows = self.sessions.snapshot(self.clock.now());
        windows.truncate(self.most);
        if let Err(error) = write(&self.path, &encode(&windows)) {
            tracing::warn!(file = %self.path.display(), %error, "the sessions cannot be written down");
            self.sessions.note_change();
        }
        windows.len()
    }
}

fn read(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let largest = HEADER.saturating_add(most.saturating_mul(RECORD));
    let mut bytes = Vec::new();
    let limit = u64::try_from(largest).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() > largest {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "more sessions than are remembered"));
    }
    Ok(bytes)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let next = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    std::fs::rename(next, path)
}

fn encode(windows: &[(SessionKey, Window)]) -> Vec<u8> {
    let mut records = Vec::with_capacity(windows.len() * RECORD);
    for (key, window) in windows {
        let exit = |exit: Option<ExitId>| exit.map_or(0, ExitId::get).to_le_bytes();
        records.extend_from_slice(&key.number().to_le_bytes());
        records.extend_from_slice(&window.began.micros().to_le_bytes());
        records.extend_from_slice(&window.ends.micros().to_le_bytes());
        records.extend_from_slice(&window.generation.to_le_bytes());
        records.extend_from_slice(&exit(window.previous));
        records.extend_from_slice(&exit(window.exit));
    }
    let mut bytes = Vec::with_capacity(HEADER + records.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&records).to_le_bytes());
    bytes.extend_from_slice(&records);
    bytes
}

/// What the bytes hold; `None` where they are not whole.
fn decode(bytes: &[u8]) -> Option<Vec<(SessionKey, Window)>> {
    let (header, records) = bytes.split_at_checked(HEADER)?;
    let header = header.strip_prefix(MAGIC)?.strip_prefix(&VERSION.to_le_bytes())?;
    if header != crc32fast::hash(records).to_le_bytes() || records.len() % RECORD != 0 {
        return None;
    }
    records.chunks_exact(RECORD).map(record).collect()
}

fn record(bytes: &[u8]) -> Option<(SessionKey, Window)> {
    let mut numbers = bytes.chunks_exact(8).map(|number| number.try_into().map(u64::from_le_bytes));
    let mut next = || numbers.next()?.ok();
    let time = |number: u64| Time::from_micros(number.cast_signed());
    let exit = |number: u64| Some(ExitId::new(number.cast_signed())).filter(|exit| exit.get() > 0);
    let key = SessionKey::from_number(next()?);
    let (began, ends, generation) = (time(next()?), time(next()?), next()?);
    let (previous, exit) = (exit(next()?), exit(next()?));
    Some((key, Window { began, ends, generation, previous, exit }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_micros(1_800_000_000_000_000);

    struct Still;

    impl Clock for Still {
        fn now(&self) -> Time {
            NOW
        }
    }

    fn window(exit: i64) -> Window {
        Window {
            began: NOW,
            ends: NOW.plus(Duration::from_secs(600)),
            generation: 3,
            previous: None,
            exit: Some(ExitId::new(exit)),
        }
    }

    fn open(folder: &Path, most: usize) -> (Arc<Sessions>, SessionFile) {
        let sessions = Arc::new(Sessions::new(most));
        let file = SessionFile::open(folder, most, sessions.clone(), Arc::new(Still));
        (sessions, file)
    }

    fn some(count: u64) -> Vec<(SessionKey, Window)> {
        (0..count).map(|n| (SessionKey::from_number(n), window(9))).collect()
    }

    #[test]
    fn what_was_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let (sessions, file) = open(folder.path(), 100);
        sessions.restore(some(20), NOW);
        assert_eq!(file.save(), 20);
        let (again, _) = open(folder.path(), 100);
        let mut found = again.snapshot(NOW);
        found.sort_by_key(|(key, _)| key.number());
        assert_eq!(found, some(20));
    }

    #[test]
    fn a_torn_damaged_or_foreign_file_is_not_used_at_any_byte() {
        let whole = encode(&some(3));
        assert_eq!(decode(&whole).map(|windows| windows.len()), Some(3));
        for length in 0..whole.len() {
            assert_eq!(decode(&whole[..length]), None, "cut after {length} bytes");
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            assert_eq!(decode(&damaged), None, "damaged at {at}");
        }
    }

    #[test]
    fn a_file_that_is_damaged_or_too_large_stops_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for content in [b"junk".to_vec(), Vec::new(), encode(&some(11))] {
            std::fs::write(folder.path().join("sessions"), content).unwrap();
            let (sessions, file) = open(folder.path(), 10);
            assert!(sessions.snapshot(NOW).is_empty());
            sessions.restore(some(2), NOW);
            assert_eq!(file.save(), 2);
            assert_eq!(open(folder.path(), 10).0.snapshot(NOW).len(), 2);
        }
    }
}
