//! What Kafka's nodes answer to the questions of our own connections: leaders,
//! copies, controllers, logins.
//!
//! Read by [`Fields`], never by decoders that reserve room for what an answer announces: whoever
//! answers is not trusted, least of all before the login.

use super::frame::{Api, Fields, Walked};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ApiKey;

/// The first version of Metadata that tells a leader's epoch.
pub const METADATA: Api = (ApiKey::Metadata, 7);
pub const QUORUM: Api = (ApiKey::DescribeQuorum, 0);
pub const LOG_DIRS: Api = (ApiKey::DescribeLogDirs, 1);
/// The first version after which tokens go in requests of their own.
pub const SASL_HANDSHAKE: Api = (ApiKey::SaslHandshake, 1);
pub const SASL_AUTHENTICATE: Api = (ApiKey::SaslAuthenticate, 1);

/// The body of a DescribeLogDirs response about no topic: the first folder that a node keeps.
pub fn log_dir(mut answer: Fields<'_>) -> Walked<Option<String>> {
    answer.i32()?; // Throttled for.
    if answer.count()? == 0 {
        return Ok(None);
    }
    let error = answer.i16()?;
    let folder = answer.text()?;
    Ok(Some(folder).filter(|_| error == 0))
}

/// The cluster and one topic as one node tells them.
pub struct View {
    /// Every broker that is registered and let in, and where clients find it.
    pub brokers: Vec<(i32, String)>,
    /// The name that the cluster gave itself.
    pub cluster: String,
    /// Whom the clients are to take for the controller.
    pub controller: i32,
    /// Of the topic; `None` where the answer has no topic.
    error: Option<i16>,
    partitions: Vec<Partition>,
}

pub struct Partition {
    index: i32,
    pub leader: i32,
    pub epoch: i32,
    copies: Vec<i32>,
    in_sync: Vec<i32>,
}

impl View {
    pub fn of(answer: Fields<'_>, partitions: usize) -> Result<Self, String> {
        let view = Self::read(answer).map_err(unreadable)?;
        accepted(view.error.ok_or("an empty answer")?)?;
        if view.partitions.len() != partitions {
            return Err(format!("it knows {} of {partitions} partitions", view.partitions.len()));
        }
        Ok(view)
    }

    /// The body of a Metadata response, as far as its first topic.
    pub fn read(mut answer: Fields<'_>) -> Walked<Self> {
        answer.i32()?; // Throttled for.
        let mut view = Self {
            brokers: Vec::new(),
            cluster: String::new(),
            controller: -1,
            error: None,
            partitions: Vec::new(),
        };
        for _ in 0..answer.count()? {
            let (id, host, port) = (answer.i32()?, answer.text()?, answer.i32()?);
            answer.text()?; // Its rack.
            let host = if host.contains(':') { format!("[{host}]") } else { host };
            view.brokers.push((id, format!("{host}:{port}")));
        }
        view.cluster = answer.text()?;
        view.controller = answer.i32()?;
        if answer.count()? == 0 {
            return Ok(view);
        }
        view.error = Some(answer.i16()?);
        answer.text()?;
        answer.take(1)?; // Whether it is an internal one.
        for _ in 0..answer.count()? {
            answer.i16()?; // Its error: a partition without a leader is told apart by that.
            let (index, leader, epoch) = (answer.i32()?, answer.i32()?, answer.i32()?);
            let (copies, in_sync, _offline) =
                (answer.numbers()?, answer.numbers()?, answer.numbers()?);
            view.partitions.push(Partition { index, leader, epoch, copies, in_sync });
        }
        Ok(view)
    }

    pub fn partition(&self, index: u16) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.index == i32::from(index))
    }

    /// Where clients find a broker that is registered and let in.
    pub fn address(&self, id: i32) -> Option<String> {
        self.brokers.iter().find(|(broker, _)| *broker == id).map(|(_, address)| address.clone())
    }

    /// Copies in sync on brokers that are there, and copies wanted.
    pub fn copies(&self) -> (u32, u32) {
        let there = |id: &&i32| self.brokers.iter().any(|(broker, _)| broker == *id);
        let in_sync =
            self.partitions.iter().map(|partition| partition.in_sync.iter().filter(there).count());
        let wanted = self.partitions.iter().map(|partition| partition.copies.len());
        (in_sync.sum::<usize>() as u32, wanted.sum::<usize>() as u32)
    }
}

