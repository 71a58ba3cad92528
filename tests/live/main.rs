//! Tests on real brokers, one program: `cargo test --test live -- --ignored --test-threads 1`;
//! `run::` behind `live` takes those of `run.rs` alone. They need Java, Kafka and Redis
//! (`brokerbench fetch`, or `KAFKA_HOME` and `REDIS_SERVER`), those of `docker` a container engine.

mod docker;
mod environment;
mod failover;
mod faults;
mod flow;
mod hlog_java;
mod kafka;
mod load;
mod nodes;
mod poison;
mod power;
mod redis;
mod run;
mod secure;
mod secured;
mod shards;
mod share;
mod size;
#[path = "../support/mod.rs"]
mod support;
mod topologies;
