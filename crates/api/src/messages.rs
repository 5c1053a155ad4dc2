//! What callers are told, in both languages. Parameters keep their names in either.

use tollgate_core::{BadLine, Conflict, Noun, Rule};

use crate::error::{ApiError, NotTaken, Unreadable};
use crate::language::Language;

impl ApiError {
    /// One sentence for people. Says nothing about the inside of the house.
    pub fn message(&self, language: Language) -> String {
        let (zh, en): (&str, &str) = match self {
            Self::Invalid { field, rule } => return invalid(field, *rule, language),
            Self::Lines(lines) => return bad_lines(lines, language),
            Self::Unreadable(why) => return unreadable(why, language),
            Self::Unauthorized => ("缺少 API Key，或 API Key 无效", "the API key is missing or not valid"),
            Self::Suspended => ("账号已被停用", "the account is suspended"),
            Self::OperatorsOnly => ("仅限运营方调用", "only the operator may call this"),
            Self::NotFound(noun) => not_found(*noun),
            Self::NoSuchCall => ("接口不存在", "there is no such call"),
            Self::MethodNotAllowed { .. } => ("不支持的请求方式", "the method is not allowed here"),
            Self::InsufficientFunds => ("钱包余额不足", "the wallet's balance is too low"),
            Self::Conflict(conflict) => conflicting(*conflict),
            Self::OutOfStock => ("库存不足", "out of stock"),
            Self::TooLarge => ("请求体过大", "the request body is too large"),
            Self::NotTaken(what) => not_taken(*what),
            Self::TooMany { .. } => ("请求过于频繁，请稍后重试", "too many requests; try again later"),
            Self::Internal(_) => ("服务器内部错误", "internal error"),
            Self::Unavailable(_) => {
                ("服务暂时不可用，请稍后重试", "temporarily unavailable; try again later")
            }
        };
        language.pick(zh, en).to_owned()
    }
}

pub(crate) fn invalid(field: &str, rule: Rule, language: Language) -> String {
    let (zh, en) = match rule {
        Rule::Required => ("为必填项".into(), "is required".into()),
        Rule::WrongType => ("类型错误".into(), "has the wrong type".into()),
        Rule::Length { min, max } if min == max => {
            (format!("长度必须为 {min} 个字符"), format!("must be {min} characters long"))
        }
        Rule::Length { min, max } => {
            (format!("长度必须为 {min} 到 {max} 个字符"), format!("must be {min} to {max} characters long"))
        }
        Rule::Characters => ("包含不允许的字符".into(), "holds a character that is not allowed".into()),
        Rule::Range { min, max } => {
            (format!("必须在 {min} 到 {max} 之间"), format!("must be from {min} to {max}"))
        }
        Rule::OneOf(words) => {
            let words = words.join(", ");
            (format!("必须是以下之一：{words}"), format!("must be one of: {words}"))
        }
        Rule::Date => (
            "不是有效的日期，格式为 YYYY-MM-DD 或 YYYY-MM-DD HH:MM:SS".into(),
            "is not a date; use YYYY-MM-DD or YYYY-MM-DD HH:MM:SS".into(),
        ),
        Rule::Order => ("不能晚于结束时间".into(), "must not lie after the end".into()),
        Rule::Address => ("不是有效的地址".into(), "is not a valid address".into()),
        Rule::PrivateAddress => (
            "不能是内网、回环、组播或未指定的地址".into(),
            "must not be a private, loopback, multicast or unspecified address".into(),
        ),
        Rule::Reference => ("所指对象在此不可用".into(), "names something that cannot be used here".into()),
        Rule::Url => (
            "不是有效的 URL，例如 https://example.com/hooks，且不能包含用户名密码或 # 片段".into(),
            "is not a URL such as https://example.com/hooks, without credentials or fragment".into(),
        ),
        Rule::Https => ("必须以 https:// 开头".into(), "must begin with https://".into()),
        Rule::Unreachable => {
            ("的主机没有可访问的公网地址".into(), "names a host that has no public address".into())
        }
        Rule::Immutable => ("不可修改".into(), "cannot be changed".to_owned()),
        Rule::Count { min, max } if min == max => {
            (format!("数量必须为 {min} 个"), format!("must be {min} in number"))
        }
        Rule::Count { min, max } => {
            (format!("数量必须为 {min} 到 {max} 个"), format!("must be {min} to {max} in number"))
        }
        Rule::Doubled => ("重复".into(), "names the same twice".into()),
        Rule::Taken => ("已存在".into(), "is there already".into()),
        Rule::Reserved => {
            ("是平台自身使用的端口".into(), "is a port that the platform itself listens on".into())
        }
        Rule::OneHost => (
            "必须是单个主机的地址".into(),
            "must be the address of one host: not unspecified, multicast or broadcast".into(),
        ),
        Rule::Ipv4 => ("必须是 IPv4 地址".into(), "must be an IPv4 address".into()),
        Rule::Ipv6 => ("必须是 IPv6 地址".into(), "must be an IPv6 address".into()),
    };
    match language {
        Language::Zh => format!("参数 {field} {zh}"),
        Language::En => format!("parameter {field} {en}"),
    }
}

