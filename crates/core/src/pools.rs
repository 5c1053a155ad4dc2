//! The exits as gateways see them: those in service, by type, with their credentials opened.

use secrecy::SecretString;
use tollgate_store::exits::ExitRow;
use tollgate_store::{self as store, Tx};
use tollgate_types::{Country, Exit, ExitCredentials, ExitKind, Pools, normalise_place};

use crate::keys::Keys;
use crate::{Error, Rule};

/// What exits' passwords are sealed for.
pub(crate) const OWNER: &str = "exits.password";

/// The active exits, as gateways see them. One that cannot be read is left out, loudly: it must
/// not take the others with it.
pub(crate) fn pools_in(tx: &mut Tx<'_>, keys: &Keys) -> Result<Pools, Error> {
    let rows = store::exits::all(tx)?;
    let exits = rows.into_iter().filter(|row| row.active).filter_map(|row| match exit(&row, keys) {
        Ok(exit) => Some(exit),
        Err(error) => {
            tracing::error!(exit = %row.id, %error, "an exit cannot be used");
            None
        }
    });
    Ok(Pools::new(exits))
}

fn exit(row: &ExitRow, keys: &Keys) -> Result<Exit, Error> {
    let password = row.password_sealed.as_deref().map(|sealed| keys.open(OWNER, sealed)).transpose()?;
    let credentials = (!row.username.is_empty()).then(|| ExitCredentials {
        username: row.username.clone(),
        password: password.unwrap_or_else(|| SecretString::from(String::new())),
    });
    let address = row.address.clone();
    let kind = match row.kind.as_str() {
        "http" => ExitKind::Http { address, credentials },
        "socks5" => ExitKind::Socks5 { address, credentials },
        _ => ExitKind::Direct { bind_ip: row.bind_ip.parse().ok() },
    };
    let small = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
    Ok(Exit {
        id: row.id,
        name: row.name.clone(),
        proxy_type: row.proxy_type,
        kind,
        country: country(&row.country)?,
        state: normalise_place(&row.state),
        city: normalise_place(&row.city),
        asn: small(row.asn),
        weight: small(row.weight.max(1)),
        max_connections: small(row.max_connections),
    })
}

/// Reads a country.
///
/// # Errors
/// [`Error::Invalid`] for `country`.
pub(crate) fn country(code: &str) -> Result<Country, Error> {
    code.parse().map_err(|_| Error::Invalid { field: "country", rule: Rule::Length { min: 2, max: 2 } })
}
