//! The commands that do one thing and end.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use secrecy::SecretString;
use tollgate_core::audit;
use tollgate_store::Options;
use tollgate_store::copy::Source;
use tollgate_types::{Clock as _, SystemClock};

use crate::FAILED;
use crate::admin::{self, Client};
use crate::cli::AdminArgs;
use crate::data_dir::DataDir;
use crate::mark::MarkFile;
use crate::open::existing;
use crate::settings::{Layers, Settings, Value as _, effective};

/// Something was found that should not be there.
pub const FOUND: u8 = 1;

/// `tollgate config`.
///
/// # Errors
/// A setting is wrong, or standard output closed.
pub fn config(layers: &Layers) -> anyhow::Result<ExitCode> {
    let mut text = String::new();
    let mut section = "";
    for (name, value, origin) in effective(layers)? {
        let (of, key) = name.split_once('.').unwrap_or(("", name));
        if of != section {
            writeln!(text, "\n[{of}]")?;
            section = of;
        }
        // A JSON text is a TOML text.
        let value = serde_json::Value::String(value);
        writeln!(text, "{:<48} # {origin}", format!("{key} = {value}"))?;
    }
    say(&text)
}

/// `tollgate openapi`.
///
/// # Errors
/// Standard output closed.
pub fn openapi() -> anyhow::Result<ExitCode> {
    let document =
        serde_json::to_string_pretty(&tollgate_api::openapi()).context("the document is no JSON")?;
    say(&format!("{document}\n"))
}

/// `tollgate audit`: on a snapshot, beside whoever uses the database.
///
/// # Errors
/// The database cannot be read.
pub fn audit(settings: &Settings) -> anyhow::Result<ExitCode> {
    let url = settings.database();
    existing(&url)?;
    // Read before the database, which is not older then, whoever writes meanwhile.
    let mark = MarkFile::of(&url, &settings.general.data_dir).read()?;
    let failed = || format!("the database {url} cannot be audited");
    let mut source = Source::online(&url, &Options::new(SystemClock.now())).with_context(failed)?;
    anyhow::ensure!(
        !source.is_outdated(),
        "the database {url} is that of an older version of this program: audit it with that version, or start a \
         server of this one first"
    );
    let mut report = audit::run_in(&mut source.tx()).with_context(failed)?;
    if let Some(mark) = mark {
        audit::mark_in(&mut source.tx(), &mark, &mut report).with_context(failed)?;
    }
    let differences: String = report.differences.iter().map(|difference| format!("{difference}\n")).collect();
    let (compared, found) = (report.compared, report.differences.len());
    say(&format!("{differences}{compared} figures compared, {found} differ\n"))?;
    Ok(if found == 0 { ExitCode::SUCCESS } else { ExitCode::from(FOUND) })
}

/// `tollgate admin`.
///
/// # Errors
/// The server cannot be reached, or refuses.
pub async fn admin(args: &AdminArgs, settings: &Settings) -> anyhow::Result<ExitCode> {
    let call = args.command.call()?;
    let address = match &args.api {
        Some(address) => address.clone(),
        None => listening(settings)?,
    };
    let client = Client::new(&address, admin_token(settings)?)?;
    if let Some(filter) = args.command.export() {
        return say(&admin::export_stock(&client, filter).await?);
    }
    let answer = client.call(&call).await?;
    if args.json {
        say(&format!("{:#}\n", answer.envelope))?;
        return Ok(if answer.is_success() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) });
    }
    say(&admin::print(answer.data()?))
}

/// Where the API of these settings listens, as a client reaches it.
fn listening(settings: &Settings) -> anyhow::Result<String> {
    let address = settings.api.listen.0.first().filter(|address| address.port() != 0);
    let mut address =
        *address.context("the settings do not say where the API listens; give --api HOST:PORT")?;
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            [127, 0, 0, 1].into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    Ok(address.to_string())
}

fn admin_token(settings: &Settings) -> anyhow::Result<SecretString> {
    if let Some(token) = &settings.general.admin_token {
        return Ok(token.0.clone());
    }
    let path = &settings.general.data_dir;
    let missing = || {
        let path = path.show();
        format!(
            "no operator token: set TOLLGATE_ADMIN_TOKEN, or name the server's data directory ({path} holds none)"
        )
    };
    if !path.exists() {
        anyhow::bail!(missing());
    }
    DataDir::open(path)?.find_admin_token()?.with_context(missing)
}

/// Writes to standard output.
///
/// # Errors
/// It is closed.
pub fn say(text: &str) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        // Whoever reads has seen enough: `tollgate openapi | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error).context("standard output cannot be written"),
    }
}
