"""The checks, a function each, a file per theme. A check looks at the World and yields Hits; nothing else."""
