"""CI files (GitHub Actions, GitLab) in one shape: jobs with their commands, needs and places. Read by the pipeline checks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lateen.check.manifest import Manifest, Path, mapping, maps
from lateen.check.world import World

_BUILD = re.compile(
    r"\bdocker\s+(buildx\s+)?build\b|\bbuildah\s+b|\bkaniko\b|/kaniko/executor|\bko\s+build\b|lateen\s+build|docker/build-push-action|\bpodman\s+build\b"
)
_DEPLOY = re.compile(
    r"\bkubectl\s+(apply|set\s+image|rollout)|\bhelm\s+(upgrade|install)|\bkustomize\s+build\b.*\|\s*kubectl|lateen\s+(up|apply)|argocd\s+app\s+sync|flux\s+reconcile|azure/k8s-deploy|helmfile\s+(apply|sync)"
)
_SCAN = re.compile(
    r"trivy|grype|snyk|anchore|clair|docker\s+scout|dependency-?check|osv-scanner|container_scanning|Container-Scanning|twistcli|sysdig|lateen\s+scan",
    re.IGNORECASE,
)
_POLICY = re.compile(
    r"lateen\s+check|kubeconform|kubeval|kube-?score|kube-?linter|conftest|kyverno|polaris|checkov|kubescape|datree|gatekeeper|pluto",
    re.IGNORECASE,
)
_TEST = re.compile(
    r"\b(pytest|go\s+test|npm\s+(run\s+)?test|yarn\s+test|mvn\s+.*(test|verify)|gradlew?\s+.*test|cargo\s+test|make\s+test|tox|jest|dotnet\s+test|rspec)\b"
)
_CHANGES = re.compile(
    r"paths-filter|changed-files|nx\s+affected|turbo\b|bazel|pants|git\s+diff|rush\s+.*--to|lerna\s+.*--since|skaffold",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Step:
    """A command (or an action with its inputs) of a job."""

    path: Path
    text: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """A job: what it runs and what it waits for. ``services``: how many it builds (a matrix counts)."""

    name: str
    path: Path
    data: dict[str, Any]
    steps: tuple[Step, ...]
    needs: tuple[str, ...]

    def does(self, form: re.Pattern[str]) -> bool:
        return any(form.search(s.text) for s in self.steps)

    @property
    def builds(self) -> int:
        """How many images the job builds."""
        count = sum(len(_BUILD.findall(s.text)) for s in self.steps)
        matrix = mapping(mapping(self.data.get("strategy")).get("matrix")) or mapping(
            (maps(mapping(self.data.get("parallel")).get("matrix")) or [{}])[0]
        )
        sizes = [len(v) for v in matrix.values() if isinstance(v, list)]
        loop = any(re.search(r"\bfor\s+\w+\s+in\b", s.text) and _BUILD.search(s.text) for s in self.steps)
        return count * max([*sizes, 3 if loop else 1])

    @property
    def deploys(self) -> bool:
        return self.does(_DEPLOY)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A CI file."""

    manifest: Manifest
    kind: str
    jobs: tuple[Job, ...]

    def does(self, form: re.Pattern[str]) -> bool:
        return any(j.does(form) for j in self.jobs)

    @property
    def scans(self) -> bool:
        return self.does(_SCAN) or "Container-Scanning" in str(self.manifest.data.get("include", ""))

    @property
    def judges(self) -> bool:
        """Whether manifests are checked."""
        return self.does(_POLICY)

    @property
    def filtered(self) -> bool:
        """Whether a change of one thing leaves the others alone."""
        if self.kind == "gitlab":
            return any(
                "changes" in str(j.data.get("rules", "")) or "changes" in str(j.data.get("only", "")) for j in self.jobs
            ) or self.does(_CHANGES)
        if self.kind == "tekton":
            return any(j.data.get("when") for j in self.jobs)
        on = self.trigger
        return any(
            "paths" in mapping(on.get(event)) or "paths-ignore" in mapping(on.get(event)) for event in ("push", "pull_request")
        ) or self.does(_CHANGES)

    @property
    def trigger(self) -> dict[str, Any]:
        """GitHub's ``on`` as a map (YAML reads the bare word as true)."""
        data: dict[Any, Any] = dict(self.manifest.data)
        on = data.get("on", data.get(True))
        if isinstance(on, str):
            return {on: None}
        return dict.fromkeys(on) if isinstance(on, list) else mapping(on)

    @property
    def each_change(self) -> bool:
        """Whether pushes start it."""
        return self.kind != "github" or bool({"push", "pull_request"} & set(self.trigger))

    @property
    def testing(self) -> list[Job]:
        return [j for j in self.jobs if j.does(_TEST)]


