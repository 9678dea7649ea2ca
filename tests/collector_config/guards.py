"""What a Collector configuration must say so that no billed span is lost: one function a rule, findings as sentences.

The Collector's defaults lose billing data in a dozen places (retries end after 300 s, queues live in memory and
refuse when full, Kafka acknowledges early). Each rule here names one of them; `findings` runs them all on a merged
configuration.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

Config = dict[str, Any]
Findings = Iterator[str]

SAMPLERS = {"tail_sampling", "probabilistic_sampler", "groupbytrace"}
MIB = 1 << 20


def findings(config: Config, *, exposed: bool) -> list[str]:
    """Everything wrong with `config`; `exposed` where others than this machine reach it."""
    found = [text for rule in RULES for text in rule(config)]
    return found + list(exposure(config) if exposed else loopback(config))


def whole(config: Config) -> Findings:
    """Pipelines name components that exist, connectors join two ends, extensions in use are started."""
    service = config["service"]
    for name, pipeline in service["pipelines"].items():
        for part in ("receivers", "processors", "exporters"):
            known = config.get(part, {}).keys() | (
                config.get("connectors", {}).keys() if part != "processors" else set()
            )
            yield from (f"{name}: no {part[:-1]} {each}" for each in pipeline.get(part, []) if each not in known)
    for connector in config.get("connectors", {}):
        ends = [any(connector in p[part] for p in service["pipelines"].values()) for part in ("receivers", "exporters")]
        if not all(ends):
            yield f"connector {connector} has one end only"
    for used in _extensions_in_use(config):
        if used not in config.get("extensions", {}) or used not in service.get("extensions", []):
            yield f"extension {used} is used but not started"


def nothing_drops_on_the_cost_path(config: Config) -> Findings:
    """From a receiver to a cost exporter stand no sampler and no batch processor, which answers before it has sent."""
    for name, pipeline in _cost_path(config).items():
        for processor in pipeline.get("processors", []):
            if _type(processor) in SAMPLERS:
                yield f"{name}: sampler {processor} on the way to the cost exporter"
            if _type(processor) == "batch":
                yield f"{name}: batch processor {processor} holds acknowledged spans in memory"


def cost_is_reached(config: Config) -> Findings:
    """Every receiver of traces from outside leads to a cost exporter."""
    path = _cost_path(config)
    for name, pipeline in config["service"]["pipelines"].items():
        outside = [r for r in pipeline["receivers"] if r in config.get("receivers", {}) and "enriched" not in r]
        if outside and name not in path:
            yield f"{name}: {', '.join(outside)} never reaches a cost exporter"


def retries_never_end(config: Config) -> Findings:
    """A cost exporter tries for ever, with a time-out longer than a slow commit."""
    for name, exporter in _cost_exporters(config):
        retry = exporter.get("retry_on_failure", {})
        if retry.get("enabled") is not True or _seconds(retry.get("max_elapsed_time", "300s")) != 0:
            yield f"{name}: max_elapsed_time must be 0, or spans are dropped after it"
        if _seconds(retry.get("max_interval", "30s")) > 60:
            yield f"{name}: max_interval over a minute keeps spans long after the outage"
        if _seconds(exporter.get("timeout", "5s")) < 15:
            yield f"{name}: timeout under 15 s sends slow commits again"


def queues_are_on_disk(config: Config) -> Findings:
    """A cost exporter queues on disk, bounded in spans or bytes, blocks when full, and cuts its batches."""
    for name, exporter in _cost_exporters(config):
        queue = exporter.get("sending_queue", {})
        if queue.get("enabled") is False:
            if not _fed_by_kafka_only(config, name):
                yield f"{name}: without a queue only behind Kafka"
            continue
        if not str(queue.get("storage", "")).startswith("file_storage"):
            yield f"{name}: queue in memory: set storage"
        if queue.get("block_on_overflow") is not True:
            yield f"{name}: block_on_overflow must be true, or a full queue refuses spans"
        if queue.get("sizer") not in {"items", "bytes"} or not queue.get("queue_size"):
            yield f"{name}: queue_size must be bounded in items or bytes"
        if not queue.get("batch", {}).get("max_size"):
            yield f"{name}: batch.max_size is missing: an oversized batch is refused for good"


def storage_syncs(config: Config) -> Findings:
    """A queue on disk is flushed to the disk and never silently started anew."""
    for name, extension in config.get("extensions", {}).items():
        if _type(name) != "file_storage":
            continue
        if extension.get("fsync") is not True:
            yield f"{name}: fsync must be true"
        if extension.get("recreate"):
            yield f"{name}: recreate starts an empty queue over a damaged one"


def errors_keep_spans(config: Config) -> Findings:
    """A condition or statement that fails leaves the span as it is."""
    for name, processor in config.get("processors", {}).items():
        if _type(name) in {"filter", "transform"} and (processor or {}).get("error_mode") != "ignore":
            yield f"{name}: error_mode must be ignore"


def memory_is_limited_first(config: Config) -> Findings:
    """Where spans come in from outside, memory_limiter stands first."""
    for name, pipeline in config["service"]["pipelines"].items():
        outside = [r for r in pipeline["receivers"] if r in config.get("receivers", {})]
        if outside and [_type(p) for p in pipeline.get("processors", [])][:1] != ["memory_limiter"]:
            yield f"{name}: memory_limiter must come first"


def large_batches_are_taken(config: Config) -> Findings:
    """OTLP receivers take 64 MiB; the defaults refuse for good what is larger than 4 or 20."""
    for name, receiver in config.get("receivers", {}).items():
        protocols = receiver.get("protocols", {})
        if "grpc" in protocols and protocols["grpc"].get("max_recv_msg_size_mib", 4) < 64:
            yield f"{name}: grpc max_recv_msg_size_mib under 64"
        if "http" in protocols and protocols["http"].get("max_request_body_size", 20 * MIB) < 64 * MIB:
            yield f"{name}: http max_request_body_size under 64 MiB"


def view_cannot_refuse(config: Config) -> Findings:
    """Between the fork and an exporter of the view stands a batch processor, which swallows the view's errors."""
    for name, pipeline in config["service"]["pipelines"].items():
        views = [e for e in pipeline["exporters"] if "view" in e and e in config.get("exporters", {})]
        if not views:
            continue
        if [_type(p) for p in pipeline.get("processors", [])][-1:] != ["batch"]:
            yield f"{name}: without batch before {views[0]} a full view queue refuses billable spans"
        if any(config["exporters"][view].get("sending_queue", {}).get("block_on_overflow") for view in views):
            yield f"{name}: a blocking view queue stops the cost branch too"


