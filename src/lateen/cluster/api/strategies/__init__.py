"""What is special about a kind on its way into storage. A file per family; ``strategy_for`` is what the verbs ask.

The general rule needs no entry: a kind with a status subresource loses ``status`` on create and keeps the stored one on update;
``metadata.generation`` counts changes outside metadata and status for kinds with a spec and a controller.
"""