/// Who leads the controllers, as one node tells it: its error, the leader, of which epoch. The body
/// of a DescribeQuorum response, as far as these. Its header ends in tags, of which Kafka has none.
pub fn quorum(mut answer: Fields<'_>) -> Walked<(i16, i32, i32)> {
    if answer.take(1)? != [0] {
        return Err("tags where there are none");
    }
    let error = answer.i16()?;
    if error != 0 {
        return Ok((error, -1, -1));
    }
    if answer.compact()? == 0 {
        return Err("an empty answer");
    }
    let name = answer.compact()?;
    answer.take(name)?;
    if answer.compact()? == 0 {
        return Err("an empty answer");
    }
    answer.i32()?; // The partition.
    Ok((answer.i16()?, answer.i32()?, answer.i32()?))
}

/// What a node says to the wish to log in: its error, and the ways to log in that it knows. The
/// body of a SaslHandshake response.
pub fn handshake(mut answer: Fields<'_>) -> Walked<(i16, Vec<String>)> {
    let error = answer.i16()?;
    let mechanisms = (0..answer.count()?).map(|_| answer.text()).collect::<Walked<_>>()?;
    Ok((error, mechanisms))
}

/// What a node says to one token of a login: its error, its words, a token of its own. The body of
/// a SaslAuthenticate response, as far as these.
pub fn authenticated(mut answer: Fields<'_>) -> Walked<(i16, String, Vec<u8>)> {
    let (error, message, length) = (answer.i16()?, answer.text()?, answer.count()?);
    Ok((error, message, answer.take(length)?.to_vec()))
}

pub fn unreadable(cause: &str) -> String {
    format!("an unreadable answer: {cause}")
}

pub fn accepted(code: i16) -> Result<(), String> {
    ResponseError::try_from_code(code).map_or(Ok(()), |error| Err(format!("{error:?} ({code})")))
}

