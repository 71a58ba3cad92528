//! Wire protocols: bytes of brokers into tokens and requests into bytes. Opens no sockets but those
//! of `access`, and is bounded in what it keeps of what others send.

pub mod kafka;
pub mod redis;
