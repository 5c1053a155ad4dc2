//! What a table holds, in a few bytes: how one is compared with another, on whichever engine.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::value::Value;

/// How many rows a table has, and a digest of them in which their order does not count.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Contents {
    rows: u64,
    /// The sum of the rows' own digests, in four parts.
    sum: [u64; 4],
}

impl Contents {
    /// How many rows.
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// Counts a row in.
    pub(super) fn add(&mut self, row: &[Value<'_>]) {
        self.rows += 1;
        let digest = digest(row);
        for (part, bytes) in self.sum.iter_mut().zip(digest.chunks_exact(8)) {
            *part = part.wrapping_add(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)));
        }
    }

    /// As it is written down: the rows, then the sum.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        [self.rows].iter().chain(&self.sum).flat_map(|number| number.to_be_bytes()).collect()
    }
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows, {:016x}…", self.rows, self.sum[0])
    }
}

/// Each value with its kind and length before it, so that no two rows look alike.
fn digest(row: &[Value<'_>]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for value in row {
        let (kind, bytes): (u8, &[u8]) = match value {
            Value::Null => (0, &[]),
            Value::I64(number) => {
                hash.update([1]);
                hash.update(number.to_be_bytes());
                continue;
            }
            Value::Text(text) => (2, text.as_bytes()),
            Value::Blob(bytes) => (3, bytes),
        };
        hash.update([kind]);
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[&[Value<'_>]]) -> Contents {
        let mut contents = Contents::default();
        rows.iter().for_each(|row| contents.add(row));
        contents
    }

    #[test]
    fn order_does_not_count_and_everything_else_does() {
        let (one, two): (&[Value<'_>], &[Value<'_>]) =
            (&[Value::I64(1), Value::Text("a")], &[Value::I64(2), Value::Null]);
        assert_eq!(of(&[one, two]), of(&[two, one]));
        assert_eq!(of(&[one, two]).rows(), 2);
        let different: [&[Value<'_>]; 7] = [
            &[Value::I64(1), Value::Text("b")],
            &[Value::I64(1), Value::Blob(b"a")],
            &[Value::I64(1), Value::Text("")],
            &[Value::I64(1), Value::Null],
            &[Value::Text("a"), Value::I64(1)],
            &[Value::I64(1), Value::Text("a"), Value::Null],
            &[Value::I64(-1), Value::Text("a")],
        ];
        for other in different {
            assert_ne!(of(&[one]), of(&[other]), "{other:?}");
        }
        assert_ne!(
            of(&[&[Value::Text("ab"), Value::Text("c")]]),
            of(&[&[Value::Text("a"), Value::Text("bc")]])
        );
        assert_ne!(of(&[one]), of(&[one, one]));
    }

    #[test]
    fn it_is_written_with_all_its_parts() {
        let bytes = of(&[&[Value::I64(7)]]).to_bytes();
        assert_eq!((bytes.len(), &bytes[..8]), (40, &1_u64.to_be_bytes()[..]));
        assert_ne!(bytes, of(&[&[Value::I64(8)]]).to_bytes());
    }
}