def redaction_keeps_numbers(config: Config) -> Findings:
    """Redaction is an allow-list; patterns over keys hit `input_tokens`."""
    for name, processor in config.get("processors", {}).items():
        if _type(name) == "redaction" and processor.get("blocked_key_patterns"):
            yield f"{name}: blocked_key_patterns turn numbers into text"


def kafka_keeps_what_it_takes(config: Config) -> Findings:
    """Kafka acknowledges from all replicas on the way in, and marks after delivery on the way out."""
    for name, exporter in config.get("exporters", {}).items():
        if _type(name) != "kafka":
            continue
        producer = exporter.get("producer", {})
        if producer.get("required_acks", 1) not in {-1, "all"}:
            yield f"{name}: required_acks must be -1 (all)"
        if producer.get("allow_auto_topic_creation", True):
            yield f"{name}: a topic made by itself has one replica"
        if producer.get("max_message_bytes", 1_000_000) < 4 * MIB:
            yield f"{name}: max_message_bytes drops batches over it for good"
    for name, receiver in config.get("receivers", {}).items():
        if _type(name) == "kafka":
            yield from _kafka_receiver(name, receiver)


def kafka_is_encrypted(config: Config) -> Findings:
    """Spans and passwords reach the brokers over TLS; without `tls`, or with `insecure`, they go in the clear."""
    for name, settings in [*config.get("exporters", {}).items(), *config.get("receivers", {}).items()]:
        if _type(name) != "kafka":
            continue
        tls = settings.get("tls")
        if tls is None or tls.get("insecure", False) is not False:
            yield f"{name}: kafka without tls"
        if {"plain_text", "tls"} & settings.get("auth", {}).keys():
            yield f"{name}: auth.plain_text and auth.tls are deprecated: use auth.sasl and tls"


def tokens_travel_over_tls(config: Config) -> Findings:
    """The Collector does not start with a bearer token on an exporter without TLS, which `validate` does not see."""
    for name, exporter in config.get("exporters", {}).items():
        if "auth" in exporter and exporter.get("tls", {}).get("insecure"):
            yield f"{name}: auth needs TLS, or the Collector will not start"


def no_secret_in_the_file(config: Config) -> Findings:
    """Tokens and passwords come from files or the environment."""
    for path, value in _leaves(config):
        if re.search(r"(^|_)(token|password|secret|api_key)$", path[-1]) and not str(value).startswith("${"):
            yield f"{' > '.join(path)}: a secret stands in the file"


