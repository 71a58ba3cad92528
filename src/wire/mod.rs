//! Wire protocols: bytes of brokers into tokens and requests into bytes. Knows neither sockets nor
//! commands, and is bounded in what it keeps of what others send.

pub mod redis;
