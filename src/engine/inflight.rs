//! The messages of one producer that have no answer yet. Its size is the in-flight limit.
//!
//! A slot belongs to one connection for ever, so a connection never has more in flight than its share, and the
//! connection whose answer came in is the one that sends next.

use std::collections::VecDeque;

/// What must be remembered of a message until its answer comes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pending {
    pub planned_ns: u64,
    pub sent_ns: u64,
    pub sequence: u64,
    pub lane: u16,
    pub busy: bool,
}

pub struct InFlight {
    slots: Vec<Pending>,
    free: VecDeque<u32>,
    connections: u32,
}

impl InFlight {
    pub fn new(limit: u32, connections: u16) -> Self {
        Self {
            slots: vec![Pending::default(); limit as usize],
            free: (0..limit).collect(),
            connections: u32::from(connections.max(1)),
        }
    }

    /// A free slot, longest free first.
    #[inline]
    pub fn take(&mut self) -> Option<u32> {
        self.free.pop_front()
    }

    /// Gives back a slot that [`InFlight::take`] gave and that was not used.
    pub fn untake(&mut self, slot: u32) {
        if let Some(place) = self.slots.get_mut(slot as usize) {
            place.busy = false;
        }
        self.free.push_front(slot);
    }

    #[inline]
    pub fn fill(&mut self, slot: u32, pending: Pending) {
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Pending { busy: true, ..pending };
        }
    }

    /// The message in a slot, which becomes free. `None` for a slot that holds nothing: a driver's mistake.
    #[inline]
    pub fn finish(&mut self, slot: u32) -> Option<Pending> {
        let place = self.slots.get_mut(slot as usize)?;
        if !place.busy {
            return None;
        }
        place.busy = false;
        self.free.push_back(slot);
        Some(*place)
    }

    #[inline]
    pub fn connection(&self, slot: u32) -> u16 {
        (slot % self.connections) as u16
    }

    pub fn busy(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// What never got an answer.
    pub fn unanswered(&self) -> impl Iterator<Item = &Pending> {
        self.slots.iter().filter(|slot| slot.busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_and_an_answer_counts_once() {
        let mut table = InFlight::new(2, 1);
        let (a, b) = (table.take().unwrap(), table.take().unwrap());
        assert_eq!(table.take(), None);
        table.fill(a, Pending { sequence: 7, ..Pending::default() });
        table.fill(b, Pending::default());
        assert_eq!(table.finish(a).map(|p| p.sequence), Some(7));
        assert!(table.finish(a).is_none() && table.finish(99).is_none());
        assert_eq!((table.busy(), table.unanswered().count()), (1, 1));
    }

    #[test]
    fn connections_share_the_slots_evenly() {
        let table = InFlight::new(9, 3);
        let of_first = (0..9).filter(|slot| table.connection(*slot) == 0).count();
        assert_eq!(of_first, 3);
    }
}
