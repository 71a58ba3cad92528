//! The limit of each way, searched between the largest size that arrived and the smallest that was
//! refused: by bisection, until both are [`NEAR`] to each other. Pure.

use super::climb::Attempt;
use super::plan::SendVariant;
use crate::model::Codec;
use crate::units::Bytes;

/// How far the smallest refused size may lie above the largest intact one, as a share of that.
const NEAR: f64 = 0.001;

/// One way for each codec and client: the one that came farthest, text where several did. Random
/// bytes pass a codec as if there were none.
pub fn ways(attempts: &[Attempt]) -> Vec<SendVariant> {
    let mut best: Vec<&Attempt> = Vec::new();
    for attempt in attempts.iter().filter(|attempt| attempt.intact()) {
        let same = |known: &&mut &Attempt| {
            (known.kind.codec, known.kind.client) == (attempt.kind.codec, attempt.kind.client)
        };
        match best.iter_mut().find(same) {
            Some(known) if attempt.size > known.size => *known = attempt,
            Some(_) => {}
            None => best.push(attempt),
        }
    }
    let mut ways: Vec<SendVariant> = best.into_iter().map(|attempt| attempt.kind).collect();
    // What is uncompressed on the wire comes first: it decides.
    ways.sort_by_key(|kind| kind.codec != Codec::None);
    ways
}

/// The size to try next in this way; `None` where its limit is known well enough, was not met, or
/// where the last try told nothing about it.
pub fn next(attempts: &[Attempt], kind: SendVariant) -> Option<Bytes> {
    let told = |attempt: &&Attempt| kind.shares_limits_of(attempt.kind);
    let own = || attempts.iter().filter(told);
    let intact = own().filter(|attempt| attempt.intact()).map(|attempt| attempt.size.0).max()?;
    let above = || own().filter(|attempt| attempt.size.0 > intact);
    let refused = above().filter(|attempt| attempt.refused().is_some());
    let refused = refused.map(|attempt| attempt.size.0).min()?;
    // Something smaller neither arrived nor was refused: the end of what can be told here.
    if above().any(|attempt| attempt.size.0 < refused) {
        return None;
    }
    let room = refused - intact;
    if room <= 1 || room as f64 <= NEAR * intact as f64 {
        return None;
    }
    // Each try halves the ratio.
    let middle = (intact as f64 * refused as f64).sqrt() as u64;
    Some(Bytes(middle.clamp(intact + 1, refused - 1)))
}

#[cfg(test)]
mod tests {
    use super::super::climb::Untried;
    use super::super::testing::attempt;
    use super::*;
    use crate::driver::{LargeClient, Who};

    const USUAL: LargeClient = LargeClient::Usual;

    /// Searches a limit that lets at most `limit` bytes pass; how many tries it took.
    fn search(attempts: &mut Vec<Attempt>, limit: u64) -> usize {
        let kind = ways(attempts)[0];
        let before = attempts.len();
        while let Some(size) = next(attempts, kind) {
            let end = if size.0 <= limit { Ok(1) } else { Err(Who::Broker) };
            attempts.push(attempt(size.0, kind.codec, kind.client, end));
        }
        attempts.len() - before
    }

    fn bracket(attempts: &[Attempt]) -> (u64, u64) {
        let sizes = |arrived: bool| {
            let own = attempts.iter().filter(move |attempt| attempt.intact() == arrived);
            own.map(|attempt| attempt.size.0)
        };
        (sizes(true).max().unwrap(), sizes(false).min().unwrap())
    }

    #[test]
    fn any_limit_is_found_to_a_thousandth_in_few_tries() {
        for (from, to, limit) in [
            (64 << 10, 1 << 20, 999_964),
            (16 << 20, 64 << 20, 32 << 20),
            (512 << 20, 1_000_000_000, 512 << 20),
            (255 << 20, 256 << 20, (256 << 20) - 78),
            (1, 2, 1),
        ] {
            let mut attempts = vec![
                attempt(from, Codec::None, USUAL, Ok(1)),
                attempt(to, Codec::None, USUAL, Err(Who::Broker)),
            ];
            let tries = search(&mut attempts, limit);
            let (intact, refused) = bracket(&attempts);
            assert!(intact <= limit && limit < refused, "{intact} {limit} {refused}");
            assert!(refused - intact <= 1 + intact / 1000, "{intact} to {refused}");
            assert!(tries <= 13, "{tries} tries for {limit}");
        }
    }

    #[test]
    fn without_a_limit_there_is_nothing_to_search() {
        let intact = attempt(1 << 20, Codec::None, USUAL, Ok(1));
        assert_eq!(next(std::slice::from_ref(&intact), intact.kind), None);
        let late = attempt(2 << 20, Codec::None, USUAL, Err(Who::TimeOut));
        assert_eq!(next(&[intact.clone(), late], intact.kind), None, "patience is no limit");
        let refused = attempt(4 << 20, Codec::None, USUAL, Err(Who::Broker));
        assert_eq!(next(&[intact.clone(), refused.clone()], intact.kind), Some(Bytes(2 << 20)));
        let mut no_room = attempt(2 << 20, Codec::None, USUAL, Ok(1));
        no_room.tried = Err(Untried::NoRoom("it needs 4 GB".into()));
        assert_eq!(next(&[intact.clone(), refused, no_room], intact.kind), None);
        assert_eq!(ways(&[]), []);
    }

    #[test]
    fn each_codec_and_client_has_one_way_the_uncompressed_first() {
        let second = LargeClient::Second;
        let attempts = [
            attempt(1024, Codec::Lz4, USUAL, Ok(1)),
            attempt(1024, Codec::None, USUAL, Ok(1)),
            attempt(1024, Codec::None, second, Ok(1)),
            attempt(4096, Codec::None, second, Ok(1)),
            attempt(4096, Codec::Zstd, USUAL, Err(Who::Broker)),
        ];
        let names: Vec<String> = ways(&attempts).iter().map(SendVariant::to_string).collect();
        assert_eq!(
            names,
            [
                "payload=text,codec=none",
                "payload=text,codec=none,client=second",
                "payload=text,codec=lz4"
            ]
        );
    }
}
