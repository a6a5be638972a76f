"""A container's command and environment, from its spec and what it refers to, as the kubelet makes them."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

from mlops_assets_tests.kube.objects import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets_tests.kube.objects import Object, Objects

_REFERENCE = re.compile(r"\$\$|\$\(([\w.-]+)\)")
_LABEL = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


class ConfigError(Exception):
    """The container cannot be made: it refers to what is not there."""


def command(container: Object, env: Mapping[str, str]) -> list[str]:
    """``command`` and ``args``, with ``$(NAME)`` replaced."""
    words = [*(container.get("command") or []), *(container.get("args") or [])]
    return [_expand(word, env) for word in words]


def environment(pod: Object, image: Mapping[str, str], objects: Objects) -> dict[str, str]:
    """What the pod's first container finds in its environment; raises ``ConfigError``."""
    (container, *_) = pod["spec"]["containers"]
    namespace = pod["metadata"]["namespace"]
    env = {**image, "HOSTNAME": pod["spec"].get("hostname") or pod["metadata"]["name"]}
    for source in container.get("envFrom") or []:
        env |= _all_of(source, namespace, objects)
    for entry in container.get("env") or []:
        if entry.get("valueFrom"):
            value = _value_from(entry["valueFrom"], pod, objects)
            if value is not None:
                env[entry["name"]] = value
        else:
            env[entry["name"]] = _expand(entry.get("value") or "", env)
    return env


def _all_of(source: Object, namespace: str, objects: Objects) -> dict[str, str]:
    kind, reference = (
        ("configmaps", source["configMapRef"])
        if source.get("configMapRef")
        else ("secrets", source["secretRef"])
    )
    data = _data(kind, namespace, reference, objects)
    return {(source.get("prefix") or "") + name: value for name, value in data.items()}


def _value_from(source: Object, pod: Object, objects: Objects) -> str | None:
    if source.get("fieldRef"):
        return _field(source["fieldRef"]["fieldPath"], pod)
    kind, reference = (
        ("configmaps", source["configMapKeyRef"])
        if source.get("configMapKeyRef")
        else ("secrets", source["secretKeyRef"])
    )
    data = _data(kind, pod["metadata"]["namespace"], reference, objects)
    if reference["key"] not in data and not reference.get("optional"):
        raise ConfigError(f"couldn't find key {reference['key']} in {kind} {reference['name']}")
    return data.get(reference["key"])


def _data(kind: str, namespace: str, reference: Object, objects: Objects) -> dict[str, str]:
    try:
        data = objects.get(kind, namespace, reference["name"]).get("data") or {}
    except RefusedError as error:
        if reference.get("optional"):
            return {}
        raise ConfigError(str(error)) from error
    if kind == "secrets":
        return {name: base64.b64decode(value).decode() for name, value in data.items()}
    return dict(data)


def _field(path: str, pod: Object) -> str:
    if found := _LABEL.fullmatch(path):
        return str((pod["metadata"].get(found.group(1)) or {}).get(found.group(2), ""))
    value: Any = pod
    for part in path.split("."):
        value = value.get(part, "")
    return str(value)


def _expand(text: str, env: Mapping[str, str]) -> str:
    def replaced(found: re.Match[str]) -> str:
        return "$" if found.group(0) == "$$" else env.get(found.group(1), found.group(0))

    return _REFERENCE.sub(replaced, text)
