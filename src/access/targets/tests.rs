//! Targets files and addresses: what is read, what is refused, and that no error shows a secret.

use super::flags::{kafka_list, redis_url};
use super::*;
use crate::access::{ExposeSecret, Mechanism};

const SENTINEL: &str = "s3cret-sentinel";

fn variable(name: &str) -> Option<String> {
    (name == "PASSWORD").then(|| SENTINEL.to_owned())
}

const AROUND: Around<'static> = Around { remote: false, variable: &variable };

fn file(text: &str) -> Result<Targets, ScenarioError> {
    targets_from_text("targets.yaml", text, Path::new("."), &AROUND)
}

fn url(url: &str) -> Result<Reach, ScenarioError> {
    redis_url(url, &AROUND)
}

#[test]
fn a_file_describes_both() {
    let text = "schema: 1\nkafka:\n  brokers: [a:1, '[::1]:2']\n  sasl:\n    mechanism: \
                SCRAM-SHA-512\n    user: me\n    password: ${env:PASSWORD}\n  client: \
                {socket.keepalive.enable: true, topic.metadata.refresh.sparse: false}\nredis:\n  \
                address: h\n  \
                password: ${env:PASSWORD}\n  database: 3\n";
    let Targets { kafka: Some(kafka), redis: Some(redis), .. } = file(text).unwrap() else {
        panic!()
    };
    assert_eq!(kafka.addresses, ["a:1", "[::1]:2"]);
    let login = kafka.access.login().unwrap();
    assert_eq!((login.user.as_deref(), login.mechanism), (Some("me"), Mechanism::ScramSha512));
    assert_eq!(login.password.expose_secret(), SENTINEL);
    let client: Vec<_> =
        kafka.access.client().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(
        client,
        [("socket.keepalive.enable", "true"), ("topic.metadata.refresh.sparse", "false")]
    );
    assert!(kafka.access.tls().is_none() && !kafka.access.remote());
    assert_eq!((redis.addresses[0].as_str(), redis.access.database()), ("h:6379", 3));
    assert!(redis.access.login().unwrap().user.is_none());
    let shown = format!("{kafka:?} {redis:?}");
    assert!(!shown.contains(SENTINEL), "{shown}");
}

#[test]
fn the_example_of_the_documentation_is_read() {
    let text = include_str!("../../../docs/targets.example.yaml");
    let variable = |name: &str| name.ends_with("PASSWORD").then(|| SENTINEL.to_owned());
    let around = Around { remote: true, variable: &variable };
    // Its certificates are examples: everything else is right when only these are missed.
    let error = targets_from_text("example", text, Path::new("."), &around).unwrap_err();
    assert_eq!(
        (&*error.problem.key(), error.to_string().contains("cannot be read")),
        ("kafka.tls.ca", true),
        "{error}"
    );
    let without: String = text
        .lines()
        .filter(|line| !line.contains(".pem"))
        .map(|line| format!("{line}\n"))
        .collect();
    let targets = targets_from_text(
        "example",
        &without.replace("tls:", "tls: true"),
        Path::new("."),
        &around,
    )
    .unwrap();
    assert!(
        targets.kafka.unwrap().access.tls().is_some()
            && targets.redis.unwrap().access.tls().is_some()
    );
}

