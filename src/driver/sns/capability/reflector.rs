//! A stand-in for SNS and SQS on loopback: answers what this driver asks as cheaply as it can, so
//! that the same load against it shows what our own path costs (the instrument's floor).
//!
//! It hands each message on once, checks no signature, and keeps nothing that was handed on: it
//! must never serve as a broker. One thread serves all connections.

use crate::driver::sns::clients::{refused, runtime};
use crate::driver::sns::names::last;
use crate::driver::{DriverError, Reflector};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

const TOPIC: &str = "arn:aws:sns:us-east-1:000000000000:";

#[derive(Default)]
struct Reflected {
    /// By name.
    queues: Mutex<BTreeMap<String, VecDeque<String>>>,
    filled: Notify,
}

struct SnsReflector {
    address: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

pub fn start() -> Result<Box<dyn Reflector>, DriverError> {
    const ACTION: &str = "starting the loopback reflector";
    let failed = |cause: std::io::Error| refused(ACTION, cause.to_string());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?.to_string();
    let (runtime, (stop, stopped)) = (runtime()?, oneshot::channel());
    let run = move || runtime.block_on(serve(listener, stopped));
    let thread = std::thread::Builder::new().name("sns-reflector".into()).spawn(run);
    let thread = Some(thread.map_err(failed)?);
    Ok(Box::new(SnsReflector { address, stop: Some(stop), thread }))
}

impl Reflector for SnsReflector {
    fn addresses(&self) -> Vec<String> {
        vec![self.address.clone()]
    }
}

impl Drop for SnsReflector {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(listener: std::net::TcpListener, mut stopped: oneshot::Receiver<()>) {
    let reflected = Arc::new(Reflected::default());
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    loop {
        let socket = tokio::select! {
            _ = &mut stopped => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((socket, _)) = socket else { continue };
        let _ = socket.set_nodelay(true);
        let reflected = Arc::clone(&reflected);
        let service = service_fn(move |request| answer(Arc::clone(&reflected), request));
        let connection = hyper::server::conn::http1::Builder::new();
        tokio::spawn(connection.serve_connection(TokioIo::new(socket), service));
    }
}

/// SQS speaks JSON and names its action in the head; SNS is sent a form.
async fn answer(
    reflected: Arc<Reflected>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
    let action = target.and_then(|target| target.split('.').nth(1)).map(str::to_owned);
    let body = request.into_body().collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let text = match action {
        Some(action) => {
            let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
            reflected.of_sqs(&action, &asked).await.to_string()
        }
        None => reflected.of_sns(&fields(&body)),
    };
    Ok(Response::new(Full::new(Bytes::from(text))))
}

impl Reflected {
    fn queues(&self) -> MutexGuard<'_, BTreeMap<String, VecDeque<String>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of_sns(&self, fields: &BTreeMap<String, String>) -> String {
        let field = |name: &str| fields.get(name).map_or("", String::as_str);
        let action = field("Action");
        let result = match action {
            "CreateTopic" => format!("<TopicArn>{TOPIC}{}</TopicArn>", field("Name")),
            "Subscribe" => {
                self.queues().entry(last(field("Endpoint")).to_owned()).or_default();
                format!("<SubscriptionArn>{}:s</SubscriptionArn>", field("TopicArn"))
            }
            "PublishBatch" => self.published(fields),
            _ => String::new(),
        };
        format!(
            "<{action}Response xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><{action}Result>\
             {result}</{action}Result><ResponseMetadata><RequestId>0</RequestId>\
             </ResponseMetadata></{action}Response>"
        )
    }

    /// To every queue: there is one topic.
    fn published(&self, fields: &BTreeMap<String, String>) -> String {
        let mut taken = String::new();
        for number in 1..=10 {
            let key = |name: &str| format!("PublishBatchRequestEntries.member.{number}.{name}");
            let Some(message) = fields.get(&key("Message")) else { break };
            let id = fields.get(&key("Id")).map_or("", String::as_str);
            taken += &format!("<member><Id>{id}</Id><MessageId>0</MessageId></member>");
            self.queues().values_mut().for_each(|queue| queue.push_back(message.clone()));
        }
        self.filled.notify_waiters();
        format!("<Successful>{taken}</Successful><Failed/>")
    }

