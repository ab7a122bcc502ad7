"""One subresource per file. Each registers what it does for (group resource, subresource, method) in ``subresources.table``."""
