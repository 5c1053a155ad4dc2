//! Lines of a head, ended by CR LF and by nothing else.

use super::HeadError;

/// The line that starts at `at`, without its end, and where the next one starts. `None` where it has
/// not ended yet.
pub(super) fn line(buf: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, HeadError> {
    let rest = buf.get(at..).unwrap_or_default();
    let Some(length) = find_special(rest) else {
        return Ok(None);
    };
    match rest.get(length..).unwrap_or_default() {
        [b'\r', b'\n', ..] => Ok(rest.get(..length).map(|line| (line, at + length + 2))),
        [b'\r'] => Ok(None),
        [b'\r', ..] => Err(HeadError::BadRequest("a CR without its LF")),
        [b'\n', ..] => Err(HeadError::BadRequest("an LF without its CR")),
        _ => Err(HeadError::BadRequest("a NUL")),
    }
}

/// The lines of a head, and where what follows the empty line starts.
pub(super) type Lines<'a> = (Vec<&'a [u8]>, usize);

/// The lines from `at` to the empty line. `None` where the empty line has not come yet.
pub(super) fn lines_to_empty(buf: &[u8], mut at: usize, most: usize) -> Result<Option<Lines<'_>>, HeadError> {
    let mut lines = Vec::new();
    while let Some((line, next)) = line(buf, at)? {
        if line.is_empty() {
            return Ok(Some((lines, next)));
        }
        if lines.len() == most {
            return Err(HeadError::TooLarge);
        }
        lines.push(line);
        at = next;
    }
    Ok(None)
}

/// Where the first byte stands that ends a line or spoils it. A head that trickles in is searched again
/// with every byte, so this looks at many bytes at once.
fn find_special(text: &[u8]) -> Option<usize> {
    const BLOCK: usize = 32;
    let special = |b: u8| matches!(b, b'\r' | b'\n' | 0);
    let plain = |block: &&[u8]| !block.iter().fold(false, |found, &b| found | special(b));
    let skipped = text.chunks(BLOCK).take_while(plain).count() * BLOCK;
    let rest = text.get(skipped..)?;
    rest.iter().position(|&b| special(b)).map(|at| skipped + at)
}
