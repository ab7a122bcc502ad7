"""lateen: from one application file to services in production on Kubernetes."""

__version__ = "0.1.0"
