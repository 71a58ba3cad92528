//! Whether a system has the way in which its consumers are to come by their messages.

use super::cell::Message;
use super::check::{Check, check, refuse};
use super::load::Load;
use super::system::{ConsumeMode, SystemConfig};
use crate::model::{Codec, System};

/// A share group is read by a client of our own, which can less than librdkafka.
pub(super) fn mode(label: &str, config: &SystemConfig, load: &Load, message: &Message) -> Check {
    let (mode, system) = (config.consume.mode, config.system);
    let key = format!("systems.{label}.consume.mode");
    let fits = !system.has_key("consume.mode") || mode.fits(system);
    let remedy = match system.base() {
        System::Kafka => "write `group` or `share-group`, or remove it",
        _ => "write `pop` or `reliable`, or remove it",
    };
    check(fits, &key, format_args!("{} has no such way", system.title()), remedy)?;
    if mode != ConsumeMode::ShareGroup {
        return Ok(());
    }
    let because = match () {
        () if config.nodes > 1 => "speaks to one node",
        () if load.deadline.is_some() => "does not come back where a connection is lost",
        () if message.codec != Codec::None => "reads no compressed records",
        () => return Ok(()),
    };
    let what = format_args!(
        "no client library has share groups here yet, and the harness's own {because}"
    );
    refuse(&key, what, "write `group`, or leave the other out")
}
