//! A stand-in for MemoryDB: a Cluster of four servers that speak TLS only, whose user may do what
//! the run needs and whose restricted commands are gone; with the feature `aws` also its login by
//! IAM, by a module that recomputes the token and cuts a session that is not renewed. Needs a
//! redis-server with TLS; for IAM a valkey-server of 8.0 or later, gcc and OpenSSL's headers.
//! `cargo test --features aws --test live memorydb:: -- --ignored --test-threads 1`

use crate::secure::{holds, leaks};
use crate::secured::{Certificates, PASSWORD, Process, USER, ports};
use crate::support::program::{Ended, run};
use brokerbench::access::{Access, Stream, Terms, Tls};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// AWS's list of restricted commands, as far as the servers have them.
const RESTRICTED: [&str; 9] = [
    "CONFIG",
    "DEBUG",
    "SHUTDOWN",
    "SAVE",
    "BGSAVE",
    "BGREWRITEAOF",
    "MODULE",
    "MIGRATE",
    "REPLICAOF",
];
const RIGHTS: &str = "~bb-* &bb-* +@all -@admin -@dangerous +info";
const LISTS: (&str, &str) = ("memorydb-lists", "keys: 2");
const RELIABLE: (&str, &str) =
    ("reliable", "system: memorydb-lists, consume: {mode: reliable}, keys: 1");
/// Whatever has not happened by then never will.
const PATIENCE: Duration = Duration::from_secs(60);

struct MemoryDb {
    _nodes: Vec<Process>,
    ports: [u16; 4],
    ca: String,
}

impl MemoryDb {
    /// Two shards with a replica each; `login` is how the user's line proves who it is, and
    /// `more` what else stands in the configuration.
    fn start(certificates: &Certificates, server: &Path, login: &str, more: &str) -> Self {
        let all = ports::<8>();
        let (ports, buses) = all.split_at(4);
        let file = |name: &str| certificates.file(name).display().to_string();
        let renamed = RESTRICTED.map(|name| format!("rename-command {name} \"\"\n")).concat();
        let start = |(port, bus): (&u16, &u16)| {
            let folder = tempfile::tempdir().unwrap();
            let text = format!(
                "port 0\ntls-port {port}\ncluster-port {bus}\nbind 127.0.0.1\n\
                 tls-cert-file {}\ntls-key-file {}\ntls-client-cert-file {}\n\
                 tls-client-key-file {}\ntls-ca-cert-file {}\ntls-auth-clients no\n\
                 tls-replication yes\ntls-cluster yes\ncluster-enabled yes\n\
                 cluster-config-file nodes.conf\ncluster-announce-hostname localhost\n\
                 cluster-preferred-endpoint-type hostname\nsave \"\"\nuser default off\n\
                 user owner on >owner ~* &* +@all\nmasteruser owner\nmasterauth owner\n\
                 user {USER} on {login} {RIGHTS}\n{renamed}{more}\n",
                file("good.pem"),
                file("good.key"),
                file("client.pem"),
                file("client.key"),
                file("ca.pem"),
            );
            std::fs::write(folder.path().join("server.conf"), text).unwrap();
            let mut command = Command::new(server);
            command.arg("server.conf");
            let mut process = Process::start(command, folder);
            process.await_words("Ready to accept connections");
            process
        };
        let nodes = ports.iter().zip(buses).map(start).collect();
        let ca = std::fs::read_to_string(certificates.ca()).unwrap();
        let cluster = Self { _nodes: nodes, ports: ports.try_into().unwrap(), ca };
        cluster.form(buses);
        cluster
    }

    fn form(&self, buses: &[u16]) {
        let ids: Vec<String> = (0..4).map(|node| self.ask(node, "CLUSTER MYID")).collect();
        let id = |node: usize| ids[node].lines().last().unwrap().to_owned();
        for node in 0..4 {
            self.ask(node, &format!("CLUSTER SET-CONFIG-EPOCH {}", node + 1));
        }
        self.ask(0, "CLUSTER ADDSLOTSRANGE 0 8191");
        self.ask(1, "CLUSTER ADDSLOTSRANGE 8192 16383");
        for (port, bus) in self.ports.iter().zip(buses).skip(1) {
            self.ask(0, &format!("CLUSTER MEET 127.0.0.1 {port} {bus}"));
        }
        self.everywhere("cluster_known_nodes:4");
        self.ask(2, &format!("CLUSTER REPLICATE {}", id(0)));
        self.ask(3, &format!("CLUSTER REPLICATE {}", id(1)));
        self.everywhere("cluster_state:ok");
        self.everywhere("cluster_slots_ok:16384");
    }

