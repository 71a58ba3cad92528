//! The keys of messages: how often each of them comes, and how it is written.
//!
//! A share of the messages each, and no more: which message has which key is the sender's to draw.

/// Keys `0..count` with a share of the messages each.
#[derive(Clone, Debug)]
pub struct KeyShares {
    count: u32,
    /// Sums of the weights up to and including each key; empty where all weigh the same.
    sums: Vec<f64>,
}

impl KeyShares {
    pub const fn even(count: u32) -> Self {
        Self { count, sums: Vec::new() }
    }

    /// By Zipf's law: key k with a weight of 1 ÷ (k + 1)^skew.
    pub fn zipf(count: u32, skew: f64) -> Self {
        if skew == 0.0 {
            return Self::even(count);
        }
        Self::weighed(count, |key| f64::from(key + 1).powf(-skew))
    }

    /// One key with `share` of the messages, 0 to 1, and the others even.
    pub fn hot(count: u32, share: f64) -> Self {
        let each = (1.0 - share) / f64::from(count.saturating_sub(1).max(1));
        Self::weighed(count, |key| if key == 0 { share } else { each })
    }

    fn weighed(count: u32, weight: impl Fn(u32) -> f64) -> Self {
        let mut sum = 0.0;
        let upto = |key| {
            sum += weight(key);
            sum
        };
        Self { count, sums: (0..count).map(upto).collect() }
    }

    pub const fn count(&self) -> u32 {
        self.count
    }

    /// The key at `place` of all, in (0, 1].
    #[inline]
    pub fn at(&self, place: f64) -> u32 {
        let key = match self.sums.last() {
            // In (0, 1]: the last key is as likely as any other.
            None => (place * f64::from(self.count)).ceil() as u32 - 1,
            Some(total) => self.sums.partition_point(|sum| *sum < place * total) as u32,
        };
        key.min(self.count.saturating_sub(1))
    }
}

/// Bytes of a written key.
pub const KEY_BYTES: usize = 12;

/// `key-00000042`, in place.
#[inline]
pub fn write_key(mut number: u32, text: &mut [u8; KEY_BYTES]) {
    text[..4].copy_from_slice(b"key-");
    for digit in text[4..].iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;

    fn counts(shares: &KeyShares) -> Vec<u32> {
        let (mut rng, mut keys) = (SplitMix64::new(1), vec![0; shares.count() as usize]);
        (0..100_000).for_each(|_| keys[shares.at(rng.unit()) as usize] += 1);
        keys
    }

    #[test]
    fn even_keys_are_even_and_skewed_ones_follow_zipf() {
        let even = counts(&KeyShares::even(10));
        assert!(even.iter().all(|count| (9_500..10_500).contains(count)), "{even:?}");
        let skewed = counts(&KeyShares::zipf(10, 1.0));
        let first = f64::from(skewed[0]);
        for (key, count) in skewed.iter().enumerate() {
            let expected = first / (key + 1) as f64;
            assert!((f64::from(*count) / expected - 1.0).abs() < 0.1, "{key}: {skewed:?}");
        }
    }

    #[test]
    fn a_hot_key_has_its_share_and_the_others_are_even() {
        let hot = counts(&KeyShares::hot(11, 0.5));
        assert!((49_000..51_000).contains(&hot[0]), "{hot:?}");
        assert!(hot[1..].iter().all(|count| (4_600..5_400).contains(count)), "{hot:?}");
    }

    #[test]
    fn the_ends_of_the_range_are_keys() {
        for shares in [KeyShares::even(3), KeyShares::zipf(3, 0.99), KeyShares::hot(3, 0.2)] {
            assert_eq!((shares.at(f64::MIN_POSITIVE), shares.at(1.0)), (0, 2), "{shares:?}");
        }
        assert_eq!(KeyShares::even(1).at(0.5), 0);
    }

    #[test]
    fn keys_are_written_with_all_their_digits() {
        let mut text = [0; KEY_BYTES];
        for (number, written) in [(0, b"key-00000000"), (42, b"key-00000042")] {
            write_key(number, &mut text);
            assert_eq!(&text, written);
        }
    }
}
