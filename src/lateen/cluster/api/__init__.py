"""The API server: Kubernetes 1.37 to every client, over storage.

``server.ApiServer`` is the whole: it turns a request and a user into an answer. ``https`` serves it on a socket, the in-process
transport calls it directly; both meet the same verbs, admission and authorization.
"""