def pipelines(world: World) -> Iterator[Pipeline]:
    """The CI files among the documents that are no Kubernetes objects, and Tekton's pipelines."""
    for m in world.kind("Pipeline"):
        if m.group == "tekton.dev":
            yield Pipeline(m, "tekton", tuple(_tekton(m)))
    for m in world.others:
        data: dict[Any, Any] = dict(m.data)
        if isinstance(data.get("jobs"), dict) and ("on" in data or True in data):
            yield Pipeline(m, "github", tuple(_github(m)))
        elif "gitlab-ci" in m.source or (
            isinstance(data.get("stages"), list) and any("script" in mapping(v) for v in data.values())
        ):
            yield Pipeline(m, "gitlab", tuple(_gitlab(m)))


def _tekton(m: Manifest) -> Iterator[Job]:
    for i, task in enumerate(maps(m.spec.get("tasks"))):
        path: Path = ("spec", "tasks", i)
        name = str(mapping(task.get("taskRef")).get("name", ""))
        known = re.search(r"kaniko|buildah|buildpacks|docker-build|^ko$", name)
        built = " docker build" if known and not _BUILD.search(name) else ""
        steps = (Step(path, f"{name}{built} {task.get('params', '')} {task.get('taskSpec', '')}", task),)
        yield Job(str(task.get("name")), path, task, steps, tuple(map(str, task.get("runAfter") or ())))


def _github(m: Manifest) -> Iterator[Job]:
    for name, data in mapping(m.data.get("jobs")).items():
        path: Path = ("jobs", name)
        steps = tuple(
            Step(
                (*path, "steps", i),
                f"{s.get('uses', '')}\n{s.get('run', '')}\n{mapping(s.get('with')) if s.get('with') else ''}",
                s,
            )
            for i, s in enumerate(maps(mapping(data).get("steps")))
        )
        needs = mapping(data).get("needs", [])
        yield Job(str(name), path, mapping(data), steps, (needs,) if isinstance(needs, str) else tuple(map(str, needs)))


_RESERVED = ("stages", "variables", "default", "include", "image", "services", "workflow", "cache", "before_script", "after_script")


def _gitlab(m: Manifest) -> Iterator[Job]:
    stages = [str(s) for s in m.data.get("stages") or ("build", "test", "deploy")]
    jobs = {
        n: mapping(d) for n, d in m.data.items() if n not in _RESERVED and not str(n).startswith(".") and "script" in mapping(d)
    }
    for name, data in jobs.items():
        script = data["script"] if isinstance(data["script"], list) else [data["script"]]
        steps = tuple(
            Step((name, "script", i) if isinstance(data["script"], list) else (name, "script"), str(s), {})
            for i, s in enumerate(script)
        )
        explicit = data.get("needs")
        if isinstance(explicit, list):
            needs = tuple(str(n.get("job")) if isinstance(n, dict) else str(n) for n in explicit)
        else:
            before = stages[: stages.index(str(data.get("stage", "test")))] if data.get("stage", "test") in stages else []
            needs = tuple(n for n, d in jobs.items() if d.get("stage", "test") in before)
        yield Job(str(name), (name,), data, steps, needs)