/// How many lines are wrong, and the first of them in full.
fn bad_lines(lines: &[BadLine], language: Language) -> String {
    let first = lines.first().map(|bad| invalid(bad.field, bad.rule, language)).unwrap_or_default();
    let (count, line) = (lines.len(), lines.first().map_or(0, |bad| bad.line));
    match language {
        Language::Zh => format!("共 {count} 处错误，未导入任何内容；第 {line} 行：{first}"),
        Language::En if count == 1 => format!("nothing was imported; line {line}: {first}"),
        Language::En => format!("{count} mistakes, nothing was imported; line {line}: {first}"),
    }
}

fn unreadable(why: &Unreadable, language: Language) -> String {
    let (zh, en) = match why {
        Unreadable::NotJson => ("请求体 body 不是有效的 JSON", "the body is not valid JSON"),
        Unreadable::NotAnObject => ("请求体 body 必须是 JSON 对象", "the body must be a JSON object"),
        Unreadable::Twice(field) => {
            return match language {
                Language::Zh => format!("参数 {field} 重复"),
                Language::En => format!("parameter {field} is given twice"),
            };
        }
        Unreadable::OtherId(field) => {
            return match language {
                Language::Zh => format!("参数 {field} 与同时给出的 ID 不一致"),
                Language::En => format!("parameter {field} differs from the id that is given beside it"),
            };
        }
        Unreadable::TwoKeys => (
            "请求头中包含两个不同的 API Key，请只发送一个",
            "the headers present two different API keys; send one",
        ),
        Unreadable::Incomplete => ("请求体 body 不完整", "the body did not arrive whole"),
        Unreadable::TooSlow => ("请求体 body 接收超时", "the body did not arrive in time"),
        Unreadable::Csv(line) => {
            return match language {
                Language::Zh => {
                    format!("CSV 从第 {line} 行起无法解析：引号不成对、单元格过多，或不是 UTF-8 编码")
                }
                Language::En => format!(
                    "the CSV cannot be read from line {line} on: quotes that do not fit, too many cells, or not UTF-8"
                ),
            };
        }
        Unreadable::CsvHeader(column) => {
            return match language {
                Language::Zh => format!("CSV 的首行必须是以逗号分隔的列名，缺少 {column}"),
                Language::En => format!(
                    "the CSV's first line must name its columns, with commas between; {column} is missing"
                ),
            };
        }
        Unreadable::Template => (
            "参数 template 须含 1 到 16 个占位符（%ip% %port% %login% %password% %country% %protocol%），百分号写作 %%，换行、制表符、反斜杠写作 \\n \\t \\\\",
            "parameter template must hold 1 to 16 of %ip% %port% %login% %password% %country% %protocol%; %% is a per cent sign, \\n \\t \\\\ are what they are elsewhere",
        ),
        Unreadable::IdempotencyKey => (
            "请求头 Idempotency-Key 必须是 1 到 255 个可见 ASCII 字符",
            "the header Idempotency-Key must be 1 to 255 visible ASCII characters",
        ),
    };
    language.pick(zh, en).to_owned()
}

const fn not_taken(what: NotTaken) -> (&'static str, &'static str) {
    match what {
        NotTaken::Media => {
            ("不支持的媒体类型，请使用 application/json", "the media type is not taken; use application/json")
        }
        NotTaken::Encoding => (
            "不支持的内容编码，请求体不可压缩（仅支持 identity）",
            "the content encoding is not taken: send the body uncompressed; identity is the only one that is taken",
        ),
        NotTaken::Charset => ("不支持的字符集，请使用 UTF-8", "the character set is not taken; use UTF-8"),
    }
}

