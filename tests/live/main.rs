//! Tests on real brokers, one program: `cargo test --test live -- --ignored --test-threads 1`;
//! `run::` behind `live` takes those of `run.rs` alone. They need Java, Kafka and Redis
//! (`brokerbench fetch`, or `KAFKA_HOME` and `REDIS_SERVER`), those of `docker` a container engine.

mod cluster;
mod docker;
mod environment;
mod existing;
mod failover;
mod faults;
mod flow;
mod hlog_java;
mod kafka;
mod load;
mod memorydb;
mod nodes;
mod others;
mod outlive;
mod poison;
mod power;
mod production;
mod redis;
mod regression;
mod run;
mod secure;
mod secured;
mod shards;
mod share;
mod size;
#[cfg(feature = "aws")]
mod sns;
mod soak;
#[path = "../support/mod.rs"]
mod support;
mod sweep;
mod tokens;
mod topologies;
mod watched;
