"""Compose files: a story as a whole, and each notation by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lateen.adopt.compose.app import read
from lateen.adopt.compose.names import is_compose
from lateen.adopt.nodes import Imported
from lateen.adopt.world import Memory
from lateen.errors import InputError
from lateen.kube.yamltext import Source, dump, plain
from lateen.model import load
from lateen.render import files_needed, render

STORIES = Path(__file__).parents[2] / "golden" / "adopt"
FILES = {
    "nginx.conf": b"events {}\n",
    "api.env": b"# the defaults\nLEVEL=info\nexport NAME='a b' # said\nWORKERS=1\nHOST\nUNSET\n",
    "secrets/key": b"hunter2\n",
    "web/Dockerfile": b"FROM scratch\n",
    "web/src/main.js": b"1",
    "html/index.html": b"<p>",
    "html/css/a.css": b"p {}",
}
TCP = {"protocol": "tcp", "public": True}
VARIABLES = {"TAG": "2.1", "DB_PASSWORD": "se$cret", "HOST": "here"}


def imported(*texts: str, files: dict[str, bytes] | None = None, variables: dict[str, str] | None = None) -> Imported:
    sources = [Source("compose.yaml" if not i else f"over{i}.yaml", text) for i, text in enumerate(texts)]
    return read(sources, Memory(FILES | (files or {}), VARIABLES | (variables or {})), folder="My Folder")


def model(*texts: str, **variables: str) -> Any:
    return plain(imported(*texts, variables=variables).tree)


def service(fields: str, **variables: str) -> Any:
    return model(f"services: {{a: {{image: i, {fields}}}, b: {{image: nginx}}}}", **variables)["services"]["a"]


def objects(found: Imported) -> list[Any]:
    app = load([found.tree])
    return render(app, files=dict.fromkeys(files_needed(app), b"x"))


def test_the_story(golden: Any) -> None:
    found = imported((STORIES / "shop.compose.yaml").read_text())
    golden(STORIES / "shop.lateen.yaml", dump([plain(found.tree), [loss.described() for loss in found.losses]]))
    assert {o["kind"] for o in objects(found)} >= {"Deployment", "StatefulSet", "Job", "Service", "PersistentVolumeClaim"}


def test_names_of_files() -> None:
    assert all(map(is_compose, ("compose.yaml", "docker-compose.yml", "compose.prod.yaml", "docker-compose.override.yml")))
    assert not any(map(is_compose, ("lateen.yaml", "mycompose.yaml", "compose.json", "composed.yaml")))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$TAG", "2.1"),
        ("${TAG}x", "2.1x"),
        ("${NO:-d}${NO-e}", "de"),
        ("${EMPTY:-d}${EMPTY-e}", "d"),
        ("${TAG:+on}${NO:+on}${EMPTY+on}${EMPTY:+no}", "onon"),
        ("${NO:-${TAG:-x}-y}", "2.1-y"),
        ("$$TAG", "$TAG"),
        ("${NO}", ""),
    ],
)
def test_variables(text: str, value: str) -> None:
    assert service(f"user: '1', environment: {{X: '{text}'}}", EMPTY="")["env"]["X"] == value


@pytest.mark.parametrize(
    ("text", "at", "said"),
    [
        ("services: {a: {image: '${X:?say it}'}}", "1:23", "X is not set: say it"),
        ("services: {a: {image: '${X'}}", "1:23", "has no end"),
        ("services:\n  a:\n    imagee: x", "3:5", "no field 'imagee'"),
        ("services:\n  a:\n    image: x\n    ports: ['80:x']", "4:13", "is not a port"),
        ("services:\n  a:\n    image: x\n    depends_on: [bb]\n  b: {image: x}", "4:18", "depends on 'bb'"),
        ("services:\n  a:\n    image: x\n    volumes: [v:/x]", "4:15", "not declared under volumes"),
        ("services:\n  a:\n    image: x\n    secrets: [v]", "4:15", "not declared under secrets"),
        ("services:\n  a:\n    image: x\n    env_file: no.env", "4:15", "no file 'no.env'"),
        ("services:\n  a:\n    image: x\n    mem_limit: lots", "4:16", "is not a size"),
        ("services:\n  a: {image: x, extends: {service: c}}", "2:36", "no service 'c'"),
        ("services:\n  a: {image: x, extends: {service: a}}", "2:26", "extends itself"),
        ("services: [a]", "1:11", "expected a map"),
        ("include: [x.yaml]\nservices: {}", "1:11", "there is no file 'x.yaml'"),
        ("include: [{path: x.yaml, env_file: y}]\nservices: {}", "1:26", "env_file of an included file"),
    ],
)
def test_errors_point_into_the_file(text: str, at: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        imported(text)
    assert caught.value.where == f"compose.yaml:{at}"


def test_faults_that_the_model_finds_point_into_the_file_too() -> None:
    found = imported("services:\n  a:\n    command: x\n  b:\n    image: x\n    x-lateen: {replica: 2}")
    with pytest.raises(ExceptionGroup) as caught:
        load([found.tree])
    first, *_ = caught.value.exceptions
    assert "compose.yaml:6:16" in str(first)
    found = imported("services:\n  a:\n    command: x")
    with pytest.raises(ExceptionGroup) as caught:
        load([found.tree])
    assert "compose.yaml:2:3" in str(caught.value.exceptions[0])


@pytest.mark.parametrize(
    ("fields", "ports"),
    [
        ("ports: ['8080:80']", {"http": {"port": 80}, "public-8080": {"port": 8080, "target": 80, "public": True}}),
        ("ports: ['127.0.0.1:5353:5353/udp']", {"udp": {"port": 5353, "protocol": "udp", "public": True}}),
        ("ports: [3000]", {"http": {"port": 3000, "public": True}}),
        ("ports: ['7000-7001:7000-7001']", {"tcp": TCP | {"port": 7000}, "tcp-7001": TCP | {"port": 7001}}),
        ("ports: [{target: 50051, app_protocol: grpc}]", {"grpc": {"port": 50051, "protocol": "grpc", "public": True}}),
        ("expose: ['9999', '53/udp']", {"tcp": {"port": 9999, "protocol": "tcp"}, "udp": {"port": 53, "protocol": "udp"}}),
    ],
)  # fmt: skip
def test_ports(fields: str, ports: Any) -> None:
    assert service(fields)["ports"] == ports


@pytest.mark.parametrize(
    ("test", "probe"),
    [
        ("[CMD, curl, -f, 'http://localhost:80/up']", {"get": "/up:80"}),
        ("wget --spider -q http://127.0.0.1/ || exit 1", {"get": "/:80"}),
        ("[CMD, true]", {"exec": ["true"]}),
        ("curl -f http://localhost:81/", {"exec": ["/bin/sh", "-c", "curl -f http://localhost:81/"]}),
        ("curl -u me http://localhost/", {"exec": ["/bin/sh", "-c", "curl -u me http://localhost/"]}),
    ],
)
def test_health_checks(test: str, probe: Any) -> None:
    found = service(f"expose: [80], healthcheck: {{test: {test if test[0] == '[' else repr(test)}, interval: 1m, retries: 5}}")
    assert found["health"]["ready"] == {**probe, "period": 60, "timeout": 30, "failures": 5}


def test_no_health_check() -> None:
    assert "health" not in service("healthcheck: {disable: true}")
    assert "health" not in service("healthcheck: {test: [NONE]}")


def test_files_and_folders_of_the_machine_become_configuration() -> None:
    found = service("volumes: ['./html:/www:ro', './nginx.conf:/etc/n.conf', '/no/such:/x']")
    assert found["config"] == {
        "/www/css/a.css": {"source": "html/css/a.css"},
        "/www/index.html": {"source": "html/index.html"},
        "/etc/n.conf": {"source": "./nginx.conf"},
    }


def test_overrides_are_laid_over_and_extends_is_followed() -> None:
    base = """
    services:
      a: {image: x, command: run, environment: [A=1, B=2], ports: ['1:1'], volumes: ['v:/v']}
      b: {extends: a, environment: {B: 3}, command: [other]}
      c: {extends: {service: far, file: other.yaml}}
    volumes: {v: , w: }
    """
    over = "services: {a: {command: [go], environment: {B: 9}, ports: ['2:2'], volumes: ['w:/v']}}"
    other = {"other.yaml": b"services: {far: {image: far, working_dir: /w}}"}
    found = plain(imported(base, over, files=other).tree)["services"]
    assert found["a"]["env"] == {"A": "1", "B": "9"}
    assert found["a"]["args"] == ["go"]
    assert [p["port"] for p in found["a"]["ports"].values()] == [1, 2]
    assert found["b"]["args"] == ["other"]
    assert found["b"]["env"] == {"A": "1", "B": "3"}
    assert found["c"]["workingDir"] == "/w"


def test_a_shared_volume_is_one_claim() -> None:
    found = imported("services: {a: {image: x, volumes: ['v:/data']}, b: {image: x, volumes: ['v:/in']}}\nvolumes: {v: }")
    made = {(o["kind"], o["metadata"]["name"]): o for o in objects(found)}
    assert [n for k, n in made if k == "PersistentVolumeClaim"] == ["a-data"]
    volumes = made["Deployment", "b"]["spec"]["template"]["spec"]["volumes"]
    assert volumes == [{"name": "data-in", "persistentVolumeClaim": {"claimName": "a-data"}}]


def test_profiles() -> None:
    text = "services: {a: {image: x}, b: {image: x, profiles: [dev]}}"
    assert list(model(text)["services"]) == ["a"]
    assert list(model(text, COMPOSE_PROFILES="dev")["services"]) == ["a", "b"]


def test_privileges() -> None:
    assert service("cap_add: [NET_ADMIN]")["security"] == {"capabilities": ["NET_ADMIN"]}
    assert model("services: {a: {image: x, cap_add: [NET_ADMIN]}}")["policies"] == {"network": "open", "security": "privileged"}
    assert service("privileged: true")["security"]["profile"] == "privileged"


def test_the_name_comes_from_the_folder_where_nothing_says_it() -> None:
    assert model("services: {a: {image: x}}")["name"] == "my-folder"
    assert model("services: {a: {image: x}}", COMPOSE_PROJECT_NAME="p")["name"] == "p"
    assert model("name: n\nservices: {a: {image: x}}", COMPOSE_PROJECT_NAME="p")["name"] == "n"


def test_ports_and_calls_are_found_where_ports_do_not_say_them() -> None:
    text = """
    services:
      proxy: {image: nginx, volumes: ['./proxy.conf:/etc/nginx/nginx.conf'], environment: {NAME_OF: back}}
      back: {build: ./back, environment: {DB_HOST: db, MYSQL_DATABASE: proxy, SELF: 'http://back:9'}}
      db: {image: x}
      other: {build: ./exposed, depends_on: [db]}
    """
    files = {
        "proxy.conf": b"proxy_pass http://back:8000/;",
        "back/main.go": b"",
        "exposed/Dockerfile": b"FROM x\nEXPOSE 81 $PORT 82/tcp\n",
    }
    found = imported(text, files=files)
    services = plain(found.tree)["services"]
    assert services["back"]["ports"] == {"http": {"port": 8000}}
    assert services["proxy"]["needs"] == {"back": {"order": "none"}}
    assert "needs" not in services["back"]
    assert [p["port"] for p in services["other"]["ports"].values()] == [81, 82]
    assert [loss.what for loss in found.losses] == ["services.other.depends_on: db"]


def test_volumes_inside_a_folder_of_source_are_left_out_with_it() -> None:
    found = imported("services: {a: {build: ./web, volumes: ['./web:/app', /app/node_modules, /cache]}}")
    assert list(plain(found.tree)["services"]["a"]["storage"]) == ["/cache"]
    assert len(found.losses) == 2


def test_what_only_a_patch_says() -> None:
    fields = """shm_size: 64m, pull_policy: always, group_add: [7, wheel],
        dns: [10.0.0.9], dns_search: a.b, dns_opt: ['ndots:2', edns0],
        security_opt: ['no-new-privileges:true', 'label:x'], hostname: A.b, cap_drop: [NET_RAW], extra_hosts: ['far:10.1.1.1']"""
    found = imported(f"services: {{a: {{image: i, {fields}}}}}")
    (workload,) = [o for o in objects(found) if o["kind"] == "Deployment"]
    spec = workload["spec"]["template"]["spec"]
    assert {"name": "data-dev-shm", "emptyDir": {"sizeLimit": "64Mi", "medium": "Memory"}} in spec["volumes"]
    assert spec["containers"][0]["imagePullPolicy"] == "Always"
    assert spec["containers"][0]["securityContext"]["capabilities"] == {"drop": ["NET_RAW"]}
    assert spec["securityContext"]["supplementalGroups"] == [7]
    options = [{"name": "ndots", "value": "2"}, {"name": "edns0"}]
    assert spec["dnsConfig"] == {"nameservers": ["10.0.0.9"], "searches": ["a.b"], "options": options}
    assert spec["hostAliases"] == [{"ip": "10.1.1.1", "hostnames": ["far"]}]
    assert [loss.what.partition(".a.")[2] for loss in found.losses] == [
        "hostname: A.b",
        "group_add: wheel",
        "security_opt: label:x",
    ]


def test_included_and_extended_files_of_other_folders() -> None:
    files = {
        "parts/db.yaml": b"""
