//! Values that go into statements and rows that come out of them.

use std::error::Error as StdError;

use bytes::{BufMut, BytesMut};
use postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use rusqlite::types::{ToSqlOutput, ValueRef};
use tollgate_types::{
    AccountId, BootId, Bytes, Cents, ConnectionId, Country, Day, EntryId, ExitId, GatewayId, JobId, LeaseId,
    OfferId, PackageId, PasswordTag, ProxyType, Refusal, StaticOrderId, StaticPriceId, StaticProtocol,
    StaticProxyId, StaticRequestId, StaticType, StockId, SubAccountId, Time, WhitelistId,
};

use crate::Error;

/// One parameter of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// SQL's NULL.
    Null,
    /// A BIGINT.
    I64(i64),
    /// A TEXT. May not contain a NUL character, which PostgreSQL cannot keep.
    Text(&'a str),
    /// A BYTEA or BLOB.
    Blob(&'a [u8]),
}

/// The parameters of a statement, each by [`Value::from`]: `params![account, "name", &tag]`.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$($crate::Value::from($value)),*] as &[$crate::Value<'_>]
    };
}

macro_rules! numbers {
    ($($type:ty: |$v:ident| $number:expr;)*) => {$(
        impl From<$type> for Value<'_> {
            fn from($v: $type) -> Self {
                Self::I64($number)
            }
        }
    )*};
}

numbers! {
    i64: |v| v;
    i32: |v| i64::from(v);
    u32: |v| i64::from(v);
    u16: |v| i64::from(v);
    bool: |v| i64::from(v);
    Cents: |v| v.get();
    Bytes: |v| v.as_i64();
    Time: |v| v.micros();
    Day: |v| i64::from(v.number());
    AccountId: |v| v.get();
    SubAccountId: |v| v.get();
    WhitelistId: |v| v.get();
    OfferId: |v| v.get();
    PackageId: |v| v.get();
    ExitId: |v| v.get();
    LeaseId: |v| v.get();
    EntryId: |v| v.get();
    GatewayId: |v| v.get();
    BootId: |v| v.get();
    ConnectionId: |v| v.get();
    StaticPriceId: |v| v.get();
    StockId: |v| v.get();
    StaticOrderId: |v| v.get();
    StaticProxyId: |v| v.get();
    StaticRequestId: |v| v.get();
    JobId: |v| v.get();
}

macro_rules! words {
    ($($type:ty: $word:path;)*) => {$(
        impl From<$type> for Value<'_> {
            fn from(value: $type) -> Self {
                Self::Text($word(value))
            }
        }
    )*};
}

words! {
    ProxyType: ProxyType::as_str;
    StaticType: StaticType::as_str;
    StaticProtocol: StaticProtocol::as_str;
    Refusal: Refusal::name;
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a Country> for Value<'a> {
    fn from(country: &'a Country) -> Self {
        Self::Text(country.as_str())
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Blob(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Value<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Blob(bytes)
    }
}

impl<'a> From<&'a Vec<u8>> for Value<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::Blob(bytes)
    }
}

impl<'a> From<&'a PasswordTag> for Value<'a> {
    fn from(tag: &'a PasswordTag) -> Self {
        Self::Blob(tag.as_bytes())
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            Self::Null => ValueRef::Null,
            Self::I64(v) => ValueRef::Integer(v),
            Self::Text(v) => ValueRef::Text(v.as_bytes()),
            Self::Blob(v) => ValueRef::Blob(v),
        }))
    }
}

/// PostgreSQL says which type it expects of each parameter; the value is written as that.
impl ToSql for Value<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match *self {
            Self::Null => return Ok(IsNull::Yes),
            Self::I64(v) if *ty == Type::INT8 => out.put_i64(v),
            Self::I64(v) if *ty == Type::INT4 => out.put_i32(i32::try_from(v)?),
            Self::I64(v) if *ty == Type::INT2 => out.put_i16(i16::try_from(v)?),
            Self::I64(v @ (0 | 1)) if *ty == Type::BOOL => out.put_u8(u8::from(v == 1)),
            Self::Text(v) if matches!(*ty, Type::TEXT | Type::VARCHAR) => out.put_slice(v.as_bytes()),
            Self::Blob(v) if *ty == Type::BYTEA => out.put_slice(v),
            Self::I64(_) => return Err(format!("a number where {ty} is expected").into()),
            Self::Text(_) => return Err(format!("text where {ty} is expected").into()),
            Self::Blob(_) => return Err(format!("bytes where {ty} is expected").into()),
        }
        Ok(IsNull::No)
    }

    // Which value fits which type is decided above, where the value is known.
    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// One row of an answer. Columns count from zero.
#[derive(Debug)]
pub struct Row<'r>(pub(crate) RowOf<'r>);

