import orjson

from runtime.simulator.errors import Refused, invalid


def test_a_refusal_has_the_shape_of_openais_errors() -> None:
    refused = Refused(404, "no such model", code="model_not_found", param="model")
    assert orjson.loads(refused.body()) == {
        "error": {
            "message": "no such model",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
        }
    }


def test_what_is_invalid_is_a_400() -> None:
    assert (invalid("no", "n").status, invalid("no", "n").param) == (400, "n")