#[cfg(any(test, fuzzing))]
pub fn fuzz(answer: &[u8]) -> bool {
    let quorum = quorum(Fields(answer)).is_ok();
    let login = handshake(Fields(answer)).is_ok() | authenticated(Fields(answer)).is_ok();
    let view = View::read(Fields(answer));
    let view = view
        .is_ok_and(|view| view.copies().0 > 0 || view.address(1).is_some() || view.error.is_some());
    view | quorum | login
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::{
        BrokerId, DescribeQuorumResponse, MetadataResponse, SaslAuthenticateResponse,
        SaslHandshakeResponse,
    };
    use kafka_protocol::protocol::Decodable;

    /// A Metadata response of a topic of one partition with these copies in sync, of two wanted;
    /// brokers 1 and 2 are there.
    fn answer(in_sync: &[i32], error: i16) -> Vec<u8> {
        let mut out = vec![0; 4];
        let number = |out: &mut Vec<u8>, number: i32| out.extend(number.to_be_bytes());
        let numbers = |out: &mut Vec<u8>, list: &[i32]| {
            number(out, list.len() as i32);
            list.iter().for_each(|each| number(out, *each));
        };
        number(&mut out, 2);
        for id in [1, 2] {
            number(&mut out, id);
            out.extend(b"\0\x01h");
            number(&mut out, 9000 + id);
            out.extend(if id == 1 { &b"\xff\xff"[..] } else { b"\0\x04rack" });
        }
        out.extend(b"\0\x01c");
        number(&mut out, 1);
        number(&mut out, 1);
        out.extend(error.to_be_bytes());
        out.extend(b"\0\x01t\0");
        number(&mut out, 1);
        out.extend([0, 0]);
        // Itself, its leader, of which epoch.
        [0, 2, 7].into_iter().for_each(|each| number(&mut out, each));
        numbers(&mut out, &[2, 3]);
        numbers(&mut out, in_sync);
        numbers(&mut out, &[]);
        out
    }

    #[test]
    fn a_copy_on_a_broker_that_is_gone_is_none() {
        let view = View::of(Fields(&answer(&[2, 3], 0)), 1).unwrap();
        assert_eq!(view.copies(), (1, 2));
        assert_eq!(view.address(view.partition(0).unwrap().leader).as_deref(), Some("h:9002"));
        assert_eq!(view.partition(0).unwrap().epoch, 7);
        assert!(view.partition(1).is_none());
    }

    #[test]
    fn a_topic_that_is_not_known_whole_has_no_redundancy() {
        let refused = |bytes: &[u8], partitions| View::of(Fields(bytes), partitions).err().unwrap();
        assert!(refused(&answer(&[2], 3), 1).contains("UnknownTopicOrPartition"));
        assert!(refused(&answer(&[2], 0), 2).contains("1 of 2"));
        let whole = answer(&[2], 0);
        for cut in 0..whole.len() {
            assert!(refused(&whole[..cut], 1).contains("unreadable"), "{cut}");
        }
    }

    #[test]
    fn a_broker_that_announces_more_than_it_sends_is_refused_and_costs_no_memory() {
        let mut bytes = answer(&[2, 3], 0);
        bytes[4..8].copy_from_slice(&i32::MAX.to_be_bytes());
        assert!(View::of(Fields(&bytes), 1).is_err());
    }

    /// The crate's own decoders, which share no code with ours.
    #[test]
    fn answers_are_read_as_the_protocol_writes_them() {
        let bytes = answer(&[2, 3], 0);
        let theirs = MetadataResponse::decode(&mut bytes.as_slice(), METADATA.1).unwrap();
        let partition = &theirs.topics[0].partitions[0];
        assert_eq!((partition.leader_id, partition.leader_epoch), (BrokerId(2), 7));
        assert_eq!(partition.isr_nodes, [BrokerId(2), BrokerId(3)]);

        // No tags; no error; one topic `t` of one partition: 0, no error, leader 3 of epoch 9, high
        // watermark 1, no voters.
        let bytes =
            b"\0\0\0\x02\x02t\x02\0\0\0\0\0\0\0\0\0\x03\0\0\0\x09\0\0\0\0\0\0\0\x01\x01\x01\0\0\0";
        let theirs = DescribeQuorumResponse::decode(&mut &bytes[1..], QUORUM.1).unwrap();
        let ours = quorum(Fields(bytes));
        let partition = &theirs.topics[0].partitions[0];
        assert_eq!(ours, Ok((0, partition.leader_id.0, partition.leader_epoch)));
        assert_eq!(ours, Ok((0, 3, 9)));
        assert!((0..20).all(|cut| quorum(Fields(&bytes[..cut])).is_err()));
        assert_eq!(quorum(Fields(b"\0\0\x03")).unwrap().0, 3);
    }

    #[test]
    fn answers_to_a_login_are_read_as_the_protocol_writes_them() {
        let bytes = b"\0\x21\0\0\0\x02\0\x05PLAIN\0\x0dSCRAM-SHA-512";
        let theirs = SaslHandshakeResponse::decode(&mut &bytes[..], SASL_HANDSHAKE.1).unwrap();
        let (error, mechanisms) = handshake(Fields(bytes)).unwrap();
        assert_eq!((error, mechanisms.len()), (33, 2));
        assert!(
            theirs.error_code == error
                && theirs.mechanisms.iter().map(|name| name.as_str()).eq(&mechanisms)
        );
        for (answer, message) in [
            (&b"\0\x3a\0\x02no\0\0\0\x03abc\0\0\0\0\0\0\0\0"[..], Some("no")),
            (b"\0\x00\xff\xff\0\0\0\x03abc\0\0\0\0\0\0\0\0", None),
        ] {
            let theirs =
                SaslAuthenticateResponse::decode(&mut &answer[..], SASL_AUTHENTICATE.1).unwrap();
            let (error, words, token) = authenticated(Fields(answer)).unwrap();
            assert_eq!((theirs.error_code, &theirs.auth_bytes[..]), (error, &b"abc"[..]));
            assert_eq!((theirs.error_message.as_deref(), token.as_slice()), (message, &b"abc"[..]));
            assert_eq!(words, message.unwrap_or_default());
        }
        // Two thousand million mechanisms, or bytes of a token: refused, and nothing is reserved
        // for them.
        let mut many = bytes.to_vec();
        many[2] = 0x7f;
        assert!(handshake(Fields(&many)).is_err());
        assert!(authenticated(Fields(b"\0\0\xff\xff\x7f\xff\xff\xffabc")).is_err());
    }
}
