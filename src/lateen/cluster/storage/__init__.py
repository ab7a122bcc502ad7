"""The revisioned log with watch: memory and SQLite behind one seam and one conformance suite."""
