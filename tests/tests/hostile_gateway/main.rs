//! The groups S5 and HP of hostile requests, sent as raw bytes to the real program. Every case
//! carries the number of its row; `docs/hostile.md` says for each row where it is tested.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod datagrams;
mod lab;
mod load;
mod reach;
mod requests;
mod responses;
mod socks5;
mod upstreams;

use std::fs;
use std::path::{Path, PathBuf};

/// The sources below a folder, as one text.
fn sources(folder: &Path) -> String {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let text = |path: PathBuf| match path.extension() {
        _ if path.is_dir() => sources(&path),
        Some(ending) if ending == "rs" => fs::read_to_string(&path).expect("a source file"),
        Some(_) | None => String::new(),
    };
    paths.map(text).collect()
}

#[test]
fn every_test_that_the_page_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let page = fs::read_to_string(root.join("docs/hostile.md")).expect("the page");
    let sources = sources(&root.join("crates")) + &sources(&root.join("tests/tests"));
    let quoted = page.split('`').skip(1).step_by(2);
    let named: Vec<&str> = quoted.filter_map(|name| Some(name.rsplit_once("::")?.1)).collect();
    assert!(named.len() > 60, "the page names hardly a test");
    let gone: Vec<_> = named.iter().filter(|name| !sources.contains(&format!("fn {name}("))).collect();
    assert!(gone.is_empty(), "docs/hostile.md names tests that do not exist: {gone:?}");
}
