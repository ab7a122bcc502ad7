"""API aggregation: APIServices, and the extension API servers behind them, as kube-aggregator does it."""
