//! The command line: arguments, progress, messages and exit codes. The only group that prints.
