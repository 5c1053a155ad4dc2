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

/// The tests that a page names: long words in back-quotes, after the name of their module or alone.
fn named(page: &str) -> Vec<&str> {
    let is_name = |text: &str| text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    let quoted = page.split('`').skip(1).step_by(2);
    let parts = quoted.map(|text| text.rsplit_once("::").map_or((false, text), |(_, name)| (true, name)));
    let tests = parts.filter(|(in_module, name)| *in_module || name.matches('_').count() >= 4);
    tests.map(|(_, name)| name).filter(|name| is_name(name)).collect()
}

#[test]
fn every_test_that_the_pages_name_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let sources = sources(&root.join("crates")) + &sources(&root.join("tests/tests"));
    let is_there =
        |name: &str| [format!("fn {name}("), format!("{name},")].iter().any(|text| sources.contains(text));
    for (page, least) in [("docs/hostile.md", 150), ("docs/hostile-api.md", 40), ("docs/clients.md", 8)] {
        let text = fs::read_to_string(root.join(page)).expect("the page");
        let named = named(&text);
        assert!(named.len() >= least, "{page} names hardly a test: {}", named.len());
        let gone: Vec<_> = named.iter().filter(|name| !is_there(name)).collect();
        assert!(gone.is_empty(), "{page} names tests that do not exist: {gone:?}");
    }
}