def exposure(config: Config) -> Findings:
    """What others reach has certificates and a token, both ways."""
    for name, receiver in config.get("receivers", {}).items():
        for protocol, settings in receiver.get("protocols", {}).items():
            if re.match(r"(\$\{env:\w+:-)?127\.0\.0\.1", str(settings.get("endpoint", ""))):
                continue
            yield from (f"{name} {protocol}: no {part}" for part in ("tls", "auth") if part not in settings)
    for name, exporter in config.get("exporters", {}).items():
        if _type(name).startswith("otlp") and exporter.get("tls", {}).get("insecure", False) is not False:
            yield f"{name}: tls insecure"
        if name.startswith("otlp") and name.endswith("/cost") and "auth" not in exporter:
            yield f"{name}: no auth"


def loopback(config: Config) -> Findings:
    """What has no certificates listens on this machine only."""
    for path, value in _leaves(config):
        if path[0] != "exporters" and "0.0.0.0" in str(value):
            yield f"{' > '.join(path)}: listens on every address"


RULES: tuple[Callable[[Config], Findings], ...] = (
    whole,
    nothing_drops_on_the_cost_path,
    cost_is_reached,
    retries_never_end,
    queues_are_on_disk,
    storage_syncs,
    errors_keep_spans,
    memory_is_limited_first,
    large_batches_are_taken,
    view_cannot_refuse,
    redaction_keeps_numbers,
    kafka_keeps_what_it_takes,
    kafka_is_encrypted,
    tokens_travel_over_tls,
    no_secret_in_the_file,
)


def component_types(config: Config) -> set[tuple[str, str]]:
    """(kind, type) of every component that the configuration names, as `("processor", "filter")`."""
    kinds = ("receivers", "processors", "exporters", "connectors", "extensions")
    return {(kind[:-1], _type(name)) for kind in kinds for name in config.get(kind) or {}}


def _kafka_receiver(name: str, receiver: Config) -> Findings:
    marking = receiver.get("message_marking", {})
    if marking.get("after") is not True or marking.get("on_error") or marking.get("on_permanent_error"):
        yield f"{name}: message_marking must be after success only"
    if receiver.get("initial_offset", "latest") != "earliest":
        yield f"{name}: initial_offset must be earliest"
    backoff = receiver.get("error_backoff", {})
    if backoff.get("enabled") is not True or _seconds(backoff.get("max_elapsed_time", "300s")) != 0:
        yield f"{name}: error_backoff must be on and endless"


def _cost_exporters(config: Config) -> list[tuple[str, Config]]:
    return [
        (name, e)
        for name, e in config.get("exporters", {}).items()
        if name.endswith("/cost") and _is_used(config, name)
    ]


def _is_used(config: Config, exporter: str) -> bool:
    return any(exporter in pipeline["exporters"] for pipeline in config["service"]["pipelines"].values())


def _cost_path(config: Config) -> dict[str, Config]:
    """Pipelines from which a cost exporter is reached, through any connectors."""
    pipelines: dict[str, Config] = config["service"]["pipelines"]
    wanted = {name for name, _ in _cost_exporters(config)}
    path: dict[str, Config] = {}
    while more := {n: p for n, p in pipelines.items() if n not in path and wanted & set(p["exporters"])}:
        path |= more
        wanted |= {r for p in more.values() for r in p["receivers"] if r in config.get("connectors", {})}
    return path


def _fed_by_kafka_only(config: Config, exporter: str) -> bool:
    feeding = [p for p in config["service"]["pipelines"].values() if exporter in p["exporters"]]
    return all(_type(receiver) == "kafka" for pipeline in feeding for receiver in pipeline["receivers"])


def _extensions_in_use(config: Config) -> set[str]:
    return {
        value for path, value in _leaves(config) if path[-1] in {"authenticator", "storage"} and path[0] != "service"
    }


def _leaves(config: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(config, dict):
        for key, value in config.items():
            yield from _leaves(value, (*path, str(key)))
    elif isinstance(config, list):
        for value in config:
            yield from _leaves(value, (*path, "[]"))
    else:
        yield path, config


def _type(component: str) -> str:
    return component.partition("/")[0]


def _seconds(duration: Any) -> float:
    """A Go duration such as `1m30s`; a bare number is taken as it is (only 0 is legal there)."""
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
    text = str(duration)
    if re.fullmatch(r"\d+", text):
        return float(text)
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)(ms|s|m|h)", text))
