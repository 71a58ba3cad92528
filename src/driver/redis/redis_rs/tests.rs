//! redis-rs against the loopback reflector, and the version that results show.

use super::*;
use crate::driver::redis::tests::{cell, once_and_in_order};
use crate::model::System;
use crate::scenario::{ClientLibrary, ConsumeMode};

#[test]
fn the_version_is_that_of_the_crate_that_is_built_in() {
    let lock = include_str!("../../../../Cargo.lock");
    assert!(lock.contains(&format!("name = \"redis\"\nversion = \"{VERSION}\"")), "{VERSION}");
}

#[test]
fn every_primitive_carries_each_message_once_and_in_order() {
    for system in [System::RedisPubsub, System::RedisStreams, System::RedisLists] {
        let mut cell = cell(system);
        let name = ClientLibrary::RedisRs.name().to_owned();
        cell.config.client.insert(ClientLibrary::KEY.into(), name);
        once_and_in_order(&cell, 3000);
        if system == System::RedisLists {
            (cell.config.consume.mode, cell.config.keys) = (ConsumeMode::Reliable, 1);
            once_and_in_order(&cell, 3000);
        }
    }
}
