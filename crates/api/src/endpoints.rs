//! Where customers find the gateway.

/// The gateway's public addresses, as customers are told them. They may differ from the listeners'
/// own where a load balancer stands in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// Host name or address.
    pub host: String,
    /// The port on which the user name says the type of traffic; `None` where it is off.
    pub any: Option<u16>,
    /// The port for residential traffic.
    pub residential: Option<u16>,
    /// The port for datacenter traffic.
    pub datacenter: Option<u16>,
    /// The port for mobile traffic.
    pub mobile: Option<u16>,
}

impl Default for Endpoints {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".into(),
            any: Some(7000),
            residential: Some(7001),
            datacenter: Some(7002),
            mobile: Some(7003),
        }
    }
}
