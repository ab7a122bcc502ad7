"""Dynamic admission: what users configure to be asked about writes, webhooks and policies in CEL. ``gate`` is the way in."""
