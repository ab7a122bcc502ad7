"""The oci runtime: containers with namespaces and cgroups of their own, started by crun or runc from generated bundles."""
