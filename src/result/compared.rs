//! The environment behind a figure that is compared. Neither what the harness invented nor what a
//! stand-in for a service did can be one, by the type: no table can be made of it, and none that
//! says so can be read.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Deref;

/// The environment of a run in which something else answered in place of a service.
pub const EMULATED: &str = "emulated";
/// The environment of a run that had no broker.
pub const FAKE: &str = "fake";

/// An environment whose figures may stand in a comparison: `native`, `docker`, `external`, or
/// `none` where a scenario could not run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ComparedEnvironment(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the environment is `{0}`, whose figures cannot enter a comparison")]
pub struct NotCompared(pub String);

impl ComparedEnvironment {
    /// Of a scenario that could not run.
    pub fn none() -> Self {
        Self("none".to_owned())
    }
}

impl TryFrom<String> for ComparedEnvironment {
    type Error = NotCompared;

    fn try_from(name: String) -> Result<Self, NotCompared> {
        match name.as_str() {
            EMULATED | FAKE => Err(NotCompared(name)),
            _ => Ok(Self(name)),
        }
    }
}

impl From<ComparedEnvironment> for String {
    fn from(environment: ComparedEnvironment) -> Self {
        environment.0
    }
}

impl Deref for ComparedEnvironment {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ComparedEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_measured_is_not_compared_even_where_a_file_says_so() {
        let read = |name: &str| serde_json::from_value::<ComparedEnvironment>(name.into());
        assert_eq!(&*read("native").unwrap(), "native");
        for name in [EMULATED, FAKE] {
            let refused = read(name).unwrap_err().to_string();
            assert!(refused.contains(name), "{refused}");
        }
    }
}
