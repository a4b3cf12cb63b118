"""YAML by the rules of version 1.2, which DVC follows too.

By those of version 1.1, which PyYAML follows, `010` is 8, `1:30` is 90, `yes` is true and `1e-05`
is text: a stage would not train with what dvc.lock records.
"""

from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError


def parse_yaml(text: str) -> Any:
    """Plain values of a YAML text; None for an empty one.

    Raises:
        ValueError: it is no YAML, or a key stands in it twice.
    """
    try:
        return YAML(typ="safe").load(text)
    except (YAMLError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from None


def format_yaml(content: Any, *, flow: bool = False, width: int = 80) -> str:
    """YAML of plain values, keys in their order.

    Args:
        content: mappings, lists, numbers, text, true, false and None.
        flow: on one line, as `{a: [1, 2]}`.
        width: characters after which a line is broken, unless it is one line.
    """
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style = flow
    yaml.sort_base_mapping_type_on_output = False
    yaml.width = 1000 if flow else width
    written = StringIO()
    yaml.dump(content, written)
    return written.getvalue()
