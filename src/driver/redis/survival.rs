//! What an acknowledged message survives, by what the server tells of its persistence and its
//! replicas; never by what the scenario asked for.

use super::control::ServerInfo;
use super::primitive::Primitive;
use crate::access::region_of;
use crate::model::Service;
use crate::result::Survives;
use crate::scenario::{Cell, Reply, SystemConfig};

/// What MemoryDB's documentation says, where it is MemoryDB that is asked: its servers tell nothing
/// of the log behind them. A stand-in at another address is what it tells.
pub fn documented(cell: &Cell, primitive: &dyn Primitive, address: &str) -> Option<Survives> {
    let at_aws = region_of(address).is_some();
    let memorydb = cell.config.system.service() == Some(Service::Memorydb);
    let consumer = primitive.acknowledgement().ok()?;
    if !(at_aws && memorydb) || cell.config.reply == Reply::Off {
        return None;
    }
    let because = format!(
        "documented by AWS, told by no server: acknowledged once a log in several zones has it; \
         {consumer}"
    );
    let (process_kill, power_loss, node_loss, nearly) = (true, true, true, false);
    Some(Survives { process_kill, power_loss, node_loss, nearly, copies: 2, because })
}

/// Survival class by Redis's documentation on persistence, of what the server tells: what it does
/// not tell counts as the least. Snapshots (`save`) do not count: what was acknowledged since the
/// last one is gone.
pub fn survives(cell: &Cell, primitive: &dyn Primitive, server: &ServerInfo) -> Survives {
    let consumer = match primitive.acknowledgement() {
        Ok(consumer) => consumer,
        Err(because) => return Survives { because: because.into(), ..Survives::default() },
    };
    if cell.config.reply == Reply::Off {
        let because = "CLIENT REPLY OFF: nothing is acknowledged, and a refusal shows to nobody";
        return Survives { because: because.into(), ..Survives::default() };
    }
    let told = |name: &str| server.settings.get(name).map(String::as_str);
    let (process_kill, power_loss, persistence) = match (told("appendonly"), told("appendfsync")) {
        (Some("yes"), Some("always")) => {
            (true, true, "appendonly yes, appendfsync always: synced before the reply".to_owned())
        }
        (Some("yes"), fsync) => {
            let fsync = fsync.unwrap_or("not told");
            (
                true,
                false,
                format!("appendonly yes, appendfsync {fsync}: in the kernel, synced later"),
            )
        }
        (Some(_), _) => (false, false, "appendonly no: in memory only, snapshots aside".to_owned()),
        (None, _) => (false, false, "appendonly not told: taken as no".to_owned()),
    };
    // With replicas, a primary that was killed is replaced by one that may not have what only it
    // confirmed.
    let alone = server.alone == Some(true);
    let own_file = cell.config.wait_aof.is_some_and(|files| files.local > 0);
    let replicas = cell.config.awaited_replicas();
    if replicas > 0 {
        let because = format!("{persistence}; {}; {consumer}", confirmed(&cell.config));
        return Survives {
            process_kill: true,
            power_loss: own_file,
            node_loss: true,
            nearly: true,
            copies: 1 + replicas,
            because,
        };
    }
    let (process_kill, power_loss) = (process_kill && alone, (power_loss || own_file) && alone);
    let copies = match server.alone {
        Some(true) => "",
        Some(false) => ", which its replicas follow later",
        None => "; replicas not told: taken as some",
    };
    let synced = if own_file { " once its file was synced (WAITAOF)" } else { "" };
    let because =
        format!("{persistence}; acknowledged by the primary alone{synced}{copies}; {consumer}");
    Survives { process_kill, power_loss, copies: 1, because, ..Survives::default() }
}

/// By whom, where replicas must confirm: every acknowledgement is their word, whatever the server
/// tells of them.
fn confirmed(config: &SystemConfig) -> String {
    let (name, place) =
        if config.wait.is_some() { ("WAIT", "memory") } else { ("WAITAOF", "a file") };
    format!(
        "acknowledged once {name} counts {} replicas that have it in {place}; nearly: it is no \
         consensus, and a replica without it may be the one that is promoted",
        config.awaited_replicas()
    )
}

#[cfg(test)]
mod tests {
    use super::super::primitive;
    use super::super::tests::cell;
    use super::*;
    use crate::model::System;
    use crate::scenario::WaitAof;

