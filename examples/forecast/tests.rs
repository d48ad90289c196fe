//! Runs of the whole example on small tables.
