//! Backups are taken under load and restored elsewhere, on either engine; databases move; and
//! everybody gets the same answers before and after.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use common::{PASSWORD, both_databases};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tollgate_testkit::client::{Api, ProxyUser, Way};
use tollgate_testkit::world::{Customer, World, eventually, int};
use tollgate_testkit::{Origin, postgres};

const TREND: &str = "start_date=2000-01-01&end_date=2100-01-01";

/// How often a busy world is backed up.
const BACKUPS: usize = 3;

/// A world with everything in it that a customer can see.
struct Shop {
    world: World,
    origin: Arc<Origin>,
    ann: Customer,
    sub_account: i64,
    offer: i64,
}

impl Shop {
    async fn in_world(world: World) -> Self {
        let origin = Arc::new(Origin::start().await);
        let ann = world.customer("ann", 1_000_000_000).await;
        world.exit("us-1", "residential", "us", "127.0.0.11").await;
        let offer = world.offer("residential", 1, 1).await;
        let sub_account = world.sub_account(&ann, "ann.one", PASSWORD, 0).await;
        let listed = json!({ "ip": "192.0.2.7", "remark": "办公室 🏢" });
        world.api(&ann.key).post("/api/users/proxy/add-whitelist", listed).await.data();
        Self { world, origin, ann, sub_account, offer }
    }

    fn load(&self) -> Load {
        let (stop, purchases) = (Arc::new(AtomicBool::new(false)), Arc::new(Purchases::default()));
        let user = self.world.user(&format!("ann.one:{PASSWORD}"));
        let downloads = |way| tokio::spawn(download(user.clone(), self.origin.clone(), way, stop.clone()));
        let api = self.world.api(&self.ann.key);
        let tasks = vec![
            downloads(Way::Connect),
            downloads(Way::Socks5),
            tokio::spawn(buy(api, self.offer, purchases.clone(), stop.clone())),
        ];
        Load { tasks, stop, purchases }
    }

    /// Bytes that the origin counted, and those that the sub-account of a world is billed for.
    fn counted(&self) -> i64 {
        i64::try_from(self.origin.received() + self.origin.sent()).expect("a count that fits")
    }

    async fn billed(&self, world: &World) -> i64 {
        let path = format!("/api/users/subuser/{}", self.sub_account);
        int(&world.api(&self.ann.key).get(&path).await.data()["used_res_traffic"])
    }

    async fn bought(&self, world: &World) -> i64 {
        let current = world.api(&self.ann.key).get("/api/users/traffic/packages/current").await;
        current.data()["residential"]["total_traffic"].as_i64().unwrap_or(0) >> 30
    }

    /// All that a customer and the operator are told.
    async fn answers(&self, world: &World) -> Vec<(String, Value)> {
        let (sub_account, id) = (self.sub_account, self.ann.id);
        let mut answers = Vec::new();
        for path in [
            "me/info",
            "wallet/info",
            "wallet/ledger?page_size=1000",
            "subuser/list",
            &format!("subuser/{sub_account}"),
            "proxy/whitelist",
            "traffic/packages",
            "traffic/packages/current",
            &format!("traffic/trend?{TREND}"),
            &format!("traffic/{sub_account}/trend?{TREND}"),
            "proxy/refusals",
        ] {
            let answer = world.api(&self.ann.key).get(&format!("/api/users/{path}")).await;
            answers.push((path.to_owned(), answer.data().clone()));
        }
        for path in ["accounts", &format!("accounts/{id}"), "traffic-packages", "audit-log?page_size=1000"] {
            let answer = world.admin().get(&format!("/api/admin/{path}")).await;
            answers.push((path.to_owned(), answer.data().clone()));
        }
        answers
    }

    /// What was sealed can be opened, and what was paid for be used.
    async fn is_open(&self, world: &World, bytes: i64) {
        let user = world.user(&format!("ann.one:{PASSWORD}"));
        let before = self.billed(world).await;
        let path = format!("http://{}/bytes/{bytes}", self.origin.address());
        let answer = user.get(&path).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{}", &answer[..80]);
        eventually("new traffic is billed", Duration::from_secs(10), async || {
            (self.billed(world).await > before + bytes).then_some(())
        })
        .await;
    }
}

