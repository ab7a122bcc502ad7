"""For tests of others: an embedded cluster in the test's own event loop. ``plugin`` makes it a pytest fixture."""

from lateen.testing.embedded import EmbeddedCluster, embedded_cluster

__all__ = ["EmbeddedCluster", "embedded_cluster"]
