//! The store on a cluster of Apache Cassandra.

pub mod schema;
pub mod session;
