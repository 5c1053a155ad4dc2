//! Chance, from the seed that the gateway was started with.

use std::sync::{Arc, Mutex, PoisonError};

use rand::Rng;
use rand::rngs::StdRng;

/// A generator of random numbers that several use.
#[derive(Clone, Debug)]
pub(crate) struct Random(Arc<Mutex<StdRng>>);

impl Random {
    /// Shares a generator.
    pub(crate) fn new(generator: StdRng) -> Self {
        Self(Arc::new(Mutex::new(generator)))
    }

    /// Returns the next number.
    pub(crate) fn next(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }

    /// Returns a seed for another generator.
    pub(crate) fn seed(&self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut seed);
        seed
    }
}
