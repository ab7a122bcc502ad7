"""Pipelines and releases: monolithic builds, gates that are missing, versions that move, credentials that are too strong."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lateen.check.checks.config import credential
from lateen.check.ci import Job, Pipeline, pipelines
from lateen.check.finding import Hit, Severity
from lateen.check.manifest import Path, mapping, maps
from lateen.check.practice import usual
from lateen.check.registry import check
from lateen.check.world import World

INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR


def _builds(p: Pipeline) -> int:
    return sum(j.builds for j in p.jobs)


@check(
    "LT-PIP-189",
    "one pipeline builds every service on each change",
    ERROR,
    why="A change of one service builds, tests and releases all: it takes the time of all, and fails with any.",
    fix="one pipeline per service with a path filter, or build only what is affected",
)
def builds_all(world: World) -> Iterator[Hit]:
    for p in pipelines(world):
        if p.each_change and not p.filtered and _builds(p) >= 3:
            job = max(p.jobs, key=lambda j: j.builds)
            yield Hit(p.manifest, job.path, f"every change builds {_builds(p)} images")


@check(
    "LT-PIP-190",
    "no path filter",
    WARNING,
    why="The pipeline runs for changes that cannot concern it.",
    fix="add paths (GitHub) or rules: changes (GitLab)",
)
def no_filter(world: World) -> Iterator[Hit]:
    every = list(pipelines(world))
    building = [p for p in every if _builds(p) and p.each_change]
    for p in building:
        if len(building) > 1 and not p.filtered and _builds(p) < 3:
            yield Hit(p.manifest, p.jobs[0].path, "the pipeline runs on every change, whatever it touches")


@check(
    "LT-PIP-191",
    "one unit of delivery for all services",
    WARNING,
    why="Services that are applied as one are released and rolled back as one.",
    fix="one Application (or chart, or folder) per service; an ApplicationSet makes them",
)
def one_application(world: World) -> Iterator[Hit]:
    found = [m for m in world.kind("Application") if m.group == "argoproj.io"]
    found += [m for m in world.kind("Kustomization") if m.group.startswith("kustomize.toolkit")]
    if len(found) == 1 and not world.has("ApplicationSet") and len(world.serving) >= 4:
        yield Hit(found[0], ("metadata", "name"), f"one {found[0].kind} delivers all {len(world.serving)} workloads")


@check(
    "LT-PIP-192",
    "one version variable for all services",
    WARNING,
    why="No service can be released or rolled back alone.",
    fix="a tag (better: a digest) per service",
)
def one_tag(world: World) -> Iterator[Hit]:
    form = re.compile(r"\$\{\{\s*[\w.]+\s*\}\}|\$\{?\w+\}?")
    for p in pipelines(world):
        for job in p.jobs:
            tags = [
                m.group(1)
                for s in job.steps
                for m in re.finditer(r"set\s+image\s+\S+\s+\S+=\S+:(\S+)|--set\s+\S*tag=(\S+)", s.text)
                if m.group(1)
            ]
            if len(tags) >= 3 and len(set(tags)) == 1 and form.fullmatch(tags[0]):
                yield Hit(p.manifest, job.path, f"{len(tags)} services are set to one version, {tags[0]}")
    for m in world.others:
        path = next(
            (q for q in (("global", "image", "tag"), ("global", "imageTag"), ("global", "tag"), ("imageTag",)) if m.at(*q)), None
        )
        parts = [
            k
            for k, v in m.data.items()
            if isinstance(v, dict) and k != "global" and ("image" in v or "replicas" in v or "replicaCount" in v)
        ]
        if path and len(parts) >= 2 and not any(mapping(mapping(m.data[k]).get("image")).get("tag") for k in parts):
            yield Hit(m, path, f"one tag is the version of {len(parts)} services")


@check(
    "LT-PIP-193",
    "services are deployed one after the other",
    WARNING,
    why="Each waits for the others though nothing ties them; one that fails stops all behind it.",
    fix="deploy each when its own build is done",
)
def serial_deploys(world: World) -> Iterator[Hit]:
    for p in pipelines(world):
        deploying = {j.name: j for j in p.jobs if j.deploys}
        chains = [j for j in deploying.values() if _depth(j, deploying) >= 3 and p.kind == "github"]
        if chains and not any(re.search(r"stag|prod|dev|test|qa|canary", n, re.IGNORECASE) for n in deploying):
            yield Hit(p.manifest, chains[0].path, f"{len(deploying)} deployments wait for each other: {', '.join(deploying)}")
        for job in deploying.values():
            targets = {t for s in job.steps for t in re.findall(r"rollout\s+status\s+deploy(?:ment)?[/ ](\S+)", s.text)}
            if len(targets) >= 3:
                yield Hit(p.manifest, job.path, f"one job deploys {len(targets)} services in turn: {', '.join(sorted(targets))}")


def _depth(job: Job, known: dict[str, Job], seen: frozenset[str] = frozenset()) -> int:
    return 1 + max((_depth(known[n], known, seen | {job.name}) for n in job.needs if n in known and n not in seen), default=0)


@check(
    "LT-PIP-194",
    "tag that moves is released",
    WARNING,
    why="What was tested and what runs may differ, and there is nothing to go back to.",
    fix="push and deploy a tag per commit, better the digest",
)
def moving_tag(world: World) -> Iterator[Hit]:
    form = re.compile(
        r"(?:docker\s+push|set\s+image\s+\S+)\s+\S+:latest\b|--set\s+\S*tag=latest\b|docker\s+(?:buildx\s+)?build\b[^\n]*:latest\b"
    )
    for p in pipelines(world):
        for job in p.jobs:
            for s in job.steps:
                only = (
                    "latest" in str(mapping(s.data.get("with")).get("tags", ""))
                    and "," not in str(mapping(s.data.get("with")).get("tags", "")).strip()
                )
                only = only and "\n" not in str(mapping(s.data.get("with")).get("tags", "")).strip()
                if (form.search(s.text) and not re.search(r"sha|GITHUB_REF|CI_COMMIT|\$\{?VERSION|\$\{?TAG", s.text)) or only:
                    yield Hit(p.manifest, s.path, "the pipeline releases the tag latest")


@check(
    "LT-PIP-195",
    "no progressive delivery",
    INFO,
    why="Every user gets a new version at once, the broken one too.",
    fix="use a Rollout (or lateen's) with steps",
)
def not_progressive(world: World) -> Iterator[Hit]:
    canaries = {str(mapping(m.spec.get("targetRef")).get("name")) for m in world.kind("Canary")}
    serving = [w for w in world.serving if world.fronts(w) and w.kind in ("Deployment", "Rollout")]
    common = usual(serving, lambda w: w.kind == "Rollout" or w.name in canaries)
    for w in serving:
        if w.kind == "Deployment" and w.name not in canaries:
            say = f"{w.name} is replaced all at once" + (", unlike the others" if common else "")
            yield Hit(w.manifest, ("spec", "strategy"), say, WARNING if common else INFO)


@check(
    "LT-PIP-196",
    "nothing rolls back by itself",
    WARNING,
    why="A bad version stays until somebody looks.",
    fix="add an analysis to the rollout; helm upgrade --rollback-on-failure (before Helm 4: --atomic)",
)
def no_rollback(world: World) -> Iterator[Hit]:
    for m in world.kind("Rollout"):
        canary = mapping(mapping(m.spec.get("strategy")).get("canary"))
        blue = mapping(mapping(m.spec.get("strategy")).get("blueGreen"))
        analysed = canary.get("analysis") or any("analysis" in s for s in maps(canary.get("steps")))
        if (canary and not analysed) or (blue and not blue.get("prePromotionAnalysis") and not blue.get("postPromotionAnalysis")):
            yield Hit(m, ("spec", "strategy"), "the rollout has no analysis: it goes on whatever happens")
    for m in world.kind("Canary"):
        analysis = mapping(m.spec.get("analysis"))
        if not analysis.get("metrics") and not analysis.get("webhooks"):
            yield Hit(m, ("spec", "analysis"), "the canary has no metrics: it goes on whatever happens")
    for p in pipelines(world):
        for job in p.jobs:
            for s in job.steps:
                if re.search(r"helm\s+upgrade\b", s.text) and not re.search(
                    r"--atomic|--rollback-on-failure|helm\s+rollback", s.text
                ):
                    yield Hit(p.manifest, s.path, "helm upgrade leaves a failed release as it is", INFO)


@check(
    "LT-PIP-197",
    "rollout without a gate",
    WARNING,
    why="Steps that neither wait nor measure are a plain update in slow motion.",
    fix="put a pause or an analysis between the steps",
)
def no_gate(world: World) -> Iterator[Hit]:
    templates = {m.name for m in world.kind("AnalysisTemplate", "ClusterAnalysisTemplate")}
    for m in world.kind("Rollout"):
        canary = mapping(mapping(m.spec.get("strategy")).get("canary"))
        steps = maps(canary.get("steps"))
        if canary and not any("pause" in s or "analysis" in s or "experiment" in s for s in steps):
            yield Hit(m, ("spec", "strategy", "canary"), "the canary never waits between its steps")
        for i, s in enumerate(steps):
            for j, t in enumerate(maps(mapping(s.get("analysis")).get("templates"))):
                if templates and t.get("templateName") not in templates:
                    path = ("spec", "strategy", "canary", "steps", i, "analysis", "templates", j, "templateName")
                    yield Hit(m, path, f"the AnalysisTemplate {t.get('templateName')} is not among the manifests", ERROR)


@check(
    "LT-PIP-198",
    "no scan before deployment",
    WARNING,
    why="Images with known holes are released.",
    fix="scan the image (trivy, grype) and stop on what can be fixed",
)
def no_scan(world: World) -> Iterator[Hit]:
    every = list(pipelines(world))
    for p in every:
        pushes = any(re.search(r"docker\s+push|push:\s*true|'push':\s*True|--push\b", s.text) for j in p.jobs for s in j.steps)
        if _builds(p) and (pushes or any(j.deploys for j in p.jobs)) and not p.scans:
            job = next(j for j in p.jobs if j.builds)
            yield Hit(p.manifest, job.path, "images are built and released without a scan")


@check(
    "LT-PIP-199",
    "no check of manifests before deployment",
    INFO,
    why="What this command would find is found in production.",
    fix="run lateen check in the pipeline",
)
def no_policy(world: World) -> Iterator[Hit]:
    for p in pipelines(world):
        deploying = [j for j in p.jobs if j.deploys]
        if deploying and not p.judges:
            yield Hit(p.manifest, deploying[0].path, "manifests are deployed without a check")


_PRINTED = re.compile(
    r"\b(echo|printf|cat\s+<<<)\b[^\n|>]*(\$\{\{\s*secrets\.\w+\s*\}\}|\$\{?\w*(PASSWORD|TOKEN|SECRET|API_KEY)\w*\}?)[^\n|>]*$",
    re.MULTILINE,
)


@check(
    "LT-PIP-202",
    "secret printed or written in the pipeline",
    ERROR,
    why="Logs and files of pipelines are read by many and kept for long.",
    fix="use the CI system's secrets, and never print them; replace the credential",
)
def printed_secret(world: World) -> Iterator[Hit]:
    for p in pipelines(world):
        places: list[tuple[Path, object]] = [
            (("env",), p.manifest.data.get("env")),
            (("variables",), p.manifest.data.get("variables")),
        ]
        places += [((*j.path, key), j.data.get(key)) for j in p.jobs for key in ("env", "variables")]
        places += [((*s.path, "env"), s.data.get("env")) for j in p.jobs for s in j.steps]
        for path, values in places:
            for name, value in mapping(values).items():
                if isinstance(value, str) and "$" not in value and (what := credential(str(name), value)):
                    yield Hit(p.manifest, (*path, name), f"{name} is {what} in clear")
        for j in p.jobs:
            for s in j.steps:
                if _PRINTED.search(s.text):
                    yield Hit(p.manifest, s.path, "the step prints a secret")


@check(
    "LT-PIP-203",
    "pipeline with too many rights",
    ERROR,
    why="Whoever changes the pipeline, or one of the actions in it, has these rights.",
    fix="give the pipeline what it needs: permissions per job, a role per namespace",
)
def strong_pipeline(world: World) -> Iterator[Hit]:
    for p in pipelines(world):
        for path, data in ((("permissions",), p.manifest.data), *(((*j.path, "permissions"), j.data) for j in p.jobs)):
            if data.get("permissions") == "write-all":
                yield Hit(p.manifest, path, "the pipeline may write everything (write-all)", WARNING)
        if "pull_request_target" in p.trigger and any(
            "head" in str(mapping(s.data.get("with")).get("ref", "")) for j in p.jobs for s in j.steps
        ):
            yield Hit(p.manifest, p.jobs[0].path, "code of strangers runs with the repository's secrets (pull_request_target)")
    for m in world.kind("ClusterRoleBinding"):
        if mapping(m.data.get("roleRef")).get("name") == "cluster-admin":
            for i, s in enumerate(maps(m.data.get("subjects"))):
                if re.search(
                    r"\b(ci|cd|deploy(er)?|pipeline|jenkins|gitlab|github|argo(cd)?|flux|tekton|runner)\b",
                    str(s.get("name")).replace("_", "-"),
                ):
                    yield Hit(m, ("subjects", i, "name"), f"the pipeline's account {s.get('name')} is cluster-admin")


@check(
    "LT-PIP-250",
    "action that moves",
    WARNING,
    why="An action at a branch runs whatever is there today, with the secrets of the pipeline.",
    fix="pin it to a commit",
)
def moving_action(world: World) -> Iterator[Hit]:
    for p in pipelines(world):
        for j in p.jobs:
            for s in j.steps:
                name, _, version = str(s.data.get("uses", "")).partition("@")
                if version in ("main", "master", "latest", "HEAD", "develop") and not name.startswith("./"):
                    yield Hit(p.manifest, (*s.path, "uses"), f"{name} is used at {version}")


@check(
    "LT-PIP-251",
    "gate that never closes",
    WARNING,
    why="A test or scan whose failure is ignored is no gate.",
    fix="let it fail the pipeline; waive single findings instead",
)
def open_gate(world: World) -> Iterator[Hit]:
    gates = re.compile(r"test|scan|trivy|grype|snyk|check|lint|audit", re.IGNORECASE)
    for p in pipelines(world):
        for j in p.jobs:
            if j.data.get("allow_failure") is True and gates.search(j.name):
                yield Hit(p.manifest, (*j.path, "allow_failure"), f"the failure of {j.name} is ignored")
            for s in j.steps:
                ignored = s.data.get("continue-on-error") is True and gates.search(s.text + str(s.data.get("name", "")))
                if ignored or re.search(r"(test|trivy|grype|snyk|lint|audit)\b[^\n]*\|\|\s*true", s.text):
                    yield Hit(p.manifest, s.path, "the failure of the step is ignored")


@check(
    "LT-PIP-257",
    "deployment does not wait for tests",
    WARNING,
    why="What the tests refuse is already in production.",
    fix="let the deploying job need the testing one",
)
def untested(world: World) -> Iterator[Hit]:
    for p in pipelines(world):
        jobs = {j.name: j for j in p.jobs}
        testing = {j.name for j in p.testing}
        for j in p.jobs:
            if j.deploys and testing and j.name not in testing and not _reaches(j, testing, jobs):
                yield Hit(p.manifest, j.path, f"{j.name} deploys without waiting for {', '.join(sorted(testing))}")


def _reaches(job: Job, targets: set[str], jobs: dict[str, Job], seen: frozenset[str] = frozenset()) -> bool:
    return any(
        n in targets or (n in jobs and n not in seen and _reaches(jobs[n], targets, jobs, seen | {job.name})) for n in job.needs
    )


@check(
    "LT-PIP-258",
    "environment follows a branch",
    INFO,
    why="What runs changes with every push, without a promotion that somebody decided.",
    fix="set targetRevision to a tag or commit for production",
)
def floating_revision(world: World) -> Iterator[Hit]:
    for m in world.kind("Application"):
        revision = m.at("spec", "source", "targetRevision")
        if m.group == "argoproj.io" and revision in (None, "HEAD", "main", "master"):
            production = re.search(r"prod", f"{m.name} {m.at('spec', 'destination', 'namespace')} {m.at('spec', 'source', 'path')}")
            yield Hit(
                m,
                ("spec", "source", "targetRevision"),
                f"the application follows {revision or 'HEAD'}",
                WARNING if production else INFO,
            )
