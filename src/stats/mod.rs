//! What a finished measurement allows to conclude.
