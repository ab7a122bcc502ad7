"""The ways to patch an object: JSON patch, merge patch, strategic merge patch. Pure; the given objects are never changed.

Server-side apply is ``kube.managedfields``. Written here, not taken from jsonpatch, because a patch is on the hot path of every
status write and errors must read as Kubernetes' do.
"""