#[test]
fn what_is_wrong_is_pointed_at() {
    let kafka = |rest: &str| format!("schema: 1\nkafka:\n  brokers: [a:1]\n{rest}");
    let redis = |rest: &str| format!("schema: 1\nredis:\n  address: h:1\n{rest}");
    let sasl = |rest: &str| kafka(&format!("  sasl:\n    mechanism: PLAIN\n    user: me\n{rest}"));
    for (text, key, line, words) in [
        ("kafka: {brokers: [a:1]}\n".into(), "schema", None, "version 1"),
        ("schema: 2\n".into(), "schema", Some(1), "version 1"),
        ("schema: 1\n".into(), "", None, "names no broker"),
        ("schema: 1\nkafka: {brokers: []}\n".into(), "kafka.brokers", Some(2), "no address"),
        ("schema: 1\nkafka: {}\n".into(), "kafka.brokers", Some(2), "missing"),
        (
            "schema: 1\nkafka:\n  brokers: [a:1, b]\n".into(),
            "kafka.brokers[1]",
            Some(3),
            "not an address",
        ),
        ("schema: 1\nkafak: {}\n".into(), "kafak", Some(2), "did you mean `kafka`?"),
        (kafka("  tsl: true\n"), "kafka.tsl", Some(4), "did you mean `tls`?"),
        (kafka("  tls:\n"), "kafka.tls", Some(4), "`true`, `false` or a map"),
        (
            kafka("  tls: {verify: false}\n"),
            "kafka.tls.verify",
            Some(4),
            "known: ca, certificate, key",
        ),
        (kafka("  tls: {ca: no-such-file.pem}\n"), "kafka.tls.ca", Some(4), "cannot be read"),
        (kafka("  tls: {ca: Cargo.toml}\n"), "kafka.tls.ca", Some(4), "must be PEM"),
        (
            kafka("  tls: {certificate: Cargo.toml}\n"),
            "kafka.tls.certificate",
            Some(4),
            "no `key` beside it",
        ),
        (kafka("  sasl:\n"), "kafka.sasl.mechanism", Some(4), "missing"),
        (
            kafka("  sasl: {mechanism: SCRAM-SHA-1}\n"),
            "kafka.sasl.mechanism",
            Some(4),
            "known: PLAIN, SCRAM-SHA-256",
        ),
        (sasl(""), "kafka.sasl.password", Some(4), "missing"),
        (
            sasl("    password: ${env:ABSENT}\n"),
            "kafka.sasl.password",
            Some(7),
            "variable ABSENT is not set",
        ),
        (sasl("    password: ${PASSWORD}\n"), "kafka.sasl.password", Some(7), "${env:NAME}"),
        (
            kafka("  client: {sasl.password: x}\n"),
            "kafka.client.sasl.password",
            Some(4),
            "keys of its own",
        ),
        (
            kafka("  client: {enable.ssl.certificate.verification: false}\n"),
            "kafka.client.enable.ssl.certificate.verification",
            Some(4),
            "keys of its own",
        ),
        (
            kafka("  client: {topic.acks: 0}\n"),
            "kafka.client.topic.acks",
            Some(4),
            "leave the prefix `topic.` out",
        ),
        (
            kafka("  client: {client.dns.lookup: resolve_canonical_bootstrap_servers_only}\n"),
            "kafka.client.client.dns.lookup",
            Some(4),
            "keys of its own",
        ),
        (redis("  user: me\n"), "redis.user", Some(4), "no `password` beside it"),
        (redis("  database: -1\n"), "redis.database", Some(4), "whole number"),
        (
            "schema: 1\nredis: {address: 'redis://h'}\n".into(),
            "redis.address",
            Some(2),
            "not an address",
        ),
        ("schema: [\n".into(), "", Some(1), "not readable as YAML"),
        ("schema: 1\nschema: 1\n".into(), "", Some(2), "not readable as YAML"),
    ] {
        let error = file(&text).unwrap_err();
        let shown = error.to_string();
        assert!(shown.contains(words) && shown.starts_with("targets.yaml"), "{text}{shown}");
        let at = error.problem.place.as_ref().map(|place| place.line);
        assert_eq!((&*error.problem.key(), at), (key, line), "{shown}");
    }
}

