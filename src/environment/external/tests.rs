//! Addresses that are not given, do not answer, are not near, or send elsewhere.

use super::*;
use crate::access::{Around, targets_from_flags, targets_from_text};

fn external(kafka: Option<&str>, redis: Option<&str>, remote: bool) -> External {
    let around = Around { remote, variable: &|_| Some("s3cret-sentinel".into()) };
    External::new(targets_from_flags(kafka, redis, &around).unwrap())
}

fn refused(mut external: External, system: System) -> String {
    let error = external.start(&SystemConfig::defaults(system)).err().unwrap();
    let shown = format!("{error} {error:?} {external:?}");
    assert!(!shown.contains("s3cret"), "{shown}");
    error.to_string()
}

#[test]
fn what_is_not_given_or_does_not_answer_is_said() {
    let none = refused(external(None, None, false), System::Kafka);
    assert!(none.contains("--kafka") && none.contains("--targets"), "{none}");
    let both = external(Some("127.0.0.1:1"), None, false);
    assert!(both.lacks(System::Kafka).is_none(), "an address is given, good or not");
    let words = both.lacks(System::RedisLists).unwrap().to_string();
    assert!(words.contains("--redis") && words.contains("--system"), "{words}");
    let dead = refused(external(Some("127.0.0.1:1"), None, false), System::Kafka);
    assert!(dead.contains("Kafka at 127.0.0.1:1 cannot be used"), "{dead}");
    let dead =
        refused(external(None, Some("redis://me:${env:X}@127.0.0.1:1"), false), System::RedisLists);
    assert!(dead.contains("Redis at 127.0.0.1:1 cannot be used"), "{dead}");
    let managed = refused(external(Some("127.0.0.1:1"), None, false), System::Msk);
    assert!(managed.contains("Amazon MSK") && managed.contains("`msk`"), "{managed}");
}

#[test]
fn strangers_are_not_even_asked() {
    for (kafka, redis, system) in [
        (Some("192.0.2.1:9092"), None, System::Kafka),
        (None, Some("redis://192.0.2.1"), System::RedisLists),
        (None, Some("redis://0.0.0.0:1"), System::RedisLists),
    ] {
        let far = refused(external(kafka, redis, false), system);
        assert!(far.contains("--allow-remote") && far.contains("not on this machine"), "{far}");
    }
    let clear =
        refused(external(None, Some("redis://:${env:X}@192.0.2.1"), true), System::RedisLists);
    assert!(clear.contains("in the clear"), "{clear}");
}

/// A stand-in is told from AWS by its address, and where AWS is stands beside its figures.
#[test]
fn a_service_at_another_address_than_its_own_is_emulated() {
    let at = |address: &str| {
        let text =
            format!("schema: 1\nmsk: {{brokers: ['{address}'], tls: true, instance: three m7g}}\n");
        let around = Around { remote: true, variable: &|_| None };
        let folder = std::path::Path::new("");
        External::new(targets_from_text("t.yaml", &text, folder, &around).unwrap())
    };
    let aws = at("b-1.demo.a1b2c3.c2.kafka.eu-central-1.amazonaws.com:9094");
    assert!(!aws.emulates(System::Msk));
    assert_eq!(aws.facts()["Amazon MSK"], "eu-central-1, three m7g");
    let near = at("localhost:9094");
    assert!(near.emulates(System::Msk) && !near.emulates(System::Kafka));
    assert!(near.facts().is_empty());
}

/// A broker that answers every Metadata request with these nodes.
fn telling(nodes: &[&str]) -> String {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let near = listener.local_addr().unwrap();
    // Metadata 7: throttled, brokers in no rack, no cluster, controller 1, no topic.
    let mut answer = b"\0\0\0\x01\0\0\0\0".to_vec();
    answer.extend((nodes.len() as u32).to_be_bytes());
    for node in nodes {
        let node = if node.is_empty() { "127.0.0.1" } else { *node };
        answer.extend(b"\0\0\0\x01");
        answer.extend((node.len() as u16).to_be_bytes());
        answer.extend(node.as_bytes());
        answer.extend(u32::from(near.port()).to_be_bytes());
        answer.extend(b"\xff\xff");
    }
    answer.extend(b"\xff\xff\0\0\0\x01\0\0\0\0");
    let length = (answer.len() as u32).to_be_bytes();
    answer.splice(0..0, length);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 256]);
            let _ = stream.write_all(&answer);
            let _ = stream.read(&mut [0; 256]);
        }
    });
    near.to_string()
}

