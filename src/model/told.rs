//! What a figure tells: a value, or a bound where an interruption was too short to be timed.

/// A recovery has a value where service was interrupted. Where it never was, there is only how long
/// an interruption would have gone unseen. What was never interrupted comes before all that was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Told<T = u64> {
    /// Never interrupted for longer.
    AtMost(T),
    Value(T),
}

impl<T> Told<T> {
    /// As files have it: a value, or `null` and the bound beside it.
    pub fn read(value: Option<T>, at_most: Option<T>) -> Option<Self> {
        at_most.map(Self::AtMost).or(value.map(Self::Value))
    }

    pub fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::AtMost(_) => None,
        }
    }

    pub fn at_most(self) -> Option<T> {
        match self {
            Self::AtMost(bound) => Some(bound),
            Self::Value(_) => None,
        }
    }

    pub fn map<U>(self, of: impl FnOnce(T) -> U) -> Told<U> {
        match self {
            Self::AtMost(bound) => Told::AtMost(of(bound)),
            Self::Value(value) => Told::Value(of(value)),
        }
    }
}
