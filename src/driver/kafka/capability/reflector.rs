//! Kafka's reflector: librdkafka's mock cluster, real TCP on loopback, no disk, no replication.
//!
//! It shows what the client's own path costs. It keeps about 5 MB per partition and drops the
//! oldest, so what it delivers under full load is no measure of anything. It knows no admin
//! requests: the driver makes its topics by [`make_topic`].

use crate::driver::kafka::clients::refused;
use crate::driver::kafka::load::client_log::KafkaContext;
use crate::driver::kafka::load::ffi;
use crate::driver::{DriverError, Reflector};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The client that the mock cluster lives in.
/// Reached by [`RUNNING`] as long as its reflector lives.
struct MockHost {
    client: BaseProducer<KafkaContext>,
    address: String,
}

static RUNNING: Mutex<Vec<Weak<MockHost>>> = Mutex::new(Vec::new());

impl Reflector for Arc<MockHost> {
    fn addresses(&self) -> Vec<String> {
        vec![self.address.clone()]
    }
}

pub fn start() -> Result<Box<dyn Reflector>, DriverError> {
    let client: BaseProducer<KafkaContext> = ClientConfig::new()
        .set("test.mock.num.brokers", "1")
        .create_with_context(KafkaContext::default())
        .map_err(|error| refused("start the mock cluster", error))?;
    ffi::hasten_mock_groups(client.client());
    let address = client.client().mock_cluster().map(|mock| mock.bootstrap_servers());
    let address =
        address.ok_or_else(|| refused("start the mock cluster", "librdkafka gave none"))?;
    let host = Arc::new(MockHost { client, address });
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.retain(|host| host.strong_count() > 0);
    running.push(Arc::downgrade(&host));
    Ok(Box::new(host))
}

/// Makes a topic on the reflector that listens at `addresses`; `None` where that is no reflector.
pub fn make_topic(
    addresses: &[String],
    name: &str,
    partitions: u16,
) -> Option<Result<(), DriverError>> {
    let host = find(addresses)?;
    let made = host.client.client().mock_cluster()?.create_topic(name, partitions.into(), 1);
    Some(made.map_err(|error| refused("make a topic on the mock cluster", error)))
}

pub fn is_one(addresses: &[String]) -> bool {
    find(addresses).is_some()
}

fn find(addresses: &[String]) -> Option<Arc<MockHost>> {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.iter().filter_map(Weak::upgrade).find(|host| [host.address.as_str()] == *addresses)
}
