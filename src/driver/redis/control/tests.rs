//! What is deleted, found and told apart on the control path.

use super::super::tests::cell;
use super::*;

/// A server that takes connections and never answers: whatever needs an answer fails otherwise.
#[test]
fn what_belongs_to_others_is_not_deleted() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let endpoint =
        Endpoint::parse(System::RedisLists, &listener.local_addr().unwrap().to_string()).unwrap();
    let mut control = Connection::open(&endpoint).unwrap();
    for (name, foreign) in
        [("bb-abc-lists", "session:1"), ("bb-abc-lists", "bb-abd-lists-0"), ("", "x")]
    {
        let keys = [format!("{name}-0"), foreign.to_owned()];
        let error = control.delete(name, &keys).unwrap_err().to_string();
        assert!(error.contains("does not belong to this run"), "{error}");
    }
}

#[test]
fn the_output_buffer_of_one_client_is_found() {
    let clients = "id=3 addr=127.0.0.1:50001 laddr=127.0.0.1:1 obl=10 oll=2 omem=40960 \
                   tot-mem=9 cmd=subscribe\n\
                   id=4 addr=127.0.0.1:500 obl=0 oll=0 omem=0 cmd=client|list\n";
    assert_eq!(output_buffer(clients, "127.0.0.1:50001"), Some(40_970));
    assert_eq!(output_buffer(clients, "127.0.0.1:500"), Some(0));
    assert_eq!(output_buffer(clients, "127.0.0.1:5"), None);
}

#[test]
fn servers_are_told_apart() {
    let redis = ServerInfo::parse(
        "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n",
        BTreeMap::new(),
    );
    assert_eq!((redis.name.as_str(), redis.version.as_str()), ("Redis", "7.0.15"));
    let valkey = ServerInfo::parse(
        "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\n",
        BTreeMap::new(),
    );
    assert_eq!((valkey.name.as_str(), valkey.version.as_str()), ("Valkey", "9.1.2"));
    for (info, product) in [
        ("redis_version:7.4.0\r\ndragonfly_version:df-v1.27.1\r\n", "Dragonfly 1.27.1"),
        ("garnet_version:1.0.63\r\n", "Garnet 1.0.63"),
        ("redis_version:6.3.4\r\nexecutable:/usr/bin/keydb-server\r\n", "KeyDB 6.3.4"),
        ("redis_version:6.3.4\r\n# KeyDB\r\nmvcc_depth:0\r\n", "KeyDB 6.3.4"),
        ("redis_version:7.0.0\r\nserver_name:kvrocks\r\n", "kvrocks 7.0.0"),
    ] {
        let found = ServerInfo::parse(info, BTreeMap::new());
        assert_eq!(format!("{} {}", found.name, found.version), product);
    }
}

#[test]
fn a_server_is_asked_for_no_more_than_it_can_do() {
    let of =
        |version: &str| ServerInfo::parse(&format!("redis_version:{version}\r\n"), BTreeMap::new());
    let endpoint = Endpoint::parse(System::RedisLists, "127.0.0.1:1").unwrap();
    let check = |version: &str, change: fn(&mut Cell)| {
        let mut cell = cell(System::RedisLists);
        change(&mut cell);
        of(version).check(&endpoint, &cell).map_err(|error| error.to_string())
    };
    let library = |cell: &mut Cell| {
        cell.config.client.insert("library".into(), "redis-rs".into());
    };
    let synced = |cell: &mut Cell| {
        cell.config.wait_aof = Some(crate::scenario::WaitAof { local: 1, replicas: 0 });
    };
    assert!(check("6.2.14", |_| ()).is_ok() && !of("6.2.14").pops_many());
    assert!(check("unknown", |_| ()).is_ok() && of("7.0.15").pops_many());
    let old = check("6.0.16", |_| ()).unwrap_err();
    assert!(old.contains("6.0.16") && old.contains("6.2 or newer"), "{old}");
    let pops = check("6.2.14", library).unwrap_err();
    assert!(pops.contains("BLMPOP") && pops.contains("reliable"), "{pops}");
    assert!(check("7.0.15", library).is_ok());
    let waits = check("7.0.15", synced).unwrap_err();
    assert!(waits.contains("7.0.15") && waits.contains("write `wait`"), "{waits}");
    assert!(check("7.2.4", synced).is_ok());
}
