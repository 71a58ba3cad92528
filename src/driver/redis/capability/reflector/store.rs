//! The reflector's memory: streams and lists, and the commands that the drivers use on them.
//!
//! Options are understood in the one form in which the drivers send them. Entries of a stream are kept as they go out,
//! encoded once.

use crate::wire::redis as resp;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// What became of a command.
pub enum Execution {
    /// It is in the output.
    Given,
    /// There is nothing yet; ask again within the time, then answer null.
    Wait(Option<Duration>),
}

#[derive(Default)]
struct StoredStream {
    /// Encoded `[id, [field, payload]]`; the id of the first is `added - len + 1`.
    entries: VecDeque<Vec<u8>>,
    added: usize,
    /// How many entries, counted from the stream's first, each group has been given.
    groups: HashMap<Vec<u8>, usize>,
}

#[derive(Default)]
pub struct Store {
    streams: HashMap<Vec<u8>, StoredStream>,
    lists: HashMap<Vec<u8>, VecDeque<Vec<u8>>>,
    changed: bool,
}

const OK: &[u8] = b"+OK\r\n";

impl Store {
    /// Whether anything was added since the last call.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    pub fn execute(&mut self, words: &[&[u8]], out: &mut Vec<u8>) -> Execution {
        let word = |at: usize| words.get(at).copied().unwrap_or_default();
        match word(0) {
            b"XADD" => self.xadd(words, out),
            b"LPUSH" => {
                let list = list(&mut self.lists, word(1));
                list.push_front(word(2).to_vec());
                resp::integer(out, list.len());
                self.changed = true;
            }
            b"XREADGROUP" => return self.xreadgroup(words, out),
            b"XACK" => resp::integer(out, words.len().saturating_sub(3)),
            b"BLMPOP" => return self.pop(&words[1..], seconds(word(1)), out),
            b"LMPOP" => {
                if let Execution::Wait(_) = self.pop(words, None, out) {
                    out.extend_from_slice(b"*-1\r\n");
                }
            }
            b"LMOVE" => {
                if !self.list_move(word(1), word(2), out) {
                    out.extend_from_slice(b"$-1\r\n");
                }
            }
            b"BLMOVE" => {
                if !self.list_move(word(1), word(2), out) {
                    return Execution::Wait(seconds(word(5)));
                }
            }
            b"XGROUP" => self.xgroup(word(2), word(3), out),
            b"XRANGE" => self.xrange(word(1), word(2), number(word(5)), out),
            b"XINFO" => self.xinfo(word(2), out),
            b"LRANGE" => {
                let (from, to) = (number(word(2)), number(word(3)));
                let elements = self.lists.get(word(1)).into_iter().flatten().skip(from).take(to + 1 - from.min(to + 1));
                let elements: Vec<_> = elements.collect();
                resp::array_header(out, elements.len());
                elements.iter().for_each(|element| resp::bulk_string(out, element));
            }
            b"LLEN" => resp::integer(out, self.lists.get(word(1)).map_or(0, VecDeque::len)),
            b"XLEN" => resp::integer(out, self.streams.get(word(1)).map_or(0, |stream| stream.entries.len())),
            b"DEL" | b"UNLINK" => {
                let gone = words[1..].iter().filter(|key| {
                    let stream = self.streams.remove(**key).is_some();
                    self.lists.remove(**key).is_some() || stream
                });
                resp::integer(out, gone.count());
            }
            b"INFO" => resp::bulk_string(out, b"# Server\r\nredis_version:7.4.0\r\nserver_name:reflector\r\n"),
            b"CONFIG" => out.extend_from_slice(b"*0\r\n"),
            b"PING" => out.extend_from_slice(b"+PONG\r\n"),
            b"AUTH" | b"SELECT" | b"CLIENT" => out.extend_from_slice(OK),
            _ => out.extend_from_slice(b"-ERR unknown command\r\n"),
        }
        Execution::Given
    }

    /// `XADD key [MAXLEN ~ n] * field payload`
    fn xadd(&mut self, words: &[&[u8]], out: &mut Vec<u8>) {
        let [_, key, middle @ .., field, payload] = words else {
            return out.extend_from_slice(b"-ERR syntax error\r\n");
        };
        let stream = stream(&mut self.streams, key);
        stream.added += 1;
        let id = format!("{}-0", stream.added);
        let mut entry = Vec::with_capacity(payload.len() + 64);
        resp::array_header(&mut entry, 2);
        resp::bulk_string(&mut entry, id.as_bytes());
        resp::command(&mut entry, &[field, payload]);
        stream.entries.push_back(entry);
        if let [b"MAXLEN", _, maxlen, _] = middle {
            while stream.entries.len() > number(maxlen) {
                stream.entries.pop_front();
            }
        }
        resp::bulk_string(out, id.as_bytes());
        self.changed = true;
    }

    /// `XREADGROUP GROUP group consumer COUNT n [BLOCK ms] STREAMS key… >…`
    fn xreadgroup(&mut self, words: &[&[u8]], out: &mut Vec<u8>) -> Execution {
        let named = words.iter().position(|word| *word == b"STREAMS");
        let (Some(named), Some(group)) = (named, words.get(2)) else {
            out.extend_from_slice(b"-ERR syntax error\r\n");
            return Execution::Given;
        };
        let (keys, limit) = (&words[named + 1..named + 1 + (words.len() - named - 1) / 2], number(words[5]));
        let mut found = vec![];
        for key in keys {
            let Some(stream) = self.streams.get_mut(*key) else { return no_group(out) };
            let (length, added) = (stream.entries.len(), stream.added);
            let Some(given) = stream.groups.get_mut(*group) else { return no_group(out) };
            let first = (*given).max(added - length);
            let count = (added - first).min(limit);
            *given = first + count;
            if count > 0 {
                let skip = first + length - added;
                found.push((key, skip..skip + count));
            }
        }
        if found.is_empty() {
            let block = words[..named].iter().position(|word| *word == b"BLOCK").and_then(|at| words.get(at + 1));
            return match block {
                Some(limit) => Execution::Wait(Some(Duration::from_millis(number(limit) as u64))),
                None => {
                    out.extend_from_slice(b"*-1\r\n");
                    Execution::Given
                }
            };
        }
        resp::array_header(out, found.len());
        for (key, range) in found {
            resp::array_header(out, 2);
            resp::bulk_string(out, key);
            resp::array_header(out, range.len());
            let entries = self.streams.get(*key).map(|stream| stream.entries.range(range));
            entries.into_iter().flatten().for_each(|entry| out.extend_from_slice(entry));
        }
        Execution::Given
    }

    /// `[timeout] numkeys key… RIGHT COUNT n`, after the first word.
    fn pop(&mut self, words: &[&[u8]], limit: Option<Duration>, out: &mut Vec<u8>) -> Execution {
        let keys = number(words.get(1).copied().unwrap_or_default());
        let most = number(words.last().copied().unwrap_or_default());
        for key in words.iter().skip(2).take(keys) {
            let Some(list) = self.lists.get_mut(*key).filter(|list| !list.is_empty()) else { continue };
            let count = list.len().min(most);
            resp::array_header(out, 2);
            resp::bulk_string(out, key);
            resp::array_header(out, count);
            for element in list.drain(list.len() - count..).rev() {
                resp::bulk_string(out, &element);
            }
            return Execution::Given;
        }
        Execution::Wait(limit)
    }

    fn list_move(&mut self, from: &[u8], to: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(element) = self.lists.get_mut(from).and_then(VecDeque::pop_back) else { return false };
        resp::bulk_string(out, &element);
        list(&mut self.lists, to).push_front(element);
        true
    }

    fn xgroup(&mut self, key: &[u8], group: &[u8], out: &mut Vec<u8>) {
        let stream = stream(&mut self.streams, key);
        let known = stream.groups.contains_key(group);
        if !known {
            stream.groups.insert(group.to_vec(), stream.added);
        }
        out.extend_from_slice(if known { b"-BUSYGROUP Consumer Group name already exists\r\n" } else { OK });
    }

    fn xrange(&self, key: &[u8], from: &[u8], limit: usize, out: &mut Vec<u8>) {
        let empty = VecDeque::new();
        let (entries, added) = self.streams.get(key).map_or((&empty, 0), |stream| (&stream.entries, stream.added));
        let seen = from.strip_prefix(b"(").map_or(0, number);
        let skip = (seen + entries.len()).saturating_sub(added).min(entries.len());
        let count = (entries.len() - skip).min(limit);
        resp::array_header(out, count);
        entries.range(skip..skip + count).for_each(|entry| out.extend_from_slice(entry));
    }

    fn xinfo(&self, key: &[u8], out: &mut Vec<u8>) {
        let Some(stream) = self.streams.get(key) else { return out.extend_from_slice(b"-ERR no such key\r\n") };
        resp::array_header(out, 4);
        resp::bulk_string(out, b"length");
        resp::integer(out, stream.entries.len());
        resp::bulk_string(out, b"entries-added");
        resp::integer(out, stream.added);
    }
}

fn list<'a>(lists: &'a mut HashMap<Vec<u8>, VecDeque<Vec<u8>>>, key: &[u8]) -> &'a mut VecDeque<Vec<u8>> {
    lists.entry(key.to_vec()).or_default()
}

fn stream<'a>(streams: &'a mut HashMap<Vec<u8>, StoredStream>, key: &[u8]) -> &'a mut StoredStream {
    streams.entry(key.to_vec()).or_default()
}

fn no_group(out: &mut Vec<u8>) -> Execution {
    out.extend_from_slice(b"-NOGROUP No such key or consumer group\r\n");
    Execution::Given
}

/// The digits that `word` begins with; 0 without any.
fn number(word: &[u8]) -> usize {
    let digits = word.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0usize, |number, digit| number.saturating_mul(10).saturating_add(usize::from(digit - b'0')))
}

/// A blocking command's limit; `None` waits for ever, as 0 does in Redis.
fn seconds(word: &[u8]) -> Option<Duration> {
    let seconds = std::str::from_utf8(word).ok()?.parse::<f64>().ok().filter(|seconds| *seconds > 0.0)?;
    Duration::try_from_secs_f64(seconds).ok()
}
