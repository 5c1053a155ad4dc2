//! Keeps the house in order: what ARCHITECTURE.md says is absent, is.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
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

/// The rooms inside a crate, from top to bottom: a file imports from its own room and from those below
/// it. A room is a file or a folder; a file of a folder can be a room of its own (`jobs::run`). `lib.rs`
/// stands above all of them. A crate that is not named here has no rooms inside.
const INNER_ROOMS: &[(&str, &[&str])] = &[("gateway", GATEWAY), ("core", CORE)];

const GATEWAY: &[&str] = &[
    // The gateway as a whole.
    "gateway",
    "start",
    "assemble",
    "config",
    // A connection, from its port to its funds.
    "listen",
    "client",
    "serve",
    "entry",
    "exits",
    "dial",
    "relay",
    "funds",
    // What all of them have in common.
    "control",
    "stream",
    "socket",
    "slots",
    "stats",
    "limits",
    "lifecycle",
    "random",
];

const CORE: &[&str] = &[
    // The whole: opened, checked, counted, and what happens by itself.
    "open",
    "jobs::run",
    "pruning",
    "audit",
    "chain",
    "overview",
    // What people ask for.
    "leases",
    "notices",
    "statics",
    "packages",
    "accounts",
    "sub_accounts",
    "whitelist",
    "exits",
    "offers",
    "refusals",
    "trend",
    "wallets",
    "idempotency",
    // What they have in common: what is told, what is done later, what gateways are shown.
    "events",
    "watch",
    "jobs::admin",
    "jobs",
    "directory",
    "pools",
    "audit_log",
    "locks",
    "core",
    "courier",
    "keys",
    "page",
    "checks",
    "error",
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

/// Returns the code of a file without its unit tests and without comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a source file");
    without_serde_lists(&without_tests(&without_comments(&text)).0)
}

/// What a piece of Rust is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Piece {
    Code,
    /// A string, a character, or their like.
    Literal,
    Comment,
}

/// Takes Rust apart into pieces, in their order. Nothing is left out.
fn pieces(text: &str) -> Vec<(Piece, &str)> {
    let mut pieces = Vec::new();
    let (mut rest, mut code) = (text, 0);
    // Nothing else begins with another character.
    while let Some(next) = rest[code..].find(['/', '"', '\'', 'r', 'b']) {
        code += next;
        let Some((kind, length)) = piece_at(rest, code) else {
            code += 1;
            continue;
        };
        let (before, after) = rest.split_at(code);
        let (piece, after) = after.split_at(length);
        pieces.extend([(Piece::Code, before), (kind, piece)]);
        (rest, code) = (after, 0);
    }
    pieces.push((Piece::Code, rest));
    pieces
}

/// Returns the kind and the length of the literal or the comment that begins at `at`.
fn piece_at(text: &str, at: usize) -> Option<(Piece, usize)> {
    let (before, here) = text.split_at(at);
    if here.starts_with("//") {
        return Some((Piece::Comment, here.find('\n').unwrap_or(here.len())));
    }
    if here.starts_with('"') {
        return Some((Piece::Literal, quoted(here, '"')));
    }
    let is_word = before.ends_with(|last: char| last.is_alphanumeric() || last == '_');
    let raw = here.strip_prefix('r').or_else(|| here.strip_prefix("br")).filter(|_| !is_word);
    if let Some(raw) = raw {
        let hashes: String = raw.chars().take_while(|next| *next == '#').collect();
        let begins = here.len() - raw.len() + hashes.len() + 1;
        if raw.split_at(hashes.len()).1.starts_with('"') {
            let ends = format!("\"{hashes}");
            let length =
                here.split_at(begins).1.find(&ends).map_or(here.len(), |end| begins + end + ends.len());
            return Some((Piece::Literal, length));
        }
    }
    // A lifetime has no quotation mark at its end.
    let mut chars = here.strip_prefix('\'')?.chars();
    let is_char = chars.next()? == '\\' || chars.next() == Some('\'');
    is_char.then(|| (Piece::Literal, quoted(here, '\'')))
}

