//! The systems that are compared, and the broker software that each runs on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What is measured. Redis is never one column: its three primitives promise different things. A
/// managed one is another system's driver under its own name: what the service does behind the same
/// protocol is what differs.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum System {
    Kafka,
    RedisPubsub,
    RedisStreams,
    RedisLists,
    Msk,
    MemorydbPubsub,
    MemorydbStreams,
    MemorydbLists,
    Sns,
    /// The in-process broker of the self-check. Never accepted in a scenario file,
    /// never shown in a table.
    #[schemars(skip)]
    Fake,
}

/// The broker software that a system runs on: what an environment starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Software {
    Kafka,
    Redis,
    /// SNS and the queues of SQS behind it: nobody can start them.
    Sns,
    Fake,
}

/// A service of AWS that runs a system: it is never started here, some of its settings are nobody's
/// to set, and it costs money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    Msk,
    Memorydb,
    Sns,
}

impl Service {
    pub const ALL: [Self; 3] = [Self::Msk, Self::Memorydb, Self::Sns];

    /// Its key in a targets file and in the file of prices.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Msk => "msk",
            Self::Memorydb => "memorydb",
            Self::Sns => "sns",
        }
    }

    /// As AWS calls it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Msk => "Amazon MSK",
            Self::Memorydb => "Amazon MemoryDB",
            Self::Sns => "Amazon SNS and SQS",
        }
    }
}

/// What becomes of a message that a system has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageStore {
    /// It goes to whoever is subscribed at that moment, and is not acknowledged.
    Nothing,
    /// It is kept until somebody takes it.
    Queue,
    /// Each subscription has a copy of it, which is kept until somebody has acknowledged it.
    QueueEach,
    /// It is kept in its place, read or not. A reader that has moved on does not come back to it.
    Log,
    /// Likewise, and while it is not acknowledged, another consumer may take it over.
    PendingLog,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
    Cross,
}

/// How charts draw a system: chosen for colour blindness and 3:1 contrast.
#[derive(Clone, Copy, Debug)]
pub struct SystemStyle {
    pub color: [u8; 3],
    /// Lengths of strokes and gaps; none where the line is whole.
    pub dash: &'static [f64],
    pub marker: Marker,
}

/// All that is known of a system beside its driver.
struct SystemSpec {
    name: &'static str,
    /// In the heads of tables.
    title: &'static str,
    software: Software,
    /// The system whose driver and settings it has: itself, or for a managed one what it speaks as.
    base: System,
    service: Option<Service>,
    store: MessageStore,
    /// Keys of a scenario that not every system of its software has.
    keys: &'static [&'static str],
    style: SystemStyle,
}

impl SystemSpec {
    /// Of one that runs nowhere: driven as itself, and nobody's service.
    const fn fake(system: System) -> Self {
        Self {
            name: "fake",
            title: "",
            software: Software::Fake,
            base: system,
            service: None,
            store: MessageStore::Log,
            keys: &["consume.batch"],
            style: SystemStyle::NEUTRAL,
        }
    }
}

impl SystemStyle {
    /// Of what is no system.
    pub const NEUTRAL: Self =
        Self { color: [0x6E, 0x77, 0x81], dash: &[4.0, 4.0], marker: Marker::Cross };
}

impl System {
    /// Every system that a scenario may name, in the order of tables and legends.
    pub const ALL: [Self; 9] = [
        Self::Kafka,
        Self::RedisPubsub,
        Self::RedisStreams,
        Self::RedisLists,
        Self::Msk,
        Self::MemorydbPubsub,
        Self::MemorydbStreams,
        Self::MemorydbLists,
        Self::Sns,
    ];
    /// The columns of the comparison: Kafka, and what its claims compare with it.
    pub const COMPARED: [Self; 4] =
        [Self::Kafka, Self::RedisPubsub, Self::RedisStreams, Self::RedisLists];
    /// Their names, for those that have only names: results, tables, charts.
    pub const NAMES: [&str; 4] = [
        Self::Kafka.name(),
        Self::RedisPubsub.name(),
        Self::RedisStreams.name(),
        Self::RedisLists.name(),
    ];
    pub const PRIMITIVES: [&str; 3] =
        [Self::RedisPubsub.name(), Self::RedisStreams.name(), Self::RedisLists.name()];