fn asker(address: &str) -> Asker {
    external(Some(address), None, false).asker(System::Kafka).unwrap()
}

/// The first broker is near and answers; the one that it names is not near.
#[test]
fn where_a_broker_sends_its_clients_is_judged_too() {
    let near = telling(&["", "192.0.2.1"]);
    let far = refused(external(Some(&near), None, false), System::Kafka);
    let advertised = format!("{near} answers, but sends clients to 192.0.2.1:");
    for words in [&advertised, "--allow-remote", "advertised"] {
        assert!(far.contains(words), "{far}");
    }
    let forbidden = asker(&near).ask_again().forbidden.unwrap().to_string();
    assert!(forbidden.contains(&advertised), "{forbidden}");
    let answers = |address: &str| {
        let round = asker(address).ask_again();
        assert!(round.forbidden.is_none());
        round.nodes[0].1.is_ok()
    };
    assert!(answers(&telling(&["", ""])));
    assert!(!answers("127.0.0.1:1") && !answers(&telling(&["no-such-host.invalid"])));
}

#[test]
fn an_address_is_judged_as_it_is_told_and_so_are_only_so_many() {
    let dirty = refused(external(Some(&telling(&["127.0.0.1\u{7}"])), None, false), System::Kafka);
    assert!(dirty.contains("sends clients to what is no address"), "{dirty}");
    let many = refused(external(Some(&telling(&[""; MOST_NODES + 1])), None, false), System::Kafka);
    assert!(many.contains("names 1001 brokers"), "{many}");
    assert!(asker(&telling(&[""; MOST_NODES])).ask_all().is_ok());
}

/// A Sentinel that watches these sets, each with its primary at the address.
fn sentinel(names: &[&str], primary: &str) -> String {
    use std::io::{Read, Write};
    let bulk = |text: &str| format!("${}\r\n{text}\r\n", text.len());
    let set = |name: &&str| format!("*2\r\n{}{}", bulk("name"), bulk(name));
    let sets = names.iter().map(set).collect::<String>();
    let (host, port) = primary.rsplit_once(':').unwrap();
    let replies = [
        (b"INFO".as_slice(), bulk("# Server\r\nredis_mode:sentinel\r\n")),
        (b"MASTERS".as_slice(), format!("*{}\r\n{sets}", names.len())),
        (b"get-master".as_slice(), format!("*2\r\n{}{}", bulk(host), bulk(port))),
    ];
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let near = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let replies = replies.clone();
            std::thread::spawn(move || {
                let mut asked = [0; 256];
                while let Ok(length @ 1..) = stream.read(&mut asked) {
                    let is = |words: &[u8]| {
                        asked[..length].windows(words.len()).any(|part| part == words)
                    };
                    let reply = replies.iter().find(|(words, _)| is(words));
                    let pong = b"+PONG\r\n".as_slice();
                    let _ = stream.write_all(reply.map_or(pong, |(_, reply)| reply.as_bytes()));
                }
            });
        }
    });
    near
}

/// What is given is a Sentinel: its primary is asked for, by the name that was given or the only
/// one that there is.
#[test]
fn sentinels_are_asked_for_their_primary() {
    let reach = |address: &str, primary: Option<&str>| {
        let mut targets = external(None, Some(&format!("redis://{address}")), false).targets;
        targets.redis.as_mut().unwrap().primary = primary.map(str::to_owned);
        External::new(targets).asker(System::RedisLists)
    };
    let server = sentinel(&[], "127.0.0.1:1");
    let one = sentinel(&["orders"], &server);
    let asker = reach(&one, None).unwrap();
    assert_eq!(asker.reach.addresses, [server.as_str()]);
    assert_eq!((asker.routes.sentinels.clone(), asker.routes.primary()), (vec![one], "orders"));
    let round = asker.ask_again();
    assert_eq!(round.nodes[0].0, "the primary of orders");
    assert!(round.nodes[0].1.is_ok() && round.forbidden.is_none());
    let two = sentinel(&["orders", "sessions"], &server);
    assert_eq!(reach(&two, Some("sessions")).unwrap().routes.primary(), "sessions");
    let which = reach(&two, None).err().unwrap().to_string();
    assert!(which.contains("`orders`, `sessions`") && which.contains("`primary`"), "{which}");
    assert!(reach(&two, Some("basket")).is_err());
    let far = reach(&sentinel(&["orders"], "192.0.2.1:6379"), None).unwrap();
    assert!(far.ask_again().forbidden.unwrap().to_string().contains("--allow-remote"));
    assert!(reach("127.0.0.1:1", Some("orders")).is_err(), "nobody is there");
}
