//! Jobs: what is to be done, when, and who is at it. What they mean is `core`'s business.

use tollgate_types::{JobId, Time};

use crate::{Error, Row, Tx, params, statements};

statements! {
    /// A job that is dead comes back to life.
    SET = "INSERT INTO jobs (kind, subject, run_at, state, created_at, updated_at)
           VALUES (?1, ?2, ?3, 'waiting', ?4, ?4)
           ON CONFLICT (kind, subject) DO UPDATE SET
               run_at = excluded.run_at, updated_at = excluded.updated_at,
               attempts = CASE WHEN jobs.state = 'dead' THEN 0 ELSE jobs.attempts END,
               state = CASE WHEN jobs.state = 'dead' THEN 'waiting' ELSE jobs.state END";
    HURRY = "INSERT INTO jobs (kind, subject, run_at, state, created_at, updated_at)
             VALUES (?1, ?2, ?3, 'waiting', ?4, ?4)
             ON CONFLICT (kind, subject) DO UPDATE SET
                 run_at = excluded.run_at, updated_at = excluded.updated_at,
                 attempts = CASE WHEN jobs.state = 'dead' THEN 0 ELSE jobs.attempts END,
                 state = CASE WHEN jobs.state = 'dead' THEN 'waiting' ELSE jobs.state END
             WHERE jobs.run_at > excluded.run_at OR jobs.state = 'dead'";
    DROP_JOB = "DELETE FROM jobs WHERE kind = ?1 AND subject = ?2";
    /// Due, or given up by whoever claimed it.
    DUE = "SELECT id FROM jobs WHERE state = 'waiting' AND run_at <= ?1
                  AND ?3 = CASE WHEN kind = 'notice.delivery' THEN 1 ELSE 0 END
           ORDER BY run_at, id LIMIT ?2{skip_locked}";
    ABANDONED = "SELECT id FROM jobs WHERE state = 'claimed' AND claimed_until <= ?1
                        AND ?3 = CASE WHEN kind = 'notice.delivery' THEN 1 ELSE 0 END
                 ORDER BY claimed_until, id LIMIT ?2{skip_locked}";
    CLAIM = "UPDATE jobs SET state = 'claimed', claim = claim + 1, claimed_until = ?2, updated_at = ?3 WHERE id = ?1
             RETURNING id, kind, subject, claim, attempts, run_at";
    /// Only whoever holds the newest claim finishes, prolongs or fails it.
    FINISH = "DELETE FROM jobs WHERE id = ?1 AND claim = ?2 AND state = 'claimed'";
    AGAIN = "UPDATE jobs SET state = 'waiting', run_at = ?3, attempts = 0, last_error = '', updated_at = ?4
             WHERE id = ?1 AND claim = ?2 AND state = 'claimed'";
    PROLONG = "UPDATE jobs SET claimed_until = ?3 WHERE id = ?1 AND claim = ?2 AND state = 'claimed'";
    FAIL = "UPDATE jobs SET state = ?3, run_at = ?4, attempts = attempts + 1, last_error = ?5, updated_at = ?6
            WHERE id = ?1 AND claim = ?2 AND state = 'claimed'";
    /// Two looks at two indexes.
    NEXT_WAITING = "SELECT MIN(run_at) FROM jobs WHERE state = 'waiting'";
    NEXT_ABANDONED = "SELECT MIN(claimed_until) FROM jobs WHERE state = 'claimed'";
    COUNT_STATE = "SELECT COUNT(*) FROM jobs WHERE state = ?1";
    COUNT_ALL = "SELECT COUNT(*) FROM jobs";
    PAGE_STATE = "SELECT id, kind, subject, run_at, state, attempts, last_error, created_at, updated_at FROM jobs
                  WHERE state = ?1 ORDER BY run_at, id LIMIT ?2 OFFSET ?3";
    PAGE_ALL = "SELECT id, kind, subject, run_at, state, attempts, last_error, created_at, updated_at FROM jobs
                ORDER BY run_at, id LIMIT ?1 OFFSET ?2";
    BY_ID = "SELECT id, kind, subject, run_at, state, attempts, last_error, created_at, updated_at FROM jobs
             WHERE id = ?1{for_update}";
    DUE_AT = "SELECT run_at FROM jobs WHERE id = ?1 AND claim = ?2 AND state = 'claimed'";
    REVIVE = "UPDATE jobs SET state = 'waiting', run_at = ?2, attempts = 0, updated_at = ?2
              WHERE id = ?1 AND state = 'dead'";
    DISCARD = "DELETE FROM jobs WHERE id = ?1 AND state = 'dead'";
}

/// A job in the hands of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The job.
    pub id: JobId,
    /// What is to be done.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// The number of the claim: a later one takes the job away.
    pub claim: i64,
    /// Failures in a row so far.
    pub attempts: i64,
    /// When it was due.
    pub run_at: Time,
}

/// A job, for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRow {
    /// The job.
    pub id: JobId,
    /// What is to be done.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// When it is due.
    pub run_at: Time,
    /// waiting, claimed or dead.
    pub state: String,
    /// Failures in a row so far.
    pub attempts: i64,
    /// Why it failed last.
    pub last_error: String,
    /// When it was first written.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

/// Has something done at a time, and not earlier; a job for the same subject is moved there.
pub fn set(tx: &mut Tx<'_>, kind: &str, subject: &str, run_at: Time, now: Time) -> Result<(), Error> {
    tx.execute(SET, params![kind, subject, run_at, now]).map(drop)
}

