//! Feeds every fuzz target with the committed corpus, damaged: the same damage in every run.
//!
//! `TOLLGATE_TEST_MUTATIONS` says how many times each file is damaged, [`ROUNDS`] where it is not set.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tollgate_wire::fuzz::{self, FuzzTarget};

/// How many times each file of the corpus is damaged.
const ROUNDS: u32 = 60;

/// Bytes that mean something to one parser or another.
const TELLING: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"-",
    b"0",
    b"\xff",
    b"\x7f",
    b"\x05",
    b"\x01",
    b"0\r\n\r\n",
    b"Content-Length: 1\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"ffffffffffffffff",
    b"18446744073709551616",
];

#[expect(clippy::disallowed_methods, reason = "how whoever runs the tests asks for a longer run")]
fn rounds() -> u32 {
    std::env::var("TOLLGATE_TEST_MUTATIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(ROUNDS)
}

/// The files of one target, in a fixed order.
fn corpus(folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(folder);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Changes the bytes in one place.
fn damage(bytes: &mut Vec<u8>, other: &[u8], chance: &mut StdRng) {
    let place = chance.random_range(0..=bytes.len());
    let end = (place + chance.random_range(0..16)).min(bytes.len());
    match chance.random_range(0..7) {
        0 => drop(bytes.drain(place..end)),
        1 => bytes.truncate(place),
        2 => drop(bytes.splice(place..end, other.iter().copied().take(end - place))),
        3 => {
            let again = bytes[place..end].to_vec();
            bytes.splice(place..place, again);
        }
        4 => {
            let from = chance.random_range(0..=other.len());
            bytes.truncate(place);
            bytes.extend(&other[from..]);
        }
        5 if place < bytes.len() => bytes[place] ^= 1 << chance.random_range(0..8),
        _ => {
            let telling = TELLING[chance.random_range(0..TELLING.len())];
            bytes.splice(place..end.min(place + telling.len()), telling.iter().copied());
        }
    }
}

fn mutate(name: &str, target: FuzzTarget, seed: u64) {
    let files = corpus(name);
    let mut chance = StdRng::seed_from_u64(seed);
    for (path, whole) in &files {
        for round in 0..rounds() {
            let (_, other) = &files[chance.random_range(0..files.len())];
            let mut bytes = whole.clone();
            for _ in 0..chance.random_range(1..=4) {
                damage(&mut bytes, other, &mut chance);
            }
            let outcome = std::panic::catch_unwind(|| target(&bytes));
            let (path, bytes) = (path.display(), bytes.escape_ascii());
            assert!(outcome.is_ok(), "{name} fails on {path}, damaged the {round}th time: {bytes}");
        }
    }
}

#[test]
fn no_damaged_file_breaks_a_parser() {
    for (seed, (name, target)) in (0..).zip(fuzz::ALL) {
        mutate(name, *target, seed);
    }
}
