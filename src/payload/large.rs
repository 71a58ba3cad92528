//! Payloads of the size ladder: one value of up to gigabytes, made in little more time than it takes to write it.
//!
//! Text is lines of a log, far more regular than the bodies of [`super::body`]: a service logs few kinds of line, and
//! so many of them compress by ten and more. Every 64 KiB of it differ from every others, so that a misplaced piece
//! shows. Same arguments, same bytes.

use super::body::BodyKind;
use crate::random::SplitMix64;
use std::io::Write;

/// Text repeats after this much, beyond what the window of a compressor at its usual level sees.
const BLOCK: usize = 4 << 20;
/// Each of these pieces carries its own number.
const PIECE: usize = 64 << 10;

/// `size` bytes of text (log lines) or random bytes; `Mixed` is no kind of this ladder and comes as random.
pub fn large(kind: BodyKind, size: usize, seed: u64) -> Vec<u8> {
    if kind != BodyKind::Text {
        let mut payload = vec![0; size];
        SplitMix64::new(seed).fill(&mut payload);
        return payload;
    }
    let block = lines(size.min(BLOCK), seed);
    let mut payload = Vec::with_capacity(size);
    while payload.len() < size {
        payload.extend_from_slice(&block[..block.len().min(size - payload.len())]);
    }
    for (number, piece) in payload.chunks_mut(PIECE).enumerate().skip(1) {
        let label = format!("piece {number:016x} ");
        let length = label.len().min(piece.len());
        piece[..length].copy_from_slice(&label.as_bytes()[..length]);
    }
    payload
}

fn lines(size: usize, seed: u64) -> Vec<u8> {
    const KINDS: [(&str, &str, u64); 4] = [
        ("GET", "/api/v1/orders", 200),
        ("GET", "/api/v1/users", 200),
        ("POST", "/api/v1/orders", 201),
        ("GET", "/api/v1/cart", 404),
    ];
    let (mut rng, mut text, mut number) = (SplitMix64::new(seed), Vec::with_capacity(size + 256), 0u64);
    while text.len() < size {
        let draw = rng.next_u64();
        // The first kinds are much more frequent than the last.
        let (method, path, status) = KINDS[(draw.trailing_zeros() as usize / 2).min(KINDS.len() - 1)];
        let (second, micros) = (number / 1000 % 60, number % 1000 * 1000);
        let (worker, millis) = (draw >> 32 & 3, draw >> 40 & 63);
        // Writing to memory cannot fail.
        let _ = writeln!(
            text,
            "2026-11-22T12:00:{second:02}.{micros:06}Z INFO  [orders-service,region=eu-west-1,zone=a] worker-{worker} \
             request completed method={method} path={path} status={status} protocol=HTTP/1.1 cache=hit retries=0 \
             user-agent=mobile-app/4.12 duration_ms={millis} request={number:08}"
        );
        number += 1;
    }
    text.truncate(size);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_compresses_as_logs_do_and_random_does_not() {
        let size = 9 << 20;
        let packed = |kind| zstd::bulk::compress(&large(kind, size, 1), 3).unwrap().len();
        let text = size as f64 / packed(BodyKind::Text) as f64;
        assert!((8.0..80.0).contains(&text), "{text}");
        assert!(packed(BodyKind::Random) >= size);
    }

    #[test]
    fn sizes_are_exact_pieces_differ_and_the_seed_decides() {
        for size in [0, 1, 100, PIECE + 3, BLOCK, 2 * BLOCK + 1] {
            for kind in [BodyKind::Text, BodyKind::Random] {
                let payload = large(kind, size, 7);
                assert_eq!(payload.len(), size);
                assert_eq!(payload, large(kind, size, 7));
                assert!(size <= 100 || payload != large(kind, size, 8));
            }
        }
        let text = large(BodyKind::Text, 2 * BLOCK, 7);
        let mut pieces: Vec<&[u8]> = text.chunks(PIECE).collect();
        pieces.sort_unstable();
        pieces.dedup();
        assert_eq!(pieces.len(), 2 * BLOCK / PIECE);
    }
}
