//! Backing up, restoring and moving, as operators do it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::common::{Running, eventually, run, server_settings, tollgate};
use serde_json::Value;
use tempfile::TempDir;

/// A platform that has been used: its data directory, and a folder for backups.
struct Used {
    data: TempDir,
    backups: TempDir,
}

impl Used {
    fn new() -> Self {
        let used = Self { data: folder(), backups: folder() };
        let server = used.serve();
        assert_eq!(used.account("ada").0, Some(0));
        server.stop();
        used
    }

    fn serve(&self) -> Running {
        let (server, ready) = Running::serve(&[], &server_settings(self.data.path()));
        fs::write(self.backups.path().join("api"), ready["api"].as_str().expect("an address"))
            .expect("written");
        server
    }

    /// Opens an account over the API of the running server.
    fn account(&self, name: &str) -> (Option<i32>, String, String) {
        let api = fs::read_to_string(self.backups.path().join("api")).expect("an address");
        let mail = format!("{name}@example.com");
        let create = ["admin", "--api", &api, "accounts", "create", name, "--email", &mail];
        run(&create, &server_settings(self.data.path()))
    }

    fn backup_file(&self) -> PathBuf {
        self.backups.path().join("backup.db")
    }

    fn backup(&self) -> (Option<i32>, String, String) {
        run(&["backup", text(&self.backup_file())], &server_settings(self.data.path()))
    }

    /// A backup, and a fresh data directory that has nothing but the key.
    fn backed_up(&self) -> (PathBuf, TempDir) {
        let (code, _, error) = self.backup();
        assert_eq!(code, Some(0), "{error}");
        let fresh = folder();
        fs::copy(self.data.path().join("master-key"), fresh.path().join("master-key")).expect("copied");
        (self.backup_file(), fresh)
    }

