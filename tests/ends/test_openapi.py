"""schemathesis over the API: whatever is sent, no call fails for a reason of ours and every answer fits its schema."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import jsonschema_rs
import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
)

from ends.server import API_TOKEN, Server
from siyu.analytics.kinds import KINDS, parse_question
from siyu.errors import InvalidQuestion


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("openapi") / "home")
    running.start()
    running.batch([{"type": "identify", "userId": "u1", "anonymousId": "a1", "traits": {"phone": "13800000001"}}])
    running.wait_processed(1)
    yield running
    running.stop()


def test_a_wrong_address_is_a_problem_too(server: Server) -> None:
    """Right below /api stands the description, whose router would answer with a page."""
    for path in ("/api/nothing", "/api/nothing/else", "/nothing"):
        with pytest.raises(HTTPError) as refused:
            server.get(path)
        assert refused.value.headers["content-type"] == "application/problem+json"
        assert json.load(refused.value)["code"] == "NOT_FOUND"


CHECKS = (not_a_server_error, content_type_conformance, response_schema_conformance)


def test_no_call_breaks_the_server(server: Server) -> None:
    """Every operation with generated parameters and bodies, right and wrong ones."""
    schema = schemathesis.openapi.from_url(f"{server.url}/api/openapi.json")
    broken: dict[str, str] = {}
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) > 25
    for operation in operations:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            try:
                exercise(operation.as_strategy(generation_mode=mode))
            except Unsatisfiable:
                continue  # nothing can be wrong about an operation without parameters
            except (AssertionError, FailureGroup) as failure:
                broken[f"{operation.label} {mode.value}"] = str(failure)[:1500]
    assert not broken, "\n\n".join(f"{name}: {why}" for name, why in broken.items())


def exercise(cases: Any) -> None:
    @settings(
        max_examples=10,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def call(case: schemathesis.Case) -> None:
        case.call_and_validate(headers={"Authorization": f"Bearer {API_TOKEN}"}, checks=list(CHECKS), timeout=60)

    call()


def test_a_question_is_described_as_it_is_read(server: Server) -> None:
    """The schema allows what the documentation shows, and nothing that reading refuses for its shape."""
    described = server.get("/api/openapi.json")
    body = described["paths"]["/api/questions"]["post"]["requestBody"]
    schema = body["content"]["application/json"]["schema"]
    kinds = set(schema["discriminator"]["mapping"])
    assert kinds == {kind.__struct_config__.tag for kind in KINDS} | {"segment_size", "timeline"}
    valid = jsonschema_rs.validator_for({**schema, "components": described["components"]}).is_valid
    page = (Path(__file__).parents[2] / "docs" / "questions.md").read_text()
    examples = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", page, re.DOTALL)]
    assert {example["kind"] for example in examples} == kinds
    for example in examples:
        assert valid(example), example
        assert not valid({**example, "no_such_field": 1})
    assert not valid({"kind": "no_such_kind"})

    operation = schemathesis.openapi.from_url(f"{server.url}/api/openapi.json")["/api/questions"]["POST"]
    read: set[str] = set()

    @settings(max_examples=200, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
    def reads(case: schemathesis.Case) -> None:
        try:
            parse_question(json.dumps(case.body))
        except InvalidQuestion as refused:
            # To JSON Schema 1.0 is an integer.
            assert not isinstance(refused.__cause__, msgspec.ValidationError) or "got `float`" in str(refused), refused
        else:
            read.add(case.body["kind"])

    reads()
    assert len(read) > 4, "most generated bodies are questions"


def test_every_route_of_the_interface_is_described(server: Server) -> None:
    paths = server.get("/api/openapi.json")["paths"]
    for path in (
        "/healthz",
        "/readyz",
        "/metrics",
        "/api/stream",
        "/api/persons/lookup",
        "/api/persons/{person_id}/timeline",
        "/api/persons/{person_id}/evidence",
        "/api/persons/{person_id}/traits/{name}",
        "/api/identity/retractions",
        "/api/identity/conflicts",
        "/api/questions",
        "/api/dead-letters",
        "/api/dead-letters/{letter_id}/replay",
        "/api/clock",
    ):
        assert path in paths, path


def test_the_short_way_answers_as_the_framework_does(server: Server) -> None:
    """A parameter given twice is the framework's to judge, so it answers that one."""
    assert server.batch([{"type": "identify", "messageId": "short", "userId": "short", "traits": {"city": "广州"}}])
    for _ in range(200):
        if (state := server.get("/api/stream"))["processed"] == state["accepted"]:
            break
        time.sleep(0.05)
    look = "/api/persons/lookup?kind=user_id&value=short"
    person, ordinary = server.get(look), server.get(look + "&value=short")
    for one in (person, ordinary):
        del one["segments"], one["trust_level"]  # kept by somebody who may come in between
    assert person == ordinary
    assert person["traits"] == {"city": "广州"}
    timeline = f"/api/persons/{person['person_id']}/timeline?limit=5"
    assert server.get(timeline) == server.get(timeline + "&limit=5")
    assert server.get(timeline)["items"][0]["event_id"] == "short"


def test_without_a_token_nothing_but_health_is_answered(server: Server) -> None:
    import urllib.error
    import urllib.request

    for path in ("/healthz", "/readyz", "/metrics"):
        with urllib.request.urlopen(server.url + path, timeout=30) as answer:
            assert answer.status == 200
    for path in ("/api/stream", "/api/persons/lookup?kind=user_id&value=u1", "/api/dead-letters"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(server.url + path, timeout=30)
        assert refused.value.code == 401