include: [more/cache.yaml]
services:
  db: {image: postgres, env_file: db.env, volumes: ['./db.conf:/etc/db.conf', 'data:/var/lib/postgresql/data'], secrets: [s]}
  base: {build: ./src, profiles: [never]}
volumes: {data: }
secrets: {s: {file: key}}
""",
        "parts/more/cache.yaml": b"services: {cache: {image: redis, build: ../src}}",
        "parts/db.env": b"A=1",
        "parts/db.conf": b"x",
        "parts/src/main.py": b"",
    }
    text = "include: [parts/db.yaml]\nservices: {web: {extends: {file: parts/db.yaml, service: base}, depends_on: [db, cache]}}"
    services = plain(imported(text, files=files).tree)["services"]
    assert services["db"]["env"] == {"A": "1"}
    assert services["db"]["config"] == {"/etc/db.conf": {"source": "./parts/db.conf"}}
    assert services["db"]["secrets"] == {"/run/secrets/s": {"from": "file:parts/key"}}
    assert services["cache"]["build"] == {"context": "parts/src"}
    loop = {"a.yaml": b"include: [b.yaml]\nservices: {}", "b.yaml": b"include: [a.yaml]\nservices: {}"}
    with pytest.raises(InputError, match="includes itself"):
        imported("include: [a.yaml]\nservices: {}", files=loop)
