"""A Terraform provider (plugin protocol 6) that serves a schema and makes up the rest.

Run by Terraform as ``python server.py SCHEMA``. Resources exist in the state alone. What AWS would compute
is unknown in a plan and a made-up value after the apply. Data sources answer with what ``answers.json``
beside the schema has for them, or with made-up values. Write-only attributes (``*_wo``) are never kept.

``replacing.json`` beside the schema has the arguments, by type and for all, that cannot change in place.

``faults/TYPE`` beside the schema holds an error's text: the next creation of a resource of that type fails
with it, once. ``slow/TYPE`` holds seconds that the next creation takes, ``said/TYPE`` what each resource that
is made computes. ``applied.log`` gets a line for each change.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import sys
import tempfile
import threading
import time
from concurrent import futures
from pathlib import Path
from typing import Any, Final

import grpc
import msgpack
from tf.gen import grpc_controller_pb2 as controller
from tf.gen import grpc_controller_pb2_grpc as controller_rpc
from tf.gen import grpc_stdio_pb2_grpc as stdio_rpc
from tf.gen import tfplugin_pb2 as pb
from tf.gen import tfplugin_pb2_grpc as rpc
from tf.runner import _self_signed_cert

_UNKNOWN: Final = msgpack.ExtType(0, b"\x00")
_NESTING: Final = {"single": 1, "list": 2, "set": 3, "map": 4}
# `write_only = 11` came to the protocol after the package's own definition of it was generated.
_WRITE_ONLY: Final = b"\x58\x01"


def _typed(kind: Any, *, in_set: bool) -> Any:
    """A type that Terraform takes: within a set nothing may be untyped."""
    return ("string" if in_set else "dynamic") if "dynamic" in json.dumps(kind) else kind


def _schema_block(block: dict[str, Any], *, in_set: bool = False) -> Any:
    made = pb.Schema.Block(version=0)
    for name, attribute in sorted(block["attributes"].items()):
        flags = attribute["flags"]
        field = pb.Schema.Attribute(
            name=name,
            type=json.dumps(_typed(attribute["type"], in_set=in_set)).encode(),
            required="R" in flags,
            optional="O" in flags and "R" not in flags,
            computed="C" in flags and "R" not in flags,
        )
        if name.endswith("_wo"):
            field.MergeFromString(_WRITE_ONLY)
        made.attributes.append(field)
    for name, nested in sorted(block["blocks"].items()):
        inner = _schema_block(nested["block"], in_set=in_set or nested["nesting"] in ("set", "map"))
        made.block_types.append(
            pb.Schema.NestedBlock(
                type_name=name,
                block=inner,
                nesting=_NESTING[nested["nesting"]],
                min_items=nested["min"],
                max_items=nested["max"],
            )
        )
    return made


def _encode(value: Any) -> Any:
    return pb.DynamicValue(msgpack=msgpack.packb(value))


def _decode(value: Any) -> Any:
    if value.msgpack:
        return msgpack.unpackb(value.msgpack, ext_hook=msgpack.ExtType)
    return json.loads(value.json) if value.json else None


def _is_unknown(value: Any) -> bool:
    return isinstance(value, msgpack.ExtType)


def _made_up(kind: Any, path: str, region: str) -> Any:
    """A value of a type, the same for the same path; `arn` looks like one."""
    if kind == "string":
        mark = hashlib.sha256(path.encode()).hexdigest()[:12]
        resource, _, name = path.partition(".")
        if name.endswith("arn"):
            return f"arn:aws:{resource.split('_')[1]}:{region}:123456789012:{resource}/{mark}"
        return f"stub-{resource.removeprefix('aws_')}-{mark}"
    if kind in ("number", "bool"):
        return 0 if kind == "number" else False
    if isinstance(kind, list) and kind[0] == "object":
        return {name: _made_up(inner, f"{path}.{name}", region) for name, inner in kind[1].items()}
    if isinstance(kind, list) and kind[0] in ("list", "set"):
        return [_made_up(kind[1], path, region)] if isinstance(kind[1], list) else []
    return {} if isinstance(kind, list) else None


def _completed(block: dict[str, Any], prior: Any, proposed: Any, path: str, *, fill: bool) -> Any:
    """``proposed`` with what the provider computes: as it was, unknown, or (``fill``) made up."""
    done = dict(proposed)
    given = done.get("region")
    region = given if isinstance(given, str) else "us-east-1"
    before = prior if isinstance(prior, dict) else {}
    for name, attribute in block["attributes"].items():
        if name.endswith("_wo"):
            done[name] = None
        elif _is_unknown(done.get(name)):
            if fill:
                done[name] = _made_up(attribute["type"], f"{path}.{name}", region)
        elif done.get(name) is None and "C" in attribute["flags"]:
            if before.get(name) is not None:
                done[name] = before[name]
            else:
                done[name] = _made_up(attribute["type"], f"{path}.{name}", region) if fill else _UNKNOWN
    for name, nested in block["blocks"].items():
        value, inner = done.get(name), nested["block"]
        # What is computed within a set stays unset: its members could not be told apart before and after.
        if isinstance(value, list) and nested["nesting"] != "set":
            done[name] = [
                _completed(inner, None, item, f"{path}.{name}", fill=fill) if isinstance(item, dict) else item
                for item in value
            ]
        elif isinstance(value, dict) and nested["nesting"] == "single":
            done[name] = _completed(inner, None, value, f"{path}.{name}", fill=fill)
    return done


class Provider(rpc.ProviderServicer):
    """The calls that Terraform makes of a provider."""

    def __init__(self, directory: Path, schema: dict[str, Any]) -> None:
        self._directory = directory
        self._resources = schema["resources"]
        self._data_sources = schema["data_sources"]
        self._provider = schema["provider"]
        answers = directory / "answers.json"
        self._answers = json.loads(answers.read_text()) if answers.is_file() else {}
        self._replacing = json.loads((directory / "replacing.json").read_text())
        self._log = threading.Lock()

    def GetMetadata(self, request, context):
        resources = [pb.GetMetadata.ResourceMetadata(type_name=name) for name in self._resources]
        sources = [pb.GetMetadata.DataSourceMetadata(type_name=name) for name in self._data_sources]
        return pb.GetMetadata.Response(resources=resources, data_sources=sources)

    def GetProviderSchema(self, request, context):
        def whole(block):
            return pb.Schema(version=0, block=_schema_block(block))

        return pb.GetProviderSchema.Response(
            provider=whole(self._provider),
            resource_schemas={name: whole(block) for name, block in self._resources.items()},
            data_source_schemas={name: whole(block) for name, block in self._data_sources.items()},
        )

    def ValidateProviderConfig(self, request, context):
        return pb.ValidateProviderConfig.Response()

    def ConfigureProvider(self, request, context):
        return pb.ConfigureProvider.Response()

    def ValidateResourceConfig(self, request, context):
        return pb.ValidateResourceConfig.Response()

    def ValidateDataResourceConfig(self, request, context):
        return pb.ValidateDataResourceConfig.Response()

    def UpgradeResourceState(self, request, context):
        return pb.UpgradeResourceState.Response(upgraded_state=_encode(json.loads(request.raw_state.json)))

    def ReadResource(self, request, context):
        changed = self._directory / "drift" / request.type_name
        if not changed.is_file():
            return pb.ReadResource.Response(new_state=request.current_state)
        found = {**_decode(request.current_state), **json.loads(changed.read_text())}
        return pb.ReadResource.Response(new_state=_encode(found))

    def PlanResourceChange(self, request, context):
        proposed = _decode(request.proposed_new_state)
        if proposed is None:
            return pb.PlanResourceChange.Response(planned_state=_encode(None))
        block = self._resources[request.type_name]
        prior = _decode(request.prior_state)
        planned = _completed(block, prior, proposed, request.type_name, fill=False)
        return pb.PlanResourceChange.Response(
            planned_state=_encode(planned), requires_replace=self._replaced(request.type_name, prior, planned)
        )

    def _replaced(self, kind: str, prior: Any, planned: dict[str, Any]) -> list[Any]:
        """The paths of the arguments that differ and cannot change in place.

        Of what was taken in by its identifier nothing else is known here, where AWS would have told it.
        """
        if prior is None:
            return []
        fixed = (*self._replacing["*"], *self._replacing.get(kind, ()))
        differing = [
            name for name in fixed if name in planned and prior.get(name) not in (None, planned[name])
        ]
        step = pb.AttributePath.Step
        return [pb.AttributePath(steps=[step(attribute_name=name)]) for name in differing]

    def ApplyResourceChange(self, request, context):
        kind, planned = request.type_name, _decode(request.planned_state)
        prior = _decode(request.prior_state)
        if planned is None:
            self._record("delete", kind)
            return pb.ApplyResourceChange.Response(new_state=_encode(None))
        with contextlib.suppress(FileNotFoundError):
            time.sleep(float(self._take("slow", kind)))
        with contextlib.suppress(FileNotFoundError):
            message = self._take("faults", kind)
            fault = pb.Diagnostic(severity=pb.Diagnostic.ERROR, summary=message.strip())
            return pb.ApplyResourceChange.Response(new_state=request.prior_state, diagnostics=[fault])
        # Two resources with different arguments get different ids; what is named by its identifier has the
        # same ARN again when another is given its name.
        own = planned.get("identifier")
        mark = own if isinstance(own, str) else hashlib.sha256(request.planned_state.msgpack).hexdigest()[:12]
        path = f"{kind}.{mark}"
        done = _completed(self._resources[kind], None, planned, path, fill=True)
        with contextlib.suppress(FileNotFoundError):
            done |= json.loads((self._directory / "said" / kind).read_text())
        self._record("update" if prior else "create", kind)
        return pb.ApplyResourceChange.Response(new_state=_encode(done))

    def ImportResourceState(self, request, context):
        """What is taken in is known by its identifier alone; the rest is completed as for a creation."""
        block, kind = self._resources[request.type_name], request.type_name
        known = dict.fromkeys(block["attributes"]) | {
            name: None if nested["nesting"] == "single" else [] for name, nested in block["blocks"].items()
        }
        known |= {name: request.id for name in ("id", "identifier") if name in known}
        self._record("import", kind)
        found = _completed(block, None, known, f"{kind}.{request.id}", fill=True)
        # What decides about a replacement must not be made up.
        found |= {name: None for name in self._replacing.get(kind, ()) if name in found}
        taken = pb.ImportResourceState.ImportedResource(type_name=kind, state=_encode(found))
        return pb.ImportResourceState.Response(imported_resources=[taken])

    def ReadDataSource(self, request, context):
        kind = request.type_name
        asked = {**_decode(request.config), **self._answers.get(kind, {})}
        return pb.ReadDataSource.Response(
            state=_encode(_completed(self._data_sources[kind], None, asked, kind, fill=True))
        )

    def StopProvider(self, request, context):
        return pb.StopProvider.Response()

    def _take(self, what: str, kind: str) -> str:
        file = self._directory / what / kind
        text = file.read_text()
        file.unlink()
        return text

    def _record(self, action: str, kind: str) -> None:
        with self._log, (self._directory / "applied.log").open("a") as log:
            log.write(f"{action} {kind}\n")


class _Controller(controller_rpc.GRPCControllerServicer):
    def __init__(self, stopped: threading.Event) -> None:
        self._stopped = stopped

    def Shutdown(self, request, context):
        self._stopped.set()
        return controller.Empty()


class _Stdio(stdio_rpc.GRPCStdioServicer):
    def StreamStdio(self, request, context):
        return iter([])


def serve(schema_file: Path) -> None:
    """Serve until Terraform says to stop, over a socket in a directory of its own."""
    stopped = threading.Event()
    sizes = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    server = grpc.server(futures.ThreadPoolExecutor(16), options=sizes)
    provider = Provider(schema_file.parent, json.loads(schema_file.read_text()))
    rpc.add_ProviderServicer_to_server(provider, server)
    controller_rpc.add_GRPCControllerServicer_to_server(_Controller(stopped), server)
    stdio_rpc.add_GRPCStdioServicer_to_server(_Stdio(), server)
    with tempfile.TemporaryDirectory(prefix="stub-") as directory:
        chain, credentials = _self_signed_cert()
        socket = f"{directory}/s"
        server.add_secure_port(f"unix://{socket}", credentials)
        server.start()
        certificate = base64.b64encode(chain).decode().rstrip("=")
        print("|".join(["1", "6", "unix", socket, "grpc", certificate]), flush=True)
        stopped.wait()
        server.stop(0)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
