"""Measurements: ``python -m bench [name ...]`` runs them, prints figures beside targets, and writes JSON to bench/results/."""
