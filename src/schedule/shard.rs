//! One load on several machines: which producer and which consumer is whose.
//!
//! Arithmetic alone, so that nobody has to be told. A producer keeps the number that it has where
//! one process runs everything, and with it its part of the rate, its arrivals and its sequence
//! numbers: all shards together plan exactly what one process plans.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// One of `count` processes that run a load together, counted from 0. The first one leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shard {
    pub index: u16,
    pub count: u16,
}

impl Shard {
    /// Everything in one process.
    pub const WHOLE: Self = Self { index: 0, count: 1 };
    /// Beyond it the barrier and the merge would need another design.
    pub const MOST: u16 = 4096;

    /// The one that makes the topic, says when to start and audits.
    pub fn leads(self) -> bool {
        self.index == 0
    }

    /// Every shard of the same run.
    pub fn all(self) -> impl Iterator<Item = Self> {
        (0..self.count).map(move |index| Self { index, ..self })
    }
}

/// `3/8`.
impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/');
        let numbers = numbers.and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        let (index, count): (u16, u16) =
            numbers.ok_or("write it like `0/8`: the first of eight shards")?;
        match count {
            0 | 1 => Err("there are two shards at least: one process needs no `--shard`".into()),
            count if count > Self::MOST => Err(format!("at most {} shards", Self::MOST)),
            count if index >= count => {
                Err(format!("shards are counted from 0: the last of {count} is {}", count - 1))
            }
            _ => Ok(Self { index, count }),
        }
    }
}

/// Which clients stand together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// Every shard has producers and consumers: end-to-end latency is that of messages which the
    /// host that sent them received.
    #[default]
    Paired,
    /// The first shards have producers only, the others consumers only: end-to-end latency goes
    /// across hosts, and is told where their clocks are known to agree.
    Apart,
}

/// How many clients a load has, over all shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clients {
    pub producers: u16,
    pub subscriptions: u16,
    /// Of each subscription.
    pub consumers: u16,
}

impl Clients {
    fn all_consumers(self) -> u32 {
        u32::from(self.subscriptions) * u32::from(self.consumers)
    }
}

/// The part of a load that one shard runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    pub shard: Shard,
    pub placement: Placement,
    pub clients: Clients,
}

impl Share {
    /// All of it.
    pub fn whole(clients: Clients) -> Self {
        Self { shard: Shard::WHOLE, placement: Placement::Paired, clients }
    }

    pub fn is_whole(self) -> bool {
        self.shard.count == 1
    }

    /// How many shards have producers; they are the first.
    fn publishing(self) -> u16 {
        let (count, consumers) = (self.shard.count, u64::from(self.clients.all_consumers()));
        if self.placement == Placement::Paired || count < 2 {
            return count;
        }
        let producers = u64::from(self.clients.producers);
        let share = u64::from(count) * producers / (producers + consumers).max(1);
        (share as u16).clamp(1, count - 1)
    }

    /// The shard that runs a producer.
    #[inline]
    pub fn sender(self, producer: u16) -> u16 {
        producer % self.publishing()
    }

    /// The shard that runs a consumer, counted over all subscriptions.
    fn receiver(self, consumer: u32) -> u16 {
        let first = match self.publishing() {
            all if all == self.shard.count => 0,
            publishing => publishing,
        };
        first + (consumer % u32::from(self.shard.count - first)) as u16
    }

    /// The producers of this shard, by their numbers in the whole load.
    pub fn producers(self) -> impl Iterator<Item = u16> {
        (0..self.clients.producers).filter(move |p| self.sender(*p) == self.shard.index)
    }

    /// The consumers of this shard: subscription, and number within it.
    pub fn consumers(self) -> impl Iterator<Item = (u16, u16)> {
        let each = u32::from(self.clients.consumers).max(1);
        (0..self.clients.all_consumers())
            .filter(move |consumer| self.receiver(*consumer) == self.shard.index)
            .map(move |consumer| ((consumer / each) as u16, (consumer % each) as u16))
    }

    /// A shard of the run that has nothing to do.
    pub fn idle(self) -> Option<Shard> {
        self.shard.all().find(|shard| {
            let share = Self { shard: *shard, ..self };
            share.producers().next().is_none() && share.consumers().next().is_none()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Schedule;
    use crate::units::Rate;
    use proptest::prelude::*;

    #[test]
    fn a_shard_is_written_as_its_number_and_how_many_there_are() {
        assert_eq!("3/8".parse(), Ok(Shard { index: 3, count: 8 }));
        assert_eq!(Shard { index: 3, count: 8 }.to_string(), "3/8");
        for (text, why) in [
            ("8/8", "the last of 8 is 7"),
            ("0/0", "two shards at least"),
            ("0/1", "two shards at least"),
            ("1", "like `0/8`"),
            ("-1/8", "like `0/8`"),
            ("0/5000", "at most 4096"),
        ] {
            let error = text.parse::<Shard>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    fn shares(count: u16, placement: Placement, clients: Clients) -> Vec<Share> {
        let all = Shard { index: 0, count }.all();
        all.map(|shard| Share { shard, placement, clients }).collect()
    }

    #[test]
    fn apart_the_first_publish_and_the_others_consume() {
        let clients = Clients { producers: 6, subscriptions: 1, consumers: 2 };
        let four = shares(4, Placement::Apart, clients);
        let producers: Vec<usize> = four.iter().map(|share| share.producers().count()).collect();
        let consumers: Vec<usize> = four.iter().map(|share| share.consumers().count()).collect();
        assert_eq!((producers, consumers), (vec![2, 2, 2, 0], vec![0, 0, 0, 2]));
        assert_eq!(four[0].idle(), None);
        let few = Clients { producers: 1, subscriptions: 1, consumers: 1 };
        let first = shares(4, Placement::Paired, few)[0];
        assert_eq!(first.idle(), Some(Shard { index: 1, count: 4 }));
    }

    fn placement() -> impl Strategy<Value = Placement> {
        prop::sample::select(vec![Placement::Paired, Placement::Apart])
    }

    proptest! {
        /// Who sends what and when, and who receives: all shards together are one process.
        #[test]
        fn the_union_of_the_plans_is_the_plan_of_one_process(
            count in 1u16..40,
            placement in placement(),
            producers in 1u16..60,
            subscriptions in 1u16..4,
            consumers in 1u16..20,
            rate in 1u64..5_000_000,
            seed in any::<u64>(),
        ) {
            let clients = Clients { producers, subscriptions, consumers };
            // Number, when due in constant arrivals, and in Poisson ones.
            let plan = |share: &Share| -> Vec<(u16, Vec<u64>, Vec<u64>)> {
                let rate = Rate::per_second(rate);
                let of = |p| (
                    p,
                    Schedule::constant(rate, p, producers).take(20).collect(),
                    Schedule::poisson(rate, p, producers, seed).take(20).collect(),
                );
                share.producers().map(of).collect()
            };
            let shares = shares(count, placement, clients);
            let mut all: Vec<_> = shares.iter().flat_map(plan).collect();
            all.sort();
            prop_assert_eq!(all, plan(&Share::whole(clients)));
            let mut receivers: Vec<_> = shares.iter().flat_map(|share| share.consumers()).collect();
            receivers.sort_unstable();
            let alone: Vec<_> = Share::whole(clients).consumers().collect();
            prop_assert_eq!(receivers, alone);
            for share in &shares {
                prop_assert!(share.producers().all(|p| share.sender(p) == share.shard.index));
            }
        }
    }
}