pub(crate) enum RowOf<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgres(&'r postgres::Row),
}

impl std::fmt::Debug for RowOf<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The values may be secret.
        f.write_str(match self {
            Self::Sqlite(_) => "Sqlite(…)",
            Self::Postgres(_) => "Postgres(…)",
        })
    }
}

impl Row<'_> {
    /// A number. Truth values read as 0 and 1.
    ///
    /// # Errors
    /// [`Error::Unexpected`] where the column is absent, NULL, or of another type.
    pub fn i64(&self, column: usize) -> Result<i64, Error> {
        self.opt_i64(column)?.ok_or_else(|| null(column))
    }

    /// A number kept as 0 or 1.
    ///
    /// # Errors
    /// As [`Row::i64`].
    pub fn bool(&self, column: usize) -> Result<bool, Error> {
        self.i64(column).map(|v| v != 0)
    }

    /// A text.
    ///
    /// # Errors
    /// As [`Row::i64`].
    pub fn text(&self, column: usize) -> Result<String, Error> {
        self.opt_text(column)?.ok_or_else(|| null(column))
    }

    /// A byte string.
    ///
    /// # Errors
    /// As [`Row::i64`].
    pub fn blob(&self, column: usize) -> Result<Vec<u8>, Error> {
        self.opt_blob(column)?.ok_or_else(|| null(column))
    }

    /// A number, or `None` for NULL.
    ///
    /// # Errors
    /// [`Error::Unexpected`] where the column is absent or of another type.
    pub fn opt_i64(&self, column: usize) -> Result<Option<i64>, Error> {
        match self.0 {
            RowOf::Sqlite(row) => row.get(column).map_err(|e| wrong(column, &e)),
            RowOf::Postgres(row) => row
                .try_get::<_, Option<Int>>(column)
                .map(|v| v.map(|Int(v)| v))
                .map_err(|e| wrong(column, &e)),
        }
    }

    /// A text, or `None` for NULL.
    ///
    /// # Errors
    /// As [`Row::opt_i64`].
    pub fn opt_text(&self, column: usize) -> Result<Option<String>, Error> {
        match self.0 {
            RowOf::Sqlite(row) => row.get(column).map_err(|e| wrong(column, &e)),
            RowOf::Postgres(row) => row.try_get(column).map_err(|e| wrong(column, &e)),
        }
    }

    /// A byte string, or `None` for NULL.
    ///
    /// # Errors
    /// As [`Row::opt_i64`].
    pub fn opt_blob(&self, column: usize) -> Result<Option<Vec<u8>>, Error> {
        match self.0 {
            RowOf::Sqlite(row) => row.get(column).map_err(|e| wrong(column, &e)),
            RowOf::Postgres(row) => row.try_get(column).map_err(|e| wrong(column, &e)),
        }
    }
}

fn null(column: usize) -> Error {
    Error::Unexpected(format!("column {column} is NULL"))
}

fn wrong(column: usize, why: &dyn StdError) -> Error {
    Error::Unexpected(format!("column {column} cannot be read: {why}"))
}

/// A whole number in whichever width PostgreSQL computed it: `1` is INT4, a count INT8, `EXISTS`
/// a BOOL. SQLite has one width.
struct Int(i64);

impl<'a> FromSql<'a> for Int {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(match *ty {
            Type::INT2 => i64::from(i16::from_sql(ty, raw)?),
            Type::INT4 => i64::from(i32::from_sql(ty, raw)?),
            Type::BOOL => i64::from(bool::from_sql(ty, raw)?),
            _ => i64::from_sql(ty, raw)?,
        }))
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT2 | Type::INT4 | Type::INT8 | Type::BOOL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_parameter_becomes_a_value() {
        let name = String::from("bob");
        let tag = vec![1_u8, 2];
        let values: &[Value<'_>] = params![
            AccountId::new(7),
            Cents::new(-5),
            true,
            &name,
            ProxyType::Mobile,
            &tag,
            None::<i64>,
            Some("x")
        ];
        let wanted = [
            Value::I64(7),
            Value::I64(-5),
            Value::I64(1),
            Value::Text("bob"),
            Value::Text("mobile"),
            Value::Blob(&[1, 2]),
            Value::Null,
            Value::Text("x"),
        ];
        assert_eq!(values, wanted);
    }

    #[test]
    fn a_number_is_written_in_the_width_that_is_expected() {
        let mut out = BytesMut::new();
        assert!(Value::I64(5).to_sql(&Type::INT4, &mut out).is_ok());
        assert_eq!(out.as_ref(), [0, 0, 0, 5]);
        assert!(Value::I64(i64::MAX).to_sql(&Type::INT4, &mut out).is_err(), "too large for the column");
        assert!(Value::Text("5").to_sql(&Type::INT8, &mut out).is_err(), "text is no number");
    }
}
