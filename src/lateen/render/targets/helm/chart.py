"""The files that every chart has, whatever is in it: Chart.yaml, helpers, notes, a test of the connections."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from lateen.kube.yamltext import dump
from lateen.model import Application

VALUES = """\
# What people change. Unknown keys are refused (values.schema.json). An environment: helm install -f values-ENVIRONMENT.yaml
# namespace.create is for `helm template`; `helm install --create-namespace` makes the namespace before the chart is read.
"""
_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?"
)
_HELPERS = """\
{{/* The chart's name and version, as a label. */}}
{{- define "APP.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* What chooses pods; immutable in a Deployment. Takes a list: the root, the name. */}}
{{- define "APP.selectorLabels" -}}
app.kubernetes.io/name: {{ index . 1 | quote }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name | quote }}
{{- end }}

{{/* Labels of pods. Takes a list: the root, the name, the component. No version of the chart: pods would restart with it. */}}
{{- define "APP.podLabels" -}}
{{ include "APP.selectorLabels" . }}
app.kubernetes.io/component: {{ index . 2 | quote }}
app.kubernetes.io/part-of: APP
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
{{- end }}

{{/* Labels of objects. Takes a list: the root, the name, the component. */}}
{{- define "APP.labels" -}}
{{ include "APP.podLabels" . }}
helm.sh/chart: {{ include "APP.chart" (index . 0) }}
{{- end }}

{{/* The reference of an image: repository, tag, digest. */}}
{{- define "APP.image" -}}
{{- .repository }}{{ with .tag }}:{{ . }}{{ end }}{{ with .digest }}@{{ . }}{{ end }}
{{- end }}

{{/* The version label of an image: its tag, else the head of its digest. */}}
{{- define "APP.version" -}}
{{- $tag := ternary "" (default "" .tag) (eq (default "" .tag) "latest") -}}
{{- $digest := default "" .digest | splitList ":" | last | trunc 12 -}}
{{- default $digest $tag | trunc 63 | regexFind "^.*[A-Za-z0-9]" }}
{{- end }}

{{/* A name that changes with what it is made of: an object that must not change is replaced. Takes a list: name, seed, values. */}}
{{- define "APP.hashed" -}}
{{- printf "%s-%s" (index . 0) (printf "%s%s" (index . 1) (index . 2 | toJson) | sha256sum | trunc 10) }}
{{- end }}
"""
_NOTES = """\
{{ .Chart.Name }} {{ .Chart.AppVersion }} is in the namespace {{ .Release.Namespace }}.

Watch it come up:

  kubectl --namespace {{ .Release.Namespace }} get pods --selector app.kubernetes.io/part-of=APP

Test that its services answer:

  helm test {{ .Release.Name }} --namespace {{ .Release.Namespace }}
"""
_IGNORE = """\
.git/
.lateen-files
*.tgz
*.orig
*~
"""
_TEST = """\
{{- if .Values.tests.enabled }}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .Release.Name }}-test
  namespace: {{ .Release.Namespace | quote }}
  labels:
    {{- include "APP.labels" (list $ "test" "test") | nindent 4 }}
  annotations:
    helm.sh/hook: test
    helm.sh/hook-weight: "-1"
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
  ingress:
    - from:
        - podSelector:
            matchLabels:
              {{- include "APP.selectorLabels" (list $ "test") | nindent 14 }}
  egress:
    - to:
        - podSelector: {}
---
apiVersion: v1
kind: Pod
metadata:
  name: {{ .Release.Name }}-test
  namespace: {{ .Release.Namespace | quote }}
  labels:
    {{- include "APP.labels" (list $ "test" "test") | nindent 4 }}
  annotations:
    helm.sh/hook: test
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    seccompProfile: {type: RuntimeDefault}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: test
      image: {{ include "APP.image" .Values.tests.image | quote }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      command:
        - sh
        - -ec
        - |
          {{- range .Values.tests.connections }}
          {{- if (index $.Values.services .service).enabled }}
          nc -z -w 5 {{ .service }} {{ .port | int64 }} && echo "{{ .service }}:{{ .port | int64 }} answers"
          {{- end }}
          {{- end }}
{{- end }}
"""


def files(app: Application, base: dict[str, Any]) -> dict[str, str]:
    """Those files."""
    texts = {
        "Chart.yaml": dump([_chart(app)]),
        ".helmignore": _IGNORE,
        "templates/_helpers.tpl": _HELPERS,
        "templates/NOTES.txt": _NOTES,
    }
    if "tests" in base:
        texts["templates/tests/connections.yaml"] = _TEST
    return {path: text.replace("APP", app.name) for path, text in texts.items()}


def tests(apps: Sequence[Application]) -> dict[str, Any] | None:
    """The values of the test: every TCP port of a service in any environment. None where there is nothing to test."""
    ports = {
        (name, port.port): None
        for app in apps
        for name, service in app.services.items()
        for port in service.ports.values()
        if port.transport == "TCP"
    }
    image = {"repository": "docker.io/library/busybox", "tag": "1.37", "digest": ""}
    connections = [{"service": name, "port": port} for name, port in ports]
    return {"enabled": True, "image": image, "connections": connections} if ports else None


def _chart(app: Application) -> dict[str, Any]:
    version = app.spec.version or ""
    return {
        "apiVersion": "v2",
        "name": app.name,
        "description": f"The services of {app.name}",
        "type": "application",
        "version": version if _SEMVER.fullmatch(version) else "0.1.0",
        "appVersion": version or "0.1.0",
        **({"maintainers": [{"name": app.spec.owner}]} if app.spec.owner else {}),
    }


def template(text: str, values: str, variable: str, conditions: Sequence[str]) -> str:
    """A template file: the values it is about, and the switches it depends on."""
    head = f"{{{{- {variable} := {values} }}}}\n" if variable in text or any(variable in c for c in conditions) else ""
    if not conditions:
        return head + text
    condition = conditions[0] if len(conditions) == 1 else f"and {' '.join(conditions)}"
    return f"{head}{{{{- if {condition} }}}}\n{text}{{{{- end }}}}\n"


def json_text(document: Mapping[str, Any]) -> str:
    """JSON that people can read."""
    return json.dumps(document, indent=2) + "\n"
