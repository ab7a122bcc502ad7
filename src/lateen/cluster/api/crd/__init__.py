"""CustomResourceDefinitions: what one says (``definition``), serving it (``registration``), cleaning up after it (``cleanup``)."""
