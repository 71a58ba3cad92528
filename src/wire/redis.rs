//! RESP2 on the wire: tokens out of bytes, strings into bytes.
//!
//! Nothing here copies a value or allocates for one: a token borrows from the input, so a message
//! of any size costs its length line only. How the input is cut into reads must not change what is
//! found in it: whatever is not complete yet is `None`, never an error. This module must not know
//! commands or sockets.

use std::ops::Range;

/// One RESP2 token. An array is its length only; its elements are the tokens that follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    Simple(&'a [u8]),
    Error(&'a [u8]),
    Integer(i64),
    Bulk(&'a [u8]),
    /// Null bulk string or null array: Redis answers a blocking command that timed out with either.
    Null,
    Array(usize),
}

/// Bytes that RESP2 does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

/// Longest line before `\r\n` that is taken for one: error replies are far shorter,
/// lengths have 20 digits.
const LONGEST_LINE: usize = 64 * 1024;

/// Longest bulk string, four times what Redis can be set to take (`proto-max-bulk-len` of 1 GB in
/// the size ladder): a server that announces more is not waited for.
const LONGEST_BULK: usize = 4_000_000_000;

/// The first token of `input` and how many bytes it takes; `None` while it is not complete.
#[inline]
pub fn token(input: &[u8]) -> Result<Option<(Token<'_>, usize)>, Malformed> {
    let Some(&kind) = input.first() else { return Ok(None) };
    let rest = &input[1..];
    match kind {
        b':' | b'$' | b'*' => {
            let Some((number, line)) = number(rest)? else { return Ok(None) };
            let header = 1 + line;
            match (kind, number) {
                (b':', number) => Ok(Some((Token::Integer(number), header))),
                (_, -1) => Ok(Some((Token::Null, header))),
                (b'*', 0..) => Ok(Some((Token::Array(number as usize), header))),
                (b'$', 0..) => bulk(input, header, number as usize),
                _ => Err(Malformed(format!("negative length {number}"))),
            }
        }
        b'+' | b'-' => {
            let Some(end) = rest.iter().take(LONGEST_LINE).position(|byte| *byte == b'\r') else {
                let endless = rest.len() >= LONGEST_LINE;
                return if endless {
                    Err(Malformed("a line without end".into()))
                } else {
                    Ok(None)
                };
            };
            match rest.get(end + 1) {
                None => Ok(None),
                Some(b'\n') => {
                    let line = &rest[..end];
                    Ok(Some((
                        if kind == b'+' { Token::Simple(line) } else { Token::Error(line) },
                        end + 3,
                    )))
                }
                Some(_) => Err(Malformed("a line does not end in CR LF".into())),
            }
        }
        other => Err(Malformed(format!("a reply begins with byte {other:#04x}"))),
    }
}

/// A bulk string whose header, `header` bytes long, announced `length` bytes.
#[inline]
fn bulk(
    input: &[u8],
    header: usize,
    length: usize,
) -> Result<Option<(Token<'_>, usize)>, Malformed> {
    if length > LONGEST_BULK {
        return Err(Malformed(format!(
            "a bulk string of {length} bytes, more than {LONGEST_BULK}"
        )));
    }
    let end = header + length;
    match input.get(end..end + 2) {
        None => Ok(None),
        Some(b"\r\n") => Ok(Some((Token::Bulk(&input[header..end]), end + 2))),
        Some(_) => {
            Err(Malformed(format!("a bulk string of {length} bytes does not end where it said")))
        }
    }
}

/// A decimal number up to its `\r\n`, and the bytes both take.
#[inline]
fn number(line: &[u8]) -> Result<Option<(i64, usize)>, Malformed> {
    let negative = line.first() == Some(&b'-');
    let start = usize::from(negative);
    let mut value: i64 = 0;
    for (at, byte) in line.iter().enumerate().skip(start) {
        match byte {
            b'0'..=b'9' => {
                let next = value
                    .checked_mul(10)
                    .and_then(|value| value.checked_add(i64::from(byte - b'0')));
                value = next.ok_or_else(|| Malformed("a number beyond 64 bits".into()))?;
            }
            b'\r' if at > start => {
                return match line.get(at + 1) {
                    None => Ok(None),
                    Some(b'\n') => Ok(Some((if negative { -value } else { value }, at + 2))),
                    Some(_) => Err(Malformed("a number does not end in CR LF".into())),
                };
            }
            _ => return Err(Malformed(format!("byte {byte:#04x} in a number"))),
        }
    }
    Ok(None)
}

/// Finds where a whole reply, nested arrays included, ends. Keeps its place between reads, so that
/// a reply that comes in many pieces is walked once.
#[derive(Debug, Default)]
pub struct Scanner {
    at: usize,
    /// Tokens still to come, `None` before the first.
    missing: Option<u64>,
}

impl Scanner {
    /// The length of the reply at the start of `input`, once all of it is there. `input` must begin
    /// where it began in the call before, unless that one found the end.
    #[inline]
    pub fn end_of_reply(&mut self, input: &[u8]) -> Result<Option<usize>, Malformed> {
        let mut missing = self.missing.unwrap_or(1);
        while missing > 0 {
            let Some((token, length)) = token(&input[self.at..])? else {
                self.missing = Some(missing);
                return Ok(None);
            };
            self.at += length;
            missing -= 1;
            if let Token::Array(elements) = token {
                let more = missing.checked_add(elements as u64);
                missing = more.ok_or_else(|| Malformed(format!("array of {elements} elements")))?;
            }
        }
        let end = self.at;
        *self = Self::default();
        Ok(Some(end))
    }
}

/// Walks a reply that is known to be whole; anything missing or of another kind is [`Malformed`].
#[derive(Clone, Debug)]
pub struct ReplyReader<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> ReplyReader<'a> {
    pub fn new(reply: &'a [u8]) -> Self {
        Self { input: reply, at: 0 }
    }

    #[expect(clippy::should_implement_trait, reason = "a reply ends in an error, not in `None`")]
    pub fn next(&mut self) -> Result<Token<'a>, Malformed> {
        self.next_range().map(|(token, _)| token)
    }

    /// The token and where its encoded form lies, to be sent back verbatim.
    #[inline]
    pub fn next_range(&mut self) -> Result<(Token<'a>, Range<usize>), Malformed> {
        let (token, length) = token(&self.input[self.at..])?
            .ok_or_else(|| Malformed("a reply ends too early".into()))?;
        let start = self.at;
        self.at += length;
        Ok((token, start..self.at))
    }

    pub fn array(&mut self) -> Result<usize, Malformed> {
        match self.next()? {
            Token::Array(length) => Ok(length),
            other => Err(unexpected("an array", other)),
        }
    }

    pub fn bulk(&mut self) -> Result<&'a [u8], Malformed> {
        match self.next()? {
            Token::Bulk(bytes) => Ok(bytes),
            other => Err(unexpected("a bulk string", other)),
        }
    }

    pub fn integer(&mut self) -> Result<i64, Malformed> {
        match self.next()? {
            Token::Integer(number) => Ok(number),
            other => Err(unexpected("an integer", other)),
        }
    }
}

