//! The order of systems over the blocks: a Latin square, so that no system always runs first or after the same other.

/// The order of `count` systems in block `block` (from 1): each block starts one further. Over `count` blocks every
/// system stands once in every place.
pub fn order(count: usize, block: u32) -> Vec<usize> {
    (0..count).map(|place| (place + block as usize - 1) % count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_stands_once_in_every_place() {
        for place in 0..4 {
            let mut seen: Vec<usize> = (1..=4).map(|block| order(4, block)[place]).collect();
            seen.sort_unstable();
            assert_eq!(seen, [0, 1, 2, 3]);
        }
        assert_eq!(order(4, 5), order(4, 1));
    }
}