    /// Makes it large, so that copying it takes a while.
    fn grow(&self) {
        const ROWS: &str = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 100000)
            INSERT INTO audit_log (at, actor, action, account_id, subject, detail)
            SELECT n, 'operator', 'account.updated', 1, 'account:1', hex(zeroblob(100)) FROM n";
        let db = rusqlite::Connection::open(self.data.path().join("tollgate.db")).expect("the database");
        db.execute(ROWS, []).expect("filled");
    }

    /// Makes its books wrong, behind the program's back.
    fn tamper(&self) {
        let db = rusqlite::Connection::open(self.data.path().join("tollgate.db")).expect("the database");
        db.execute("UPDATE wallets SET balance = 7, total_recharge = 7", []).expect("tampered with");
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn restore(file: &Path, data: &Path) -> (Option<i32>, String, String) {
    run(&["restore", text(file)], &server_settings(data))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = entries.map(|name| name.into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

/// The accounts of a data directory, as its server lists them.
fn accounts(data: &Path) -> Vec<String> {
    let settings = server_settings(data);
    let (server, ready) = Running::serve(&[], &settings);
    let list = ["admin", "--api", ready["api"].as_str().expect("an address"), "--json", "accounts", "list"];
    let (_, out, error) = run(&list, &settings);
    server.stop();
    let answer: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{error}"));
    let listed = answer["data"]["records"].as_array().unwrap_or_else(|| panic!("{answer}{error}")).clone();
    listed.iter().map(|account| account["username"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn help_teaches_how_to_back_up_restore_and_move() {
    for (arguments, expected) in [
        (&["--help"][..], "backup"),
        (&["backup", "--help"], "tollgate backup --data-dir /var/lib/tollgate /backup/"),
        (&["restore", "--help"], "TOLLGATE_MASTER_KEY=… tollgate restore --database-url postgres://"),
        (&["db", "copy", "--help"], "tollgate db copy --data-dir /var/lib/tollgate --to postgres://"),
    ] {
        let (code, out, _) = run(arguments, &[]);
        assert_eq!(code, Some(0));
        assert!(out.contains(expected), "{arguments:?}:\n{out}");
    }
}

#[test]
fn a_running_server_is_backed_up_and_restored_elsewhere() {
    let used = Used::new();
    let server = used.serve();
    let (code, out, error) = used.backup();
    assert_eq!(code, Some(0), "{error}");
    assert!(out.contains("backup.db is a backup of sqlite:") && out.ends_with(" 0 differ\n"), "{out}");
    assert_eq!(used.account("later").0, Some(0), "the server goes on");
    server.stop();
    let mode = fs::metadata(used.backup_file()).expect("the backup").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it holds sealed secrets");
    assert_eq!(names(used.backups.path()), ["api", "backup.db"]);

    let fresh = folder();
    fs::copy(used.data.path().join("master-key"), fresh.path().join("master-key")).expect("copied");
    let (code, out, error) = restore(&used.backup_file(), fresh.path());
    assert_eq!(code, Some(0), "{error}");
    assert!(out.starts_with("the backup of 20") && out.ends_with(" 0 differ\n"), "{out}");
    assert_eq!(accounts(fresh.path()), ["ada"]);
    assert_eq!(accounts(used.data.path()), ["later", "ada"]);
}

/// Whoever was told an id after the backup was made must not find something else under it.
#[test]
fn a_restored_platform_gives_no_id_out_again() {
    let used = Used::new();
    let (file, fresh) = used.backed_up();
    let server = used.serve();
    let (_, lost, _) = used.account("lost");
    server.stop();
    assert_eq!(restore(&file, fresh.path()).0, Some(0));
    let restored = Used { data: fresh, backups: folder() };
    let server = restored.serve();
    let (_, new, _) = restored.account("new");
    server.stop();
    let id = |out: &str| -> i64 {
        let line =
            out.lines().find_map(|line| line.trim().strip_prefix("id ")).unwrap_or_else(|| panic!("{out}"));
        line.trim().parse().expect("a number")
    };
    assert_eq!(id(&lost), 2);
    assert!(id(&new) > 1_000_000, "{new}");
}

#[test]
fn nothing_is_backed_up_over_a_file_or_from_nowhere() {
    let used = Used::new();
    fs::write(used.backup_file(), "precious").expect("written");
    let (code, _, error) = used.backup();
    assert_eq!(code, Some(2));
    assert!(error.contains("backup.db exists already"), "{error}");
    assert_eq!(fs::read(used.backup_file()).expect("the file"), b"precious");

    let (code, _, error) = run(&["backup", "/nowhere/at/all/x"], &server_settings(used.data.path()));
    assert_eq!(code, Some(2));
    assert!(error.contains("/nowhere/at/all/x"), "{error}");

    let empty = folder();
    let file = empty.path().join("x");
    let (code, _, error) = run(&["backup", text(&file)], &server_settings(empty.path()));
    assert_eq!(code, Some(2));
    assert!(error.contains("there is no database at"), "{error}");
    assert_eq!(names(empty.path()), Vec::<String>::new());
}

#[test]
fn a_backup_whose_audit_finds_something_is_none_unless_it_is_to_be() {
    let used = Used::new();
    used.tamper();
    let (code, out, error) = used.backup();
    assert_eq!(code, Some(1), "{error}");
    assert!(out.contains("balance of wallet:1") && out.contains("--accept-differences"), "{out}");
    assert_eq!(names(used.backups.path()), ["api"]);

    let accept = ["backup", "--accept-differences", text(&used.backup_file())].map(str::to_owned);
    let accept: Vec<&str> = accept.iter().map(String::as_str).collect();
    let (code, out, error) = run(&accept, &server_settings(used.data.path()));
    assert_eq!(code, Some(0), "{error}");
    assert!(out.contains("balance of wallet:1") && out.contains("is a backup of"), "{out}");

    let fresh = folder();
    fs::copy(used.data.path().join("master-key"), fresh.path().join("master-key")).expect("copied");
    let (code, out, error) = restore(&used.backup_file(), fresh.path());
    assert_eq!(code, Some(1), "{error}");
    assert!(out.contains("nothing has been restored"), "{out}");
    assert_eq!(accounts(fresh.path()), Vec::<String>::new());
}

#[test]
fn a_database_in_use_or_used_is_not_restored_over() {
    let used = Used::new();
    let (file, _) = used.backed_up();
    let (code, _, error) = restore(&file, used.data.path());
    assert_eq!(code, Some(2));
    assert!(error.contains("not empty: its table accounts has rows"), "{error}");
    assert_eq!(accounts(used.data.path()), ["ada"]);

    let server = used.serve();
    let (code, _, error) = restore(&file, used.data.path());
    assert_eq!(code, Some(2));
    assert!(error.contains("another process has the database"), "{error}");
    server.stop();
}

#[test]
fn a_platform_that_was_started_once_and_never_used_is_restored_over() {
    let used = Used::new();
    let (file, fresh) = used.backed_up();
    // A key without a database is one whose database was lost, as far as anybody can tell.
    Running::serve(&["--accept-loss"], &server_settings(fresh.path())).0.stop();
    let unused = accounts(fresh.path());
    assert_eq!(unused, Vec::<String>::new());
    let (code, _, error) = restore(&file, fresh.path());
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(accounts(fresh.path()), ["ada"]);
}

#[test]
fn a_restore_without_its_master_key_says_so_and_writes_nothing() {
    let used = Used::new();
    let (file, _) = used.backed_up();
    let empty = folder();
    let absent = empty.path().join("data");
    let (code, _, error) = restore(&file, &absent);
    assert_eq!(code, Some(2));
    assert!(error.contains("master key is missing") && error.contains("TOLLGATE_MASTER_KEY"), "{error}");
    assert_eq!(names(empty.path()), Vec::<String>::new());

    let other = ("TOLLGATE_MASTER_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    let settings = [server_settings(&absent), vec![other]].concat();
    let (code, _, error) = run(&["restore", text(&file)], &settings);
    assert_eq!(code, Some(2));
    assert!(error.contains("is not the one under which"), "{error}");
    assert_eq!(names(empty.path()), Vec::<String>::new());

    let key = fs::read_to_string(used.data.path().join("master-key")).expect("the key");
    let settings = [server_settings(&absent), vec![("TOLLGATE_MASTER_KEY", key.trim())]].concat();
    let (code, _, error) = run(&["restore", text(&file)], &settings);
    assert_eq!(code, Some(0), "{error}");
    let (code, out, error) = run(&["audit"], &settings);
    assert_eq!(code, Some(0), "{out}{error}");
}

#[test]
fn what_is_no_whole_backup_is_not_restored() {
    let used = Used::new();
    let (file, fresh) = used.backed_up();
    let whole = fs::read(&file).expect("the backup");
    let mut changed = whole.clone();
    let at = whole.windows(15).position(|window| window == b"ada@example.com").expect("her address");
    changed[at] = b'b';
    let not_backups: [(&[u8], &str); 5] = [
        (&whole[..whole.len() / 2], "it is damaged"),
        (&whole[..whole.len() - 1], "it is damaged"),
        (&changed, "the table accounts does not hold what was written to it"),
        (b"-- PostgreSQL database dump\n", "it is damaged: file is not a database"),
        (b"", "it holds no database of Tollgate"),
    ];
    for (bytes, expected) in not_backups {
        fs::write(&file, bytes).expect("written");
        let (code, _, error) = restore(&file, fresh.path());
        assert_eq!(code, Some(2), "{expected}");
        assert!(error.contains(expected), "{expected}: {error}");
        assert_eq!(names(fresh.path()), ["master-key"], "{expected}");
    }
    for (path, expected) in [("/nowhere/at/all", "cannot be read"), ("/tmp", "is no file")] {
        let (code, _, error) = restore(Path::new(path), fresh.path());
        assert_eq!(code, Some(2));
        assert!(error.contains(expected), "{error}");
    }
}

/// Starts a command and kills it once a file that it writes has grown to a megabyte.
fn kill_half_way(arguments: &[&str], data: &Path, written: &Path) {
    let mut command = tollgate(arguments, &server_settings(data));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    eventually("it is half-way", || {
        assert!(child.try_wait().expect("its own child").is_none(), "it has ended before");
        fs::metadata(written).is_ok_and(|file| file.len() > 1 << 20)
    });
    child.kill().expect("its own child can be killed");
    child.wait().expect("its own child can be waited for");
}

#[test]
fn what_is_killed_half_way_leaves_nothing_and_can_be_done_again() {
    let used = Used::new();
    used.grow();
    let partial = used.backups.path().join("backup.db.partial");
    kill_half_way(&["backup", text(&used.backup_file())], used.data.path(), &partial);
    assert!(partial.exists() && !used.backup_file().exists());
    // Neither with what SQLite needs to undo it, nor without, is it taken for a backup.
    for _ in 0..2 {
        let (code, _, error) = restore(&partial, used.data.path());
        assert_eq!(code, Some(2));
        assert!(error.contains("it is damaged") || error.contains("no database of Tollgate"), "{error}");
        let _ = fs::remove_file(used.backups.path().join("backup.db.partial-journal"));
    }
    let (file, fresh) = used.backed_up();
    assert!(!partial.exists());

    let log = fresh.path().join("tollgate.db-wal");
    kill_half_way(&["restore", text(&file)], fresh.path(), &log);
    assert_eq!(accounts(fresh.path()), Vec::<String>::new());
    let (code, _, error) = restore(&file, fresh.path());
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(accounts(fresh.path()), ["ada"]);
}

#[test]
fn a_database_is_copied_with_the_server_stopped_and_says_what_to_set_next() {
    let used = Used::new();
    let to = format!("sqlite:{}", text(&used.backups.path().join("new.db")));
    let copy = ["db", "copy", "--to", &to];
    let settings = server_settings(used.data.path());
    let server = used.serve();
    let (code, _, error) = run(&copy, &settings);
    assert_eq!(code, Some(2));
    assert!(error.contains("what a server writes to it later would be lost"), "{error}");
    server.stop();

    let (code, out, error) = run(&copy, &settings);
    assert_eq!(code, Some(0), "{error}");
    assert!(out.contains(&format!("  TOLLGATE_STORE__URL={to}\n")) && out.contains(" 0 differ\n"), "{out}");
    let moved = [settings.as_slice(), &[("TOLLGATE_STORE__URL", to.as_str())]].concat();
    let (code, out, error) = run(&["audit"], &moved);
    assert_eq!(code, Some(0), "{out}{error}");

    let (code, _, error) = run(&copy, &settings);
    assert_eq!(code, Some(2), "it is not empty any more");
    assert!(error.contains("not empty"), "{error}");
    let itself = format!("sqlite:{}", text(&used.data.path().join("tollgate.db")));
    let (code, _, error) = run(&["db", "copy", "--to", &itself], &settings);
    assert_eq!(code, Some(2));
    assert!(error.contains("is the database itself"), "{error}");
    let (code, _, error) = run(&["db", "copy", "--to", "mysql://root:hunter2@h/x"], &settings);
    assert_eq!(code, Some(2));
    assert!(error.contains("--to: a database is given as") && !error.contains("hunter2"), "{error}");
}
