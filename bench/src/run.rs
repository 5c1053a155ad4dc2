//! One run: rounds, and in each round every measurement for every subject in turn.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use anyhow::{Result, anyhow};
use tempfile::TempDir;

use crate::args::Options;
use crate::capacity;
use crate::client::{Door, Way};
use crate::machine::Machine;
use crate::measure;
use crate::origin::Origin;
use crate::peers::{PEERS, Peer};
use crate::pingpong;
use crate::platform;
use crate::postgres::Cluster;
use crate::process::{Daemon, free_port};
use crate::report::{Report, Row, Table};
use crate::statics;
use crate::tollgate::{Tollgate, create_sub_account, until_admitted};

/// The sub-account through which Tollgate is measured beside the others.
const SUB_ACCOUNT: &str = "bench";

/// Measures everything that was asked for.
pub(crate) async fn all(options: &Options) -> Result<Report> {
    let size =
        if options.quick { "A smoke run with small sizes: its figures mean little." } else { "A full run." };
    let mut report = Report::new(Machine::look(options), format!("{size} Rounds: {}.", options.rounds));
    for round in 1..=options.rounds {
        let run = Round { options, number: round };
        run.idle(&mut report).await;
        run.data_plane(&mut report).await;
        run.statics(&mut report).await;
        run.settle(&mut report).await;
        run.capacity(&mut report).await;
    }
    Ok(report)
}

/// A folder for one daemon that other users can look into: some daemons give up root.
pub(crate) fn folder() -> Result<TempDir> {
    let open = std::fs::Permissions::from_mode(0o755);
    Ok(tempfile::Builder::new().prefix("tollgate-bench-").permissions(open).tempdir()?)
}

/// What is measured.
#[derive(Debug, Clone, Copy)]
enum Subject {
    Tollgate,
    Peer(&'static Peer),
    Relay,
}

impl Subject {
    fn all(options: &Options) -> Vec<Self> {
        let mut all = vec![Self::Tollgate];
        all.extend(PEERS.iter().map(Self::Peer));
        all.push(Self::Relay);
        all.retain(|subject| options.wants_subject(subject.name()));
        all
    }

    /// Where it stands in the tables.
    fn rank(self) -> usize {
        let peer = |wanted: &str| PEERS.iter().position(|peer| peer.name == wanted).unwrap_or(PEERS.len());
        match self {
            Self::Tollgate => 0,
            Self::Peer(_) | Self::Relay => 1 + peer(self.name()),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Tollgate => "tollgate",
            Self::Peer(peer) => peer.name,
            Self::Relay => "relay",
        }
    }
}

/// A daemon that is ready to be measured, in one or more ways.
#[derive(Debug)]
struct Stand {
    process: Running,
    doors: Vec<(Row, Door)>,
    origin: Origin,
    /// Whether it takes requests, and not only tunnels, through its doors of HTTP.
    http: bool,
    _folder: TempDir,
}

#[derive(Debug)]
enum Running {
    Tollgate(Tollgate),
    Other(Daemon),
}

impl Stand {
    async fn start(subject: Subject, options: &Options) -> Result<Self> {
        let (origin, folder) = (Origin::start().await?, folder()?);
        let target = origin.address();
        let (process, doors, http) = match subject {
            Subject::Tollgate => {
                let (tollgate, doors) = start_tollgate(options, target).await?;
                (Running::Tollgate(tollgate), doors, true)
            }
            Subject::Peer(peer) => {
                let (daemon, door) = peer.start(folder.path(), target).await?;
                (Running::Other(daemon), vec![door], peer.http)
            }
            Subject::Relay => {
                let (daemon, door) = start_relay(&folder, target).await?;
                (Running::Other(daemon), vec![door], false)
            }
        };
        let doors = doors.into_iter().map(|door| (row(subject, &door), door)).collect();
        Ok(Self { process, doors, origin, http, _folder: folder })
    }

    fn daemon(&self) -> &Daemon {
        match &self.process {
            Running::Tollgate(tollgate) => tollgate.daemon(),
            Running::Other(daemon) => daemon,
        }
    }

