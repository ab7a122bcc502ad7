"""Who asks, and what they may do: certificates, tokens, RBAC. Used by the API server and composed by cluster.boot."""
