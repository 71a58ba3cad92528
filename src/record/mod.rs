//! What happened: histograms, windows and the ledger.
