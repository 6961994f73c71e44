"""What the config of a new model says about it."""

from __future__ import annotations

from pyollama.gguf import GGUFHeader
from pyollama.store import ModelConfig

__all__ = ["describe", "parameter_size"]


def describe(header: GGUFHeader, base: ModelConfig | None = None) -> ModelConfig:
    """The config of a model whose weights have this header.

    Args:
        header: Of the GGUF file.
        base: The config of the model that it is made from, which says what no header knows.
    """
    base = base or ModelConfig()
    family = header.architecture or "unknown"
    return ModelConfig(
        model_format=base.model_format or "gguf",
        model_family=family,
        model_families=(family,),
        model_type=parameter_size(header.parameter_count),
        file_type=header.file_type,
        renderer=base.renderer,
        parser=base.parser,
        requires=base.requires,
        capabilities=base.capabilities,
        draft=base.draft,
        # What the reference writes everywhere; nobody looks at it.
        architecture="amd64",
        os="linux",
    )


def parameter_size(count: int) -> str:
    """A number of parameters for people.

    Example::

        parameter_size(6_738_415_616), parameter_size(136_727_040)   # "6.7B", "136.73M"
    """
    for unit, suffix, decimals in ((10**9, "B", 1), (10**6, "M", 2)):
        if count >= unit:
            return f"{count / unit:.{0 if count % unit == 0 else decimals}f}{suffix}"
    return f"{count / 1000:.0f}K" if count >= 1000 else str(count)