/// What came of buying packages, one after the other.
#[derive(Default)]
struct Purchases {
    begun: AtomicI64,
    acknowledged: AtomicI64,
}

/// Customers at work.
struct Load {
    tasks: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    purchases: Arc<Purchases>,
}

impl Load {
    async fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await.expect("the load ends when it is told to");
        }
    }
}

/// Downloads of a few megabytes, one after the other.
async fn download(user: ProxyUser, origin: Arc<Origin>, way: Way, stop: Arc<AtomicBool>) {
    let target = origin.address().to_string();
    let mut chunk = vec![0; 256 * 1024];
    while !stop.load(Ordering::SeqCst) {
        let once = async {
            let mut tunnel = user.try_tunnel(way, &target).await.ok()?.ok()?;
            tunnel.write_all(b"SEND 3000000\n").await.ok()?;
            while tunnel.read(&mut chunk).await.ok()? > 0 {}
            Some(())
        };
        once.await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn buy(api: Api, offer: i64, purchases: Arc<Purchases>, stop: Arc<AtomicBool>) {
    let body = json!({ "traffic_package_id": offer, "payment_type": "wallet_only" });
    while !stop.load(Ordering::SeqCst) {
        purchases.begun.fetch_add(1, Ordering::SeqCst);
        let path = "/api/users/traffic/packages/purchase";
        if let Ok(answer) = api.try_call("POST", path, &[], Some(&body)).await
            && answer.starts_with("HTTP/1.1 200 ")
        {
            purchases.acknowledged.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Runs a command of the program while this test goes on.
async fn run(world: &World, arguments: &[&str]) -> String {
    tokio::task::block_in_place(|| world.run(arguments))
}

fn path(path: &std::path::Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

both_databases!(a_busy_world_is_backed_up_and_restored_elsewhere, |world: World| async move {
    let shop = Shop::in_world(world).await;
    let folder = folder();
    let load = shop.load();
    let mut backups: Vec<(PathBuf, i64, i64)> = Vec::new();
    for n in 0..BACKUPS {
        let before = load.purchases.acknowledged.load(Ordering::SeqCst);
        eventually("business goes on", Duration::from_secs(30), async || {
            let bought = load.purchases.acknowledged.load(Ordering::SeqCst) > before + 5;
            (bought && shop.billed(&shop.world).await > 3_000_000).then_some(())
        })
        .await;
        let file = folder.path().join(format!("{n}.db"));
        let at_least = load.purchases.acknowledged.load(Ordering::SeqCst);
        let said = run(&shop.world, &["backup", path(&file)]).await;
        assert!(said.contains(" 0 differ\n"), "{said}");
        backups.push((file, at_least, load.purchases.begun.load(Ordering::SeqCst)));
    }
    load.end().await;
    let counted = shop.counted();
    let mut targets = vec![None; BACKUPS];
    targets.extend(postgres::fresh_database().map(Some));
    targets.extend(postgres::empty_database().map(Some));
    for (n, target) in targets.into_iter().enumerate() {
        let (file, at_least, at_most) = &backups[n.min(BACKUPS - 1)];
        let mut elsewhere = tokio::task::block_in_place(|| shop.world.restored(file, target));
        elsewhere.audit();
        elsewhere.boot();
        let bought = shop.bought(&elsewhere).await;
        assert!((at_least..=at_most).contains(&&bought), "{at_least} ≤ {bought} ≤ {at_most}");
        let billed = shop.billed(&elsewhere).await;
        assert!((1..=counted).contains(&billed), "{billed} of {counted}");
        shop.is_open(&elsewhere, 12_345).await;
    }
});

both_databases!(a_restored_world_gives_the_same_answers, |world: World| async move {
    let mut shop = Shop::in_world(world).await;
    let before = quiet(&mut shop).await;
    let folder = folder();
    let file = folder.path().join("backup.db");
    run(&shop.world, &["backup", path(&file)]).await;
    let targets = [Some(None), postgres::fresh_database().map(Some)];
    for target in targets.into_iter().flatten() {
        let mut elsewhere = tokio::task::block_in_place(|| shop.world.restored(&file, target));
        elsewhere.boot();
        same(&shop.answers(&elsewhere).await, &before);
        shop.is_open(&elsewhere, 12_345).await;
    }
});

both_databases!(a_world_that_moves_gives_the_same_answers, |world: World| async move {
    let mut shop = Shop::in_world(world).await;
    let before = quiet(&mut shop).await;
    let folder = folder();
    let targets = [
        postgres::fresh_database(),
        Some(format!("sqlite:{}", path(&folder.path().join("moved.db")))),
        postgres::empty_database(),
    ];
    // From where it is to PostgreSQL, to SQLite, and back.
    for target in targets.into_iter().flatten() {
        shop.world.stop();
        let said = run(&shop.world, &["db", "copy", "--to", &target]).await;
        assert!(said.contains(&format!("TOLLGATE_STORE__URL={target}")), "{said}");
        assert!(said.contains(" 0 differ\n"), "{said}");
        shop.world.move_to(Some(target));
        shop.world.boot();
        same(&shop.answers(&shop.world).await, &before);
    }
    shop.is_open(&shop.world, 12_345).await;
});

/// Some business, and then none, with everything settled; gives what everybody is told then.
async fn quiet(shop: &mut Shop) -> Vec<(String, Value)> {
    let load = shop.load();
    eventually("business", Duration::from_secs(30), async || {
        let bought = load.purchases.acknowledged.load(Ordering::SeqCst) > 5;
        (bought && shop.billed(&shop.world).await > 3_000_000).then_some(())
    })
    .await;
    load.end().await;
    let wrong = shop.world.user("ann.one:wrong-1").tunnel(Way::Connect, "192.0.2.1:80").await;
    assert_eq!(wrong.expect_err("refused").status, 407);
    shop.world.stop();
    shop.world.boot();
    shop.answers(&shop.world).await
}

fn same(after: &[(String, Value)], before: &[(String, Value)]) {
    for ((path, after), (_, before)) in after.iter().zip(before) {
        assert_eq!(after, before, "{path}");
    }
    assert_eq!(after.len(), before.len());
}

// The gateway's journal knows leases that the restored database has never issued, and the gateway
// reports them. Nobody pays for them: they are lost with what the database forgot.
both_databases!(
    a_gateway_that_knows_more_than_the_restored_database_charges_nobody,
    |world: World| async move {
        let mut shop = Shop::in_world(world).await;
        let folder = folder();
        let file = folder.path().join("backup.db");
        let load = shop.load();
        eventually("business", Duration::from_secs(30), async || {
            (shop.billed(&shop.world).await > 3_000_000).then_some(())
        })
        .await;
        run(&shop.world, &["backup", path(&file)]).await;
        shop.world.kill();
        load.end().await;
        let at_backup = {
            let mut looking = tokio::task::block_in_place(|| shop.world.restored(&file, None));
            looking.boot();
            shop.billed(&looking).await
        };

        // Whatever is issued in this life, the backup knows nothing of; a crash leaves it in the journal.
        shop.world.boot();
        let before = shop.billed(&shop.world).await;
        assert!(before >= at_backup, "the journal has settled the last life: {before}, {at_backup}");
        let load = shop.load();
        eventually("business", Duration::from_secs(30), async || {
            (shop.billed(&shop.world).await > before + 3_000_000).then_some(())
        })
        .await;
        shop.world.kill();
        load.end().await;
        let journal = shop.world.data_dir().join("gateway");
        assert!(std::fs::read_dir(journal).expect("the gateway's folder").count() > 0);

        lose_the_database(&mut shop.world);
        run(&shop.world, &["restore", path(&file)]).await;
        shop.world.boot();
        assert_eq!(shop.billed(&shop.world).await, at_backup, "nothing came of the reports");
        for bytes in [12_345, 23_456, 34_567] {
            shop.is_open(&shop.world, bytes).await;
        }
        let after = shop.billed(&shop.world).await - at_backup;
        assert!((70_368..80_000).contains(&after), "what is used now is billed, and nothing else: {after}");
    }
);

/// The data directory with its journal is left.
fn lose_the_database(world: &mut World) {
    let files = ["", "-wal", "-shm"].map(|ending| world.data_dir().join(format!("tollgate.db{ending}")));
    if files[0].exists() {
        files
            .iter()
            .filter(|file| file.exists())
            .for_each(|file| std::fs::remove_file(file).expect("removed"));
    } else {
        world.move_to(postgres::fresh_database());
    }
}
