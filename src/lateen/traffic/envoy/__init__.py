"""The proxy processes: where the binary is, how one is configured, started, adopted, watched, drained and asked."""
