//! Static proxies beyond the document's own calls: the customers' side, the operator's, and what
//! hostile callers try.

mod customers;
mod imports;
mod operator;
mod tenants;
