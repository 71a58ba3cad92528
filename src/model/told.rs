//! What a figure tells: a value, or a bound where an interruption was too short to be timed.

/// A recovery has a value where service was interrupted. Where it never was, there is only how long
/// an interruption would have gone unseen. What was never interrupted comes before all that was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Told<T = u64> {
    /// Never interrupted for longer.
    AtMost(T),
    Value(T),
    /// What ended it later says nothing of the system: longer than this.
    AtLeast(T),
}

impl<T> Told<T> {
    /// As files have it: a value, or `null` and the bound beside it.
    pub fn read(value: Option<T>, at_most: Option<T>, at_least: Option<T>) -> Option<Self> {
        at_most.map(Self::AtMost).or(value.map(Self::Value)).or(at_least.map(Self::AtLeast))
    }

    pub fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::AtMost(_) | Self::AtLeast(_) => None,
        }
    }

    pub fn at_most(self) -> Option<T> {
        match self {
            Self::AtMost(bound) => Some(bound),
            Self::Value(_) | Self::AtLeast(_) => None,
        }
    }

    pub fn at_least(self) -> Option<T> {
        match self {
            Self::AtLeast(bound) => Some(bound),
            Self::Value(_) | Self::AtMost(_) => None,
        }
    }

    pub fn map<U>(self, of: impl FnOnce(T) -> U) -> Told<U> {
        match self {
            Self::AtMost(bound) => Told::AtMost(of(bound)),
            Self::Value(value) => Told::Value(of(value)),
            Self::AtLeast(bound) => Told::AtLeast(of(bound)),
        }
    }
}
