//! Lines of the log that would come too often: the first is said at once, those of each minute after it
//! together at its end, until a minute passes without any.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the next line waits.
const PAUSE: Duration = Duration::from_secs(60);

/// What has happened and has not been said, by what it is about.
pub(crate) struct Untold<K>(Mutex<HashMap<K, u64>>);

impl<K: Eq + Hash + Copy + Send + 'static> Untold<K> {
    /// Counts something that happened. Calls `say` with how often it did: now and once a minute, or never where a
    /// minute about the same is running already; with 0 when a minute was quiet, which is the end of it.
    pub(crate) fn note(self: &Arc<Self>, about: K, say: impl Fn(u64) + Send + 'static) {
        if !self.begins(about) {
            return;
        }
        say(1);
        let untold = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(PAUSE).await;
                let count = untold.end_minute(about);
                say(count);
                if count == 0 {
                    break;
                }
            }
        });
    }

    /// Returns whether a minute about this is running.
    pub(crate) fn has(&self, about: &K) -> bool {
        self.counts().contains_key(about)
    }

    /// Returns how many minutes are running.
    pub(crate) fn len(&self) -> usize {
        self.counts().len()
    }

    /// Counts one. Returns whether a minute begins with it.
    fn begins(&self, about: K) -> bool {
        match self.counts().entry(about) {
            Entry::Occupied(mut count) => {
                *count.get_mut() += 1;
                false
            }
            Entry::Vacant(place) => {
                place.insert(0);
                true
            }
        }
    }

    /// Returns how many came within a minute, after which the next one runs; forgets about it where none came.
    fn end_minute(&self, about: K) -> u64 {
        let mut counts = self.counts();
        let count = counts.get_mut(&about).map_or(0, std::mem::take);
        if count == 0 {
            counts.remove(&about);
        }
        count
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<K, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Default for Untold<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K> fmt::Debug for Untold<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Untold(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_is_said_at_once_and_the_rest_of_each_minute_together() {
        let untold = Arc::new(Untold::default());
        let said = Arc::new(Mutex::new(Vec::new()));
        let note = || {
            let said = said.clone();
            untold.note("x", move |count| said.lock().unwrap().push(count));
        };
        let minute = async || tokio::time::sleep(PAUSE + Duration::from_secs(1)).await;
        note();
        note();
        note();
        assert_eq!(*said.lock().unwrap(), [1]);
        minute().await;
        assert_eq!(*said.lock().unwrap(), [1, 2]);
        note();
        assert_eq!(*said.lock().unwrap(), [1, 2], "the next minute is running");
        minute().await;
        minute().await;
        assert_eq!((&*said.lock().unwrap(), untold.len()), (&vec![1, 2, 1, 0], 0));
        note();
        assert_eq!(*said.lock().unwrap(), [1, 2, 1, 0, 1]);
    }
}
