//! Logins by tokens against a real Kafka: given, fetched from a provider, and, with the feature
//! `aws`, signed as for MSK and verified by a stand-in for its login. Needs a JDK beside what the
//! others need. `cargo test --features aws --test live tokens:: -- --ignored --test-threads 1`

use crate::secure::{holds, leaks};
use crate::secured::{Certificates, Kafka, PASSWORD};
use crate::support::program::{Ended, Run, start};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, SystemTime};

/// Shorter than a run, so that every connection must log in again in its course.
const SESSION: Duration = Duration::from_secs(12);

const KAFKA: &str = "schema: 1\nname: tokens\nquestion: Are all let in?\nguarantee: none\n\
    systems: {SYSTEM: {topic: {replicas: 1}}}\nload: {model: open, rate: 500/s, duration: 40s, \
    warm-up: 1s, warm-up-limit: 2s, broker-warm-up: 0s}\nmessage: {size: 100B}\n";

/// A token that nobody signed, for so long.
fn unsigned(life: Duration) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let claims = format!(r#"{{"sub":"bench","iat":{now},"exp":{}}}"#, now + life.as_secs());
    format!("{}.{}.", part(r#"{"alg":"none"}"#), part(&claims))
}

/// A run of one system through one listener; `sasl` as in a targets file.
fn started(
    kafka: &Kafka,
    certificates: &Certificates,
    (block, listener, sasl): (&str, &str, &str),
    environment: &[(&str, Option<&str>)],
    args: &[&str],
) -> Run {
    let file = certificates.folder().join(format!("{listener}.yaml"));
    let (address, ca) = (kafka.address(listener), certificates.ca());
    let text = format!(
        "schema: 1\n{block}:\n  brokers: ['{address}']\n  tls: {{ca: '{}'}}\n  sasl: {sasl}\n",
        ca.display()
    );
    std::fs::write(&file, text).unwrap();
    let scenario = KAFKA.replace("SYSTEM", block);
    let args = [&["--targets", file.to_str().unwrap(), "--json"], args].concat();
    start(&scenario, &args, environment)
}

/// The same to its end.
fn measured(
    kafka: &Kafka,
    certificates: &Certificates,
    place: (&str, &str, &str),
    environment: &[(&str, Option<&str>)],
    args: &[&str],
) -> Ended {
    started(kafka, certificates, place, environment, args).end()
}

/// Every message in the books, over as many logins as it took, and no secret anywhere.
fn is_whole(ended: &Ended) {
    let summary = ended.measured();
    for cell in &summary.cells {
        let counts = &cell.counts;
        let none = Some(0);
        assert_eq!((counts.lost, counts.failed, counts.duplicate), (none, none, none), "{cell:#?}");
        assert_eq!(counts.delivered, counts.sent, "{cell:#?}");
    }
    let manifest = std::fs::read_to_string(ended.folder().join("manifest.json")).unwrap();
    assert!(manifest.contains("OAUTHBEARER"), "{manifest}");
    let mut found = Vec::new();
    leaks(ended.results(), &mut found);
    assert!(found.is_empty(), "{found:#?}");
    assert!(!holds(ended.stdout.as_bytes()) && !holds(ended.stderr.as_bytes()));
}

#[test]
#[ignore = "needs real brokers"]
fn a_token_that_is_given_or_fetched_lets_all_clients_in() {
    let certificates = Certificates::make();
    let kafka = Kafka::start_with_tokens(&certificates, SESSION);
    let given = unsigned(Duration::from_secs(3600));
    let sasl = "{mechanism: OAUTHBEARER, token: '${env:TOKEN}'}";
    let place = ("kafka", "bearer", sasl);
    is_whole(&measured(&kafka, &certificates, place, &[("TOKEN", Some(&given))], &[]));

    // A provider whose tokens are over in twenty seconds: several are needed.
    let provider = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/token", provider.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in provider.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let token = unsigned(Duration::from_secs(20));
            let body = format!(r#"{{"access_token":"{token}","expires_in":20}}"#);
            let _ = stream.write_all(format!("HTTP/1.0 200 OK\r\n\r\n{body}").as_bytes());
        }
    });
    let oidc = format!("{{url: '{url}', client-id: bench, client-secret: '${{env:SECRET}}'}}");
    let sasl = format!("{{mechanism: OAUTHBEARER, oidc: {oidc}}}");
    let place = ("kafka", "bearer", sasl.as_str());
    is_whole(&measured(&kafka, &certificates, place, &[("SECRET", Some(PASSWORD))], &[]));

    let over = unsigned(Duration::ZERO);
    for (token, words) in [
        ("no.token.", &["the login was refused", "give a new token"][..]),
        (over.as_str(), &["over already"]),
    ] {
        let place = ("kafka", "bearer", "{mechanism: OAUTHBEARER, token: '${env:TOKEN}'}");
        let environment = [("TOKEN", Some(token))];
        measured(&kafka, &certificates, place, &environment, SHORT_LOAD).with(3, words);
    }
    let plain = "{mechanism: PLAIN, user: me, password: '${env:SECRET}'}";
    let place = ("kafka", "bearer", plain);
    measured(&kafka, &certificates, place, &[("SECRET", Some("x"))], SHORT_LOAD)
        .with(3, &["no login by PLAIN, but by OAUTHBEARER"]);
}

