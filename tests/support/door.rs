//! A door before an emulator of SNS and SQS, for what the emulator does not play: it recomputes
//! each signature with the test's key, lets only some actions in, throttles, limits the size of
//! messages, loses answers, and has a clock of its own. What it lets in, it hands on unchanged.

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, DATE, HOST, HeaderMap, TRANSFER_ENCODING,
};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, civil};
use percent_encoding::percent_decode_str;
use ring::{digest, hmac};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub const KEY: &str = "AKIDBROKERBENCH";
pub const REGION: &str = "eu-central-1";
/// As old as a signature may be, s.
const OLDEST: i64 = 300;

#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// As IAM calls it, such as `sns:Publish`.
    pub denied: &'static str,
    /// Of this action, every so many requests.
    pub throttled: Option<(&'static str, u32)>,
    /// Bytes of the messages of one PublishBatch.
    pub largest: Option<usize>,
    /// Of this action, those requests are carried out and not answered.
    pub cut: Option<(&'static str, RangeInclusive<u32>)>,
    /// Those PublishBatch are answered and go nowhere, as by a policy that drops silently.
    pub dropped: Option<RangeInclusive<u32>>,
    /// The door's clock.
    pub ahead_s: i64,
}

pub struct Door {
    pub address: String,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    rules: Mutex<Rules>,
    secret: String,
    emulator: String,
    /// Requests so far, by action.
    seen: Mutex<BTreeMap<String, u32>>,
}

impl Door {
    /// Before the emulator at that address, for whoever signs with `secret`.
    pub fn open(emulator: &str, secret: &str) -> Self {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            rules: Mutex::default(),
            secret: secret.to_owned(),
            emulator: emulator.to_owned(),
            seen: Mutex::default(),
        });
        let (stop, stopped) = oneshot::channel();
        let inside = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(serve(listener, inside, stopped));
        });
        Self { address, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// From now on.
    pub fn set(&self, rules: Rules) {
        *self.shared.rules.lock().unwrap() = rules;
        self.shared.seen.lock().unwrap().clear();
    }

    /// Requests since the rules were set.
    pub fn seen(&self, action: &str) -> u32 {
        self.shared.seen.lock().unwrap().get(action).copied().unwrap_or(0)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

type Inside = Client<HttpConnector, Full<Bytes>>;

async fn serve(
    listener: std::net::TcpListener,
    shared: Arc<Shared>,
    mut stopped: oneshot::Receiver<()>,
) {
    let listener = TcpListener::from_std(listener).unwrap();
    let inside: Inside = Client::builder(TokioExecutor::new()).build_http();
    loop {
        let (socket, _) = tokio::select! {
            _ = &mut stopped => return,
            accepted = listener.accept() => accepted.unwrap(),
        };
        let (shared, inside) = (Arc::clone(&shared), inside.clone());
        let service = service_fn(move |request| pass(Arc::clone(&shared), inside.clone(), request));
        let connection = hyper::server::conn::http1::Builder::new();
        tokio::spawn(connection.serve_connection(TokioIo::new(socket), service));
    }
}

/// The answer is lost: the connection ends without one.
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cut")
    }
}

impl std::error::Error for Cut {}

struct Refusal {
    status: u16,
    code: &'static str,
    message: String,
}

fn refusal(status: u16, code: &'static str, message: impl Into<String>) -> Refusal {
    Refusal { status, code, message: message.into() }
}

/// What is asked of which service.
struct Wanted {
    service: &'static str,
    action: String,
}

impl Wanted {
    /// SQS names its action in the head; SNS is sent a form.
    fn of(parts: &Parts, form: &[(String, String)]) -> Self {
        let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        if let Some(action) = target.and_then(|target| target.split('.').nth(1)) {
            return Self { service: "sqs", action: action.to_owned() };
        }
        let action = form.iter().find(|(name, _)| name == "Action");
        Self { service: "sns", action: action.map(|(_, name)| name.clone()).unwrap_or_default() }
    }

    /// One right serves a request and its batch.
    fn right(&self) -> String {
        format!("{}:{}", self.service, self.action.trim_end_matches("Batch"))
    }

    /// In the words of the service.
    fn refuse(&self, Refusal { status, code, message }: Refusal) -> Response<Full<Bytes>> {
        let (kind, text) = if self.service == "sqs" {
            let text = format!(r#"{{"__type":"com.amazonaws.sqs#{code}","message":"{message}"}}"#);
            ("application/x-amz-json-1.0", text)
        } else {
            let text = format!(
                "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error>\
                 <Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
                 <RequestId>0</RequestId></ErrorResponse>"
            );
            ("text/xml", text)
        };
        let answer = Response::builder().status(status).header("content-type", kind);
        answer.body(Full::new(Bytes::from(text))).unwrap()
    }
}

async fn pass(
    shared: Arc<Shared>,
    inside: Inside,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Cut> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    let form = form(&body);
    let wanted = Wanted::of(&parts, &form);
    let rules = shared.rules.lock().unwrap().clone();
    let number = {
        let mut seen = shared.seen.lock().unwrap();
        let number = seen.entry(wanted.action.clone()).or_default();
        *number += 1;
        *number
    };
    let judged = signed(&parts, &body, &shared.secret, rules.ahead_s)
        .and_then(|()| judge(&rules, &wanted, number, &form));
    if let Err(refusal) = judged {
        let mut answer = wanted.refuse(refusal);
        let theirs = Timestamp::now() + SignedDuration::from_secs(rules.ahead_s);
        let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&theirs).unwrap();
        answer.headers_mut().insert(DATE, date.parse().unwrap());
        return Ok(answer);
    }
    let drops = rules.dropped.as_ref().is_some_and(|which| which.contains(&number));
    if drops && wanted.action == "PublishBatch" {
        return Ok(taken(&form));
    }
    let answer = hand_on(&inside, &shared.emulator, parts, body).await;
    match rules.cut {
        Some((action, which)) if action == wanted.action && which.contains(&number) => Err(Cut),
        _ => Ok(answer),
    }
}

