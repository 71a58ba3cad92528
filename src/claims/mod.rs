//! The eight claims as data, and the rules that turn measurements into verdicts.
