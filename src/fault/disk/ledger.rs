//! The ledger: what the broker's library noted of each successful sync, oldest first.
//!
//! Records of six words, as `preload/shim.c` writes them. A file is named by inode and birth: an
//! inode alone is given to another file as soon as its own is deleted.

use std::collections::BTreeMap;

const WORD: usize = 8;
const RECORD: usize = 6 * WORD;

const LOADED: u64 = 1;
const SYNCED: u64 = 2;
const CUT: u64 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileId {
    pub inode: u64,
    /// 0 where the file system knows none.
    pub born_ns: u64,
}

/// Goes through the records of `bytes`, brings `synced`, the length of each file that is on disk,
/// up to date, and tells how many processes the library was loaded into. A record that is not whole
/// is left out: its sync had not returned to anybody.
pub fn apply(bytes: &[u8], synced: &mut BTreeMap<FileId, u64>) -> u64 {
    let mut loads = 0;
    for record in bytes.chunks_exact(RECORD) {
        let word = |at: usize| {
            let word = record[at * WORD..].first_chunk::<WORD>();
            word.map_or(0, |bytes| u64::from_ne_bytes(*bytes))
        };
        let (kind, file, length) = (word(0), FileId { inode: word(2), born_ns: word(3) }, word(4));
        match kind {
            LOADED => loads += 1,
            SYNCED => {
                // Two threads may sync one file; the one that began first may be noted last.
                let known = synced.entry(file).or_default();
                *known = length.max(*known);
            }
            // What comes after it was not there to be synced.
            CUT => {
                synced.entry(file).and_modify(|known| *known = length.min(*known));
            }
            _ => {}
        }
    }
    loads
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u64, inode: u64, born_ns: u64, length: u64) -> Vec<u8> {
        [kind, 5, inode, born_ns, length, 77].iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    #[test]
    fn the_longest_synced_length_counts_until_the_file_is_cut() {
        let file = FileId { inode: 1, born_ns: 10 };
        let mut synced = BTreeMap::new();
        let bytes =
            [record(LOADED, 0, 0, 0), record(SYNCED, 1, 10, 300), record(SYNCED, 1, 10, 200)]
                .concat();
        assert_eq!(apply(&bytes, &mut synced), 1);
        assert_eq!(synced, BTreeMap::from([(file, 300)]));
        let bytes = [record(CUT, 1, 10, 100), record(CUT, 2, 10, 100)].concat();
        assert_eq!(apply(&bytes, &mut synced), 0);
        assert_eq!(synced, BTreeMap::from([(file, 100)]), "never synced stays never synced");
    }

    #[test]
    fn an_inode_that_is_used_again_is_another_file() {
        let mut synced = BTreeMap::new();
        apply(&record(SYNCED, 1, 10, 300), &mut synced);
        assert_eq!(synced.get(&FileId { inode: 1, born_ns: 20 }), None);
    }

    #[test]
    fn half_a_record_is_none() {
        let mut synced = BTreeMap::new();
        let mut bytes = record(SYNCED, 1, 10, 300);
        bytes.pop();
        apply(&bytes, &mut synced);
        assert!(synced.is_empty());
    }
}
