"""Tables: what ``kubectl get`` prints. A file per family of kinds; ``build`` asks ``columns_for`` and makes the Table."""
