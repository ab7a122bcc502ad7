"""Kubernetes vocabulary as data: resources, quantities, selectors, schemas, defaults, patches. Pure: no I/O, no clock."""