    /// Whether GET requests go through a door: those of HTTP proxies, and those that do not care.
    fn takes_requests(&self, door: &Door) -> bool {
        match door.way {
            Way::Connect => self.http,
            Way::Straight => true,
            Way::Socks5 => false,
        }
    }
}

fn row(subject: Subject, door: &Door) -> Row {
    let way = match (door.way, &door.login) {
        (Way::Connect, _) => "HTTP",
        (Way::Socks5, Some(_)) => "SOCKS5",
        (Way::Socks5, None) => "SOCKS5, no login",
        (Way::Straight, _) => "TCP, no proxy protocol",
    };
    let is_peer = matches!(subject, Subject::Peer(_)) && door.way != Way::Straight;
    Row { subject: format!("{} ({way})", subject.name()), is_peer, rank: subject.rank() }
}

async fn start_tollgate(options: &Options, origin: SocketAddr) -> Result<(Tollgate, Vec<Door>)> {
    let tollgate = Tollgate::start(&options.tollgate, None).await?;
    let key = tollgate.account("customer").await?;
    create_sub_account(&mut tollgate.api(&key), SUB_ACCOUNT).await?;
    let doors: Vec<Door> = [Way::Connect, Way::Socks5].map(|way| tollgate.door(way, SUB_ACCOUNT)).into();
    for door in &doors {
        until_admitted(door, origin).await?;
    }
    Ok((tollgate, doors))
}

async fn start_relay(folder: &TempDir, origin: SocketAddr) -> Result<(Daemon, Door)> {
    let listen = free_port()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["relay", &listen.port().to_string(), &origin.to_string()]);
    let mut daemon = Daemon::spawn("relay", &mut command, &folder.path().join("output.log"))?;
    daemon.answers(listen).await?;
    Ok((daemon, Door { address: listen, way: Way::Straight, login: None }))
}

/// One round of the run.
#[derive(Debug, Clone, Copy)]
struct Round<'a> {
    options: &'a Options,
    number: usize,
}

