//! Stories across rooms. The tests are in `tests/`; this library is empty on purpose.