    #[test]
    fn survival_follows_from_what_the_server_tells() {
        const ALONE: &str = "role:master\r\nconnected_slaves:0\r\n";
        let of = |system, info: &str, settings: &[(&str, &str)]| {
            let mut cell = cell(system);
            // What was asked for is not what it has.
            cell.config.broker = [("appendonly", "yes"), ("appendfsync", "always")]
                .map(|(k, v)| (k.into(), v.into()))
                .into();
            let told =
                settings.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
            let server = ServerInfo::parse(info, told);
            survives(&cell, primitive::of(&cell.config).unwrap(), &server)
        };
        let with = |system, settings: &[(&str, &str)]| {
            let found = of(system, ALONE, settings);
            (found.process_kill, found.power_loss, found.node_loss)
        };
        let (streams, pubsub) = (System::RedisStreams, System::RedisPubsub);
        let always = [("appendonly", "yes"), ("appendfsync", "always")];
        assert_eq!(with(streams, &[("appendonly", "no"), ("save", "60 1")]), (false, false, false));
        assert_eq!(with(streams, &[("appendonly", "yes")]), (true, false, false));
        assert_eq!(
            with(streams, &[("appendonly", "yes"), ("appendfsync", "no")]),
            (true, false, false)
        );
        assert_eq!(with(streams, &always), (true, true, false));
        assert_eq!(with(pubsub, &always), (false, false, false));
        // Whoever takes over may not have it.
        for (info, words) in [
            ("role:master\r\nconnected_slaves:2\r\n", "replicas follow later"),
            ("role:slave\r\nconnected_slaves:0\r\n", "replicas follow later"),
            ("redis_version:8.2.3\r\n", "replicas not told"),
        ] {
            let found = of(streams, info, &always);
            assert!(!found.process_kill && !found.power_loss, "{found:?}");
            assert!(found.because.contains(words), "{found:?}");
        }
    }

    #[test]
    fn memorydb_is_what_it_documents_and_a_stand_in_is_what_it_tells() {
        let of = |system, address: &str| {
            let cell = cell(system);
            documented(&cell, primitive::of(&cell.config).unwrap(), address)
        };
        let aws = "clustercfg.demo.a1b2c3.memorydb.us-east-1.amazonaws.com:6379";
        let found = of(System::MemorydbStreams, aws).unwrap();
        assert!(found.power_loss && found.node_loss && found.because.contains("documented"));
        assert!(of(System::MemorydbStreams, "localhost:6379").is_none());
        assert!(of(System::RedisStreams, aws).is_none());
        assert!(of(System::MemorydbPubsub, aws).is_none(), "it keeps nothing");
    }

    #[test]
    fn what_replicas_confirmed_survives_their_primary_nearly() {
        let of = |wait, wait_aof, info: &str| {
            let mut cell = cell(System::RedisStreams);
            (cell.config.wait, cell.config.wait_aof) = (wait, wait_aof);
            let settings = [("appendonly".to_owned(), "yes".to_owned())].into();
            let server = ServerInfo::parse(info, settings);
            survives(&cell, primitive::of(&cell.config).unwrap(), &server)
        };
        const SET: &str = "role:master\r\nconnected_slaves:2\r\n";
        let class = |found: &Survives| {
            (found.process_kill, found.power_loss, found.node_loss, found.nearly, found.copies)
        };
        let waited = of(Some(1), None, SET);
        assert_eq!(class(&waited), (true, false, true, true, 2));
        assert!(waited.because.contains("WAIT counts 1 replicas"), "{waited:?}");
        let synced = |local, replicas| of(None, Some(WaitAof { local, replicas }), SET);
        assert_eq!(class(&synced(1, 2)), (true, true, true, true, 3));
        assert_eq!(class(&synced(0, 1)), (true, false, true, true, 2));
        assert_eq!(class(&synced(1, 0)), (false, false, false, false, 1), "who follows may lead");
        let own = of(
            None,
            Some(WaitAof { local: 1, replicas: 0 }),
            "role:master\r\nconnected_slaves:0\r\n",
        );
        assert_eq!(class(&own), (true, true, false, false, 1));
    }

    #[test]
    fn where_settings_are_refused_info_is_all_that_is_told() {
        let of = |persistence: &str| {
            let info = format!("role:master\r\nconnected_slaves:0\r\n{persistence}");
            let server = ServerInfo::parse(&info, Default::default());
            let cell = cell(System::RedisStreams);
            survives(&cell, primitive::of(&cell.config).unwrap(), &server)
        };
        let on = of("aof_enabled:1\r\n");
        assert!(on.process_kill && !on.power_loss && on.because.contains("appendfsync not told"));
        assert!(of("aof_enabled:0\r\n").because.contains("appendonly no"));
        let silent = of("");
        assert!(
            !silent.process_kill && silent.because.contains("appendonly not told"),
            "{silent:?}"
        );
    }
}