/// Returns the length of what is between quotation marks, both included.
fn quoted(text: &str, mark: char) -> usize {
    let mut is_escaped = false;
    for (index, next) in text.char_indices().skip(1) {
        match next {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if next == mark => return index + next.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

fn without_comments(text: &str) -> String {
    pieces(text).into_iter().filter(|(kind, _)| *kind != Piece::Comment).map(|(_, piece)| piece).collect()
}

/// Returns code without the items that are compiled for tests only, and those items.
fn without_tests(code: &str) -> (String, Vec<String>) {
    const MARK: &str = "#[cfg(test)]";
    // As long as the code, so that what is found in it is found at the same place there.
    let bare: String = pieces(code)
        .into_iter()
        .map(|(kind, piece)| if kind == Piece::Code { piece.to_owned() } else { "\"".repeat(piece.len()) })
        .collect();
    let (mut kept, mut items, mut at) = (String::new(), Vec::new(), 0);
    while let Some(found) = bare[at..].find(MARK) {
        let begins = at + found;
        let item = begins + MARK.len();
        let ends = item + end_of_item(&bare[item..]);
        kept += &code[at..begins];
        items.push(code[item..ends].trim().to_owned());
        at = ends;
    }
    kept += &code[at..];
    (kept, items)
}

/// Returns the length of the item that code without literals begins with: up to its semicolon, or to the
/// end of its block.
fn end_of_item(bare: &str) -> usize {
    let mut depth = 0_usize;
    for (index, next) in bare.char_indices() {
        match next {
            '{' | '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return index + 1;
                }
            }
            ';' if depth == 0 => return index + 1,
            _ => {}
        }
    }
    bare.len()
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

/// The files of a crate that are compiled for tests only, without the ending.
fn test_modules(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in sources(folder) {
        let text = fs::read_to_string(&path).expect("a source file");
        let (_, items) = without_tests(&without_comments(&text));
        let names = items.iter().filter_map(|item| item.strip_prefix("mod ")?.strip_suffix(';'));
        let is_root =
            path.file_stem().is_some_and(|stem| ["lib", "main", "mod"].iter().any(|root| stem == *root));
        let inside =
            if is_root { path.parent().expect("a folder").to_owned() } else { path.with_extension("") };
        found.extend(names.map(|name| inside.join(name)));
    }
    found
}

/// The modules of a file, from the crate's root.
fn modules(folder: &Path, path: &Path) -> Vec<String> {
    let inside = path.strip_prefix(folder).expect("a file of the crate").with_extension("");
    let mut modules: Vec<_> = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    modules.retain(|module| module != "mod" && module != "lib");
    modules
}

/// The paths that code takes from its crate's root: `crate::room::name`, each of those in
/// `crate::{room::name, …}`, and `super::name` where that leads there.
fn taken_from_root(code: &str, depth: usize) -> Vec<String> {
    let mut found = Vec::new();
    for start in ["crate::", &"super::".repeat(depth)] {
        for (at, _) in code.match_indices(start) {
            let is_part = code[..at].ends_with(|last: char| last.is_alphanumeric() || "_:$".contains(last));
            if !is_part {
                paths("", &code[at + start.len()..], &mut found);
            }
        }
    }
    found
}

/// Adds the paths that a text begins with, each behind `before`; returns what follows them.
fn paths<'a>(before: &str, text: &'a str, found: &mut Vec<String>) -> &'a str {
    let text = text.trim_start();
    if let Some(group) = text.strip_prefix('{') {
        let mut rest = group;
        for _ in 0..=group.matches(',').count() {
            rest = paths(before, rest, found).trim_start();
            match rest.strip_prefix(',') {
                Some(further) => rest = further.trim_start(),
                None => break,
            }
        }
        return rest.strip_prefix('}').unwrap_or(rest);
    }
    let length = text.find(|next: char| !is_of_name(next)).unwrap_or(text.len());
    let (name, rest) = text.split_at(length);
    let path = [before, name].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("::");
    match rest
        .strip_prefix("::")
        .filter(|further| further.starts_with(|next| is_of_name(next) || next == '{'))
    {
        Some(further) => paths(&path, further, found),
        None => {
            found.extend((!path.is_empty() && path != before).then_some(path));
            rest.strip_prefix(" as ").map_or(rest, |other| other.trim_start_matches(is_of_name))
        }
    }
}