impl Round<'_> {
    /// Memory first, each daemon fresh and through its first door only.
    async fn idle(self, report: &mut Report) {
        if !self.options.wants_measure("idle") {
            return;
        }
        for subject in Subject::all(self.options) {
            self.say("idle", subject.name());
            let Some(stand) = self.start(subject, report, &[Table::Idle]).await else { continue };
            if let Some((row, door)) = stand.doors.first() {
                let count = self.options.sizes.idle;
                report.add(
                    Table::Idle,
                    row,
                    measure::idle(stand.daemon(), door, stand.origin.address(), count).await,
                );
            }
        }
    }

    /// Then all daemons side by side, and each measurement for one after the other.
    async fn data_plane(self, report: &mut Report) {
        let options = self.options;
        let mut tables = Vec::new();
        for (measure, table) in [
            ("bulk", Table::BulkOne),
            ("bulk", Table::BulkMany),
            ("connections", Table::Connections),
            ("requests", Table::Requests),
            ("pingpong", Table::PingPong),
        ] {
            if options.wants_measure(measure) {
                tables.push(table);
            }
        }
        let api = options.wants_measure("api") && options.wants_subject("tollgate");
        if tables.is_empty() && !api {
            return;
        }
        let mut stands = Vec::new();
        for subject in Subject::all(options) {
            // For the API alone nobody else is needed.
            let tollgate = matches!(subject, Subject::Tollgate);
            if !tables.is_empty() || tollgate {
                let mut concerned = tables.clone();
                concerned.extend((api && tollgate).then_some(Table::Api));
                stands.extend(self.start(subject, report, &concerned).await);
            }
        }
        for table in tables {
            for stand in &stands {
                self.doors(stand, table, report).await;
            }
        }
        for stand in stands.iter().filter(|_| api) {
            self.api(stand, report).await;
        }
    }

    async fn doors(self, stand: &Stand, table: Table, report: &mut Report) {
        let (daemon, origin, sizes) = (stand.daemon(), stand.origin.address(), &self.options.sizes);
        for (row, door) in &stand.doors {
            if table == Table::Requests && !stand.takes_requests(door) {
                continue;
            }
            self.say(table.name(), &row.subject);
            let result = match table {
                Table::BulkOne => measure::bulk(daemon, door, origin, 1, sizes.bulk_one).await,
                Table::BulkMany => measure::bulk(daemon, door, origin, 32, sizes.bulk_many).await,
                Table::Connections => measure::connections(daemon, door, origin, sizes.connections).await,
                Table::Requests => measure::requests(daemon, door, origin, sizes.requests).await,
                Table::PingPong => pingpong::measure(daemon, door, origin, sizes.messages).await,
                Table::Idle
                | Table::Api
                | Table::Statics
                | Table::Admission
                | Table::Settle
                | Table::Capacity => Err(anyhow!("not a measurement of the data plane")),
            };
            report.add(table, row, result);
        }
    }

    async fn api(self, stand: &Stand, report: &mut Report) {
        let Running::Tollgate(tollgate) = &stand.process else { return };
        let prepared = platform::prepare_calls(tollgate).await;
        for (call, path) in platform::CALLS {
            self.say("api", call);
            let row = Row { subject: format!("{call} (SQLite)"), is_peer: false, rank: 0 };
            let result = match &prepared {
                Ok(key) => platform::calls(tollgate, key, path, self.options.sizes.api_calls).await,
                Err(error) => Err(anyhow!("{error:#}")),
            };
            report.add(Table::Api, &row, result);
        }
    }

    /// Static addresses, on platforms of their own.
    async fn statics(self, report: &mut Report) {
        if !self.options.wants_measure("static") || !self.options.wants_subject("tollgate") {
            return;
        }
        self.say("static", "tollgate");
        let row = |rank, subject| Row { subject, is_peer: false, rank };
        match statics::measure(&self.options.tollgate, &self.options.sizes).await {
            Ok(found) => {
                for (rank, (table, subject, figures)) in found.into_iter().enumerate() {
                    report.add(table, &row(rank, subject), Ok(figures));
                }
            }
            Err(error) => report.add(Table::Statics, &row(0, "tollgate".to_owned()), Err(error)),
        }
    }

    /// Last the settlements, on a new platform for each database.
    async fn settle(self, report: &mut Report) {
        if !self.options.wants_measure("settle") || !self.options.wants_subject("tollgate") {
            return;
        }
        for database in ["SQLite", "PostgreSQL"] {
            self.say("settle", database);
            let payers = self.options.sizes.payers;
            let row = Row { subject: format!("{payers} payers ({database})"), is_peer: false, rank: 0 };
            report.add(Table::Settle, &row, self.settle_on(database == "PostgreSQL").await);
        }
    }

    async fn settle_on(self, postgres: bool) -> Result<Vec<measure::Figure>> {
        let cluster = if postgres { Some(Cluster::start().await?) } else { None };
        let origin = Origin::start().await?;
        let tollgate = Tollgate::start(&self.options.tollgate, cluster.as_ref().map(Cluster::url)).await?;
        let database = cluster.as_ref().map(Cluster::daemon);
        platform::settle(&tollgate, database, origin.address(), &self.options.sizes).await
    }

    /// And how fast they could go, without a gateway.
    async fn capacity(self, report: &mut Report) {
        if !self.options.wants_measure("capacity") || !self.options.wants_subject("tollgate") {
            return;
        }
        for database in ["SQLite", "PostgreSQL"] {
            self.say("capacity", database);
            let payers = self.options.sizes.payers;
            let row = Row { subject: format!("{payers} payers ({database})"), is_peer: false, rank: 0 };
            report.add(Table::Capacity, &row, self.capacity_on(database == "PostgreSQL").await);
        }
    }

    async fn capacity_on(self, postgres: bool) -> Result<Vec<measure::Figure>> {
        let (folder, cluster) = (folder()?, if postgres { Some(Cluster::start().await?) } else { None });
        let url = match &cluster {
            Some(cluster) => cluster.url().to_owned(),
            None => format!("sqlite:{}", folder.path().join("tollgate.db").display()),
        };
        capacity::measure(&url, &self.options.sizes).await
    }

    /// Starts a subject; where it cannot be, the tables say why.
    async fn start(self, subject: Subject, report: &mut Report, tables: &[Table]) -> Option<Stand> {
        let error = match subject {
            Subject::Peer(peer) if !peer.is_installed() => anyhow!("not installed"),
            _ => match Stand::start(subject, self.options).await {
                Ok(stand) => return Some(stand),
                Err(error) => error,
            },
        };
        let row = Row { subject: subject.name().to_owned(), is_peer: false, rank: subject.rank() };
        for table in tables {
            report.add(*table, &row, Err(anyhow!("{error:#}")));
        }
        None
    }

    fn say(self, measure: &str, subject: &str) {
        eprintln!("round {} of {}: {measure}: {subject}", self.number, self.options.rounds);
    }
}