/// The elements of an array of bulk strings: a list, or a command.
pub fn bulks(array: &[u8]) -> Result<Vec<&[u8]>, Malformed> {
    let mut reader = ReplyReader::new(array);
    (0..reader.array()?).map(|_| reader.bulk()).collect()
}

/// "expected this, found that", without the content of strings: they may be payloads.
pub fn unexpected(expected: &str, found: Token<'_>) -> Malformed {
    let found = match found {
        Token::Simple(text) => format!("`{}`", error_text(text)),
        Token::Error(text) => error_text(text),
        Token::Integer(number) => format!("the integer {number}"),
        Token::Bulk(bytes) => format!("a bulk string of {} bytes", bytes.len()),
        Token::Null => "null".into(),
        Token::Array(length) => format!("an array of {length}"),
    };
    Malformed(format!("expected {expected}, found {found}"))
}

/// An error reply in words fit for a report: its first 80 characters, up to where Redis begins to
/// quote arguments.
pub fn error_text(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let head = text.split(", with args").next().unwrap_or_default();
    head.chars().filter(|c| !c.is_control()).take(80).collect()
}

/// What the server refuses with, where a reply is an error.
pub fn refusal(reply: &[u8]) -> Option<String> {
    match token(reply) {
        Ok(Some((Token::Error(text), _))) => Some(error_text(text)),
        _ => None,
    }
}

/// Appends `*n\r\n`.
pub fn array_header(out: &mut Vec<u8>, length: usize) {
    out.push(b'*');
    decimal(out, length);
    out.extend_from_slice(b"\r\n");
}

/// Appends a bulk string.
#[inline]
pub fn bulk_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'$');
    decimal(out, bytes.len());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// Appends `number` in decimal; by hand, because this runs for each message.
