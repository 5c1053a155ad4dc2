//! The document's words: enumerations exactly as callers write and read them, and shapes that
//! several calls share.

use serde::{Deserialize, Serialize};
use tollgate_core::{Error, Page};
use tollgate_types::{ProxyType, StaticProtocol, StaticType};
use utoipa::ToSchema;
use utoipa::openapi::schema::{AnyOfBuilder, KnownFormat, ObjectBuilder, SchemaFormat, Type};

/// 流量类型,residential:住宅,datacenter:机房,mobile:移动
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(example = "residential")]
pub(crate) enum TrafficType {
    Residential,
    Datacenter,
    Mobile,
}

impl From<TrafficType> for ProxyType {
    fn from(word: TrafficType) -> Self {
        match word {
            TrafficType::Residential => Self::Residential,
            TrafficType::Datacenter => Self::Datacenter,
            TrafficType::Mobile => Self::Mobile,
        }
    }
}

impl From<ProxyType> for TrafficType {
    fn from(proxy_type: ProxyType) -> Self {
        match proxy_type {
            ProxyType::Residential => Self::Residential,
            ProxyType::Datacenter => Self::Datacenter,
            ProxyType::Mobile => Self::Mobile,
        }
    }
}

/// active: on, inactive: off
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(example = "active")]
pub(crate) enum Switch {
    Active,
    Inactive,
}

impl Switch {
    pub(crate) fn is_on(self) -> bool {
        self == Self::Active
    }

    pub(crate) const fn of(on: bool) -> Self {
        if on { Self::Active } else { Self::Inactive }
    }
}

/// 流量包类型,personal:个人,enterprise:企业,custom:自定义
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(example = "personal")]
pub(crate) enum PlanType {
    Personal,
    Enterprise,
    Custom,
}

impl PlanType {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Personal => "personal",
            Self::Enterprise => "enterprise",
            Self::Custom => "custom",
        }
    }

    /// The stored word's; anything but the three is not stored.
    pub(crate) fn of(word: &str) -> Self {
        match word {
            "enterprise" => Self::Enterprise,
            "custom" => Self::Custom,
            _ => Self::Personal,
        }
    }
}

/// 支付方式,wallet_only:钱包支付
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(example = "wallet_only")]
pub(crate) enum PaymentType {
    WalletOnly,
}

/// 续费状态,normal:正常,insufficient:余额不足,failed:续费失败
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RebuyStatus {
    Normal,
    Insufficient,
    Failed,
}

impl From<tollgate_core::RebuyStatus> for RebuyStatus {
    fn from(status: tollgate_core::RebuyStatus) -> Self {
        match status {
            tollgate_core::RebuyStatus::Normal => Self::Normal,
            tollgate_core::RebuyStatus::Insufficient => Self::Insufficient,
            tollgate_core::RebuyStatus::Failed => Self::Failed,
        }
    }
}

/// 代理类型,res:静态住宅IP,dc:静态机房IP,ipv6:静态IPv6
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = StaticType, example = "res")]
pub(crate) enum StaticTypeWord {
    Res,
    Dc,
    Ipv6,
}

impl From<StaticTypeWord> for StaticType {
    fn from(word: StaticTypeWord) -> Self {
        match word {
            StaticTypeWord::Res => Self::Res,
            StaticTypeWord::Dc => Self::Dc,
            StaticTypeWord::Ipv6 => Self::Ipv6,
        }
    }
}

impl From<StaticType> for StaticTypeWord {
    fn from(static_type: StaticType) -> Self {
        match static_type {
            StaticType::Res => Self::Res,
            StaticType::Dc => Self::Dc,
            StaticType::Ipv6 => Self::Ipv6,
        }
    }
}

/// 协议,http,socks5,http/socks5
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = StaticProtocol, example = "http")]
pub(crate) enum ProtocolWord {
    #[serde(rename = "http")]
    Http,
    #[serde(rename = "socks5")]
    Socks5,
    #[serde(rename = "http/socks5")]
    Both,
}

impl From<ProtocolWord> for StaticProtocol {
    fn from(word: ProtocolWord) -> Self {
        match word {
            ProtocolWord::Http => Self::Http,
            ProtocolWord::Socks5 => Self::Socks5,
            ProtocolWord::Both => Self::Both,
        }
    }
}

impl From<StaticProtocol> for ProtocolWord {
    fn from(protocol: StaticProtocol) -> Self {
        match protocol {
            StaticProtocol::Http => Self::Http,
            StaticProtocol::Socks5 => Self::Socks5,
            StaticProtocol::Both => Self::Both,
        }
    }
}

/// Something for each type of traffic; a type that was not asked for is absent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ByType<T> {
    /// 住宅
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    residential: Option<T>,
    /// 机房
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    datacenter: Option<T>,
    /// 移动
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    mobile: Option<T>,
}

impl<T> ByType<T> {
    /// From what there is of each type.
    pub(crate) fn new(parts: impl IntoIterator<Item = (ProxyType, T)>) -> Self {
        let mut by_type = Self { residential: None, datacenter: None, mobile: None };
        for (proxy_type, part) in parts {
            *match proxy_type {
                ProxyType::Residential => &mut by_type.residential,
                ProxyType::Datacenter => &mut by_type.datacenter,
                ProxyType::Mobile => &mut by_type.mobile,
            } = Some(part);
        }
        by_type
    }
}

/// Which page of a list, for lists that take nothing else.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageParams {
    /// 分页索引, 非必传, 默认1
    #[param(example = 1, minimum = 1, maximum = 9223372036854775i64)]
    page: Option<i64>,
    /// 分页条数, 非必传, 默认10
    #[param(example = 10, minimum = 1, maximum = 1000)]
    page_size: Option<i64>,
}

impl PageParams {
    pub(crate) fn page(&self) -> Result<Page, Error> {
        Page::new(self.page, self.page_size)
    }
}

/// An IPv4 or an IPv6 address, to be described further.
pub(crate) fn ip_address() -> AnyOfBuilder {
    let of = |format| {
        let format = SchemaFormat::KnownFormat(format);
        ObjectBuilder::new().schema_type(Type::String).format(Some(format))
    };
    AnyOfBuilder::new().item(of(KnownFormat::Ipv4)).item(of(KnownFormat::Ipv6))
}

/// The id of what a call made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Made {
    /// Its id.
    #[schema(example = 1)]
    pub(crate) id: i64,
}
