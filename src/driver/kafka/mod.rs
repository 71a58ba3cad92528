//! Placeholder of the skeleton.
use super::{Driver, DriverError, Reflector, Target};
use crate::scenario::Cell;

pub fn open(_: &Cell, _: Target) -> Result<Box<dyn Driver>, DriverError> {
    unimplemented!()
}

pub fn reflector() -> Result<Box<dyn Reflector>, DriverError> {
    unimplemented!()
}
