//! The first shard's side of the barrier: it hears all others, answers their echoes, and says what
//! all do next.

use super::lines::{self, Beat, Down, Hello, Terms, Up};
use super::{BarrierError, SILENCE};
use crate::clock::Clock;
use crate::driver::capability::Board;
use std::time::{Duration, Instant};

/// What is known of one shard.
#[derive(Default)]
pub struct Member {
    hello: Option<Hello>,
    /// How well its clock is known, once it is.
    pub bound_ns: Option<u64>,
    pub ready: bool,
    pub beat: Beat,
    pub left: bool,
    heard: Option<Instant>,
}

pub struct First {
    up: Box<dyn Board>,
    pub down: Box<dyn Board>,
    clock: Clock,
    terms: Terms,
    /// By number, itself among them.
    pub members: Vec<Member>,
    /// From then on silence means that somebody is gone.
    loaded: bool,
}

impl First {
    pub fn new(boards: [Box<dyn Board>; 2], clock: Clock, hello: Hello) -> Self {
        let [up, down] = boards;
        let terms = hello.terms.clone();
        let mut members: Vec<Member> = (0..terms.shards).map(|_| Member::default()).collect();
        if let Some(own) = members.first_mut() {
            (own.hello, own.bound_ns) = (Some(hello), Some(0));
        }
        Self { up, down, clock, terms, members, loaded: false }
    }

    pub fn say(&mut self, line: &Down) -> Result<(), BarrierError> {
        Ok(self.down.post(&lines::write(line))?)
    }

    /// `shard 3/8 (on host-b)`.
    fn name(&self, shard: usize) -> String {
        let hello = self.members.get(shard).and_then(|member| member.hello.as_ref());
        let on = hello.map_or_else(String::new, |hello| format!(" (on {})", hello.host.name));
        format!("shard {shard}/{}{on}", self.members.len())
    }

    /// Those of whom it does not hold, by name.
    pub fn lacking(&self, has: impl Fn(&Member) -> bool) -> Vec<String> {
        let lacks = |(shard, member): (usize, &Member)| (!has(member)).then(|| self.name(shard));
        self.members.iter().enumerate().filter_map(lacks).collect()
    }

    pub fn own(&mut self) -> Option<&mut Member> {
        self.members.first_mut()
    }

    /// Silence counts from now on.
    pub fn load_begins(&mut self) {
        self.loaded = true;
        self.members.iter_mut().for_each(|member| member.heard = Some(Instant::now()));
    }

    pub fn look(&mut self, limit: Duration) -> Result<(), BarrierError> {
        for line in self.up.read(limit)? {
            if let Some((shard, said)) = lines::read(&line) {
                self.hear(shard, said)?;
            }
        }
        let silent = |member: &Member| {
            !member.left && member.heard.is_some_and(|heard| heard.elapsed() > SILENCE)
        };
        match self.members.iter().skip(1).position(silent).filter(|_| self.loaded) {
            Some(before) => Err(BarrierError::Ended(format!(
                "{} was silent for {} s",
                self.name(before + 1),
                SILENCE.as_secs()
            ))),
            None => Ok(()),
        }
    }

    fn hear(&mut self, shard: u16, said: Up) -> Result<(), BarrierError> {
        let at_ns = self.clock.now_ns();
        let index = usize::from(shard);
        let of = self.members.len();
        let Some(member) = self.members.get_mut(index).filter(|_| index > 0) else {
            let why = format!("shard {shard} is none of the others of {of}");
            return Err(BarrierError::Ended(why));
        };
        member.heard = Some(Instant::now());
        match said {
            Up::Hello(hello) => return self.greet(index, hello),
            Up::Echo { number } => return self.say(&Down::Echoed { shard, number, at_ns }),
            Up::Clock { bound_ns } => member.bound_ns = Some(bound_ns),
            Up::Ready => member.ready = true,
            Up::Beat(beat) => member.beat = beat,
            Up::Left => member.left = true,
            Up::Abort { why } => {
                member.left = true;
                return Err(BarrierError::Ended(format!("{} ended: {why}", self.name(index))));
            }
        }
        Ok(())
    }

    fn greet(&mut self, index: usize, hello: Hello) -> Result<(), BarrierError> {
        let other = self.terms.other_than(&hello.terms);
        let known = self.members[index].hello.as_ref();
        let twice = known.filter(|known| known.nonce != hello.nonce);
        let twice = twice.map(|known| {
            format!(
                "it is there twice, on {} and on {}, or the run id was used before: give each run \
                 an id of its own",
                known.host.name, hello.host.name
            )
        });
        self.members[index].hello = Some(hello);
        match twice.or(other) {
            Some(why) => Err(BarrierError::Ended(format!("{}: {why}", self.name(index)))),
            None => Ok(()),
        }
    }

    pub fn remove(self) -> Result<(), BarrierError> {
        self.up.remove()?;
        Ok(self.down.remove()?)
    }
}
