//! TLS against a server of the same library: what non-blocking users rely on,
//! and handshakes that fail.

use super::super::{Access, Terms};
use super::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustix::event::{PollFd, PollFlags, poll};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::net::TcpListener;

const MANY: usize = 3_000_000;
const LIMIT: Duration = Duration::from_secs(5);

fn byte(index: usize) -> u8 {
    (index % 251) as u8
}

/// An authority's certificate, and the settings of a server that it signed for `localhost`.
fn authority(name: &str) -> (String, Arc<ServerConfig>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .unwrap();
    (pem, Arc::new(config))
}

fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, format!("localhost:{port}"))
}

fn access(ca: String) -> Access {
    Terms { tls: Some(Tls::new(Some(ca), None).unwrap()), ..Terms::default() }.into()
}

/// Sends and takes [`MANY`] bytes, slowly enough for full buffers on both sides.
fn serve(listener: TcpListener, config: Arc<ServerConfig>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
        let (mut sent, mut taken, mut buffer) = (0, 0, vec![0; 40_000]);
        while sent < MANY || taken < MANY {
            let piece: Vec<u8> = (sent..MANY.min(sent + 1 + sent % 30_011)).map(byte).collect();
            stream.write_all(&piece).unwrap();
            stream.flush().unwrap();
            sent += piece.len();
            if taken < MANY {
                let read = stream.read(&mut buffer).unwrap();
                assert!(
                    read > 0
                        && buffer[..read]
                            .iter()
                            .enumerate()
                            .all(|(at, found)| *found == byte(taken + at))
                );
                taken += read;
            }
        }
        // Its farewell, so that the end is seen as one.
        stream.conn.send_close_notify();
        let _ = stream.flush();
    })
}

#[test]
fn bytes_come_whole_and_in_order_and_a_short_read_leaves_nothing_behind() {
    let (ca, config) = authority("ours");
    let (listener, address) = listen();
    let server = serve(listener, config);
    let mut stream = access(ca).connect(&address, LIMIT).unwrap();
    stream.set_nonblocking().unwrap();
    let all: Vec<u8> = (0..MANY).map(byte).collect();
    let (mut sent, mut received, mut buffer, mut blocked) = (0, 0, vec![0; 50_000], 0);
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < Duration::from_secs(60), "{sent} sent, {received} received");
        if sent < MANY {
            // As a user does whose buffer grows meanwhile: the same bytes first,
            // perhaps more of them.
            let room = MANY.min(sent + 1000 + blocked % 200_000);
            match stream.write(&all[sent..room]) {
                Ok(written) => sent += written,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    blocked += 7919;
                }
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                assert!(
                    buffer[..read]
                        .iter()
                        .enumerate()
                        .all(|(at, found)| *found == byte(received + at))
                );
                received += read;
                if let Stream::Tls(tls) = &mut stream
                    && read < buffer.len()
                {
                    assert_eq!(tls.start, tls.end);
                    let rest = tls.session.reader().read(&mut buffer);
                    assert!(matches!(rest, Ok(0)) || rest.is_err(), "{rest:?}");
                }
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                let interest =
                    if sent < MANY { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
                let limit = rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 };
                poll(&mut [PollFd::new(&stream, interest)], Some(&limit)).unwrap();
            }
        }
    }
    assert_eq!((sent, received), (MANY, MANY));
    server.join().unwrap();
}

#[test]
fn whoever_sends_byte_by_byte_is_given_up() {
    let (ca, config) = authority("ours");
    let (listener, address) = listen();
    let server = std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
        stream.write_all(b"first").unwrap();
        // The head of a record of 16 KiB, and then less than anyone waits for.
        let mut socket = stream.sock;
        let _ = socket.write_all(&[0x17, 3, 3, 0x40, 0]);
        while socket.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let mut stream = access(ca).connect(&address, LIMIT).unwrap();
    let (begun, mut buffer) = (Instant::now(), [0; 100]);
    assert_eq!(stream.read_by(&mut buffer, begun + LIMIT).unwrap(), 5);
    let error =
        stream.read_by(&mut buffer, Instant::now() + Duration::from_millis(300)).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    drop(stream);
    server.join().unwrap();
}

#[test]
fn whoever_is_not_trusted_or_speaks_no_tls_is_refused_in_words() {
    let (_, config) = authority("ours");
    let (stranger, _) = authority("a stranger");
    let (listener, address) = listen();
    std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
        let _ = stream.read(&mut [0]);
    });
    let words = |address: &str, limit| {
        access(stranger.clone()).connect(address, limit).err().unwrap().to_string()
    };
    let untrusted = words(&address, LIMIT);
    assert!(
        untrusted.contains("authority that is not known") && untrusted.contains("tls.ca"),
        "{untrusted}"
    );

    let (listener, address) = listen();
    std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let _ = socket.read(&mut [0; 1024]);
        let _ = socket.write_all(b"-ERR unknown command\r\n");
        let _ = socket.read(&mut [0; 1024]);
    });
    let clear = words(&address, LIMIT);
    assert!(clear.contains("does not speak TLS"), "{clear}");

    let (_silent, address) = listen();
    let begun = Instant::now();
    let silent = words(&address, Duration::from_millis(200));
    assert!(silent.contains("no answer to TLS") && begun.elapsed() < LIMIT, "{silent}");
}