fn is_of_name(next: char) -> bool {
    next.is_alphanumeric() || next == '_'
}

/// What `lib.rs` hands on: the name, and where it stands.
fn handed_on(folder: &Path) -> BTreeMap<String, String> {
    let code = code(&folder.join("lib.rs"));
    let mut found = Vec::new();
    for (at, start) in code.match_indices("pub use ") {
        paths("", &code[at + start.len()..], &mut found);
    }
    let name = |path: &String| path.rsplit("::").next().unwrap_or_default().to_owned();
    found
        .into_iter()
        .map(|path| (name(&path), path.strip_prefix("crate::").unwrap_or(&path).to_owned()))
        .collect()
}

/// The floor of the room that a path leads into: the longest name of a room that it begins with.
fn floor_of(rooms: &[&str], path: &str) -> Option<usize> {
    let leads_into =
        |room: &&str| path.strip_prefix(room).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    let longest = rooms.iter().filter(|room| leads_into(room)).max_by_key(|room| room.len())?;
    rooms.iter().position(|room| room == longest)
}

#[test]
fn inside_a_crate_arrows_run_downwards_too() {
    let mut wrong = Vec::new();
    for (krate, rooms) in INNER_ROOMS {
        let folder = root().join("crates").join(krate).join("src");
        let (for_tests, handed_on) = (test_modules(&folder), handed_on(&folder));
        let mut seen = BTreeSet::new();
        for path in sources(&folder) {
            let modules = modules(&folder, &path);
            let is_for_tests = for_tests.iter().any(|module| path.with_extension("").starts_with(module));
            if modules.is_empty() || is_for_tests {
                continue;
            }
            let Some(floor) = floor_of(rooms, &modules.join("::")) else {
                wrong.push(format!("{}: this is in no room of {krate}", path.display()));
                continue;
            };
            seen.insert(floor);
            for name in taken_from_root(&code(&path), modules.len()) {
                let name = handed_on.get(&name).unwrap_or(&name);
                match floor_of(rooms, name) {
                    Some(other) if other >= floor => {}
                    // What another crate declares and `lib.rs` hands on has no floor here.
                    None if name.starts_with("tollgate_") => {}
                    Some(_) => {
                        wrong.push(format!("{}: {} may not import {name}", path.display(), rooms[floor]));
                    }
                    None => wrong.push(format!("{}: crate::{name} is in no room of {krate}", path.display())),
                }
            }
        }
        let gone = rooms.iter().enumerate().filter(|(floor, _)| !seen.contains(floor));
        wrong.extend(gone.map(|(_, room)| format!("crates/{krate}: there is no room {room}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_whole_of_a_file_is_looked_through_but_for_its_tests() {
    let text = r##"
use crate::{funds, stream::{Stream, http2}};
#[cfg(test)]
use crate::testing;
fn first<'a>(brace: &'a str) -> char { drop((r#"crate::no "} "#, "\"}", brace)); '{' } // crate::no
#[cfg(test)]
mod tests {
    fn inner() { drop(("}", '}', crate::gateway::Gateway)) }
}
fn last() { super::serve::serve(); crate::entry::admit::<[u8; 2]>(); own_crate::no(); }
"##;
    let (code, items) = without_tests(&without_comments(text));
    assert_eq!(items.len(), 2, "{items:?}");
    assert!(code.contains("fn first") && code.contains("fn last") && !code.contains("fn inner"), "{code}");
    let bare: String =
        pieces(&code).into_iter().filter(|(kind, _)| *kind == Piece::Code).map(|piece| piece.1).collect();
    let from_crate = ["funds", "stream::Stream", "stream::http2", "entry::admit"];
    assert_eq!(taken_from_root(&bare, 1), [&from_crate[..], &["serve::serve"]].concat());
    assert_eq!(taken_from_root(&bare, 2), from_crate);
    assert_eq!(floor_of(&["jobs::run", "jobs"], "jobs::run::claim"), Some(0));
    assert_eq!(floor_of(&["jobs::run", "jobs"], "jobs::runner"), Some(1));
    assert_eq!(floor_of(&["jobs"], "jobsworth"), None);
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
