//! Brokers that demand TLS and a login, with certificates made for the occasion.

use brokerbench::access::{Access, Stream, Terms, Tls};
use brokerbench::clock::Clock;
use brokerbench::driver::{self, Routes, Target};
use brokerbench::environment::supply::{Supply, look};
use brokerbench::model::Software;
use brokerbench::scenario::{Overrides, from_text};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub const USER: &str = "bench";
/// Planted: it must turn up nowhere.
pub const PASSWORD: &str = "s3ntinel-Zq7wXk41";
const LOGGING: &str = "\
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %p %m%n
";
const START: Duration = Duration::from_secs(60);

pub struct Certificates(tempfile::TempDir);

impl Certificates {
    /// An authority, servers of it that are good, expired and made out for another host, a client;
    /// and a stranger.
    pub fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let authority = |name: &str| {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            let key = KeyPair::generate().unwrap();
            (params.self_signed(&key).unwrap().pem(), Issuer::new(params, key))
        };
        let (pem, issuer) = authority("brokerbench test authority");
        file("ca.pem", &pem);
        file("stranger.pem", &authority("a stranger").0);
        for (name, host) in [
            ("good", "localhost"),
            ("expired", "localhost"),
            ("named", "other.example"),
            ("client", "bench"),
        ] {
            let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
            params.distinguished_name.push(DnType::CommonName, host);
            params.extended_key_usages = vec![match name {
                "client" => ExtendedKeyUsagePurpose::ClientAuth,
                _ => ExtendedKeyUsagePurpose::ServerAuth,
            }];
            if name == "expired" {
                params.not_before = rcgen::date_time_ymd(2000, 1, 1);
                params.not_after = rcgen::date_time_ymd(2001, 1, 1);
            }
            let key = KeyPair::generate().unwrap();
            let certificate = params.signed_by(&key, &issuer).unwrap().pem();
            file(&format!("{name}.pem"), &certificate);
            file(&format!("{name}.key"), &key.serialize_pem());
            // As Kafka reads it: key and certificates in one file.
            file(
                &format!("{name}.keystore"),
                &format!("{}{certificate}{pem}", key.serialize_pem()),
            );
        }
        Self(folder)
    }

    pub fn folder(&self) -> &Path {
        self.0.path()
    }
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }
    pub fn ca(&self) -> PathBuf {
        self.file("ca.pem")
    }
    pub fn stranger(&self) -> PathBuf {
        self.file("stranger.pem")
    }
}

