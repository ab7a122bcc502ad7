"""Resources that are questions: a create answers, nothing is stored. A file per API group; ``table`` finds them."""
