"""What the API server itself calls: extension API servers and webhooks, behind Services or at URLs, over TLS."""
