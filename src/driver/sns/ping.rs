//! Questions before and after a run: whether SNS and SQS let us in, and what runs that were killed
//! left behind.

use super::clients::{Clients, Patience, is_aws};
use super::resources;
use super::words::Asked;
use crate::access::Access;
use crate::clock::Clock;
use crate::driver::{DriverError, Routes, Target};
use std::collections::BTreeSet;
use std::time::Duration;

const ANSWER: Duration = Duration::from_secs(10);

/// A target of these addresses, for what belongs to no cell.
fn clients(addresses: Vec<String>, access: &Access) -> Result<Clients, DriverError> {
    let (routes, clock) = (Routes::default(), Clock::start());
    let (access, name) = (access.clone(), String::new());
    Clients::new(&Target { addresses, routes, access, name, clock })
}

/// Whether the service at `address` answers and lets us in: SQS where the name says so, else SNS.
/// The error is a cause and a remedy.
pub fn ping(address: &str, access: &Access) -> Result<(), String> {
    let told = |error: DriverError| match error {
        DriverError::Disconnected { cause, .. } => cause,
        DriverError::Refused { action, cause, .. } => format!("{action}: {cause}"),
        other => other.to_string(),
    };
    let clients = clients(vec![address.to_owned()], access).map_err(told)?;
    let control = clients.control(Patience::once(ANSWER)).map_err(told)?;
    if is_aws(address) && address.starts_with("sqs.") {
        let asked = Asked::new("list queues", "sqs:ListQueues");
        let call = control.sqs.list_queues().max_results(1).send();
        return control.ask(asked, call).map(drop).map_err(told);
    }
    let asked = Asked::new("list topics", "sns:ListTopics");
    control.ask(asked, control.sns.list_topics().send()).map(drop).map_err(told)
}

/// Deletes what these runs left behind: see [`resources::sweep`].
pub fn sweep(
    addresses: &[String],
    access: &Access,
    runs: &BTreeSet<String>,
) -> Result<Vec<String>, DriverError> {
    resources::sweep(&clients(addresses.to_vec(), access)?, runs)
}
