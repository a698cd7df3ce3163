"""The names of a model and of the members of an ensemble in reports."""

from transformer.models.base import TokenModel

MODEL = "model"
AVERAGED = "averaged"


def named_models(model: TokenModel) -> dict[str, TokenModel]:
    """The model, or the members of an ensemble in their order; the last one is the whole."""
    members = model.members
    if len(members) == 1:
        return {MODEL: model}
    names = [f"{MODEL} {number}" for number in range(1, len(members) + 1)]
    return dict(zip(names, members, strict=True)) | {AVERAGED: model}
