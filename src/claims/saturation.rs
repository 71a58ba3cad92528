//! What a reader must know of a figure that was found by loading a system as fast as it goes,
//! beside what ran out: whether it is the disk's figure or the page cache's.

use crate::result::CellSummary;

/// Of all blocks of a cell in the closed model; nothing of the open one, which asks for no more
/// than its rate.
pub fn notes(group: &[&CellSummary]) -> Vec<String> {
    let good = |cell: &&&CellSummary| cell.valid && cell.rates.goodput_per_s.is_some();
    let closed = |cell: &&&CellSummary| cell.counts.planned.is_none();
    let counted: Vec<_> = group.iter().filter(good).filter(closed).collect();
    let absorbed = counted.iter().filter(|cell| cell.absorbed()).count();
    let note = format!(
        "page cache absorbs: in {absorbed} of {} blocks less than half of what was written reached \
         the disk",
        counted.len()
    );
    if absorbed > 0 { vec![note] } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{Counts, Rates, Resources};

    fn cell(dirtied: u64, written: u64) -> CellSummary {
        CellSummary {
            valid: true,
            rates: Rates { goodput_per_s: Some(1.0), ..Rates::default() },
            resources: Resources {
                dirtied_bytes: Some(dirtied),
                written_back_bytes: Some(written),
                ..Resources::default()
            },
            ..CellSummary::default()
        }
    }

    #[test]
    fn what_the_page_cache_took_is_told_once_for_all_blocks() {
        const GB: u64 = 1 << 30;
        let (one, other) = (cell(GB, GB / 4), cell(GB, GB * 3 / 4));
        assert_eq!(
            notes(&[&one, &other]),
            ["page cache absorbs: in 1 of 2 blocks less than half of what was written reached \
              the disk"]
        );
        let mut synced = cell(GB, 0);
        synced.survives.power_loss = true;
        let counts = Counts { planned: Some(1), ..Counts::default() };
        let (open, spoilt) =
            (CellSummary { counts, ..one.clone() }, CellSummary { valid: false, ..one });
        for none in [cell(1 << 20, 0), synced, open, spoilt] {
            assert_eq!(notes(&[&none]), Vec::<String>::new());
        }
    }
}
