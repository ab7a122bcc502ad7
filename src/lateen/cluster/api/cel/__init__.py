"""CEL as Kubernetes has it: the language with Kubernetes' own function libraries. Used by CRDs, admission policies and webhooks."""
