"""The async client for any Kubernetes API: one Client over two transports (HTTP, in-process), and informer caches."""

from lateen.client.client import Client
from lateen.client.seam import Request, Response, Transport, WatchEvent

__all__ = ["Client", "Request", "Response", "Transport", "WatchEvent"]