    async fn of_sqs(&self, action: &str, asked: &Value) -> Value {
        let name = last(asked["QueueUrl"].as_str().unwrap_or_default());
        match action {
            "CreateQueue" => {
                let name = asked["QueueName"].as_str().unwrap_or_default();
                json!({"QueueUrl": format!("http://127.0.0.1/000000000000/{name}")})
            }
            "DeleteQueue" => {
                self.queues().remove(name);
                json!({})
            }
            "ReceiveMessage" => {
                let most = asked["MaxNumberOfMessages"].as_u64().unwrap_or(1) as usize;
                let wait = Duration::from_secs(asked["WaitTimeSeconds"].as_u64().unwrap_or(0));
                json!({"Messages": self.taken(name, most, wait).await})
            }
            "DeleteMessageBatch" | "ChangeMessageVisibilityBatch" => {
                let entries = asked["Entries"].as_array().into_iter().flatten();
                let done: Vec<_> = entries.map(|entry| json!({"Id": entry["Id"]})).collect();
                json!({"Successful": done, "Failed": []})
            }
            _ => json!({"Attributes": {}}),
        }
    }

    async fn taken(&self, name: &str, most: usize, wait: Duration) -> Vec<Value> {
        let take = || {
            let mut queues = self.queues();
            let queue = queues.get_mut(name)?;
            let count = queue.len().min(most);
            let message = |text: String| json!({"Body": text, "ReceiptHandle": "r"});
            (count > 0).then(|| queue.drain(..count).map(message).collect())
        };
        let found = timeout(wait, async {
            loop {
                // Before the look: what comes between the two is noticed.
                let filled = self.filled.notified();
                if let Some(found) = take() {
                    return found;
                }
                filled.await;
            }
        });
        found.await.unwrap_or_default()
    }
}

/// The fields of a form.
fn fields(body: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(body);
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (plain(name), plain(value))).collect()
}

/// Without what stands for letters in a form.
fn plain(text: &str) -> String {
    let (mut bytes, mut rest) = (vec![], text.as_bytes());
    while let [first, more @ ..] = rest {
        let escaped = match (first, more) {
            (b'%', [high, low, ..]) => std::str::from_utf8(&[*high, *low])
                .ok()
                .and_then(|digits| u8::from_str_radix(digits, 16).ok()),
            _ => None,
        };
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &more[2..];
            }
            None => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::super::clients::tests::target;
    use super::super::super::driver::open;
    use super::super::super::settings::tests::cell;
    use super::*;
    use crate::driver::{Incoming, Outcome, Outgoing};
    use std::collections::BTreeSet;

    #[test]
    fn forms_are_read_as_they_are_written() {
        let read = fields(b"Action=PublishBatch&a.b=x%2By%2F%3D+z&bad%zz=%4");
        assert_eq!(read["Action"], "PublishBatch");
        assert_eq!(read["a.b"], "x+y/= z");
        assert_eq!(read["bad%zz"], "%4");
    }

    /// Through the SDK: publisher, queues and consumers as under load.
    fn every_message_once(topic: &[(&str, &str)]) {
        const MANY: u32 = 500;
        let reflector = start().unwrap();
        let mut cell = cell(topic, &[]);
        (cell.load.subscriptions, cell.load.connections) = (2, 2);
        let place = target(&reflector.addresses()[0]);
        let clock = place.clock;
        let driver = open(&cell, place).unwrap();
        driver.prepare().unwrap();
        let mut publisher = driver.publisher(0).unwrap();
        let mut consumers = [0, 1].map(|number| driver.subscriber(number, 0).unwrap());
        for slot in 0..MANY {
            let payload = &slot.to_be_bytes();
            let connection = (slot % 2) as u16;
            publisher
                .submit(Outgoing { slot, connection, payload, ..Outgoing::default() })
                .unwrap();
        }
        publisher.flush().unwrap();
        let (deadline, mut ends) = (clock.now_ns() + 20_000_000_000, vec![]);
        while ends.len() < MANY as usize && clock.now_ns() < deadline {
            publisher.wait(deadline, &mut ends).unwrap();
        }
        assert!(ends.iter().all(|end| end.outcome == Outcome::Acked), "{ends:?}");
        for consumer in &mut consumers {
            let mut seen = BTreeSet::new();
            while seen.len() < MANY as usize && clock.now_ns() < deadline {
                let mut sink = |message: Incoming<'_>| {
                    assert!(seen.insert(message.payload.to_vec()), "twice");
                };
                consumer.receive(deadline, &mut sink).unwrap();
            }
            assert_eq!(seen.len(), MANY as usize);
            consumer.close().unwrap();
        }
        assert!(publisher.failures().is_empty() && publisher.retries().is_empty());
        driver.clean_up().unwrap();
    }

    #[test]
    fn a_standard_topic_carries_each_message_to_each_queue_once() {
        every_message_once(&[]);
    }

    #[test]
    fn a_fifo_topic_does_too() {
        every_message_once(&[("FifoTopic", "true")]);
    }
}