fn judge(
    rules: &Rules,
    wanted: &Wanted,
    number: u32,
    form: &[(String, String)],
) -> Result<(), Refusal> {
    let sns = wanted.service == "sns";
    if wanted.right() == rules.denied {
        let code = if sns { "AuthorizationError" } else { "AccessDenied" };
        let what = format!("User: bench is not authorized to perform: {}", wanted.right());
        return Err(refusal(403, code, what));
    }
    if let Some((action, every)) = rules.throttled
        && action == wanted.action
        && number.is_multiple_of(every)
    {
        let (status, code) = if sns { (400, "Throttling") } else { (403, "RequestThrottled") };
        return Err(refusal(status, code, "Rate exceeded"));
    }
    let messages = form.iter().filter(|(name, _)| name.ends_with(".Message"));
    let bytes: usize = messages.map(|(_, text)| text.len()).sum();
    if rules.largest.is_some_and(|largest| bytes > largest) {
        let what = "The length of all the batch messages put together is more than the limit.";
        return Err(refusal(400, "BatchRequestTooLong", what));
    }
    Ok(())
}

/// As SNS answers a PublishBatch that it took.
fn taken(form: &[(String, String)]) -> Response<Full<Bytes>> {
    let ids = form.iter().filter(|(name, _)| name.ends_with(".Id"));
    let member = |id: &str| format!("<member><Id>{id}</Id><MessageId>0</MessageId></member>");
    let members = ids.map(|(_, id)| member(id));
    let text = format!(
        "<PublishBatchResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\">\
         <PublishBatchResult><Successful>{}</Successful><Failed/></PublishBatchResult>\
         <ResponseMetadata><RequestId>0</RequestId></ResponseMetadata></PublishBatchResponse>",
        members.collect::<String>()
    );
    Response::new(Full::new(Bytes::from(text)))
}

async fn hand_on(
    inside: &Inside,
    emulator: &str,
    parts: Parts,
    body: Bytes,
) -> Response<Full<Bytes>> {
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder()
        .method(parts.method)
        .uri(format!("http://{emulator}{path}"))
        .body(Full::new(body))
        .unwrap();
    *request.headers_mut() = carried(parts.headers);
    let Ok(answer) = inside.request(request).await else {
        let mut gone = Response::new(Full::new(Bytes::from_static(b"the emulator is gone")));
        *gone.status_mut() = StatusCode::BAD_GATEWAY;
        return gone;
    };
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = parts.status;
    *answer.headers_mut() = carried(parts.headers);
    answer
}

/// Without what belongs to one connection.
fn carried(mut headers: HeaderMap) -> HeaderMap {
    for name in [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}

fn form(body: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(body);
    let plain = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode_str(&text).decode_utf8_lossy().into_owned()
    };
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (plain(name), plain(value))).collect()
}

/// Whether the signature is that of this request by the test's key, as the documentation of SigV4
/// computes it, and of now.
fn signed(parts: &Parts, body: &[u8], secret: &str, ahead_s: i64) -> Result<(), Refusal> {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let missing = || refusal(403, "MissingAuthenticationToken", "Request is missing a signature");
    let wrong = |what: &str| refusal(403, "SignatureDoesNotMatch", what);
    let authorization = header(AUTHORIZATION.as_str()).ok_or_else(missing)?;
    let field = |name: &str| {
        let (_, rest) = authorization.split_once(&format!("{name}="))?;
        rest.split([',', ' ']).next()
    };
    let credential = field("Credential").ok_or_else(missing)?;
    let names = field("SignedHeaders").ok_or_else(missing)?;
    let signature = field("Signature").ok_or_else(missing)?;
    let [key, day, region, service, end] = credential.split('/').collect::<Vec<_>>()[..] else {
        return Err(missing());
    };
    if key != KEY {
        let what = "The security token included in the request is invalid.";
        return Err(refusal(403, "InvalidClientTokenId", what));
    }
    if region != REGION {
        let what = format!("Credential should be scoped to a valid region, not '{region}'. ");
        return Err(wrong(&what));
    }
    let date = header("x-amz-date").ok_or_else(missing)?;
    let at = civil::DateTime::strptime("%Y%m%dT%H%M%SZ", date).map_err(|_| missing())?;
    let at = at.to_zoned(TimeZone::UTC).map_err(|_| missing())?.timestamp();
    if (Timestamp::now().as_second() + ahead_s - at.as_second()).abs() > OLDEST {
        return Err(wrong("Signature expired"));
    }
    let headers = names.split(';').map(|name| {
        let value = header(name).unwrap_or_default();
        let words: Vec<&str> = value.split_whitespace().collect();
        format!("{name}:{}\n", words.join(" "))
    });
    let request = format!(
        "{}\n{}\n{}\n{}\n{names}\n{}",
        parts.method,
        parts.uri.path(),
        parts.uri.query().unwrap_or_default(),
        headers.collect::<String>(),
        sha256(body)
    );
    let scope = format!("{day}/{region}/{service}/{end}");
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", sha256(request.as_bytes()));
    let mut signing = hmac_of(format!("AWS4{secret}").as_bytes(), day);
    for part in [region, service, end, text.as_str()] {
        signing = hmac_of(signing.as_ref(), part);
    }
    let right = hex(signing.as_ref());
    if signature == right { Ok(()) } else { Err(wrong("The request signature does not match")) }
}

fn hmac_of(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