/// Refused before it begins.
const SHORT_LOAD: &[&str] = &["--set", "load.duration=1s"];

#[cfg(feature = "aws")]
mod aws {
    use super::*;
    use crate::secured::{AWS_KEY, REGION};
    use rustix::process::Signal;
    use std::time::Instant;

    fn keys<'a>(key: &'a str, secret: &'a str) -> [(&'a str, Option<&'a str>); 6] {
        [
            ("AWS_ACCESS_KEY_ID", Some(key)),
            ("AWS_SECRET_ACCESS_KEY", Some(secret)),
            ("AWS_SESSION_TOKEN", None),
            ("AWS_PROFILE", None),
            ("AWS_REGION", None),
            ("AWS_EC2_METADATA_DISABLED", Some("true")),
        ]
    }

    /// Over 40 s and sessions of 12 s: every connection signs in anew three times.
    #[test]
    #[ignore = "needs real brokers"]
    fn msk_is_measured_by_iam_over_several_sessions() {
        let certificates = Certificates::make();
        let kafka = Kafka::start_with_tokens(&certificates, SESSION);
        let sasl = format!("{{mechanism: AWS_MSK_IAM, iam: {{region: {REGION}}}}}");
        let place = ("msk", "iam", sasl.as_str());
        is_whole(&measured(&kafka, &certificates, place, &keys(AWS_KEY, PASSWORD), &[]));
        assert!(!kafka.log().contains("IAM refused"), "{}", kafka.log());
    }

    /// Killed, a run leaves what it made and the note of it; the next one takes both away, and
    /// nothing else.
    #[test]
    #[ignore = "needs real brokers"]
    fn what_a_killed_run_left_at_msk_is_swept_by_the_next() {
        let certificates = Certificates::make();
        let kafka = Kafka::start_with_tokens(&certificates, SESSION);
        kafka.make_topic("orders");
        let sasl = format!("{{mechanism: AWS_MSK_IAM, iam: {{region: {REGION}}}}}");
        let place = ("msk", "iam", sasl.as_str());
        let cache = tempfile::tempdir().unwrap();
        let kept = ("BROKERBENCH_CACHE", Some(cache.path().to_str().unwrap()));
        let environment = [&keys(AWS_KEY, PASSWORD)[..], &[kept]].concat();
        let mut killed = started(&kafka, &certificates, place, &environment, &[]);
        killed.await_words("msk base block 1\n");
        let ours = |name: &String| name.starts_with("bb-");
        let begun = Instant::now();
        while !kafka.topics().iter().any(ours) {
            assert!(begun.elapsed() < Duration::from_secs(60), "no topic is made");
            std::thread::sleep(Duration::from_millis(50));
        }
        killed.signal(Signal::KILL);
        assert_eq!(killed.end().code, None);
        let notes = || std::fs::read_dir(cache.path().join("brokerbench/accounts")).unwrap();
        assert!(kafka.topics().iter().any(ours) && notes().count() == 1);

        let ended = measured(&kafka, &certificates, place, &environment, SHORT_LOAD);
        let manifest = std::fs::read_to_string(ended.folder().join("manifest.json")).unwrap();
        assert!(manifest.contains("a run that was killed had left behind"), "{manifest}");
        let topics = kafka.topics();
        assert!(!topics.iter().any(ours) && topics.contains(&"orders".to_owned()), "{topics:?}");
        assert_eq!(notes().count(), 0);
    }

    #[test]
    #[ignore = "needs real brokers"]
    fn msk_is_asked_once_and_every_reason_is_told() {
        let certificates = Certificates::make();
        let kafka = Kafka::start_with_tokens(&certificates, SESSION);
        for (key, secret, region, why) in [
            (AWS_KEY, "another", REGION, "another secret"),
            ("AKIDOTHER", PASSWORD, REGION, "an unknown key"),
            (AWS_KEY, PASSWORD, "eu-west-1", "not for kafka.eu-central-1"),
        ] {
            let before = kafka.log().matches("IAM refused").count();
            let sasl = format!("{{mechanism: AWS_MSK_IAM, iam: {{region: {region}}}}}");
            let place = ("msk", "iam", sasl.as_str());
            let ended = measured(&kafka, &certificates, place, &keys(key, secret), SHORT_LOAD);
            let words = ["Access denied", "kafka-cluster:Connect", "clock", region];
            let ended = ended.with(3, &words);
            assert!(!holds(ended.stderr.as_bytes()));
            let log = kafka.log();
            assert!(log.contains(&format!("IAM refused: {why}")), "{log}");
            assert_eq!(log.matches("IAM refused").count(), before + 1, "{log}");
        }
        let none = [
            ("AWS_ACCESS_KEY_ID", None),
            ("AWS_SECRET_ACCESS_KEY", None),
            ("AWS_PROFILE", None),
            ("AWS_EC2_METADATA_DISABLED", Some("true")),
            ("HOME", Some("/nonexistent")),
        ];
        let sasl = format!("{{mechanism: AWS_MSK_IAM, iam: {{region: {REGION}}}}}");
        let place = ("msk", "iam", sasl.as_str());
        measured(&kafka, &certificates, place, &none, SHORT_LOAD)
            .with(3, &["no credentials of AWS", "AWS_PROFILE"]);
    }
}
