"""One verb per file: ``get list watch create update patch delete deletecollection``. Each is ``async (backend, call) ->
Answer``."""