    fn everywhere(&self, words: &str) {
        let begun = Instant::now();
        while !(0..4).all(|node| self.ask(node, "CLUSTER INFO").contains(words)) {
            assert!(begun.elapsed() < PATIENCE, "{words}: {}", self.ask(0, "CLUSTER NODES"));
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn ask(&self, node: usize, command: &str) -> String {
        let tls = Some(Tls::new(Some(self.ca.clone()), None).unwrap());
        let access: Access = Terms { tls, ..Terms::default() }.into();
        let address = format!("localhost:{}", self.ports[node]);
        let mut stream: Stream = access.connect(&address, Duration::from_secs(5)).unwrap();
        stream.write_all(format!("AUTH owner owner\r\n{command}\r\nQUIT\r\n").as_bytes()).unwrap();
        let (deadline, mut text, mut piece) =
            (Instant::now() + Duration::from_secs(5), Vec::new(), [0; 4096]);
        while let read @ 1.. = stream.read_by(&mut piece, deadline).unwrap() {
            text.extend_from_slice(&piece[..read]);
        }
        let text = String::from_utf8(text).unwrap();
        let answer = text.strip_prefix("+OK\r\n").unwrap_or(&text);
        answer.strip_suffix("+OK\r\n").unwrap_or(answer).trim().to_owned()
    }

    /// What the shard that has the key says to `command KEY MORE`.
    fn ask_for(&self, command: &str, key: &str, more: &str) -> String {
        let mut told = (0..2).map(|node| self.ask(node, &format!("{command} {key} {more}")));
        told.find(|told| !told.starts_with("-MOVED")).expect("a shard has it")
    }

    /// A run of these labels with what each is set to.
    fn measured(
        &self,
        certificates: &Certificates,
        (login, systems, load): (&str, &[(&str, &str)], &str),
        environment: &[(&str, Option<&str>)],
    ) -> Ended {
        let labels = systems
            .iter()
            .map(|(label, more)| format!("{label}: {{nodes: {{shards: 2, replicas: 1}}, {more}}}"));
        let scenario = format!(
            "schema: 1\nname: memorydb\nquestion: Are all let in?\nguarantee: none\n\
             systems: {{{}}}\nload: {{{load}}}\nmessage: {{size: 100B}}\n",
            labels.collect::<Vec<_>>().join(", ")
        );
        let file = certificates.folder().join("memorydb.yaml");
        let text = format!(
            "schema: 1\nmemorydb:\n  address: 'localhost:{}'\n  tls: {{ca: '{}'}}\n  \
             user: {USER}\n  {login}\n",
            self.ports[0],
            certificates.ca().display()
        );
        std::fs::write(&file, text).unwrap();
        run(&scenario, &["--targets", file.to_str().unwrap(), "--json"], environment)
    }
}

/// Every message in the books, and no secret anywhere.
fn is_whole(ended: &Ended, cells: usize) {
    let summary = ended.measured();
    assert_eq!(summary.cells.len(), cells);
    for cell in &summary.cells {
        let counts = &cell.counts;
        let none = Some(0);
        assert_eq!((counts.lost, counts.failed, counts.duplicate), (none, none, none), "{cell:#?}");
        assert_eq!(counts.delivered, counts.sent, "{cell:#?}");
        assert!(!cell.survives.node_loss, "a stand-in is what it tells: {cell:#?}");
    }
    let mut found = Vec::new();
    leaks(ended.results(), &mut found);
    assert!(found.is_empty(), "{found:#?}");
    assert!(!holds(ended.stdout.as_bytes()) && !holds(ended.stderr.as_bytes()));
}

#[test]
#[ignore = "needs a real redis-server with TLS"]
fn without_its_restricted_commands_every_primitive_is_accounted_for() {
    let certificates = Certificates::make();
    let login = format!(">{PASSWORD}");
    let stand_in = MemoryDb::start(&certificates, Path::new("redis-server"), &login, "");
    assert!(stand_in.ask(0, "CONFIG GET maxmemory").contains("unknown command"));
    let load = "model: open, rate: 500/s, duration: 3s, warm-up: 1s, warm-up-limit: 2s, \
                broker-warm-up: 0s";
    let systems =
        [("memorydb-pubsub", "keys: 2"), ("memorydb-streams", "keys: 2"), LISTS, RELIABLE];
    let place = ("password: '${env:SECRET}'", &systems[..], load);
    // What another run noted before it was killed.
    let cache = tempfile::tempdir().unwrap();
    let accounts = cache.path().join("brokerbench/accounts");
    std::fs::create_dir_all(&accounts).unwrap();
    let note = format!("localhost:{}\nbb-abc123-lists\n", stand_in.ports[0]);
    std::fs::write(accounts.join("run-x.cells"), note).unwrap();
    let keys = ["bb-abc123-lists-{0.1}", "bb-abc123-lists-{1.4}", "bb-abc124-lists", "orders"];
    for key in keys {
        assert_eq!(stand_in.ask_for("SET", key, "x"), "+OK");
    }
    let environment =
        [("SECRET", Some(PASSWORD)), ("BROKERBENCH_CACHE", Some(cache.path().to_str().unwrap()))];
    is_whole(&stand_in.measured(&certificates, place, &environment), 4);
    assert_eq!(keys.map(|key| stand_in.ask_for("EXISTS", key, "")), [":0", ":0", ":1", ":1"]);
    assert_eq!(std::fs::read_dir(&accounts).unwrap().count(), 0);
    stand_in
        .measured(&certificates, place, &[("SECRET", Some("wrong"))])
        .with(3, &["WRONGPASS", "correct the user or the password"]);
}

#[cfg(feature = "aws")]
mod aws {
    use super::*;
    use crate::secured::{AWS_KEY, REGION};
    use std::path::PathBuf;

    /// How long a login counts here; at AWS it is 12 h.
    const SESSION: Duration = Duration::from_secs(4);

    /// Only a server of Redis 7.2 or later asks a module who is let in.
    fn valkey() -> Option<PathBuf> {
        let named = std::env::var_os("VALKEY_SERVER").map(PathBuf::from);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut found = std::env::split_paths(&path).map(|folder| folder.join("valkey-server"));
        named.or_else(|| found.find(|file| file.is_file()))
    }

    fn module(folder: &Path) -> PathBuf {
        let into = folder.join("iam.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/iam_module.c");
        let mut command = Command::new("cc");
        command.args(["-std=gnu11", "-Wall", "-Werror", "-shared", "-fPIC", "-o"]).arg(&into);
        let built = command.arg(source).arg("-lcrypto").output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        into
    }

    fn keys<'a>(key: &'a str, secret: &'a str) -> [(&'a str, Option<&'a str>); 5] {
        [
            ("AWS_ACCESS_KEY_ID", Some(key)),
            ("AWS_SECRET_ACCESS_KEY", Some(secret)),
            ("AWS_SESSION_TOKEN", None),
            ("AWS_PROFILE", None),
            ("AWS_EC2_METADATA_DISABLED", Some("true")),
        ]
    }

    #[test]
    #[ignore = "needs a real valkey-server with TLS"]
    fn a_login_by_iam_lasts_over_several_sessions_and_every_reason_is_told() {
        let Some(server) = valkey() else {
            eprintln!("NOT TESTED: MemoryDB's login by IAM: there is no valkey-server");
            return;
        };
        let certificates = Certificates::make();
        let module = module(certificates.folder()).display().to_string();
        let arguments = format!("demo {REGION} {AWS_KEY} {PASSWORD} {}", SESSION.as_millis());
        let more = format!("loadmodule {module} {arguments}");
        let stand_in = MemoryDb::start(&certificates, &server, "resetpass", &more);
        let iam = |region: &str, cluster: &str, session: Duration| {
            let session = session.as_secs();
            format!("iam: {{region: {region}, cluster: {cluster}, session: {session}s}}")
        };
        // Twenty seconds are five sessions.
        let load = "model: open, rate: 500/s, duration: 20s, warm-up: 1s, warm-up-limit: 2s, \
                    broker-warm-up: 0s";
        let systems = [("memorydb-streams", "keys: 2"), LISTS, RELIABLE];
        let right = iam(REGION, "demo", SESSION);
        let place = (right.as_str(), &systems[..], load);
        let ended = stand_in.measured(&certificates, place, &keys(AWS_KEY, PASSWORD));
        is_whole(&ended, 3);
        for cell in &ended.measured().cells {
            assert!(cell.retries.is_empty(), "somebody was cut off: {cell:#?}");
        }

        let brief = "model: open, rate: 500/s, duration: 1s";
        for (key, secret, region, cluster) in [
            (AWS_KEY, "another", REGION, "demo"),
            ("AKIDOTHER", PASSWORD, REGION, "demo"),
            (AWS_KEY, PASSWORD, "eu-west-1", "demo"),
            (AWS_KEY, PASSWORD, REGION, "other"),
        ] {
            let login = iam(region, cluster, SESSION);
            let place = (login.as_str(), &systems[..1], brief);
            let ended = stand_in.measured(&certificates, place, &keys(key, secret));
            let ended = ended.with(3, &["WRONGPASS", "memorydb:Connect", "clock", region]);
            assert!(!holds(ended.stderr.as_bytes()));
        }

        // The stand-in does cut who believes in the 12 h. Who is cut comes back, with or without
        // harm, and the cell says so in any case.
        let late = iam(REGION, "demo", Duration::from_secs(12 * 3600));
        let place = (late.as_str(), &systems[..1], load);
        let ended = stand_in.measured(&certificates, place, &keys(AWS_KEY, PASSWORD));
        let cell = &ended.summary().cells[0];
        let again = cell.retries.get("publish: connection made again");
        assert!(again.is_some_and(|count| *count >= 2), "{cell:#?}");
    }
}