    const fn spec(self) -> SystemSpec {
        match self {
            Self::Kafka => SystemSpec {
                name: "kafka",
                title: "Kafka",
                software: Software::Kafka,
                store: MessageStore::Log,
                keys: &["consume.mode", "consume.batch"],
                style: SystemStyle { color: [0x00, 0x72, 0xB2], dash: &[], marker: Marker::Circle },
                ..SystemSpec::fake(self)
            },
            Self::RedisPubsub => SystemSpec {
                name: "redis-pubsub",
                title: "Redis Pub/Sub",
                software: Software::Redis,
                store: MessageStore::Nothing,
                keys: &["sharded"],
                style: SystemStyle {
                    color: [0xCC, 0x79, 0xA7],
                    dash: &[2.5, 2.5],
                    marker: Marker::Triangle,
                },
                ..SystemSpec::fake(self)
            },
            Self::RedisStreams => SystemSpec {
                name: "redis-streams",
                title: "Redis Streams",
                software: Software::Redis,
                store: MessageStore::PendingLog,
                keys: &["stream", "maxlen", "consume.batch", "wait"],
                style: SystemStyle {
                    color: [0xD5, 0x5E, 0x00],
                    dash: &[9.0, 3.0],
                    marker: Marker::Square,
                },
                ..SystemSpec::fake(self)
            },
            Self::RedisLists => SystemSpec {
                name: "redis-lists",
                title: "Redis Lists",
                software: Software::Redis,
                store: MessageStore::Queue,
                keys: &["consume.mode", "consume.batch", "wait"],
                style: SystemStyle {
                    color: [0x00, 0x9E, 0x73],
                    dash: &[9.0, 3.0, 2.5, 3.0],
                    marker: Marker::Diamond,
                },
                ..SystemSpec::fake(self)
            },
            Self::Msk | Self::MemorydbPubsub | Self::MemorydbStreams | Self::MemorydbLists => {
                self.managed()
            }
            Self::Sns => SystemSpec {
                name: "sns",
                title: "Amazon SNS+SQS",
                software: Software::Sns,
                service: Some(Service::Sns),
                store: MessageStore::QueueEach,
                keys: &["consume.batch"],
                style: SystemStyle {
                    color: [0xB0, 0x7D, 0x00],
                    dash: &[5.0, 2.0],
                    marker: Marker::Cross,
                },
                ..SystemSpec::fake(self)
            },
            Self::Fake => SystemSpec::fake(self),
        }
    }

    /// Another system's driver, keys and marks under a name and a colour of its own.
    const fn managed(self) -> SystemSpec {
        let (base, service, name, title, color) = match self {
            Self::MemorydbPubsub => (
                Self::RedisPubsub,
                Service::Memorydb,
                "memorydb-pubsub",
                "MemoryDB Pub/Sub",
                [0x88, 0x22, 0x55],
            ),
            Self::MemorydbStreams => (
                Self::RedisStreams,
                Service::Memorydb,
                "memorydb-streams",
                "MemoryDB Streams",
                [0x99, 0x4F, 0x00],
            ),
            Self::MemorydbLists => (
                Self::RedisLists,
                Service::Memorydb,
                "memorydb-lists",
                "MemoryDB Lists",
                [0x11, 0x77, 0x33],
            ),
            _ => (Self::Kafka, Service::Msk, "msk", "Amazon MSK", [0x33, 0x22, 0x88]),
        };
        let spec = base.spec();
        let style = SystemStyle { color, ..spec.style };
        SystemSpec { name, title, service: Some(service), style, ..spec }
    }

    pub const fn name(self) -> &'static str {
        self.spec().name
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|system| system.name() == name)
    }

    pub const fn title(self) -> &'static str {
        self.spec().title
    }

    pub const fn software(self) -> Software {
        self.spec().software
    }

    /// The system that it is driven as: itself, unless it is a managed one of the same protocol.
    pub const fn base(self) -> Self {
        self.spec().base
    }

    /// Who runs it, where that is not whoever measures.
    pub const fn service(self) -> Option<Service> {
        self.spec().service
    }

    pub const fn store(self) -> MessageStore {
        self.spec().store
    }

    pub const fn style(self) -> SystemStyle {
        self.spec().style
    }

    /// Whether it keeps messages in their order, read or not,
    /// so that what was written can be read back.
    pub const fn keeps_a_log(self) -> bool {
        matches!(self.store(), MessageStore::Log | MessageStore::PendingLog)
    }

    /// Whether it has a key that not every system of its software has.
    pub fn has_key(self, key: &str) -> bool {
        self.spec().keys.contains(&key)
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_written_by_its_name_and_the_fake_is_none_to_ask_for() {
        for system in System::ALL.into_iter().chain([System::Fake]) {
            assert_eq!(serde_json::to_string(&system).unwrap(), format!("\"{system}\""));
            assert_eq!(
                System::from_name(system.name()),
                Some(system).filter(|system| *system != System::Fake)
            );
        }
        assert!(System::ALL.is_sorted());
    }

    #[test]
    fn a_managed_system_is_another_ones_driver_under_its_own_name_and_look() {
        let known = System::ALL.into_iter();
        for system in known.clone().filter(|system| system.base() != *system) {
            let base = system.base();
            assert!(system.service().is_some() && base.service().is_none(), "{system}");
            assert_eq!((base.base(), base.software()), (base, system.software()), "{system}");
            assert_eq!(base.store(), system.store(), "{system}");
        }
        let look = |system: System| (system.style().color, system.style().marker as u8);
        for system in known.clone() {
            assert!(known.clone().all(|other| (other == system) == (look(other) == look(system))));
        }
        assert!(System::COMPARED.into_iter().all(|system| system.service().is_none()));
        let services: Vec<_> = known.filter_map(System::service).collect();
        assert!(Service::ALL.into_iter().all(|service| services.contains(&service)));
    }
}
