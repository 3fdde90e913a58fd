"""Nothing is lost between a model's object, its form, and the object that comes back."""

import json

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, create_model

from tests.ui.forms_kit import SCALARS, models, open_form, result, run, same

pytestmark = pytest.mark.integration

# A form takes its time, so a failing example is reported as found: making it smaller would take minutes.
patient = settings(
    deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.reuse, Phase.generate]
)


def _holds_secret(value: object) -> bool:
    return "SecretStr" in repr(value)


@settings(patient, max_examples=40)
@given(model=models())
def test_any_model_comes_back_the_same(model: type[BaseModel]) -> None:
    """Three ways in: the model's defaults, an object, and raw JSON. Drawn twice, since a browser echoes its widgets."""
    truth = model()
    app = open_form(model)
    for _ in range(2):
        assert same(result(app).value, truth)
        assert not result(app).changed
        run(app)

    app = open_form(model, value=truth)
    for _ in range(2):
        assert result(app).errors == ()
        assert same(result(app).value, truth)
        assert not result(app).changed
        run(app)

    raw = json.loads(json.dumps(result(app).raw))
    if not _holds_secret(truth):
        app = open_form(model, loaded=raw)
        assert result(app).errors == ()
        assert same(result(app).value, truth)


@pytest.mark.parametrize("kind", sorted(SCALARS))
@settings(patient, max_examples=3)
@given(data=st.data())
def test_every_kind_comes_back_the_same(kind: str, data: st.DataObject) -> None:
    annotation, values = SCALARS[kind]
    model = create_model("One", field=(annotation, ...))
    truth = model(field=data.draw(values))
    app = run(open_form(model, value=truth))
    assert same(result(app).value, truth)
    if not _holds_secret(truth):
        raw = json.loads(json.dumps(result(app).raw))
        assert same(result(open_form(model, loaded=raw)).value, truth)