const fn not_found(noun: Noun) -> (&'static str, &'static str) {
    match noun {
        Noun::Account => ("账号不存在", "no such account"),
        Noun::SubAccount => ("子账号不存在", "no such sub-account"),
        Noun::WhitelistEntry => ("白名单不存在", "no such whitelist entry"),
        Noun::Offer => ("流量包不存在", "no such traffic package"),
        Noun::Package => ("已购流量包不存在", "no such bought package"),
        Noun::Exit => ("出口不存在", "no such exit"),
        Noun::Connection => ("连接不存在", "no such connection"),
        Noun::Job => ("任务不存在", "no such job"),
        Noun::StaticPrice => ("价格套餐不存在", "no such price package"),
        Noun::StockItem => ("库存条目不存在", "no such stock item"),
        Noun::StaticOrder => ("订单不存在", "no such order"),
        Noun::StaticProxy => ("静态代理不存在", "no such static proxy"),
        Noun::StaticRequest => ("申请不存在", "no such request"),
        Noun::NoticeChannel => ("通知渠道不存在，或未启用", "no such notice channel, or none that is active"),
    }
}

const fn conflicting(conflict: Conflict) -> (&'static str, &'static str) {
    match conflict {
        Conflict::UsernameTaken => ("用户名 username 已被占用", "the username is taken"),
        Conflict::AddressListed => ("该 ip 已在白名单中", "the ip is listed already"),
        Conflict::IdempotencyKeyReused => {
            ("Idempotency-Key 已用于其他参数", "the Idempotency-Key was used with other parameters")
        }
        Conflict::NameTaken => ("名称 name 已被占用", "the name is taken"),
        Conflict::ReferenceReused => {
            ("该 reference 已用于其他金额", "the reference was used with another amount")
        }
        Conflict::WouldBeNegative => ("余额将为负数", "the balance would become negative"),
        Conflict::OpenRequest => {
            ("该静态代理正在退款或更换中", "a refund or a replacement of the static proxy is under way")
        }
        Conflict::RequestDecided => ("该申请已处理", "the request has been decided already"),
        Conflict::OrderDecided => ("该订单已处理", "the order has been decided already"),
        Conflict::Undelivered => ("该静态代理尚未配置完成", "the static proxy has not been delivered yet"),
        Conflict::Expired => ("该静态代理已过期", "the static proxy has expired"),
        Conflict::NoMail => ("本平台未启用邮件通知", "this platform sends no e-mail"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_names_its_field_in_either_language() {
        let rules = [
            Rule::Required,
            Rule::WrongType,
            Rule::Length { min: 3, max: 64 },
            Rule::Characters,
            Rule::Range { min: 1, max: 1000 },
            Rule::OneOf(&["active", "inactive"]),
            Rule::Date,
            Rule::Order,
            Rule::Address,
            Rule::PrivateAddress,
            Rule::Reference,
            Rule::Url,
            Rule::Https,
            Rule::Unreachable,
            Rule::Immutable,
            Rule::Count { min: 1, max: 9 },
            Rule::Doubled,
            Rule::Taken,
            Rule::Reserved,
            Rule::OneHost,
            Rule::Ipv4,
            Rule::Ipv6,
        ];
        for rule in rules {
            let error = ApiError::invalid("page_size", rule);
            for language in [Language::Zh, Language::En] {
                assert!(error.message(language).contains("page_size"), "{rule:?} in {language:?}");
            }
            assert_ne!(error.message(Language::Zh), error.message(Language::En));
        }
    }

    #[test]
    fn one_length_and_one_number_are_told_as_one() {
        let error = ApiError::invalid("country", Rule::Length { min: 2, max: 2 });
        assert_eq!(error.message(Language::En), "parameter country must be 2 characters long");
        assert_eq!(error.message(Language::Zh), "参数 country 长度必须为 2 个字符");
        let error = ApiError::invalid("stock_ids", Rule::Count { min: 8, max: 8 });
        assert_eq!(error.message(Language::En), "parameter stock_ids must be 8 in number");
        assert_eq!(error.message(Language::Zh), "参数 stock_ids 数量必须为 8 个");
    }

    #[test]
    fn the_inside_of_the_house_stays_inside() {
        let error = ApiError::Internal("no such table: wallets".into());
        assert_eq!(error.message(Language::En), "internal error");
        assert_eq!((error.code(), error.status().as_u16()), (50000, 500));
    }
}
