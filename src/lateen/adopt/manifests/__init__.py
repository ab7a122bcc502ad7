"""Kubernetes objects become an application file: what the model has words for, patches for the rest, and manifests as they are.

``reading`` takes texts apart, ``objects`` cleans objects and says when two are the same, ``pods``, ``services`` and ``calls``
guess the model, ``delta`` makes the patches from what the guess renders to what is wanted, ``app`` puts it together and proves it:
what it returns renders to the given objects. Files, charts, Kustomize folders and live namespaces all come in here.
"""