#[inline]
fn decimal(out: &mut Vec<u8>, mut number: usize) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Value {
        Simple(String),
        Error(String),
        Integer(i64),
        Bulk(Vec<u8>),
        Null,
        NullArray,
        Array(Vec<Value>),
    }

    fn encode(out: &mut Vec<u8>, value: &Value) {
        match value {
            Value::Simple(text) => out.extend_from_slice(format!("+{text}\r\n").as_bytes()),
            Value::Error(text) => out.extend_from_slice(format!("-{text}\r\n").as_bytes()),
            Value::Integer(number) => out.extend_from_slice(format!(":{number}\r\n").as_bytes()),
            Value::Bulk(bytes) => bulk_string(out, bytes),
            Value::Null => out.extend_from_slice(b"$-1\r\n"),
            Value::NullArray => out.extend_from_slice(b"*-1\r\n"),
            Value::Array(values) => {
                array_header(out, values.len());
                values.iter().for_each(|value| encode(out, value));
            }
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            "[ -~]{0,20}".prop_map(Value::Simple),
            "[ -~]{0,20}".prop_map(Value::Error),
            (-i64::MAX..i64::MAX).prop_map(Value::Integer),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(Value::Bulk),
            Just(Value::Null),
            Just(Value::NullArray),
        ];
        leaf.prop_recursive(3, 30, 6, |inner| {
            proptest::collection::vec(inner, 0..6).prop_map(Value::Array)
        })
    }

    /// Lengths of the replies found when `input` arrives in pieces that end at `cuts`.
    fn replies(input: &[u8], cuts: &[usize]) -> Result<Vec<usize>, Malformed> {
        let (mut scanner, mut start, mut found) = (Scanner::default(), 0, vec![]);
        for end in cuts.iter().map(|cut| (*cut).min(input.len())).chain([input.len()]) {
            while start < end {
                let Some(length) = scanner.end_of_reply(&input[start..end])? else { break };
                found.push(length);
                start += length;
            }
        }
        Ok(found)
    }

    #[test]
    fn known_tokens() {
        assert_eq!(token(b":-12\r\nx"), Ok(Some((Token::Integer(-12), 6))));
        assert_eq!(token(b"$3\r\nabc\r\n"), Ok(Some((Token::Bulk(b"abc"), 9))));
        assert_eq!(token(b"$3\r\nabc\r"), Ok(None));
        assert_eq!(token(b"*-1\r\n"), Ok(Some((Token::Null, 5))));
        assert_eq!(token(b"-ERR no\r\n"), Ok(Some((Token::Error(b"ERR no"), 9))));
        for bad in [
            &b"$3\r\nabcd\r\n"[..],
            b"$-2\r\n",
            b":\r\n",
            b":1x\r\n",
            b"!\r\n",
            b"+a\rb",
            b":99999999999999999999\r\n",
            b"$4000000001\r\n",
        ] {
            assert!(token(bad).is_err(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn words_hold_no_arguments() {
        let text =
            error_text(b"ERR unknown command 'X', with args beginning with: 'secret payload'");
        assert_eq!(text, "ERR unknown command 'X'");
        assert_eq!(error_text(&[b'x'; 200]).len(), 80);
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(
            list in proptest::collection::vec(values(), 1..6),
            mut cuts in proptest::collection::vec(0usize..600, 0..12),
        ) {
            let mut input = vec![];
            let mut lengths = vec![];
            for value in &list {
                let before = input.len();
                encode(&mut input, value);
                lengths.push(input.len() - before);
            }
            cuts.sort_unstable();
            prop_assert_eq!(replies(&input, &cuts), Ok(lengths.clone()));
            let every_byte: Vec<usize> = (0..input.len()).collect();
            prop_assert_eq!(replies(&input, &every_byte), Ok(lengths));
        }

        #[test]
        fn any_bytes_are_read_or_refused_alike_however_they_are_cut(
            input in proptest::collection::vec(
                prop_oneof![
                    Just(b'\r'), Just(b'\n'), Just(b'*'), Just(b'$'), Just(b':'), Just(b'-'),
                    b'0'..=b'9', any::<u8>(),
                ],
                0..120,
            ),
            mut cuts in proptest::collection::vec(0usize..120, 0..8),
        ) {
            cuts.sort_unstable();
            let (whole, pieces) = (replies(&input, &[]), replies(&input, &cuts));
            prop_assert_eq!(whole, pieces);
        }

        #[test]
        fn a_command_is_read_back(
            words in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 0..30),
                1..6,
            ),
        ) {
            let mut out = vec![];
            array_header(&mut out, words.len());
            words.iter().for_each(|word| bulk_string(&mut out, word));
            prop_assert_eq!(bulks(&out), Ok(words.iter().map(Vec::as_slice).collect::<Vec<_>>()));
        }
    }
}
