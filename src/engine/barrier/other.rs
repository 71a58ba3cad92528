//! The side of every shard but the first: it says how far it is, and does what the first says.

use super::lines::{self, Down, Up};
use super::{BarrierError, SILENCE};
use crate::driver::capability::Board;
use crate::schedule::Shard;
use std::time::{Duration, Instant};

/// Where the zero of the first shard's clock lies on its kernel's monotonic one.
#[derive(Clone, Debug)]
pub struct Opened {
    pub boot: Option<String>,
    pub zero_ns: u64,
    nonce: u64,
}

pub struct Other {
    shard: Shard,
    up: Box<dyn Board>,
    down: Box<dyn Board>,
    pub opened: Option<Opened>,
    /// Number, time of the first's clock, and when the answer was heard.
    pub echoes: Vec<(u32, u64, Instant)>,
    pub prepared: bool,
    /// When the load begins, and by shard how well its clock is known.
    pub go: Option<(u64, Vec<u64>)>,
    pub window: Option<(u64, bool)>,
    pub stopped: bool,
    /// It was waited for in vain.
    pub deserted: bool,
    /// All is said: the first may be silent from now on.
    ended: bool,
    heard: Instant,
    loaded: bool,
}

impl Other {
    pub fn new(boards: [Box<dyn Board>; 2], shard: Shard) -> Self {
        let [up, down] = boards;
        Self {
            shard,
            up,
            down,
            opened: None,
            echoes: Vec::new(),
            prepared: false,
            go: None,
            window: None,
            stopped: false,
            deserted: false,
            ended: false,
            heard: Instant::now(),
            loaded: false,
        }
    }

    pub fn say(&mut self, line: Up) -> Result<(), BarrierError> {
        Ok(self.up.post(&lines::write(&(self.shard.index, line)))?)
    }

    pub fn leave(&mut self) -> Result<(), BarrierError> {
        self.ended = true;
        self.say(Up::Left)
    }

    /// Silence counts from now on.
    pub fn load_begins(&mut self) {
        (self.loaded, self.heard) = (true, Instant::now());
    }

    /// Whether what the first made is ours to take away, because it does not any more.
    pub fn first_is_gone(&self) -> bool {
        self.loaded && !self.ended && self.heard.elapsed() > SILENCE
    }

    pub fn look(&mut self, limit: Duration) -> Result<(), BarrierError> {
        let lines = self.down.read(limit)?;
        let heard = Instant::now();
        for line in lines.iter().filter_map(|line| lines::read(line)) {
            self.heard = heard;
            self.hear(line, heard)?;
        }
        match self.first_is_gone() {
            true => Err(BarrierError::Ended(format!(
                "shard 0/{} was silent for {} s",
                self.shard.count,
                SILENCE.as_secs()
            ))),
            false => Ok(()),
        }
    }

    fn hear(&mut self, line: Down, heard: Instant) -> Result<(), BarrierError> {
        match line {
            Down::Open { boot, zero_ns, nonce } => {
                let before = self.opened.replace(Opened { boot, zero_ns, nonce });
                if before.is_some_and(|before| before.nonce != nonce) {
                    let why = "shard 0 is there twice, or the run id was used before: give each \
                               run an id of its own";
                    return Err(BarrierError::Ended(why.into()));
                }
            }
            Down::Echoed { shard, number, at_ns } if shard == self.shard.index => {
                self.echoes.push((number, at_ns, heard));
            }
            Down::Echoed { .. } | Down::Beat => {}
            Down::Prepared => self.prepared = true,
            Down::Go { start_ns, bounds_ns } => self.go = Some((start_ns, bounds_ns)),
            Down::Window { start_ns, rested } => self.window = Some((start_ns, rested)),
            Down::Stop => self.stopped = true,
            Down::Abort { why } => {
                self.ended = true;
                return Err(BarrierError::Ended(why));
            }
        }
        Ok(())
    }

    pub fn remove(self) -> Result<(), BarrierError> {
        self.up.remove()?;
        Ok(self.down.remove()?)
    }
}