/// Has something done at a time or earlier: a job for the same subject that is due before stays.
pub fn hurry(tx: &mut Tx<'_>, kind: &str, subject: &str, run_at: Time, now: Time) -> Result<(), Error> {
    tx.execute(HURRY, params![kind, subject, run_at, now]).map(drop)
}

/// Has something not done after all.
pub fn forget(tx: &mut Tx<'_>, kind: &str, subject: &str) -> Result<(), Error> {
    tx.execute(DROP_JOB, params![kind, subject]).map(drop)
}

/// Claims jobs that are due, and those whose worker has not been heard of in time: either
/// deliveries of notices, or all others.
pub fn claim(
    tx: &mut Tx<'_>,
    deliveries: bool,
    now: Time,
    until: Time,
    limit: i64,
) -> Result<Vec<Claimed>, Error> {
    let deliveries = i64::from(deliveries);
    let mut ids = tx.all(ABANDONED, params![now, limit, deliveries], |row| row.i64(0))?;
    ids.extend(tx.all(DUE, params![now, limit, deliveries], |row| row.i64(0))?);
    ids.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    ids.into_iter()
        .map(|id| {
            tx.one(CLAIM, params![id, until, now], |row| {
                Ok(Claimed {
                    id: JobId::new(row.i64(0)?),
                    kind: row.text(1)?,
                    subject: row.text(2)?,
                    claim: row.i64(3)?,
                    attempts: row.i64(4)?,
                    run_at: Time::from_micros(row.i64(5)?),
                })
            })
        })
        .collect()
}

/// The job is done; false where it was taken away meanwhile, and nothing may be committed.
pub fn finish(tx: &mut Tx<'_>, id: JobId, claim: i64) -> Result<bool, Error> {
    Ok(tx.execute(FINISH, params![id, claim])? == 1)
}

/// The job is done for now, and due again later; false where it was taken away meanwhile.
pub fn again(tx: &mut Tx<'_>, id: JobId, claim: i64, run_at: Time, now: Time) -> Result<bool, Error> {
    Ok(tx.execute(AGAIN, params![id, claim, run_at, now])? == 1)
}

/// The worker is still at it; false where the job was taken away.
pub fn prolong(tx: &mut Tx<'_>, id: JobId, claim: i64, until: Time) -> Result<bool, Error> {
    Ok(tx.execute(PROLONG, params![id, claim, until])? == 1)
}

/// When a claimed job is due by now: it may have been moved since it was claimed. `None` where it was
/// taken away.
pub fn due_at(tx: &mut Tx<'_>, id: JobId, claim: i64) -> Result<Option<Time>, Error> {
    Ok(tx.opt(DUE_AT, params![id, claim], |row| row.i64(0))?.map(Time::from_micros))
}

/// The job has failed: it is due again later, or (`None`) never by itself.
pub fn fail(
    tx: &mut Tx<'_>,
    id: JobId,
    claim: i64,
    again_at: Option<Time>,
    error: &str,
    now: Time,
) -> Result<bool, Error> {
    let (state, run_at) = again_at.map_or(("dead", now), |at| ("waiting", at));
    Ok(tx.execute(FAIL, params![id, claim, state, run_at, error, now])? == 1)
}

/// When there is something to claim again: the next waiting job is due, or a claim runs out.
pub fn next_due(tx: &mut Tx<'_>) -> Result<Option<Time>, Error> {
    let waiting = tx.one(NEXT_WAITING, params![], |row| row.opt_i64(0))?;
    let abandoned = tx.one(NEXT_ABANDONED, params![], |row| row.opt_i64(0))?;
    Ok(waiting.into_iter().chain(abandoned).min().map(Time::from_micros))
}

/// A page of jobs by when they are due, and how many there are; only those in one state where one
/// is named.
pub fn page(
    tx: &mut Tx<'_>,
    state: Option<&str>,
    limit: i64,
    offset: i64,
) -> Result<(Vec<JobRow>, i64), Error> {
    match state {
        Some(state) => {
            let total = tx.one(COUNT_STATE, params![state], |row| row.i64(0))?;
            Ok((tx.all(PAGE_STATE, params![state, limit, offset], job)?, total))
        }
        None => {
            let total = tx.one(COUNT_ALL, params![], |row| row.i64(0))?;
            Ok((tx.all(PAGE_ALL, params![limit, offset], job)?, total))
        }
    }
}

/// One job, locked.
pub fn lock(tx: &mut Tx<'_>, id: JobId) -> Result<Option<JobRow>, Error> {
    tx.opt(BY_ID, params![id], job)
}

/// Has a dead job tried again; false where it is not dead.
pub fn revive(tx: &mut Tx<'_>, id: JobId, now: Time) -> Result<bool, Error> {
    Ok(tx.execute(REVIVE, params![id, now])? == 1)
}

/// Forgets a dead job; false where it is not dead.
pub fn discard(tx: &mut Tx<'_>, id: JobId) -> Result<bool, Error> {
    Ok(tx.execute(DISCARD, params![id])? == 1)
}

fn job(row: &Row<'_>) -> Result<JobRow, Error> {
    Ok(JobRow {
        id: JobId::new(row.i64(0)?),
        kind: row.text(1)?,
        subject: row.text(2)?,
        run_at: Time::from_micros(row.i64(3)?),
        state: row.text(4)?,
        attempts: row.i64(5)?,
        last_error: row.text(6)?,
        created_at: Time::from_micros(row.i64(7)?),
        updated_at: Time::from_micros(row.i64(8)?),
    })
}
