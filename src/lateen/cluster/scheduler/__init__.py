"""The scheduler: ``decide`` plans (pure), ``loop`` watches and binds. Composed by cluster.boot."""
