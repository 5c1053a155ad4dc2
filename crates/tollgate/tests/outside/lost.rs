//! Databases that were lost, or came back older; and who may use a data directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::common::{PATIENCE, Running, run, said, server_settings, tollgate};
use serde_json::Value;
use tempfile::TempDir;

/// A platform with one recharge, which has ended well; and its database's file as it was before that.
struct Shop {
    data: TempDir,
    before: Vec<u8>,
}

impl Shop {
    fn new() -> Self {
        let data = tempfile::tempdir().expect("a folder");
        // With a database to begin with, so that the start is none of the first.
        serve(data.path()).0.stop();
        let (server, ready) = serve(data.path());
        let before = fs::read(data.path().join("tollgate.db")).expect("the database");
        admin(data.path(), &ready, &["accounts", "create", "ada", "--email", "ada@example.com"]);
        admin(data.path(), &ready, &["accounts", "recharge", "1", "--amount", "500", "--reference", "r1"]);
        server.stop();
        Self { data, before }
    }

    fn path(&self) -> &Path {
        self.data.path()
    }

    fn file(&self) -> PathBuf {
        self.path().join("tollgate.db")
    }

    /// Takes the database away.
    fn lose(&self) {
        for ending in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(self.path().join(format!("tollgate.db{ending}")));
        }
    }

    /// Starts a server that should not start; gives what it says.
    fn refused(&self) -> String {
        refused(&["serve"], &server_settings(self.path()))
    }

    /// Starts and ends all the same; then it starts as ever.
    fn accept_loss(&self) {
        let (server, _) = Running::serve(&["--accept-loss"], &server_settings(self.path()));
        server.stop();
        serve(self.path()).0.stop();
        let (code, out, error) = run(&["audit"], &server_settings(self.path()));
        assert_eq!(code, Some(0), "{out}{error}");
    }
}

fn serve(data: &Path) -> (Running, Value) {
    Running::serve(&[], &server_settings(data))
}

/// Runs a command that should not begin; gives what it says.
fn refused(arguments: &[&str], settings: &[(&str, &str)]) -> String {
    let mut child = tollgate(arguments, settings).stderr(Stdio::piped()).spawn().expect("the program starts");
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().expect("its own child can be waited for").is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("{arguments:?} began");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let (code, _, error) = said(child.wait_with_output().expect("what it said"));
    assert_eq!(code, Some(2), "{error}");
    error
}

fn admin(data: &Path, ready: &Value, arguments: &[&str]) {
    let api = ready["api"].as_str().expect("an address");
    let (code, out, error) = run(&[&["admin", "--api", api], arguments].concat(), &server_settings(data));
    assert_eq!(code, Some(0), "{out}{error}");
}

#[test]
fn a_database_that_came_back_older_is_refused_and_left_as_it_is() {
    let shop = Shop::new();
    let (code, out, _) = run(&["audit"], &server_settings(shop.path()));
    assert_eq!(code, Some(0), "{out}");
    shop.lose();
    fs::write(shop.file(), &shop.before).expect("put back");
    let error = shop.refused();
    for said in ["holds 0 entries and held 1; the last 1 are missing", "tollgate.db-wal", "--accept-loss"] {
        assert!(error.contains(said), "{said}: {error}");
    }
    assert_eq!(fs::read(shop.file()).expect("the file"), shop.before);
    let (code, out, error) = run(&["audit"], &server_settings(shop.path()));
    assert_eq!(code, Some(1), "{error}");
    assert!(out.contains("the mark of the database (it is older than its mark"), "{out}");
    shop.accept_loss();
}

#[test]
fn a_data_directory_with_a_key_and_no_database_is_refused() {
    let shop = Shop::new();
    for with_mark in [true, false] {
        shop.lose();
        if !with_mark {
            fs::remove_file(shop.path().join("tollgate.db.mark")).expect("there was one");
        }
        let error = shop.refused();
        for said in ["there is no database, although there was one", "tollgate restore", "--accept-loss"] {
            assert!(error.contains(said), "{said}: {error}");
        }
        assert!(!shop.file().exists());
        shop.accept_loss();
    }
}

/// The key is there before the database is.
#[test]
fn a_first_start_that_was_broken_off_can_be_made_again() {
    let data = tempfile::tempdir().expect("a folder");
    let folder = data.path().join("later");
    let url = format!("sqlite:{}", folder.join("tollgate.db").display());
    let settings = [server_settings(data.path()), vec![("TOLLGATE_STORE__URL", url.as_str())]].concat();
    let error = refused(&["serve"], &settings);
    assert!(error.contains("tollgate.db cannot be opened"), "{error}");
    let is_there = |name: &str| data.path().join(name).exists();
    assert_eq!((is_there("master-key"), is_there("first-start")), (true, true));
    fs::create_dir(&folder).expect("a folder");
    Running::serve(&[], &settings).0.stop();
    assert!(!is_there("first-start"));
    // From now on it is missed.
    fs::remove_dir_all(&folder).expect("gone");
    let error = refused(&["serve"], &settings);
    assert!(error.contains("there is no database, although there was one"), "{error}");
}

#[test]
fn a_restored_backup_is_what_is_expected_from_then_on() {
    let shop = Shop::new();
    let backup = shop.path().join("backup");
    let backup = backup.to_str().expect("UTF-8");
    assert_eq!(run(&["backup", backup], &server_settings(shop.path())).0, Some(0));
    let (server, ready) = serve(shop.path());
    admin(shop.path(), &ready, &["accounts", "recharge", "1", "--amount", "7", "--reference", "r2"]);
    server.stop();
    shop.lose();
    let (code, out, error) = run(&["restore", backup], &server_settings(shop.path()));
    assert_eq!(code, Some(0), "{error}");
    assert!(out.contains("held 2 entries, this one holds 1"), "{out}");
    serve(shop.path()).0.stop();
    let (code, out, _) = run(&["audit"], &server_settings(shop.path()));
    assert_eq!(code, Some(0), "{out}");
}

#[test]
fn the_audit_reads_a_snapshot_beside_a_running_server() {
    let shop = Shop::new();
    let (server, ready) = serve(shop.path());
    let (code, out, error) = run(&["audit"], &server_settings(shop.path()));
    assert_eq!(code, Some(0), "{out}{error}");
    assert!(out.ends_with(" 0 differ\n"), "{out}");
    admin(shop.path(), &ready, &["accounts", "recharge", "1", "--amount", "7", "--reference", "r2"]);
    server.stop();
}

/// Also where each has a database of its own.
#[test]
fn a_second_process_on_a_data_directory_ends_with_a_sentence() {
    let shop = Shop::new();
    let (server, _) = serve(shop.path());
    let other = format!("sqlite:{}", shop.path().join("other.db").display());
    for roles in ["gateway", "api", "worker"] {
        let settings = [server_settings(shop.path()), vec![("TOLLGATE_STORE__URL", other.as_str())]].concat();
        let error = refused(&["serve", "--roles", roles], &settings);
        assert!(error.contains("another process uses the data directory"), "{error}");
    }
    assert!(!shop.path().join("other.db").exists());
    server.stop();
    serve(shop.path()).0.stop();
}
