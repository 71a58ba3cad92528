//! Publishers on a Redis Cluster whose slots change hands under them: redirections are followed and
//! counted, nothing is lost, nothing overtakes what was sent before it.

use super::super::testing::{Act, Asked, Scripted, reply};
use super::{MS, all_acked, numbers, publish, whole_and_in_order};
use crate::clock::Clock;
use crate::driver::redis::endpoint::Endpoint;
use crate::driver::redis::primary::Primary;
use crate::driver::redis::tests::{cell, target};
use crate::driver::{Driver, Routes, open};
use crate::model::System;
use crate::scenario::Shards;
use crate::units::Span;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};

/// What two nodes know together.
#[derive(Default)]
struct Slots {
    addresses: [OnceLock<String>; 2],
    /// Who has all of them.
    owner: AtomicUsize,
    /// Messages that the first node was asked to take.
    taken: AtomicU32,
    /// Connections of the second that said ASKING, and nothing since.
    asking: Mutex<BTreeSet<usize>>,
}

impl Slots {
    fn address(&self, node: usize) -> &str {
        self.addresses[node].get().map_or("", String::as_str)
    }

    fn redirect(&self, how: &str, node: usize) -> Act {
        Act::Reply(format!("-{how} 1 {}\r\n", self.address(node)).into_bytes())
    }

    /// What every node of a cluster answers alike.
    fn answer(&self, asked: &Asked) -> Act {
        match asked.text().as_str() {
            "CLUSTER INFO" => reply("$16\r\ncluster_state:ok\r\n"),
            "CLUSTER SLOTS" => {
                let owner = self.owner.load(Relaxed);
                let port = self.address(owner).rsplit_once(':').map_or("0", |(_, port)| port);
                Act::Reply(
                    format!(
                        "*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$9\r\n127.0.0.1\r\n:{port}\r\n\
                         $1\r\n{owner}\r\n"
                    )
                    .into_bytes(),
                )
            }
            "ROLE" => reply("*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"),
            _ => reply("+OK\r\n"),
        }
    }
}

/// Two nodes, each with what it does with a message.
fn two(
    push: impl Fn(usize, &Asked, &Slots) -> Act + Clone + Send + Sync + 'static,
) -> ([Scripted; 2], Box<dyn Driver>, Clock) {
    let slots = Arc::new(Slots::default());
    let node = |number: usize| {
        let (slots, push) = (Arc::clone(&slots), push.clone());
        Scripted::start(move |asked: &Asked| match asked.is("LPUSH") || asked.is("ASKING") {
            true => push(number, asked, &slots),
            false => slots.answer(asked),
        })
    };
    let nodes = [node(0), node(1)];
    for (address, node) in slots.addresses.iter().zip(&nodes) {
        address.set(node.address.clone()).unwrap();
    }
    let mut cell = cell(System::RedisLists);
    cell.load.deadline = Some(Span(10_000 * MS));
    (cell.load.connections, cell.load.in_flight) = (2, 32);
    cell.config.keys = 1;
    (cell.config.nodes, cell.config.cluster) = (2, Some(Shards { shards: 2, replicas: 0 }));
    let target = target(nodes.iter().map(|node| node.address.clone()).collect());
    let clock = target.clock;
    (nodes, open(&cell, target).unwrap(), clock)
}

fn stored(nodes: &[Scripted; 2]) -> Vec<u32> {
    let [first, second] = nodes;
    [numbers(&first.stored()), numbers(&second.stored())].concat()
}

#[test]
fn a_slot_that_moved_is_followed_and_nothing_is_lost() {
    let (nodes, driver, clock) = two(|node, _, slots| {
        if node == 1 || slots.taken.fetch_add(1, Relaxed) < 100 {
            return Act::Store;
        }
        slots.owner.store(1, Relaxed);
        slots.redirect("MOVED", 1)
    });
    let mut publisher = driver.publisher(0).unwrap();
    all_acked(&publish(publisher.as_mut(), &clock, 300));
    assert_eq!(nodes[0].stored().len(), 100);
    whole_and_in_order(&stored(&nodes), 300);
    let retries = publisher.retries();
    assert!(retries["redirected (MOVED)"] >= 1, "{retries:?}");
    assert!(publisher.failures().is_empty());
}

#[test]
fn a_slot_under_way_is_asked_for_where_it_goes() {
    let (nodes, driver, clock) = two(|node, asked, slots| {
        let here = asked.connection;
        match node {
            0 if slots.taken.fetch_add(1, Relaxed) < 100 => Act::Store,
            0 => slots.redirect("ASK", 1),
            _ if asked.is("ASKING") => {
                slots.asking.lock().unwrap().insert(here);
                reply("+OK\r\n")
            }
            // It does not have the slot yet.
            _ if slots.asking.lock().unwrap().remove(&here) => Act::Store,
            _ => slots.redirect("MOVED", 0),
        }
    });
    let mut publisher = driver.publisher(0).unwrap();
    all_acked(&publish(publisher.as_mut(), &clock, 300));
    whole_and_in_order(&stored(&nodes), 300);
    let retries = publisher.retries();
    assert!(retries["redirected (ASK)"] >= 1, "{retries:?}");
    assert!(!retries.contains_key("redirected (MOVED)"), "{retries:?}");
    let asking = nodes[1].log().iter().filter(|(_, text)| text == "ASKING").count();
    assert_eq!(asking, nodes[1].stored().len(), "one before each message");
}

/// Of a cluster that runs already one node is named: the others are told of.
#[test]
fn nodes_that_were_not_named_are_asked_once_the_named_one_is_gone() {
    let slots = Arc::new(Slots::default());
    let node = || {
        let slots = Arc::clone(&slots);
        Scripted::start(move |asked: &Asked| slots.answer(asked))
    };
    let (first, second) = (node(), node());
    for (address, node) in slots.addresses.iter().zip([&first, &second]) {
        address.set(node.address.clone()).unwrap();
    }
    slots.owner.store(1, Relaxed);
    let endpoint = Endpoint::parse(System::RedisLists, &first.address).unwrap();
    let primary = Primary::new(endpoint, Routes::default()).unwrap();
    let primary = primary.in_cluster(std::slice::from_ref(&first.address)).unwrap().of("k");
    assert_eq!(primary.find().unwrap().address(), second.address);
    drop(first);
    assert_eq!(primary.clone().find().unwrap().address(), second.address);
    drop(second);
    assert!(primary.find().is_err());
}