pub fn ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind(("127.0.0.1", 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// A process that ends with its owner, and its folder.
pub struct Process {
    child: Child,
    pub folder: tempfile::TempDir,
}

impl Process {
    pub fn start(mut command: Command, folder: tempfile::TempDir) -> Self {
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        command
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        Self { child: command.spawn().unwrap(), folder }
    }

    pub fn await_words(&mut self, words: &str) {
        let begun = Instant::now();
        loop {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            if log.contains(words) {
                return;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && begun.elapsed() < START,
                "it never said `{words}` ({ended:?}): {log}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Kafka {
    #[cfg_attr(not(feature = "aws"), expect(dead_code, reason = "it is dropped with this"))]
    process: Process,
    ports: BTreeMap<&'static str, u16>,
}

impl Kafka {
    /// One node with a listener for each certificate (`good`, `expired`, `named`), one that demands
    /// a certificate of the client (`mutual`), one that knows SCRAM-SHA-512 only (`scram`), and one
    /// in the clear (`plain`).
    pub fn start(certificates: &Certificates) -> Self {
        Self::launch(certificates, None)
    }

    /// With two listeners more, both for OAUTHBEARER: `bearer` takes any unsigned token, and `iam`
    /// what AWS's keys have signed, as MSK does; a login counts there for `session`.
    pub fn start_with_tokens(certificates: &Certificates, session: Duration) -> Self {
        Self::launch(certificates, Some(session))
    }

    fn launch(certificates: &Certificates, tokens: Option<Duration>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let names = ["good", "expired", "named", "mutual", "scram", "plain", "bearer", "iam"];
        let names = if tokens.is_some() { &names[..] } else { &names[..6] };
        let names: Vec<&'static str> = names.iter().copied().chain(["controller"]).collect();
        let ports: BTreeMap<_, _> = names.iter().copied().zip(ports::<9>()).collect();
        let upper = |name: &str| name.to_ascii_uppercase();
        let listeners = |with: &[&str]| {
            let listener = |name: &&str| format!("{}://localhost:{}", upper(name), ports[name]);
            with.iter().map(listener).collect::<Vec<_>>().join(",")
        };
        let protocols = names.iter().map(|name| {
            let protocol = match *name {
                "plain" | "controller" => "PLAINTEXT",
                "mutual" => "SSL",
                _ => "SASL_SSL",
            };
            format!("{}:{protocol}", upper(name))
        });
        let protocols: Vec<String> = protocols.collect();
        let mut settings = vec![
            ("process.roles".into(), "broker,controller".into()),
            ("node.id".into(), "1".into()),
            ("listeners".into(), listeners(&names)),
            ("advertised.listeners".into(), listeners(&names[..names.len() - 1])),
            ("listener.security.protocol.map".into(), protocols.join(",")),
            ("controller.listener.names".into(), "CONTROLLER".into()),
            ("inter.broker.listener.name".into(), "PLAIN".into()),
            ("controller.quorum.voters".into(), format!("1@localhost:{}", ports["controller"])),
            ("log.dirs".into(), folder.path().join("data").display().to_string()),
            ("offsets.topic.num.partitions".into(), "1".into()),
            ("offsets.topic.replication.factor".into(), "1".into()),
            ("group.initial.rebalance.delay.ms".into(), "0".into()),
            ("auto.create.topics.enable".into(), "false".into()),
            ("listener.name.mutual.ssl.client.auth".into(), "required".into()),
            ("listener.name.mutual.ssl.truststore.type".into(), "PEM".into()),
            (
                "listener.name.mutual.ssl.truststore.location".into(),
                certificates.ca().display().to_string(),
            ),
        ];
        let secured = names.iter().copied().filter(|name| !matches!(*name, "plain" | "controller"));
        settings.extend(secured.flat_map(|name| listener(name, certificates, tokens)));
        let text: String = settings.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        std::fs::write(folder.path().join("server.properties"), text).unwrap();
        std::fs::write(folder.path().join("log4j2.properties"), LOGGING).unwrap();
        let class_path = match tokens {
            Some(_) => format!("{}:{}", compiled(folder.path()).display(), class_path()),
            None => class_path(),
        };
        let java = |arguments: &[&str]| {
            let mut command = Command::new("java");
            command
                .args([
                    "-Xmx512m",
                    "-Dlog4j2.configurationFile=log4j2.properties",
                    "-cp",
                    &class_path,
                ])
                .args(arguments);
            command
        };
        let format =
            "kafka.tools.StorageTool format -t 4L6g3nShT-eMCtK--X86sw -c server.properties";
        let scram = |mechanism: &str| format!("{mechanism}=[name={USER},password={PASSWORD}]");
        let mut command = java(&format.split(' ').collect::<Vec<_>>());
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
            command.args(["--add-scram", &scram(mechanism)]);
        }
        let formatted = command.current_dir(folder.path()).output().unwrap();
        assert!(formatted.status.success(), "{formatted:?}");
        let mut process = Process::start(java(&["kafka.Kafka", "server.properties"]), folder);
        process.await_words("Kafka Server started");
        Self { process, ports }
    }

    pub fn address(&self, listener: &str) -> String {
        format!("localhost:{}", self.ports[listener])
    }

    #[cfg(feature = "aws")]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.process.folder.path().join("log")).unwrap()
    }

    /// A topic that belongs to somebody else.
    pub fn make_topic(&self, name: &str) {
        let text = "schema: 1\nname: x\nquestion: x?\nguarantee: none\nsystems: [kafka]\nload: \
            {model: closed, messages: 10}\n";
        let cell = from_text("x", text, &Overrides::default()).unwrap().cells()[0].clone();
        let (addresses, clock) = (vec![self.address("plain")], Clock::start());
        let target = Target {
            addresses,
            routes: Routes::default(),
            access: Access::default(),
            name: name.into(),
            clock,
        };
        driver::open(&cell, target).unwrap().prepare().unwrap();
    }

    /// All topics but Kafka's own.
    pub fn topics(&self) -> Vec<String> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.address("plain"))
            .set("group.id", "x")
            .create()
            .unwrap();
        let metadata = consumer.fetch_metadata(None, Duration::from_secs(10)).unwrap();
        let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
        names.filter(|name| !name.starts_with("__")).collect()
    }
}

/// The key of AWS whose secret is [`PASSWORD`], and the region that signs for `iam`.
pub const AWS_KEY: &str = "AKIDGOOD";
pub const REGION: &str = "eu-central-1";

/// Settings of a listener behind TLS: its certificate, and how clients log in there.
fn listener(
    name: &str,
    certificates: &Certificates,
    tokens: Option<Duration>,
) -> Vec<(String, String)> {
    let certificate = if matches!(name, "expired" | "named") { name } else { "good" };
    let keystore = certificates.file(&format!("{certificate}.keystore")).display().to_string();
    let own = |key: &str| format!("listener.name.{name}.{key}");
    let mut settings =
        vec![(own("ssl.keystore.type"), "PEM".into()), (own("ssl.keystore.location"), keystore)];
    let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;".to_owned();
    let plain = format!(
        "org.apache.kafka.common.security.plain.PlainLoginModule required \
         user_{USER}=\"{PASSWORD}\";"
    );
    if let Some(session) = tokens.filter(|_| matches!(name, "bearer" | "iam")) {
        settings.extend(bearer(name, session));
    } else if name == "scram" {
        settings.push((own("sasl.enabled.mechanisms"), "SCRAM-SHA-512".into()));
        settings.push((own("scram-sha-512.sasl.jaas.config"), scram));
    } else if name != "mutual" {
        let enabled = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512".into();
        settings.push((own("sasl.enabled.mechanisms"), enabled));
        settings.push((own("scram-sha-256.sasl.jaas.config"), scram.clone()));
        settings.push((own("scram-sha-512.sasl.jaas.config"), scram));
        settings.push((own("plain.sasl.jaas.config"), plain));
    }
    settings
}

/// Settings of a listener for OAUTHBEARER. The broker logs itself in there too, so that its line
/// must name somebody.
fn bearer(name: &str, session: Duration) -> Vec<(String, String)> {
    let own = |key: &str| format!("listener.name.{name}.oauthbearer.{key}");
    let module = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule";
    let keys = format!("iam_region=\"{REGION}\" iam_{AWS_KEY}=\"{PASSWORD}\"");
    let jaas = format!("{module} required unsecuredLoginStringClaim_sub=\"stand-in\" {keys};");
    let enabled = format!("listener.name.{name}.sasl.enabled.mechanisms");
    let mut settings = vec![
        (enabled, "OAUTHBEARER".into()),
        (own("sasl.jaas.config"), jaas),
        (own("connections.max.reauth.ms"), session.as_millis().to_string()),
    ];
    if name == "iam" {
        settings.push((own("sasl.server.callback.handler.class"), "IamValidator".into()));
    }
    settings
}

/// The stand-in for MSK's login, compiled into a folder of its own.
fn compiled(folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/IamValidator.java");
    let into = folder.join("classes");
    let mut command = Command::new("javac");
    command.arg("-d").arg(&into).args(["-cp", &class_path()]).arg(source);
    let compiled = command.output().expect("javac, of a JDK (openjdk-17-jdk-headless)");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    into
}

/// All of Kafka's jars.
fn class_path() -> String {
    match look(Software::Kafka, None, Duration::from_secs(60)).unwrap() {
        Supply::Here(kafka) => kafka.place.join("*").display().to_string(),
        Supply::Absent(offer) => panic!("{}", offer.declined()),
    }
}

pub struct Redis {
    _process: Process,
    port: u16,
    ca: String,
}

impl Redis {
    /// A server that speaks TLS only, with one of the certificates, and knows two users: the bench,
    /// with no more rights than `docs/secured-brokers.md` asks for, and an owner.
    pub fn start(certificates: &Certificates, certificate: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [port] = ports::<1>();
        let documented = include_str!("../../docs/secured-brokers.md");
        let rights = documented
            .lines()
            .find_map(|line| line.trim().strip_prefix("user bench on >PASSWORD "))
            .unwrap();
        let text = format!(
            "port 0\ntls-port {port}\nbind 127.0.0.1\n\
             tls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\ntls-auth-clients no\n\
             save \"\"\nuser default off\nuser {USER} on >{PASSWORD} {rights}\n\
             user owner on >owner ~* &* +@all\n",
            certificates.file(&format!("{certificate}.pem")).display(),
            certificates.file(&format!("{certificate}.key")).display(),
            certificates.ca().display(),
        );
        std::fs::write(folder.path().join("redis.conf"), text).unwrap();
        // Not REDIS_SERVER: the one that is fetched was built without TLS.
        let mut command = Command::new("redis-server");
        command.arg("redis.conf");
        let mut process = Process::start(command, folder);
        process.await_words("Ready to accept connections");
        Self { _process: process, port, ca: std::fs::read_to_string(certificates.ca()).unwrap() }
    }

    pub fn address(&self) -> String {
        format!("localhost:{}", self.port)
    }

    fn ask(&self, command: &str) -> String {
        let tls = Some(Tls::new(Some(self.ca.clone()), None).unwrap());
        let access: Access = Terms { tls, ..Terms::default() }.into();
        let mut stream: Stream = access.connect(&self.address(), Duration::from_secs(5)).unwrap();
        stream.write_all(format!("AUTH owner owner\r\n{command}\r\nQUIT\r\n").as_bytes()).unwrap();
        let (deadline, mut text, mut piece) =
            (Instant::now() + Duration::from_secs(5), Vec::new(), [0; 4096]);
        while let read @ 1.. = stream.read_by(&mut piece, deadline).unwrap() {
            text.extend_from_slice(&piece[..read]);
        }
        String::from_utf8(text).unwrap()
    }

    /// A value that belongs to somebody else.
    pub fn set(&self, key: &str) {
        assert!(self.ask(&format!("SET {key} 1")).starts_with("+OK\r\n+OK"));
    }

    pub fn keys(&self) -> Vec<String> {
        let lines = self.ask("KEYS *");
        let names = lines.lines().skip(2).take_while(|line| !line.starts_with('+'));
        names.filter(|line| !line.starts_with('$')).map(str::to_owned).collect()
    }
}

/// Looks at the command line of every process of this machine until it is ended.
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(u64, Vec<String>)>,
}

pub fn watch_command_lines(is_bad: impl Fn(&[u8]) -> bool + Send + 'static) -> Watch {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    let thread = std::thread::spawn(move || {
        let (mut looks, mut seen) = (0, Vec::new());
        while !asked.load(Relaxed) {
            for entry in std::fs::read_dir("/proc").unwrap().flatten() {
                let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                if is_bad(&line) {
                    seen.push(String::from_utf8_lossy(&line).into_owned());
                }
            }
            looks += 1;
            std::thread::sleep(Duration::from_millis(50));
        }
        (looks, seen)
    });
    Watch { stop, thread }
}

impl Watch {
    pub fn end(self) -> (u64, Vec<String>) {
        self.stop.store(true, Relaxed);
        self.thread.join().unwrap()
    }
}
