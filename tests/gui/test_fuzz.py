"""A thousand requests made from the OpenAPI document: never a fault, nothing outside is touched."""

from __future__ import annotations

import json
import os
import random
from urllib.parse import quote

import pytest

import small_project
from gui_client import READER, TOKEN, client_of
from vitreous.gui.guard import Access
from vitreous.gui.server import create_app

N = 1000
SEED = int(os.environ.get("VITREOUS_FUZZ_SEED", "20261122"))
SECRET = "a secret of somebody else"
TEXTS = [
    *("", "x", "0", "-1", "class2d", "External/job001/particles.star", "job.star", "Extract/../.."),
    *("../secret.txt", "/etc/passwd", "outward/secret.txt", "....//....//etc/passwd", "a" * 3000),
    *(
        "$$var",
        "`id`",
        "$(id)",
        "; rm -rf /",
        "<script>",
        "%2e%2e",
        "\\..\\..",
        "é\u202e\U0001f600",
    ),
    *("\ud800", "*", "[", "{a,b}", "(", "None", "NaN", "1e999", "true", "~root", "a\nb", " ", "."),
    *(
        "RANDOMLY",
        "rlnImageName",
        "map.mrc",
        "stack.mrcs",
        "table.star",
        "note.txt",
        ".gui_projectdir",
    ),
]
NUMBERS = [0, 1, 2, 3, -1, 4, 7, 99, 2**31, 2**63, -(2**70), 0.5, 1e308, -1e-300]
OTHERS = [None, True, False, [], {}, [[]], {"a": {"b": []}}]


@pytest.fixture
def project(tmp_path):
    made = small_project.make(tmp_path / "project")
    first = small_project.finished_external(made)
    small_project.finished_external(made, reads=f"{first}particles.star", alias="good")
    (tmp_path / "secret.txt").write_text(SECRET)
    (made.root / "outward").symlink_to(tmp_path)
    _write_pictures(made.root)
    return made


def _write_pictures(root):
    import numpy as np

    from vitreous.io import write_mrc, write_volume

    random_values = np.random.default_rng(1).normal(size=(16, 16, 16)).astype(np.float32)
    write_volume(root / "map.mrc", random_values, 2.0)
    write_mrc(root / "stack.mrcs", random_values, 2.0)
    (root / "broken.mrc").write_bytes(b"\xff" * 2000)
    (root / "table.star").write_text(
        "data_particles\n\nloop_\n_rlnImageName #1\n_rlnDefocusU #2\n"
        "000001@stack.mrcs 1.0\n000002@../secret.txt nan\n000099@stack.mrcs 3\n"
    )


def _value(schema, rng, schemas, depth=0):
    """Return a value that fits a schema, or, now and then, one that does not."""
    if rng.random() < 0.15 or depth > 4:
        return rng.choice([rng.choice(TEXTS), rng.choice(NUMBERS), rng.choice(OTHERS)])
    if "$ref" in schema:
        return _value(schemas[schema["$ref"].rpartition("/")[2]], rng, schemas, depth + 1)
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        return _value(rng.choice(choices), rng, schemas, depth + 1)
    if "enum" in schema:
        return rng.choice(schema["enum"])
    if schema.get("type") == "object":
        return _object(schema, rng, schemas, depth)
    if schema.get("type") == "array":
        n = rng.choice([0, 1, 3, 100])
        return [_value(schema.get("items", {}), rng, schemas, depth + 1) for _ in range(n)]
    plain = {
        "integer": [one for one in NUMBERS if isinstance(one, int)],
        "number": NUMBERS,
        "boolean": [True, False],
    }
    return rng.choice(plain.get(schema.get("type"), TEXTS))


def _object(schema, rng, schemas, depth):
    found = {
        name: _value(part, rng, schemas, depth + 1)
        for name, part in schema.get("properties", {}).items()
        if name in schema.get("required", ()) or rng.random() < 0.6
    }
    if schema.get("additionalProperties"):
        keys = ["fn_exe", "particles", "n_classes", "other_arguments", rng.choice(TEXTS)]
        found |= {key: rng.choice([*TEXTS, *NUMBERS]) for key in rng.sample(keys, 2)}
    return found


def _request(document, rng):
    path, acts = rng.choice(list(document["paths"].items()))
    method, act = rng.choice(list(acts.items()))
    schemas = document["components"]["schemas"]
    query = []
    for parameter in act.get("parameters", ()):
        value = _value(parameter["schema"], rng, schemas)
        text = _text(value if not isinstance(value, dict | list) else json.dumps(value))
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", text or "x")
        elif parameter.get("required") or rng.random() < 0.5:
            query.append(f"{parameter['name']}={text}")
    body = None
    if "requestBody" in act:
        schema = act["requestBody"]["content"]["application/json"]["schema"]
        body = json.dumps(_value(schema, rng, schemas))
        if rng.random() < 0.05:
            body = body[: len(body) // 2]
    return method, path, "&".join(query), body


def _text(value):
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return quote(text, safe="", errors="surrogatepass")


def test_a_thousand_requests_never_find_a_fault(project, tmp_path, monkeypatch):
    # Jobs are made and scheduled for real; only their processes are not started.
    monkeypatch.setattr("vitreous.running.launch.start", lambda *_, **__: None)
    monkeypatch.setattr("vitreous.actions.autorun.autorun_in_background", lambda *_, **__: 0)
    around = {path for path in tmp_path.iterdir() if path != project.root}
    document = json.loads(
        client_of(create_app(project.root, access=Access(TOKEN))).get("/api/openapi.json").text
    )
    rng = random.Random(SEED)
    counts: dict[int, int] = {}
    with client_of(create_app(project.root, access=Access(TOKEN, READER))) as client:
        for number in range(N):
            method, path, query, body = _request(document, rng)
            if path.endswith(("/graph.pdf", "/images/fft", "/images/profile", "/surface.png")):
                query = query.replace(
                    "path=map.mrc", "path=none.mrc"
                )  # torch takes seconds to load
            headers = {"content-type": "application/json"} if method != "get" else {}
            answer = client.request(method, f"{path}?{query}"[:8000], content=body, headers=headers)
            counts[answer.status_code] = counts.get(answer.status_code, 0) + 1
            where = (number, method, path, query[:300], (body or "")[:300], answer.text[:300])
            assert answer.status_code < 500, where
            assert SECRET not in answer.text, where
            assert "root:x:" not in answer.text, where
            if answer.status_code >= 400:
                assert answer.json()["error"], where
    assert counts[200] > N / 8, counts  # many got through to what they are about
    assert len(counts) >= 5
    assert {path for path in tmp_path.iterdir() if path != project.root} == around
    assert (tmp_path / "secret.txt").read_text() == SECRET
