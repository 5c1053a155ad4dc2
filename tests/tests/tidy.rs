//! Keeps the house in order: what ARCHITECTURE.md says is absent, is.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room and the rooms that it may depend on. `gateway` and the control plane meet in the
/// binary only.
const ROOMS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("wire", &["types"]),
    ("ledger", &["types"]),
    ("store", &["types", "ledger"]),
    ("core", &["types", "ledger", "store"]),
    ("sockets", &[]),
    ("notify", &["types"]),
    ("gateway", &["types", "wire", "sockets"]),
    ("api", &["types", "ledger", "core", "sockets"]),
    ("tollgate", &["types", "ledger", "wire", "store", "core", "gateway", "notify", "api"]),
];

/// Longer than this, a file is several pages.
const LONGEST_FILE: usize = 800;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("a directory entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The code of a file without its unit tests and without comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a source file");
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    without_serde_lists(&code.collect::<Vec<_>>().join("\n"))
}

/// serde's macro takes a list of all that a deserialiser may be asked for; the names of types in it
/// are no use of those types. Nothing else is passed over.
fn without_serde_lists(code: &str) -> String {
    let mut parts = code.split("forward_to_deserialize_any! {");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        kept += part.split_once('}').map_or(part, |(_, rest)| rest);
    }
    kept
}

/// The rooms named under `[dependencies]`, not those for tests.
fn room_dependencies(room: &str) -> Vec<String> {
    let manifest =
        fs::read_to_string(root().join("crates").join(room).join("Cargo.toml")).expect("a manifest");
    let mut section = String::new();
    let mut found = Vec::new();
    for line in manifest.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        }
        if section == "dependencies" || section == "build-dependencies" {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            found.extend(name.strip_prefix("tollgate-").map(str::to_owned));
            if name == "tollgate" {
                found.push("tollgate".to_owned());
            }
        }
    }
    found
}

#[test]
fn rooms_depend_one_way() {
    let rooms: BTreeMap<_, _> = ROOMS.iter().copied().collect();
    for entry in fs::read_dir(root().join("crates")).expect("crates/") {
        let room = entry.expect("a room").file_name().into_string().expect("a name");
        let allowed =
            rooms.get(room.as_str()).unwrap_or_else(|| panic!("crates/{room} is not in the list of rooms"));
        for dependency in room_dependencies(&room) {
            assert!(allowed.contains(&dependency.as_str()), "crates/{room} may not depend on {dependency}");
        }
    }
}

#[test]
fn what_is_absent_is_absent() {
    // What is looked for, and the only places where it may be.
    let rules: &[(&[&str], &[&str], &str)] = &[
        (&["SELECT ", "INSERT INTO ", "UPDATE accounts", "DELETE FROM "], &["store"], "SQL outside store"),
        (&["subuser"], &["api", "tollgate"], "the document's spellings outside api"),
        (&["env::var", "env::vars"], &["tollgate"], "the environment read outside the binary"),
        (&["f64", "f32"], &[], "floating-point numbers"),
        (&["unbounded_channel"], &[], "a queue without a bound"),
        (&["todo!(", "unimplemented!(", "dbg!("], &[], "unfinished work"),
    ];
    let mut wrong = Vec::new();
    for (room, _) in ROOMS {
        for path in sources(&root().join("crates").join(room).join("src")) {
            let code = code(&path);
            for (words, allowed, what) in rules {
                if let Some(word) = words.iter().find(|word| !allowed.contains(room) && code.contains(**word))
                {
                    wrong.push(format!("{}: {word:?}: {what}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_are_of_a_readable_length() {
    let mut long = Vec::new();
    for folder in ["crates", "testkit/src", "tests/tests", "bench/src"] {
        for path in sources(&root().join(folder)) {
            let lines = fs::read_to_string(&path).expect("a source file").lines().count();
            if lines > LONGEST_FILE {
                long.push(format!("{}: {lines} lines", path.display()));
            }
        }
    }
    assert!(long.is_empty(), "longer than {LONGEST_FILE} lines:\n{}", long.join("\n"));
}
