//! Which key comes next, and whether it is read or written: seeded, so that every run asks the same.

use crate::random::SplitMix64;

/// Draws keys `0..n` by Zipf's law: key k with a weight of 1 ÷ (k + 1)^skew.
pub struct Draw {
    /// Sums of the weights up to and including each key; empty where all weigh the same.
    sums: Vec<f64>,
    keys: u32,
    reads: f64,
    rng: SplitMix64,
}

impl Draw {
    pub fn new(keys: u32, skew: f64, reads: f64, seed: u64) -> Self {
        let mut sum = 0.0;
        let weigh = |key: u32| {
            sum += f64::from(key + 1).powf(-skew);
            sum
        };
        let sums = if skew == 0.0 { Vec::new() } else { (0..keys).map(weigh).collect() };
        Self { sums, keys, reads, rng: SplitMix64::new(seed) }
    }

    /// The next key, and whether it is read.
    pub fn next(&mut self) -> (u32, bool) {
        let (place, read) = (self.rng.unit(), self.rng.unit() <= self.reads);
        let key = match self.sums.last() {
            // In (0, 1]: the last key is as likely as any other.
            None => (place * f64::from(self.keys)).ceil() as u32 - 1,
            Some(total) => self.sums.partition_point(|sum| *sum < place * total) as u32,
        };
        (key.min(self.keys - 1), read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(skew: f64) -> (Vec<u32>, u32) {
        let mut draw = Draw::new(10, skew, 0.9, 1);
        let (mut keys, mut reads) = (vec![0; 10], 0);
        for _ in 0..100_000 {
            let (key, read) = draw.next();
            keys[key as usize] += 1;
            reads += u32::from(read);
        }
        (keys, reads)
    }

    #[test]
    fn even_keys_are_even_and_skewed_ones_follow_zipf() {
        let (even, reads) = counts(0.0);
        assert!(even.iter().all(|count| (9_500..10_500).contains(count)), "{even:?}");
        assert!((89_500..90_500).contains(&reads), "{reads}");
        let (skewed, _) = counts(1.0);
        let first = f64::from(skewed[0]);
        for (key, count) in skewed.iter().enumerate() {
            let expected = first / (key + 1) as f64;
            assert!((f64::from(*count) / expected - 1.0).abs() < 0.1, "{key}: {skewed:?}");
        }
    }
}