#[test]
fn no_error_shows_what_may_be_a_secret() {
    for text in [
        "schema: 1\nkafka:\n  brokers: [a:1]\n  sasl: \
        {mechanism: PLAIN, user: me, password: s3cret-sentinel}\n",
        "schema: 1\nkafka:\n  brokers: [a:1]\n  sasl: \
        {mechanism: PLAIN, user: me, passwd: s3cret-sentinel}\n",
        "schema: 1\nkafka:\n  brokers: [a:1]\n  sasl: s3cret-sentinel\n",
        "schema: 1\nkafka:\n  brokers: [a:1]\n  tls: s3cret-sentinel\n",
        "schema: 1\nkafka: s3cret-sentinel\n",
        "schema: 1\nredis: {address: 'redis://me:s3cret-sentinel@h'}\n",
        "schema: 1\nredis:\n  address: h\n  password: s3cret-sentinel\n",
        "schema: 1\nredis:\n  address: h\n  password: [s3cret-sentinel]\n",
        "schema: 1\nredis:\n  address: h\n  database: s3cret-sentinel@\n",
        "schema: 1\nredis:\n  password: s3cret-sentinel: x\n",
        "password: s3cret-sentinel\n",
        "s3cret-sentinel\n",
        // What is wrong is harmless, and what stands beside it is not.
        "schema: 1\nkafka:\n  brokers: [a:1]\n  sasl: \
        {mechanism: SCRAM-SHA512, user: me, password: s3cret-sentinel}\n",
        "{\"schema\":2,\"redis\":{\"address\":\"h\",\"password\":\"s3cret-sentinel\"}}",
        "schema: 1\nkafka:\n  brokers: [b, me:s3cret-sentinel@h:1]\n",
        "schema: 1\nkafka:\n  brokers: [a:1]\n  client: \
        {group.id: x, sasl.password: s3cret-sentinel}\n",
    ] {
        let error = file(text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(SENTINEL), "{error}");
    }
    for wrong in [
        "redis://me:s3cret-sentinel@localhost",
        "rediss://s3cret-sentinel@localhost",
        "junk://me:s3cret-sentinel@localhost",
        "redis://a:s3cret-sentinel@h:x",
    ] {
        let error = url(wrong).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(SENTINEL), "{error}");
    }
    let error = kafka_list("me:s3cret-sentinel@h:1", &AROUND).unwrap_err();
    assert!(!error.to_string().contains(SENTINEL), "{error}");
}

#[test]
fn a_pipe_is_no_file_and_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(load_targets(&pipe, &AROUND).unwrap_err().to_string().contains("not a file"));
}

