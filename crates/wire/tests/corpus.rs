//! Replays the committed corpus: every file through every fuzz target.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tollgate_wire::fuzz;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let read = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    read.filter_map(Result::ok).map(|entry| entry.path()).collect()
}

#[test]
fn every_target_has_a_folder_and_every_folder_a_target() {
    let folders: BTreeSet<String> = entries(&corpus())
        .iter()
        .filter(|path| path.is_dir())
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    let targets: BTreeSet<String> = fuzz::ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(folders, targets);
}

#[test]
fn every_file_passes_every_target() {
    for (folder, _) in fuzz::ALL {
        let files = entries(&corpus().join(folder));
        assert!(files.len() >= 5, "{folder} has hardly a corpus");
        for file in files {
            let bytes = fs::read(&file).unwrap();
            for (name, target) in fuzz::ALL {
                let outcome = std::panic::catch_unwind(|| target(&bytes));
                assert!(outcome.is_ok(), "{name} fails on {}", file.display());
            }
        }
    }
}
