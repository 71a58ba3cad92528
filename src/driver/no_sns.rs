//! In the place of the driver for SNS and SQS in a build without the feature `aws`: every question
//! is answered by how to get one with it.

use super::{Driver, DriverError, Reflector, Target};
use crate::access::Access;
use crate::model::System;
use crate::scenario::Cell;
use std::collections::BTreeSet;

const WITHOUT: &str = "this build speaks to nothing of AWS: use a release archive or the image, \
    or build with `--features aws`";

fn cannot(action: &str) -> DriverError {
    let (action, because) = (action.to_owned(), WITHOUT.to_owned());
    DriverError::Cannot { system: System::Sns, action, because }
}

pub fn client_version() -> Option<String> {
    None
}

pub fn open(_: &Cell, _: Target) -> Result<Box<dyn Driver>, DriverError> {
    Err(cannot("open"))
}

pub fn ping(_: &str, _: &Access) -> Result<(), String> {
    Err(WITHOUT.into())
}

pub fn reflector() -> Result<Box<dyn Reflector>, DriverError> {
    Err(cannot("reflect"))
}

pub fn sweep(_: &[String], _: &Access, _: &BTreeSet<String>) -> Result<Vec<String>, DriverError> {
    Err(cannot("delete what was left behind"))
}