#[test]
fn redis_urls() {
    let plain = url("redis://localhost").unwrap();
    assert_eq!(plain.addresses, ["localhost:6379"]);
    assert!(plain.access.tls().is_none() && plain.access.login().is_none());
    assert_eq!(url("redis://[::1]:7000/").unwrap().addresses, ["[::1]:7000"]);
    let full = url("redis://me:${env:PASSWORD}@127.0.0.1:7000/3").unwrap();
    let login = full.access.login().unwrap();
    assert_eq!((full.addresses[0].as_str(), login.user.as_deref()), ("127.0.0.1:7000", Some("me")));
    assert_eq!((login.password.expose_secret(), full.access.database()), (SENTINEL, 3));
    assert!(
        url("redis://:${env:PASSWORD}@localhost").unwrap().access.login().unwrap().user.is_none()
    );
    assert!(url("redis://:${env:ABSENT}@localhost").unwrap_err().to_string().contains("ABSENT"));
    for wrong in [
        "localhost:6379",
        "redis://",
        "redis://host:x",
        "redis://host/x",
        "redis://me@h",
        "redis://a b",
    ] {
        assert!(url(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn kafka_lists() {
    assert_eq!(kafka_list("a:1, b.c:2", &AROUND).unwrap().addresses, ["a:1", "b.c:2"]);
    for wrong in ["", "a", "a:", "a:0", "a:1,", "PLAINTEXT://a:1", "a:99999"] {
        assert!(kafka_list(wrong, &AROUND).is_err(), "{wrong}");
    }
}

fn refused(text: &str) -> (String, String) {
    let error = file(text).unwrap_err();
    assert!(!error.to_string().contains(SENTINEL), "{error}");
    (error.problem.key(), error.to_string())
}

#[test]
fn a_token_is_given_or_fetched() {
    let kafka = |sasl: &str| {
        format!(
            "schema: 1\nkafka:\n  brokers: [localhost:1]\n  \
             sasl: {{mechanism: OAUTHBEARER, {sasl}}}\n"
        )
    };
    let given = file(&kafka("token: '${env:PASSWORD}'")).unwrap().kafka.unwrap().access;
    assert!(given.login().is_none());
    let token = given.tokens().unwrap().tokens.current().unwrap();
    assert_eq!(token.value.expose_secret(), SENTINEL);
    assert!(!format!("{given:?} {token:?}").contains(SENTINEL));
    let oidc = "{url: 'http://localhost:1/token', client-id: me, client-secret: '${env:PASSWORD}'}";
    let fetched = file(&kafka(&format!("oidc: {oidc}"))).unwrap().kafka.unwrap().access;
    let error = fetched.tokens().unwrap().tokens.current().unwrap_err();
    assert!(error.contains("the token endpoint at localhost:1"), "{error}");
    for (sasl, key, words) in [
        ("scope: x", "kafka.sasl.scope", "unknown key"),
        ("user: me", "kafka.sasl.user", "another mechanism"),
        ("iam: {}", "kafka.sasl.iam", "another mechanism"),
        ("token: abc", "kafka.sasl.token", "does not stand in a file"),
        ("token: '${env:ABSENT}'", "kafka.sasl.token", "not set"),
        (
            "oidc: {url: x, client-id: me, client-secret: '${env:PASSWORD}'}",
            "kafka.sasl.oidc.url",
            "token endpoint",
        ),
        ("oidc: {url: x}", "kafka.sasl.oidc.client-id", "missing"),
    ] {
        let (found, error) = refused(&kafka(sasl));
        assert!(found == key && error.contains(words), "{sasl}: {found}: {error}");
    }
    let neither = "schema: 1\nkafka: {brokers: [a:1], sasl: {mechanism: OAUTHBEARER}}\n";
    assert!(refused(neither).1.contains("`oidc`"));
}

#[test]
fn services_of_aws_have_blocks_of_their_own() {
    let text = "schema: 1\nkafka: {brokers: [a:1]}\nmsk: {brokers: [b:1]}\n\
                memorydb: {address: h, user: me, password: '${env:PASSWORD}'}\n";
    let targets = file(text).unwrap();
    let of = |system| targets.reach(system).map(|reach| reach.addresses[0].as_str());
    assert_eq!((of(System::Kafka), of(System::Msk)), (Some("a:1"), Some("b:1")));
    assert_eq!((of(System::RedisLists), of(System::MemorydbLists)), (None, Some("h:6379")));
    let names: Vec<_> = targets.all().map(|(name, ..)| name).collect();
    assert_eq!(names, ["kafka", "msk", "memorydb"]);
}

#[test]
fn a_login_by_iam_is_told_what_it_needs() {
    let msk = |more: &str| format!("schema: 1\nmsk: {{brokers: [localhost:1], {more}}}\n");
    let memorydb = |more: &str| format!("schema: 1\nmemorydb: {{address: localhost, {more}}}\n");
    let signed = "sasl: {mechanism: AWS_MSK_IAM, iam: {region: eu-central-1}}";
    for (text, key, words) in [
        (msk(signed), "msk.tls", "over TLS only"),
        (
            msk("sasl: {mechanism: AWS_MSK_IAM, iam: {cluster: x}}"),
            "msk.sasl.iam.cluster",
            "MemoryDB's",
        ),
        (msk("sasl: {mechanism: AWS_MSK_IAM, password: x}"), "msk.sasl.password", "secret"),
        (memorydb("iam: {}"), "memorydb.tls", "over TLS only"),
        (memorydb("user: me"), "memorydb.user", "neither"),
        (
            "schema: 1\nredis: {address: h, user: me, iam: {}}\n".into(),
            "redis.iam",
            "only MemoryDB",
        ),
    ] {
        let (found, error) = refused(&text);
        assert!(found == key && error.contains(words), "{text}: {found}: {error}");
    }
}

#[cfg(feature = "aws")]
#[test]
fn sns_is_a_region_and_its_endpoints() {
    let sns = |more: &str| format!("schema: 1\nsns: {{iam: {{region: eu-central-1}}{more}}}\n");
    let reach = file(&sns("")).unwrap().sns.unwrap();
    let hosts = ["sns.eu-central-1.amazonaws.com:443", "sqs.eu-central-1.amazonaws.com:443"];
    assert_eq!(reach.addresses, hosts);
    assert!(reach.access.tls().is_some());
    assert_eq!(reach.access.aws().unwrap().region, "eu-central-1");
    let emulator = file(&sns(", endpoints: ['http://127.0.0.1:4566']")).unwrap().sns.unwrap();
    assert_eq!(emulator.addresses, ["127.0.0.1:4566"]);
    assert!(emulator.access.tls().is_none());
    for (text, key) in [
        ("schema: 1\nsns: {iam: {}}\n".to_owned(), "sns.iam.region"),
        ("schema: 1\nsns: {iam: {region: 'Europe (Frankfurt)'}}\n".into(), "sns.iam.region"),
        (sns(", endpoints: [localhost]"), "sns.endpoints[0]"),
        (sns(", endpoints: ['http://a:1', 'https://b:1']"), "sns.endpoints"),
    ] {
        assert_eq!(refused(&text).0, key, "{text}");
    }
}

#[cfg(not(feature = "aws"))]
#[test]
fn a_build_without_aws_says_so() {
    let text = "schema: 1\nsns: {iam: {region: eu-central-1}}\n";
    assert!(refused(text).1.contains("--features aws"));
    let text = "schema: 1\nmsk: {brokers: [localhost:1], tls: true, \
                sasl: {mechanism: AWS_MSK_IAM, iam: {region: eu-central-1}}}\n";
    let (key, error) = refused(text);
    assert_eq!(key, "msk.sasl.mechanism");
    assert!(error.contains("--features aws") && error.contains("SCRAM-SHA-512"), "{error}");
}

#[test]
fn sentinels_and_sockets_are_addresses_of_redis() {
    let redis = |rest: &str| {
        file(&format!("schema: 1\nredis:\n  {rest}\n")).map(|targets| targets.redis.unwrap())
    };
    let found = redis("sentinels: [a, 'b:5']\n  primary: orders").unwrap();
    assert_eq!(found.addresses, ["a:26379", "b:5"]);
    assert_eq!(found.primary.as_deref(), Some("orders"));
    let both = redis("address: h:1\n  sentinels: [a:2]\n  primary: orders").unwrap();
    assert_eq!(both.addresses, ["a:2"], "they know better");
    assert_eq!(redis("address: unix:///run/redis.sock").unwrap().addresses, ["/run/redis.sock"]);
    assert_eq!(url("unix:///run/redis.sock").unwrap().addresses, ["/run/redis.sock"]);
    for (rest, key) in [
        ("primary: orders", "redis"),
        ("sentinels: [a, 'redis://b']", "redis.sentinels[1]"),
        ("address: unix://run", "redis.address"),
        ("address: unix:///run/redis.sock\n  tls: true", "redis.tls"),
    ] {
        let error = redis(rest).err().unwrap();
        assert_eq!(&*error.problem.key(), key, "{error}");
    }
    for wrong in ["unix://", "unix:///", "unix://relative", "unix:///me:s3cret-sentinel@x"] {
        let error = url(wrong).err().unwrap();
        assert!(!error.to_string().contains(SENTINEL), "{error}");
    }
}
