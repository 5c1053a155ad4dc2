//! The tables that a run fills, and the kinds of rows in them.

/// One of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    /// Memory of idle tunnels.
    Idle,
    /// Throughput of one tunnel.
    BulkOne,
    /// Throughput of 32 tunnels.
    BulkMany,
    /// New connections.
    Connections,
    /// Absolute-form requests.
    Requests,
    /// Small messages at a steady pace.
    PingPong,
    /// Calls of the JSON API.
    Api,
    /// What a platform with static addresses costs at rest.
    Statics,
    /// How long it takes to be let in at them.
    Admission,
    /// Settlements at the pace of real traffic.
    Settle,
    /// Settlements as fast as they go.
    Capacity,
    /// As many idle tunnels as there are descriptors for.
    SiegeIdle,
    /// Clients that never finish their requests, beside normal ones.
    SiegeSlow,
    /// Guessed passwords from many addresses, beside a customer.
    SiegeLogins,
}

impl Table {
    /// What stands above it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Idle => "Resident memory per idle tunnel",
            Self::BulkOne => "Throughput, 1 tunnel",
            Self::BulkMany => "Throughput, 32 tunnels",
            Self::Connections => "New connections (handshake, 1 KiB each way, close), 16 clients",
            Self::Requests => "GET of 1 KiB on kept connections, 16 clients",
            Self::PingPong => "Messages of 64 bytes and their echo, 50 tunnels, 2,000 a second together",
            Self::Api => "API calls, 8 clients",
            Self::Statics => "Static addresses: start-up and memory",
            Self::Admission => "Static addresses: from connecting to the first byte of CONNECT's answer",
            Self::Settle => "Settlements of active payers, at the pace of their traffic",
            Self::Capacity => "Settlements as fast as they go: one report after the other",
            Self::SiegeIdle => "Siege: as many idle tunnels as there are descriptors for",
            Self::SiegeSlow => "Siege: clients that never finish their requests, beside normal ones",
            Self::SiegeLogins => "Siege: guessed passwords from many addresses, beside a customer",
        }
    }

    /// Its name in the JSON file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::BulkOne => "bulk_1",
            Self::BulkMany => "bulk_32",
            Self::Connections => "connections",
            Self::Requests => "requests",
            Self::PingPong => "pingpong",
            Self::Api => "api",
            Self::Statics => "static",
            Self::Admission => "static_admission",
            Self::Settle => "settle",
            Self::Capacity => "capacity",
            Self::SiegeIdle => "siege_idle",
            Self::SiegeSlow => "siege_slow",
            Self::SiegeLogins => "siege_logins",
        }
    }

    /// Whether the first figure of its rows is compared with the best peer's.
    pub(crate) fn beside_peers(self) -> bool {
        self.beside_relay() || self == Self::Requests
    }

    /// Whether the first figure of its rows is compared with the bare relay's.
    pub(crate) fn beside_relay(self) -> bool {
        matches!(self, Self::Idle | Self::BulkOne | Self::BulkMany | Self::Connections | Self::PingPong)
    }

    /// Whether its figures stand below each other, because there are many for few rows.
    pub(crate) fn is_upright(self) -> bool {
        matches!(self, Self::SiegeIdle | Self::SiegeSlow | Self::SiegeLogins)
    }

    /// What has to be said below it.
    pub(crate) fn note(self) -> Option<&'static str> {
        match self {
            Self::Api => Some(
                "What bounds these calls is the processor, not the disk: on two cores Tollgate's share and \
                 that of the eight clients fill them, and p99 is waiting for one's turn. With more cores it \
                 is the four threads that read the database. README.md says where the time goes.",
            ),
            _ => None,
        }
    }
}

/// What a row is about, for comparing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Tollgate, in whichever way.
    Tollgate,
    /// A proxy that people would pick instead.
    Peer,
    /// A relay of others that knows no proxy protocol.
    Floor,
    /// Our own bare relay: the machine's limit.
    Relay,
}

/// A row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// What it is about.
    pub(crate) subject: String,
    /// What it is about, for comparing.
    pub(crate) kind: Kind,
    /// Where it stands: rows are shown by ascending rank.
    pub(crate) rank: usize,
}

impl Row {
    /// A row of a table about Tollgate alone.
    pub(crate) fn tollgate(rank: usize, subject: String) -> Self {
        Self { subject, kind: Kind::Tollgate, rank }
    }
}
