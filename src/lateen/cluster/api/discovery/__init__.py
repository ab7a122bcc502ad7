"""Discovery: which groups, versions and resources there are. ``legacy`` a document per group version, ``aggregated`` all in one;
``openapi`` the schemas. All are made from the registry, and kept while it stands still."""
