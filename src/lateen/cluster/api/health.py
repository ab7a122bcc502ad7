"""``/livez``, ``/readyz`` and ``/healthz``: named checks, with ``?verbose`` and ``?exclude``. Pure apart from calling the
checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable

Check = Callable[[], str]  # what is wrong, '' when nothing is


class Health:
    """The server's checks. ``boot`` adds its own (controllers, node); ``shutdown`` turns readiness off."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {"ping": lambda: ""}
        self._ready_only: dict[str, Check] = {}

    def add(self, name: str, check: Check, *, ready_only: bool = False) -> None:
        """Ask ``check`` from now on; ``ready_only`` checks do not make the server look dead."""
        (self._ready_only if ready_only else self._checks)[name] = check

    def report(self, path: str, *, verbose: bool, exclude: Iterable[str] = (), only: str = "") -> tuple[int, str]:
        """(200 or 500, text) of ``livez``, ``readyz`` or ``healthz``; (404, ...) for an unknown single check."""
        checks = self._checks if path == "livez" else {**self._checks, **self._ready_only}
        if only:
            if only not in checks:
                return 404, "404 page not found\n"
            checks = {only: checks[only]}
        skipped = set(exclude)
        lines, failed = [], False
        for name, check in checks.items():
            if name in skipped:
                lines.append(f"[+]{name} excluded: ok")
            elif problem := check():
                failed = True
                lines.append(f"[-]{name} failed: {problem}")
            else:
                lines.append(f"[+]{name} ok")
        if failed:
            return 500, "\n".join([*lines, f"{path} check failed"]) + "\n"
        return (200, "\n".join([*lines, f"{path} check passed"]) + "\n") if verbose else (200, "ok")
